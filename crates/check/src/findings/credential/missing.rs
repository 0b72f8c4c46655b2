//! What a pod does not have, or could not use, and what to do about it.

use acr_attach_core::pull_secrets::TOKEN_USER;

use super::super::{PullSecretsOf, Target, told};

/// Where the kubelet's identity is told.
const ID: &str = "az aks show --query identityProfile.kubeletidentity.objectId, or status.kubeletIdentity.principalId of the attachment, tells it";

/// What a pod does not have, or could not use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The service account's list is empty.
    NoneNamed,
    /// A Secret that is named does not exist.
    NoSecret(String),
    /// A Secret that the kubelet passes over for its type.
    OtherType {
        /// Its name.
        secret: String,
        /// Its type.
        found: String,
    },
    /// A Secret that cannot be read. The kubelet then gives up, whatever else there is.
    Unreadable {
        /// Its name.
        secret: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A Secret without an entry for the registry.
    NoEntry {
        /// Its name.
        secret: String,
        /// What it has entries for.
        places: Vec<String>,
        /// What it has an entry for that would do if capital letters were small ones.
        other_case: Option<String>,
        /// The key in it that names a program which has the credentials.
        helper: Option<&'static str>,
    },
    /// A Secret whose entry for the registry has no user name, so that nothing is shown for it.
    NoUser {
        /// Its name.
        secret: String,
        /// The key in it that other clients take a credential from, and the kubelet does not read.
        unread: Option<&'static str>,
    },
    /// A Secret that would do by its name, and is not named.
    NotNamed(String),
    /// The name of the kubelet's identity: instance metadata chose one, which may be another.
    IdentityNotNamed,
    /// The node's identity.
    Node(NodeFault),
}

/// Why there is nothing to be had of the node's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeFault {
    /// Kubelets show it to Azure's registries alone.
    OtherDomain,
    /// The image's host is written with capital letters where the kubelet asks for small ones.
    OtherCase(String),
    /// Instance metadata cannot be asked from here.
    Unreachable(String),
    /// The node has no such identity, or none at all.
    Unknown(Option<String>),
    /// The node has several, and it is not said which.
    Several,
    /// Another answer.
    Answered(u16),
}

impl Missing {
    /// Whether it is worth saying beside a credential that there is.
    pub(super) fn is_odd(&self) -> bool {
        let ordinary = [NodeFault::OtherDomain, NodeFault::Unknown(None)];
        !matches!(self, Self::NoneNamed)
            && !matches!(self, Self::Node(fault) if ordinary.contains(fault))
    }

    pub(super) fn told(&self, target: &Target) -> String {
        match self {
            Self::NoneNamed => match &target.pull_secrets {
                PullSecretsOf::ServiceAccount(name) => {
                    format!("service account {name} names no pull secret")
                }
                PullSecretsOf::Pods(_) => "no pull secret is named".to_owned(),
            },
            Self::NoSecret(secret) => format!("{} does not exist", named(secret, target)),
            Self::OtherType { secret, found } => format!(
                "{} is of type {}, which the kubelet passes over",
                named(secret, target),
                told(found)
            ),
            Self::Unreadable { secret, reason } => format!(
                "{} cannot be read ({}), so that the kubelet gives up, whatever other credential there is",
                named(secret, target),
                told(reason)
            ),
            Self::NoEntry { secret, places, other_case, helper } => {
                let only = match (&places[..], helper) {
                    _ if other_case.is_some() => {
                        format!(
                            "only for {}: the kubelet tells capital letters from small ones",
                            told(other_case.as_deref().unwrap_or_default())
                        )
                    }
                    (_, Some(key)) => format!("and the kubelet runs no program that {key} names"),
                    ([], None) => "none at all".to_owned(),
                    (some, None) => format!("only for {}", told(&some.join(", "))),
                };
                format!("{} has no entry for {}, {only}", named(secret, target), target.host())
            }
            Self::NoUser { secret, unread } => {
                let unread = unread.map_or_else(String::new, |key| {
                    format!("; the kubelet does not read {key}, where docker looks for one")
                });
                format!(
                    "{} has an entry for {} without a user name, for which containerd shows nothing{unread}",
                    named(secret, target),
                    target.host()
                )
            }
            Self::IdentityNotNamed => {
                "instance metadata chose that identity, and --kubelet-identity names the kubelet's"
                    .to_owned()
            }
            Self::NotNamed(secret) => match &target.pull_secrets {
                PullSecretsOf::ServiceAccount(name) => {
                    format!("Secret {secret} is there, and service account {name} does not name it")
                }
                PullSecretsOf::Pods(_) => format!("Secret {secret} is there, and is not named"),
            },
            Self::Node(fault) => fault.told(),
        }
    }

    pub(super) fn advice(&self, target: &Target) -> Option<String> {
        let Target { namespace, registry, .. } = target;
        let text = match self {
            Self::NoneNamed => format!(
                "For pull secrets, let a RegistryAttachment serve namespace {namespace} (docs/credentials.md); pods copy the list of their service account when they are created"
            ),
            Self::NoSecret(secret) => format!(
                "Create Secret {secret} in namespace {namespace}, or let a RegistryAttachment serve it: kubectl get registryattachments -o wide tells why one does not"
            ),
            Self::OtherType { secret, .. } => format!(
                "Make {secret} anew as a Secret of type kubernetes.io/dockerconfigjson (kubectl create secret docker-registry)"
            ),
            Self::Unreadable { secret, .. } => format!(
                "Make {secret} anew (kubectl create secret docker-registry {secret} --namespace {namespace} --docker-server {registry} …)"
            ),
            Self::NoEntry { secret, other_case: Some(_), .. } => format!(
                "Write the host in small letters, in the image of the pod and in Secret {secret}: {registry}"
            ),
            Self::NoEntry { secret, helper: Some(_), .. } => format!(
                "Make Secret {secret} of user name and password (kubectl create secret docker-registry {secret} --namespace {namespace} --docker-server {registry} …), not of a docker client's config.json"
            ),
            Self::NoEntry { secret, .. } => format!(
                "Add an entry for {registry} to {secret}, or name another pull secret; a * in it stays between two dots of the host, and nothing else is a glob"
            ),
            Self::NoUser { secret, unread: Some(_) } => format!(
                "Put user name and password of the entry for {registry} into Secret {secret}: with a registry token, {TOKEN_USER} and that token"
            ),
            Self::NoUser { secret, .. } => {
                format!("Put the user name of the entry for {registry} into Secret {secret}")
            }
            Self::IdentityNotNamed => {
                format!(
                    "Make sure that this is the kubelet's identity, and else name that one by --kubelet-identity: {ID}"
                )
            }
            Self::NotNamed(secret) => match &target.pull_secrets {
                PullSecretsOf::ServiceAccount(name) => format!(
                    "kubectl patch serviceaccount {name} --namespace {namespace} --patch '{{\"imagePullSecrets\":[{{\"name\":\"{secret}\"}}]}}' lets the account name it; pods that are there need to be created anew"
                ),
                PullSecretsOf::Pods(_) => return None,
            },
            Self::Node(fault) => return fault.advice(),
        };
        Some(text)
    }
}

fn named(secret: &str, target: &Target) -> String {
    match &target.pull_secrets {
        PullSecretsOf::ServiceAccount(name) => {
            format!("Secret {secret}, which service account {name} names,")
        }
        PullSecretsOf::Pods(_) => format!("Secret {secret}"),
    }
}

impl NodeFault {
    fn told(&self) -> String {
        match self {
            Self::OtherDomain => {
                "the node's identity is shown to Azure's registries alone".to_owned()
            }
            Self::OtherCase(host) => format!(
                "the node's identity is not asked for: the kubelet tells capital letters from small ones, and {} is written with some",
                told(host)
            ),
            Self::Unreachable(reason) => format!(
                "the node's identity cannot be asked from this pod ({}), and may still be what the kubelet uses",
                told(reason)
            ),
            Self::Unknown(None) => "the node has no managed identity".to_owned(),
            Self::Unknown(Some(id)) => format!("the node has no identity {id}"),
            Self::Several => {
                "the node has several identities, and it is not said which one the kubelet uses"
                    .to_owned()
            }
            Self::Answered(status) => {
                format!("instance metadata answers {status} for the node's identity")
            }
        }
    }

    fn advice(&self) -> Option<String> {
        let text = match self {
            Self::OtherDomain => return None,
            Self::OtherCase(_) => {
                "Write the host of the pod's image in small letters".to_owned()
            }
            Self::Unreachable(_) => "On a node in Azure, let the pod reach 169.254.169.254 without a proxy (NO_PROXY, network policies, restrictions of instance metadata), or ask from the node itself by az aks check-acr; on other nodes there is no such identity".to_owned(),
            Self::Unknown(None) => "Use a pull secret; an AKS cluster that has a service principal pulls as that one, which az aks check-acr can ask and a pod cannot".to_owned(),
            Self::Unknown(Some(_)) => format!(
                "Compare --kubelet-identity with the kubelet's: {ID}. Where it is the same, it was taken from the nodes or deleted: az aks update --resource-group <group> --name <cluster>, without any other flag, puts it back where it still exists"
            ),
            Self::Several => format!("Give the kubelet's by --kubelet-identity: {ID}"),
            Self::Answered(_) => "Run the check again; where it stays so, this is not Azure's instance metadata".to_owned(),
        };
        Some(text)
    }
}

//! Credentials that a pod does not have or could not use, and the advice for them.

use acr_attach_core::pull_secrets::TOKEN_USER;

use super::super::{PullSecretSource, Target, one_line};

/// How to find the object id of the kubelet's identity.
const ID: &str = "az aks show --name <cluster> --resource-group <group> --query identityProfile.kubeletidentity.objectId, or status.kubeletIdentity.principalId of the attachment, tells it";

/// A credential that a pod does not have, or could not use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The service account or the pods name no pull secret.
    NoneNamed,
    /// The named Secret does not exist.
    NoSecret(String),
    /// The kubelet ignores the Secret because of its type.
    OtherType {
        /// The name of the Secret.
        secret: String,
        /// The type of the Secret.
        found: String,
    },
    /// The Secret cannot be read. The kubelet then gives up, and tries no other credential.
    Unreadable {
        /// The name of the Secret.
        secret: String,
        /// What is wrong with the Secret.
        reason: String,
    },
    /// The Secret has no entry for the registry.
    NoEntry {
        /// The name of the Secret.
        secret: String,
        /// The patterns of its entries.
        patterns: Vec<String>,
        /// The pattern of an entry that matches only if case is ignored.
        other_case: Option<String>,
        /// The key in it that names a credential helper.
        helper: Option<&'static str>,
    },
    /// The entry for the registry has no user name, so containerd pulls anonymously.
    NoUser {
        /// The name of the Secret.
        secret: String,
        /// The key in it with a credential that other clients read and the kubelet ignores.
        ignored_key: Option<&'static str>,
    },
    /// A Secret with the default name of pull secrets exists, but the pods do not name it.
    NotNamed(String),
    /// The user did not name the kubelet's identity. Instance metadata chose one, which may be another.
    IdentityNotNamed,
    /// The node's identity could not be used.
    Node(NodeFault),
}

/// Why the node's identity could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeFault {
    /// The host is not in Azure's domains, and kubelets use the identity only there.
    OtherDomain,
    /// The image's host has capital letters where the kubelet requires lower case.
    OtherCase(String),
    /// The pod cannot reach instance metadata.
    Unreachable(String),
    /// The node has no identity with this id. `None` means that it has no identity at all.
    Unknown(Option<String>),
    /// The node has several identities, and the user did not name one.
    Several,
    /// An answer with another HTTP status.
    Answered(u16),
}

impl Missing {
    /// Whether it is worth mentioning even if another credential works.
    pub(super) fn is_unusual(&self) -> bool {
        let ordinary = [NodeFault::OtherDomain, NodeFault::Unknown(None)];
        !matches!(self, Self::NoneNamed)
            && !matches!(self, Self::Node(fault) if ordinary.contains(fault))
    }

    pub(super) fn description(&self, target: &Target) -> String {
        match self {
            Self::NoneNamed => match &target.pull_secrets {
                PullSecretSource::ServiceAccount(name) => {
                    format!("service account {name} names no pull secret")
                }
                PullSecretSource::Pods(_) => "no pull secret is named".to_owned(),
            },
            Self::NoSecret(secret) => format!("{} does not exist", named(secret, target)),
            Self::OtherType { secret, found } => format!(
                "{} is of type {}, which the kubelet passes over",
                named(secret, target),
                one_line(found)
            ),
            Self::Unreadable { secret, reason } => format!(
                "{} cannot be read ({}), so that the kubelet gives up, whatever other credential there is",
                named(secret, target),
                one_line(reason)
            ),
            Self::NoEntry { .. } | Self::NoUser { .. } => self.entry_description(target),
            Self::IdentityNotNamed => {
                "instance metadata chose that identity, and --kubelet-identity names the kubelet's"
                    .to_owned()
            }
            Self::NotNamed(secret) => match &target.pull_secrets {
                PullSecretSource::ServiceAccount(name) => {
                    format!("Secret {secret} is there, and service account {name} does not name it")
                }
                PullSecretSource::Pods(_) => format!("Secret {secret} is there, and is not named"),
            },
            Self::Node(fault) => fault.description(),
        }
    }

    /// The description of a Secret that the kubelet can read, and that has no usable entry for the registry.
    fn entry_description(&self, target: &Target) -> String {
        match self {
            Self::NoEntry { secret, patterns, other_case, helper } => {
                let only = match (&patterns[..], helper, other_case) {
                    (.., Some(other_case)) => format!(
                        "only for {}: the kubelet tells capital letters from small ones",
                        one_line(other_case)
                    ),
                    (_, Some(key), _) => {
                        format!("and the kubelet runs no program that {key} names")
                    }
                    ([], None, _) => "none at all".to_owned(),
                    (some, None, _) => format!("only for {}", one_line(&some.join(", "))),
                };
                format!("{} has no entry for {}, {only}", named(secret, target), target.host())
            }
            Self::NoUser { secret, ignored_key } => {
                let ignored_key = ignored_key.map_or_else(String::new, |key| {
                    format!("; the kubelet does not read {key}, where docker looks for one")
                });
                format!(
                    "{} has an entry for {} without a user name, for which containerd shows nothing{ignored_key}",
                    named(secret, target),
                    target.host()
                )
            }
            _ => String::new(),
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
            Self::NoUser { secret, ignored_key: Some(_) } => format!(
                "Put user name and password of the entry for {registry} into Secret {secret}: with a registry token, {TOKEN_USER} and that token"
            ),
            Self::NoUser { secret, .. } => {
                format!("Put the user name of the entry for {registry} into Secret {secret}")
            }
            Self::IdentityNotNamed => {
                format!(
                    "Make sure that this is the kubelet's identity, and else name the kubelet's own by --kubelet-identity: {ID}"
                )
            }
            Self::NotNamed(secret) => match &target.pull_secrets {
                PullSecretSource::ServiceAccount(name) => format!(
                    "kubectl patch serviceaccount {name} --namespace {namespace} --patch '{{\"imagePullSecrets\":[{{\"name\":\"{secret}\"}}]}}' lets the account name it; pods that are there need to be created anew"
                ),
                PullSecretSource::Pods(_) => return None,
            },
            Self::Node(fault) => return fault.advice(),
        };
        Some(text)
    }
}

fn named(secret: &str, target: &Target) -> String {
    match &target.pull_secrets {
        PullSecretSource::ServiceAccount(name) => {
            format!("Secret {secret}, which service account {name} names,")
        }
        PullSecretSource::Pods(_) => format!("Secret {secret}"),
    }
}

impl NodeFault {
    fn description(&self) -> String {
        match self {
            Self::OtherDomain => {
                "the node's identity is shown to Azure's registries alone".to_owned()
            }
            Self::OtherCase(host) => format!(
                "the node's identity is not asked for: the kubelet tells capital letters from small ones, and {} is written with some",
                one_line(host)
            ),
            Self::Unreachable(reason) => format!(
                "the node's identity cannot be asked from this pod ({}), and may still be what the kubelet uses",
                one_line(reason)
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
            Self::Unknown(None) => "Use a pull secret; an AKS cluster that has a service principal pulls as that service principal, which az aks check-acr can ask and a pod cannot".to_owned(),
            Self::Unknown(Some(_)) => format!(
                "Compare --kubelet-identity with the kubelet's: {ID}. Where it is the same, it was taken from the nodes or deleted: az aks update --resource-group <group> --name <cluster>, without any other flag, puts it back where it still exists"
            ),
            Self::Several => format!("Give the kubelet's by --kubelet-identity: {ID}"),
            Self::Answered(_) => "Run the check again; where it stays so, this is not Azure's instance metadata".to_owned(),
        };
        Some(text)
    }
}

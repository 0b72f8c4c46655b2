//! Parses a spec, and checks what can be checked without Azure and the cluster.

pub mod policy;
pub mod repositories;
mod task;

use kube_core::Selector;
use uuid::Uuid;

use crate::api::{
    CredentialForm, KubeletIdentitySpec, MethodChoice, MethodInUse, PullSecretSpec,
    RegistryAttachmentSpec, RegistrySpec,
};
use crate::ids::{ClusterId, LoginServer, PrincipalId, RegistryId};
use crate::problem::{Cause, Problem};
use crate::pull_secrets::{Accounts, PullSecret, ServicePrincipal};
use crate::spec::repositories::Repositories;
pub use task::{DetachedRegistry, Intent, Task};

/// The part of a spec that says what pull secrets are: registry, principal, form and names. It is parsed
/// apart from the rest, so that a problem elsewhere stops neither renewal nor delivery.
///
/// # Errors
/// `InvalidSpec` where that part itself is invalid, or absent.
pub fn served(spec: &RegistryAttachmentSpec) -> Result<(RegistryName, PullSecret), Problem> {
    let secret = spec.pull_secret.as_ref();
    let secret = secret.ok_or_else(|| invalid("method PullSecret needs pullSecret"))?;
    let repositories = repositories(spec).unwrap_or_default();
    Ok((registry(&spec.registry)?, pull_secret(secret, repositories)?))
}

/// The method that a spec asks for; `None` for Auto.
///
/// # Errors
/// `InvalidSpec` for a method of a newer version.
pub fn method(spec: &RegistryAttachmentSpec) -> Result<Option<MethodInUse>, Problem> {
    match spec.method {
        MethodChoice::Auto => Ok(None),
        MethodChoice::KubeletIdentity => Ok(Some(MethodInUse::KubeletIdentity)),
        MethodChoice::PullSecret => Ok(Some(MethodInUse::PullSecret)),
        MethodChoice::Unknown => Err(invalid(
            "method is a word that this version of acr-attach does not know; update acr-attach, or set Auto, KubeletIdentity or PullSecret",
        )),
    }
}

/// A valid spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Attachment {
    /// The registry.
    pub registry: RegistryName,
    /// How to attach it.
    pub method: Method,
    /// Whether the role that counts after a switch of the registry's mode is kept assigned before it.
    pub prepare_for_abac: bool,
}

/// How a spec names its registry.
#[derive(Clone, Debug, PartialEq)]
pub enum RegistryName {
    /// By its resource id. Azure Resource Manager tells the login server.
    Id(RegistryId),
    /// By its name, to be looked up in one subscription: the given one, else the cluster's, else the
    /// operator's.
    Name {
        /// The name, in any case.
        name: String,
        /// The subscription.
        subscription: Option<Uuid>,
    },
    /// By the host that images are pulled from. No lookup is needed.
    LoginServer(LoginServer),
}

/// The method, with its settings.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// The pull role for the kubelet identity.
    KubeletIdentity(KubeletIdentity),
    /// A pull secret for a service principal.
    PullSecret(PullSecret),
}

impl Method {
    /// The method's name in status.
    #[must_use]
    pub fn in_use(&self) -> MethodInUse {
        match self {
            Self::KubeletIdentity(_) => MethodInUse::KubeletIdentity,
            Self::PullSecret(_) => MethodInUse::PullSecret,
        }
    }
}

/// The settings of method `KubeletIdentity`.
#[derive(Clone, Debug, PartialEq)]
pub struct KubeletIdentity {
    /// The source of the kubelet identity.
    pub source: IdentitySource,
    /// The repositories that nodes may pull.
    pub repositories: Repositories,
    /// The settings of former pull secrets, if the spec still has them: pull secrets are renewed until
    /// the role has replaced them.
    pub former: Option<PullSecret>,
}

/// The source of the kubelet identity.
#[derive(Clone, Debug, PartialEq)]
pub enum IdentitySource {
    /// Read from that AKS cluster in Azure.
    Cluster(ClusterId),
    /// Read from the AKS cluster that is detected from the nodes.
    Detected,
    /// Given in the spec.
    Given(PrincipalId),
}

impl Attachment {
    /// Parses a spec for that method.
    ///
    /// # Errors
    /// `InvalidSpec`, with the field to correct.
    pub fn of(spec: &RegistryAttachmentSpec, method: MethodInUse) -> Result<Self, Problem> {
        let registry = registry(&spec.registry)?;
        let repositories = repositories(spec)?;
        let prepare_for_abac = spec.prepare_for_abac;
        let by_secret = spec.pull_secret.as_ref().filter(|_| method == MethodInUse::PullSecret);
        if by_secret.is_none_or(|it| it.assign_role) {
            repositories.check_condition_length().map_err(|text| invalid(&text))?;
        }
        if matches!(registry, RegistryName::LoginServer(_)) {
            needs_no_role(spec, method)?;
        }
        let method = match (method, &spec.pull_secret) {
            (MethodInUse::PullSecret, Some(spec)) => {
                Method::PullSecret(pull_secret(spec, repositories)?)
            }
            (MethodInUse::PullSecret, None) if spec.method == MethodChoice::Auto => {
                return Err(invalid(
                    "the cluster is not AKS, and so method Auto needs pullSecret: name the service principal and the namespaces there",
                ));
            }
            (MethodInUse::PullSecret, None) => {
                return Err(invalid(
                    "method PullSecret needs pullSecret: name the service principal and the namespaces there",
                ));
            }
            _ => {
                let source = identity_source(spec.kubelet_identity.as_ref())?;
                let former = spec.pull_secret.as_ref();
                let former = former.and_then(|it| pull_secret(it, repositories.clone()).ok());
                Method::KubeletIdentity(KubeletIdentity { source, repositories, former })
            }
        };
        Ok(Self { registry, method, prepare_for_abac })
    }
}

/// Checks that a spec which names its registry by the login server asks for no role: Azure Resource Manager does
/// not know registries by that name.
fn needs_no_role(spec: &RegistryAttachmentSpec, method: MethodInUse) -> Result<(), Problem> {
    let assigns = spec.pull_secret.as_ref().is_some_and(|it| it.assign_role);
    match method {
        MethodInUse::PullSecret if assigns => Err(invalid(
            "pullSecret.assignRole must find the registry in Azure; delete this attachment and create one with registry.resourceId or registry.name, or set pullSecret.assignRole to false",
        )),
        MethodInUse::PullSecret => Ok(()),
        _ => Err(invalid(
            "method KubeletIdentity assigns a role and so must find the registry in Azure; delete this attachment and create one with registry.resourceId or registry.name, or set method to PullSecret",
        )),
    }
}

/// How a spec names its registry.
///
/// # Errors
/// `InvalidSpec`, with the field to correct.
pub fn registry(spec: &RegistrySpec) -> Result<RegistryName, Problem> {
    if let Some(server) = &spec.login_server {
        let server = server.parse().map(RegistryName::LoginServer);
        return server.map_err(|error| invalid(&format!("registry.loginServer: {error}")));
    }
    if let Some(id) = &spec.resource_id {
        let id = id.parse().map(RegistryName::Id);
        return id.map_err(|error| invalid(&format!("registry.resourceId: {error}")));
    }
    let Some(name) = spec.name.clone() else {
        return Err(invalid("registry names none: give resourceId, name or loginServer"));
    };
    let subscription = spec.subscription_id.as_ref().map(|it| it.parse()).transpose();
    let subscription = subscription
        .map_err(|error| invalid(&format!("registry.subscriptionId is no GUID: {error}")))?;
    Ok(RegistryName::Name { name, subscription })
}

fn identity_source(spec: Option<&KubeletIdentitySpec>) -> Result<IdentitySource, Problem> {
    let spec = spec.cloned().unwrap_or_default();
    if let Some(principal) = spec.principal_id {
        let principal = principal.parse();
        return principal
            .map(IdentitySource::Given)
            .map_err(|error| invalid(&format!("kubeletIdentity.principalId: {error}")));
    }
    let Some(cluster) = spec.cluster_resource_id else { return Ok(IdentitySource::Detected) };
    let cluster = cluster.parse();
    cluster
        .map(IdentitySource::Cluster)
        .map_err(|error| invalid(&format!("kubeletIdentity.clusterResourceId: {error}")))
}

fn repositories(spec: &RegistryAttachmentSpec) -> Result<Repositories, Problem> {
    let entries = spec.repositories.iter().flatten().cloned();
    Repositories::new(entries).map_err(|wrong| {
        invalid(&format!(
            "repositories: `{wrong}` is neither a repository such as team-a/app nor a prefix such as team-a/*"
        ))
    })
}

fn pull_secret(spec: &PullSecretSpec, repositories: Repositories) -> Result<PullSecret, Problem> {
    if spec.credential == CredentialForm::Unknown {
        return Err(invalid(
            "pullSecret.credential is a word that this version of acr-attach does not know; update acr-attach, or set RegistryToken or ClientSecret",
        ));
    }
    let principal = &spec.service_principal;
    if spec.credential == CredentialForm::ClientSecret && principal.client_secret_ref.is_none() {
        return Err(invalid(
            "pullSecret.credential ClientSecret writes the service principal's secret; name the Secret that holds it in pullSecret.servicePrincipal.clientSecretRef, or set RegistryToken",
        ));
    }
    let object = principal.object_id.as_ref().map(|it| it.parse()).transpose();
    let object = object
        .map_err(|error| invalid(&format!("pullSecret.servicePrincipal.objectId: {error}")))?;
    if let Some(Err(error)) = spec.namespaces.selector.clone().map(Selector::try_from) {
        return Err(invalid(&format!("pullSecret.namespaces.selector: {error}")));
    }
    let accounts = &spec.service_accounts;
    let all = accounts.iter().any(|it| it == "*");
    Ok(PullSecret {
        principal: ServicePrincipal {
            tenant: principal.tenant_id.to_ascii_lowercase(),
            client: principal.client_id.to_ascii_lowercase(),
            object,
            secret: principal.client_secret_ref.clone(),
        },
        assigns_role: spec.assign_role,
        form: spec.credential,
        repositories,
        name: spec.secret_name.clone(),
        namespaces: spec.namespaces.names.iter().flatten().cloned().collect(),
        selector: spec.namespaces.selector.clone(),
        accounts: if all {
            Accounts::All
        } else {
            Accounts::Named(accounts.iter().cloned().collect())
        },
    })
}

fn invalid(message: &str) -> Problem {
    Problem::new(Cause::InvalidSpec, format!("correct the spec: {message}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const REGISTRY: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso";
    const CLUSTER: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/prod";
    const PRINCIPAL: &str = "22222222-2222-2222-2222-222222222222";

    fn parse(spec: serde_json::Value) -> Result<Attachment, Problem> {
        let spec: RegistryAttachmentSpec = serde_json::from_value(spec).unwrap();
        Attachment::of(&spec, method(&spec)?.unwrap())
    }

    fn decided(spec: &serde_json::Value, method: MethodInUse) -> Result<Attachment, Problem> {
        Attachment::of(&serde_json::from_value(spec.clone()).unwrap(), method)
    }

    #[rstest::rstest]
    #[case("Delete", json!({"resourceId": REGISTRY}), Some(RegistryName::Id(REGISTRY.parse().unwrap())))]
    #[case("Orphan", json!({"resourceId": REGISTRY}), None)]
    #[case("Shred", json!({"resourceId": REGISTRY}), Some(RegistryName::Id(REGISTRY.parse().unwrap())))]
    #[case("Delete", json!({"name": "contoso"}), Some(RegistryName::Name { name: "contoso".into(), subscription: None }))]
    #[case("Delete", json!({"loginServer": "contoso.azurecr.io"}), None)]
    #[case("Delete", json!({"resourceId": "x"}), None)]
    fn deleting_needs_no_more_of_the_spec_than_the_registry(
        #[case] policy: &str,
        #[case] registry: serde_json::Value,
        #[case] expected: Option<RegistryName>,
    ) {
        let spec = json!({"registry": registry, "deletionPolicy": policy, "method": "Magic"});
        let spec: RegistryAttachmentSpec = serde_json::from_value(spec).unwrap();
        let expected = expected
            .map(|registry| DetachedRegistry { registry, source: Some(IdentitySource::Detected) });
        assert_eq!(Task::detach(&spec), Task::Detach(expected));
        assert!(method(&spec).is_err());
    }

    #[test]
    fn a_given_principal_wins_over_the_cluster() {
        let attachment = parse(json!({
            "registry": {"resourceId": REGISTRY},
            "method": "KubeletIdentity",
            "kubeletIdentity": {"clusterResourceId": CLUSTER, "principalId": PRINCIPAL},
        }));
        let given = IdentitySource::Given(PRINCIPAL.parse().unwrap());
        assert_eq!(attachment.unwrap().method, by_role(given));
    }

    #[test]
    fn the_cluster_is_read_when_it_is_given() {
        let attachment = parse(json!({
            "registry": {"resourceId": REGISTRY},
            "method": "KubeletIdentity",
            "kubeletIdentity": {"clusterResourceId": CLUSTER},
        }))
        .unwrap();
        let cluster = IdentitySource::Cluster(CLUSTER.parse().unwrap());
        assert_eq!(attachment.method, by_role(cluster));
        assert_eq!(attachment.registry, RegistryName::Id(REGISTRY.parse().unwrap()));
    }

    #[rstest::rstest]
    #[case(json!({"registry": {"resourceId": REGISTRY}, "method": "PullSecret"}), "needs pullSecret")]
    #[case(json!({"registry": {"name": "contoso"}, "method": "KubeletIdentity", "repositories": ["it's"]}), "`it's` is neither")]
    #[case(with_pull_secret(&json!({"assignRole": true})), "assignRole")]
    #[case(with_pull_secret(&json!({"credential": "ClientSecret", "servicePrincipal": {"tenantId": PRINCIPAL, "clientId": PRINCIPAL}})), "clientSecretRef")]
    #[case(with_pull_secret(&json!({"credential": "Passkey"})), "update acr-attach")]
    #[case(json!({"registry": {"loginServer": "contoso.azurecr.io"}, "method": "KubeletIdentity"}), "registry.resourceId")]
    #[case(json!({"registry": {"resourceId": REGISTRY}, "method": "Magic"}), "update acr-attach")]
    fn what_cannot_be_done_is_said(#[case] spec: serde_json::Value, #[case] word: &str) {
        let problem = parse(spec).unwrap_err();
        assert_eq!(problem.cause, Cause::InvalidSpec);
        assert!(problem.message.contains(word), "{}", problem.message);
    }

    fn by_role(source: IdentitySource) -> Method {
        let (repositories, former) = (Repositories::default(), None);
        Method::KubeletIdentity(KubeletIdentity { source, repositories, former })
    }

    #[test]
    fn auto_is_what_it_is_decided_to_be() {
        let pull_secret = with_pull_secret(&json!({}))["pullSecret"].clone();
        let spec = json!({"registry": {"name": "Contoso"}, "pullSecret": pull_secret});
        assert_eq!(method(&serde_json::from_value(spec.clone()).unwrap()), Ok(None));
        let on_aks = decided(&spec, MethodInUse::KubeletIdentity).unwrap();
        let elsewhere = decided(&spec, MethodInUse::PullSecret).unwrap();
        let Method::PullSecret(secret) = elsewhere.method else { panic!("another method") };
        let Method::KubeletIdentity(identity) = on_aks.method else { panic!("another method") };
        assert_eq!(identity.source, IdentitySource::Detected);
        assert_eq!(identity.former, Some(secret));
    }

    #[rstest::rstest]
    #[case(json!({"registry": {"name": "contoso"}}), MethodInUse::PullSecret, "the cluster is not AKS")]
    #[case(json!({"registry": {"loginServer": "contoso.azurecr.io"}}), MethodInUse::KubeletIdentity, "registry.resourceId or registry.name")]
    fn auto_says_what_the_method_lacks(
        #[case] spec: serde_json::Value,
        #[case] method: MethodInUse,
        #[case] word: &str,
    ) {
        let problem = decided(&spec, method).unwrap_err();
        assert_eq!(problem.cause, Cause::InvalidSpec);
        assert!(problem.message.contains(word), "{}", problem.message);
    }

    fn with_pull_secret(change: &serde_json::Value) -> serde_json::Value {
        let mut pull_secret = json!({
            "servicePrincipal": {
                "tenantId": PRINCIPAL, "clientId": PRINCIPAL.to_uppercase(),
                "clientSecretRef": {"name": "sp", "key": "clientSecret"},
            },
            "namespaces": {"names": ["b", "a"]},
        });
        for (key, value) in change.as_object().unwrap() {
            pull_secret[key] = value.clone();
        }
        json!({
            "registry": {"loginServer": "Contoso.azurecr.io"},
            "method": "PullSecret",
            "pullSecret": pull_secret,
        })
    }

    #[test]
    fn a_pull_secret_is_read_with_its_defaults() {
        let attachment = parse(with_pull_secret(&json!({}))).unwrap();
        let server = "contoso.azurecr.io".parse().unwrap();
        assert_eq!(attachment.registry, RegistryName::LoginServer(server));
        let Method::PullSecret(secret) = attachment.method else { panic!("another method") };
        assert_eq!(
            (secret.name.as_str(), secret.form),
            ("acr-pull", CredentialForm::RegistryToken)
        );
        assert_eq!(secret.accounts, Accounts::Named(["default".to_owned()].into()));
        assert_eq!(secret.principal.client, PRINCIPAL);
        let all = parse(with_pull_secret(&json!({"serviceAccounts": ["*"]}))).unwrap();
        let Method::PullSecret(secret) = all.method else { panic!("another method") };
        assert_eq!(secret.accounts, Accounts::All);
    }
}

//! A spec, understood: what can be checked without asking anybody is checked here.

use super::names::{ClusterId, LoginServer, PrincipalId, RegistryId};
use super::policy::Policy;
use super::problem::{Cause, Problem};
use super::pull_secret::{Accounts, PullSecret, ServicePrincipal};
use crate::api::{
    CredentialForm, DeletionPolicy, KubeletIdentitySpec, MethodChoice, MethodInUse, PullSecretSpec,
    RegistryAttachmentSpec, RegistrySpec,
};

/// What a pass is to bring about. Known before anybody is asked anything.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// What the spec asks for.
    Attach(Box<Attachment>),
    /// That nothing of the attachment is left: in the cluster, and on that registry. Without a
    /// registry, role assignments stay as they are.
    Detach(Option<RegistryId>),
}

impl Task {
    /// For an object with that spec.
    ///
    /// # Errors
    /// `InvalidSpec`, or `NotAllowed` by the operator's settings.
    pub fn of(
        spec: &RegistryAttachmentSpec,
        deleting: bool,
        policy: &Policy,
    ) -> Result<Self, Problem> {
        if !deleting {
            let attachment = Attachment::try_from(spec)?;
            policy.permit(&attachment)?;
            return Ok(Self::Attach(Box::new(attachment)));
        }
        Ok(Self::Detach(match (spec.deletion_policy, registry(&spec.registry)) {
            (DeletionPolicy::Delete | DeletionPolicy::Unknown, Ok(RegistryName::Id(id))) => {
                Some(id)
            }
            // Only registries with an id can have had a role assigned.
            _ => None,
        }))
    }
}

/// What an attachment asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Attachment {
    /// The registry.
    pub registry: RegistryName,
    /// How to attach it.
    pub method: Method,
}

/// How a spec names its registry.
#[derive(Clone, Debug, PartialEq)]
pub enum RegistryName {
    /// By its resource id: Azure Resource Manager is asked for the rest.
    Id(RegistryId),
    /// By the host that images are pulled from: nobody has to be asked.
    LoginServer(LoginServer),
}

/// How to attach, with what the method needs.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// The pull role for the kubelet identity.
    KubeletIdentity(RegistryId, IdentitySource),
    /// A pull secret for a service principal.
    PullSecret(PullSecret),
}

impl Method {
    /// The word for it in status.
    #[must_use]
    pub fn in_use(&self) -> MethodInUse {
        match self {
            Self::KubeletIdentity(..) => MethodInUse::KubeletIdentity,
            Self::PullSecret(_) => MethodInUse::PullSecret,
        }
    }
}

/// Where the kubelet identity is known from.
#[derive(Clone, Debug, PartialEq)]
pub enum IdentitySource {
    /// It is read from the cluster.
    Cluster(ClusterId),
    /// The user gave it.
    Given(PrincipalId),
}

impl TryFrom<&RegistryAttachmentSpec> for Attachment {
    type Error = Problem;

    fn try_from(spec: &RegistryAttachmentSpec) -> Result<Self, Problem> {
        let registry = registry(&spec.registry)?;
        let method = match spec.method {
            MethodChoice::KubeletIdentity => {
                let RegistryName::Id(id) = registry.clone() else {
                    return Err(invalid("method KubeletIdentity needs registry.resourceId"));
                };
                let source = identity_source(spec.kubelet_identity.as_ref())?;
                Method::KubeletIdentity(id, source)
            }
            MethodChoice::PullSecret => Method::PullSecret(pull_secret(spec.pull_secret.as_ref())?),
            MethodChoice::Auto => {
                return Err(invalid(
                    "method Auto is not supported by this version of acr-attach; set method to KubeletIdentity or PullSecret",
                ));
            }
            MethodChoice::Unknown => {
                return Err(invalid(
                    "method is a word that this version of acr-attach does not know; update acr-attach, or set KubeletIdentity or PullSecret",
                ));
            }
        };
        if spec.repositories.as_ref().is_some_and(|it| !it.is_empty()) {
            return Err(invalid(
                "repositories is not supported by this version of acr-attach; remove it to attach the whole registry",
            ));
        }
        Ok(Self { registry, method })
    }
}

fn registry(spec: &RegistrySpec) -> Result<RegistryName, Problem> {
    if let Some(server) = &spec.login_server {
        let server = server.parse().map(RegistryName::LoginServer);
        return server.map_err(|error| invalid(&format!("registry.loginServer: {error}")));
    }
    let Some(id) = &spec.resource_id else {
        return Err(invalid(
            "registry.name is not supported by this version of acr-attach; delete this attachment and create one with registry.resourceId (az acr show --name <name> --query id prints it)",
        ));
    };
    let id = id.parse().map(RegistryName::Id);
    id.map_err(|error| invalid(&format!("registry.resourceId: {error}")))
}

fn identity_source(spec: Option<&KubeletIdentitySpec>) -> Result<IdentitySource, Problem> {
    let spec = spec.cloned().unwrap_or_default();
    if let Some(principal) = spec.principal_id {
        let principal = principal.parse();
        return principal
            .map(IdentitySource::Given)
            .map_err(|error| invalid(&format!("kubeletIdentity.principalId: {error}")));
    }
    let Some(cluster) = spec.cluster_resource_id else {
        return Err(invalid(
            "detecting the cluster is not supported by this version of acr-attach; set kubeletIdentity.clusterResourceId (az aks show --query id prints it)",
        ));
    };
    let cluster = cluster.parse();
    cluster
        .map(IdentitySource::Cluster)
        .map_err(|error| invalid(&format!("kubeletIdentity.clusterResourceId: {error}")))
}

fn pull_secret(spec: Option<&PullSecretSpec>) -> Result<PullSecret, Problem> {
    let spec = spec.ok_or_else(|| {
        invalid("method PullSecret needs pullSecret: name the service principal and the namespaces there")
    })?;
    if spec.assign_role {
        return Err(invalid(
            "pullSecret.assignRole is not supported by this version of acr-attach; remove it, and assign the pull role to the service principal (az role assignment create --assignee <client id> --role AcrPull --scope <registry id>)",
        ));
    }
    if spec.credential == CredentialForm::Unknown {
        return Err(invalid(
            "pullSecret.credential is a word that this version of acr-attach does not know; update acr-attach, or set RegistryToken or ClientSecret",
        ));
    }
    let principal = &spec.service_principal;
    let Some(secret) = principal.client_secret_ref.clone() else {
        return Err(invalid(
            "a service principal without clientSecretRef (federated) is not supported by this version of acr-attach; put a client secret into a Secret of the operator's namespace and name it in pullSecret.servicePrincipal.clientSecretRef",
        ));
    };
    let accounts = &spec.service_accounts;
    let all = accounts.iter().any(|it| it == "*");
    Ok(PullSecret {
        principal: ServicePrincipal {
            tenant: principal.tenant_id.to_ascii_lowercase(),
            client: principal.client_id.to_ascii_lowercase(),
            secret,
        },
        form: spec.credential,
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
    Problem::new(Cause::InvalidSpec, format!("reading the spec: {message}"))
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
        Attachment::try_from(&spec)
    }

    #[rstest::rstest]
    #[case("Delete", Some(REGISTRY.parse().unwrap()))]
    #[case("Orphan", None)]
    #[case("Shred", Some(REGISTRY.parse().unwrap()))]
    fn deleting_needs_no_more_of_the_spec_than_the_registry(
        #[case] policy: &str,
        #[case] expected: Option<RegistryId>,
    ) {
        let spec = json!({"registry": {"resourceId": REGISTRY}, "deletionPolicy": policy});
        let spec: RegistryAttachmentSpec = serde_json::from_value(spec).unwrap();
        let policy = Policy::default();
        assert_eq!(Task::of(&spec, true, &policy), Ok(Task::Detach(expected)));
        assert!(Task::of(&spec, false, &policy).is_err());
    }

    #[test]
    fn a_given_principal_wins_over_the_cluster() {
        let attachment = parse(json!({
            "registry": {"resourceId": REGISTRY},
            "method": "KubeletIdentity",
            "kubeletIdentity": {"clusterResourceId": CLUSTER, "principalId": PRINCIPAL},
        }));
        let given = IdentitySource::Given(PRINCIPAL.parse().unwrap());
        let expected = Method::KubeletIdentity(REGISTRY.parse().unwrap(), given);
        assert_eq!(attachment.unwrap().method, expected);
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
        let registry: RegistryId = REGISTRY.parse().unwrap();
        assert_eq!(attachment.method, Method::KubeletIdentity(registry.clone(), cluster));
        assert_eq!(attachment.registry, RegistryName::Id(registry));
    }

    #[rstest::rstest]
    #[case(json!({"registry": {"resourceId": REGISTRY}}), "method Auto")]
    #[case(json!({"registry": {"resourceId": REGISTRY}, "method": "PullSecret"}), "needs pullSecret")]
    #[case(with_pull_secret(&json!({"assignRole": true})), "assignRole")]
    #[case(with_pull_secret(&json!({"servicePrincipal": {"tenantId": PRINCIPAL, "clientId": PRINCIPAL}})), "federated")]
    #[case(with_pull_secret(&json!({"credential": "Passkey"})), "update acr-attach")]
    #[case(json!({"registry": {"loginServer": "contoso.azurecr.io"}, "method": "KubeletIdentity"}), "registry.resourceId")]
    #[case(json!({"registry": {"resourceId": REGISTRY}, "method": "Magic"}), "update acr-attach")]
    #[case(json!({"registry": {"resourceId": REGISTRY}, "method": "KubeletIdentity"}), "clusterResourceId")]
    #[case(json!({"registry": {"name": "contoso"}, "method": "KubeletIdentity", "kubeletIdentity": {"principalId": PRINCIPAL}}), "registry.name")]
    #[case(json!({"registry": {"resourceId": REGISTRY}, "method": "KubeletIdentity", "kubeletIdentity": {"principalId": PRINCIPAL}, "repositories": ["a/*"]}), "repositories")]
    fn what_is_not_there_yet_is_said(#[case] spec: serde_json::Value, #[case] word: &str) {
        let problem = parse(spec).unwrap_err();
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

//! A spec, understood: what can be checked without asking anybody is checked here.

use super::names::{ClusterId, PrincipalId, RegistryId};
use super::policy::AllowedRegistries;
use super::problem::{Cause, Problem};
use crate::api::{
    DeletionPolicy, KubeletIdentitySpec, MethodChoice, MethodInUse, RegistryAttachmentSpec,
    RegistrySpec,
};

/// What a pass is to bring about. Known before anybody is asked anything.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// What the spec asks for.
    Attach(Attachment),
    /// That nothing of the attachment is left on that registry.
    Detach(RegistryId),
}

impl Task {
    /// For an object with that spec; `None` when it only has to go, and what it made stays.
    ///
    /// # Errors
    /// `InvalidSpec`, or `NotAllowed` by the operator's settings.
    pub fn of(
        spec: &RegistryAttachmentSpec,
        deleting: bool,
        allowed: &AllowedRegistries,
    ) -> Result<Option<Self>, Problem> {
        if !deleting {
            let attachment = Attachment::try_from(spec)?;
            allowed.permit(&attachment.registry)?;
            return Ok(Some(Self::Attach(attachment)));
        }
        Ok(match (spec.deletion_policy, registry(&spec.registry)) {
            (DeletionPolicy::Delete | DeletionPolicy::Unknown, Ok(registry)) => {
                Some(Self::Detach(registry))
            }
            // What was never attached has nothing to detach.
            (DeletionPolicy::Orphan, _) | (_, Err(_)) => None,
        })
    }

    /// The registry that it is about.
    #[must_use]
    pub fn registry(&self) -> &RegistryId {
        match self {
            Self::Attach(Attachment { registry, .. }) | Self::Detach(registry) => registry,
        }
    }
}

/// What an attachment asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Attachment {
    /// The registry.
    pub registry: RegistryId,
    /// How to attach it.
    pub method: Method,
}

/// How to attach, with what the method needs.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// The pull role for the kubelet identity.
    KubeletIdentity(IdentitySource),
}

impl Method {
    /// The word for it in status.
    #[must_use]
    pub fn in_use(&self) -> MethodInUse {
        match self {
            Self::KubeletIdentity(_) => MethodInUse::KubeletIdentity,
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
        let method = match spec.method {
            MethodChoice::KubeletIdentity => {
                Method::KubeletIdentity(identity_source(spec.kubelet_identity.as_ref())?)
            }
            MethodChoice::Auto => {
                return Err(invalid(
                    "method Auto is not supported by this version of acr-attach; set method to KubeletIdentity and give kubeletIdentity.clusterResourceId",
                ));
            }
            MethodChoice::PullSecret => {
                return Err(invalid(
                    "method PullSecret is not supported by this version of acr-attach; on AKS use method KubeletIdentity",
                ));
            }
            MethodChoice::Unknown => {
                return Err(invalid(
                    "method is a word that this version of acr-attach does not know; update acr-attach, or set KubeletIdentity",
                ));
            }
        };
        if spec.repositories.as_ref().is_some_and(|it| !it.is_empty()) {
            return Err(invalid(
                "repositories is not supported by this version of acr-attach; remove it to attach the whole registry",
            ));
        }
        Ok(Self { registry: registry(&spec.registry)?, method })
    }
}

/// The registry that a spec names. It alone decides where to look for what an attachment owns.
fn registry(spec: &RegistrySpec) -> Result<RegistryId, Problem> {
    let Some(id) = &spec.resource_id else {
        return Err(invalid(
            "registry.name and registry.loginServer are not supported by this version of acr-attach; delete this attachment and create one with registry.resourceId (az acr show --name <name> --query id prints it)",
        ));
    };
    id.parse().map_err(|error| invalid(&format!("registry.resourceId: {error}")))
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
    #[case("Delete", Some(Task::Detach(REGISTRY.parse().unwrap())))]
    #[case("Orphan", None)]
    #[case("Shred", Some(Task::Detach(REGISTRY.parse().unwrap())))]
    fn deleting_needs_no_more_of_the_spec_than_the_registry(
        #[case] policy: &str,
        #[case] expected: Option<Task>,
    ) {
        let spec = json!({"registry": {"resourceId": REGISTRY}, "deletionPolicy": policy});
        let spec: RegistryAttachmentSpec = serde_json::from_value(spec).unwrap();
        let nothing = "other.azurecr.io".parse().unwrap();
        assert_eq!(Task::of(&spec, true, &nothing), Ok(expected));
        assert!(Task::of(&spec, false, &nothing).is_err());
    }

    #[test]
    fn a_given_principal_wins_over_the_cluster() {
        let attachment = parse(json!({
            "registry": {"resourceId": REGISTRY},
            "method": "KubeletIdentity",
            "kubeletIdentity": {"clusterResourceId": CLUSTER, "principalId": PRINCIPAL},
        }));
        let given = IdentitySource::Given(PRINCIPAL.parse().unwrap());
        assert_eq!(attachment.unwrap().method, Method::KubeletIdentity(given));
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
        assert_eq!(attachment.method, Method::KubeletIdentity(cluster));
        assert_eq!(attachment.registry, REGISTRY.parse().unwrap());
    }

    #[rstest::rstest]
    #[case(json!({"registry": {"resourceId": REGISTRY}}), "method Auto")]
    #[case(json!({"registry": {"resourceId": REGISTRY}, "method": "PullSecret"}), "method PullSecret")]
    #[case(json!({"registry": {"resourceId": REGISTRY}, "method": "Magic"}), "update acr-attach")]
    #[case(json!({"registry": {"resourceId": REGISTRY}, "method": "KubeletIdentity"}), "clusterResourceId")]
    #[case(json!({"registry": {"name": "contoso"}, "method": "KubeletIdentity", "kubeletIdentity": {"principalId": PRINCIPAL}}), "registry.name")]
    #[case(json!({"registry": {"resourceId": REGISTRY}, "method": "KubeletIdentity", "kubeletIdentity": {"principalId": PRINCIPAL}, "repositories": ["a/*"]}), "repositories")]
    fn what_is_not_there_yet_is_said(#[case] spec: serde_json::Value, #[case] word: &str) {
        let problem = parse(spec).unwrap_err();
        assert_eq!(problem.cause, Cause::InvalidSpec);
        assert!(problem.message.contains(word), "{}", problem.message);
    }
}

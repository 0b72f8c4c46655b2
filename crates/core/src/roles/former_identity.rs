//! Former identities of nodes: which of them may lose their role.
//!
//! A cluster that moves from a service principal to a managed identity is `Succeeded` at once, while
//! kubelets go on with the principal until their pool is upgraded (learn.microsoft.com, "Use a managed
//! identity in AKS", "Update an existing cluster"). And a changed `kubeletIdentity.principalId` says nothing
//! of nodes. Only where AKS replaces one managed identity by another does it upgrade the pools itself.

use std::collections::BTreeSet;

use crate::api::{IdentityType, KubeletIdentityStatus, MethodInUse, RegistryAttachmentStatus};
use crate::ids::{ClusterId, PrincipalId};

/// The identity that nodes are to pull with.
#[derive(Clone, Debug, PartialEq)]
pub struct CurrentIdentity {
    /// Its object id.
    pub principal: PrincipalId,
    /// The cluster that it was read from; `None` where the spec gives the identity.
    pub cluster: Option<ClusterId>,
    /// What it is; `None` where the spec gives the identity.
    pub identity_type: Option<IdentityType>,
}

impl CurrentIdentity {
    /// The identities that no node pulls with once the cluster is settled: managed identities that AKS has
    /// replaced by this one, and service principals of former pull secrets. `shown` is the status before.
    #[must_use]
    pub fn replaced(&self, shown: Option<&RegistryAttachmentStatus>) -> BTreeSet<PrincipalId> {
        let Some(shown) = shown else { return BTreeSet::new() };
        let mut all: BTreeSet<PrincipalId> = BTreeSet::new();
        if shown.method == Some(MethodInUse::PullSecret) {
            let roles = shown.role_assignments.iter().flatten();
            all.extend(roles.filter_map(|it| it.principal_id.parse::<PrincipalId>().ok()));
        }
        if let Some(identity) = shown.kubelet_identity.as_ref().filter(|it| self.is_of(it)) {
            let is_managed = |it| it == Some(IdentityType::ManagedIdentity);
            let by_aks = is_managed(self.identity_type) && is_managed(identity.identity_type);
            let before = identity.principal_id.iter().filter(|_| by_aks);
            let ids = identity.replaced_principal_ids.iter().flatten().chain(before);
            all.extend(ids.filter_map(|it| it.parse::<PrincipalId>().ok()));
        }
        all.remove(&self.principal);
        all
    }

    /// Whether status tells of an identity from the same cluster, or of one that the spec gave too.
    fn is_of(&self, shown: &KubeletIdentityStatus) -> bool {
        let cluster = shown.cluster_resource_id.as_ref().and_then(|it| it.parse().ok());
        cluster == self.cluster
    }
}

/// The identities that a user has released, by the value of annotation `acr-attach.dev/release`.
#[must_use]
pub fn released(annotation: Option<&str>) -> BTreeSet<PrincipalId> {
    let ids = annotation.into_iter().flat_map(|it| it.split(','));
    ids.filter_map(|it| it.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn cluster(name: &str) -> String {
        format!(
            "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/{name}"
        )
    }

    fn principal(n: u128) -> PrincipalId {
        Uuid::from_u128(n).to_string().parse().unwrap()
    }

    fn current(n: u128, identity_type: Option<IdentityType>) -> CurrentIdentity {
        let cluster = identity_type.map(|_| cluster("prod").parse().unwrap());
        CurrentIdentity { principal: principal(n), cluster, identity_type }
    }

    fn shown(n: u128, identity_type: Option<IdentityType>) -> KubeletIdentityStatus {
        KubeletIdentityStatus {
            cluster_resource_id: identity_type.map(|_| cluster("PROD")),
            principal_id: Some(principal(n).to_string()),
            identity_type,
            replaced_principal_ids: None,
        }
    }

    const MANAGED: Option<IdentityType> = Some(IdentityType::ManagedIdentity);
    const PRINCIPAL: Option<IdentityType> = Some(IdentityType::ServicePrincipal);

    #[rstest::rstest]
    #[case::aks_replaces_it(shown(1, MANAGED), current(2, MANAGED), &[1])]
    #[case::from_a_service_principal(shown(1, PRINCIPAL), current(2, MANAGED), &[])]
    #[case::between_service_principals(shown(1, PRINCIPAL), current(2, PRINCIPAL), &[])]
    #[case::given_by_the_spec(shown(1, None), current(2, None), &[])]
    #[case::from_the_spec_to_the_cluster(shown(1, None), current(2, MANAGED), &[])]
    #[case::from_the_cluster_to_the_spec(shown(1, MANAGED), current(2, None), &[])]
    #[case::unchanged(shown(2, MANAGED), current(2, MANAGED), &[])]
    #[case::another_cluster(
        KubeletIdentityStatus { cluster_resource_id: Some(cluster("dev")), ..shown(1, MANAGED) },
        current(2, MANAGED),
        &[]
    )]
    #[case::twice(
        KubeletIdentityStatus {
            replaced_principal_ids: Some(vec![principal(0).to_string()]),
            ..shown(1, MANAGED)
        },
        current(2, MANAGED),
        &[0, 1]
    )]
    fn only_what_aks_replaced_needs_no_word_of_a_user(
        #[case] shown: KubeletIdentityStatus,
        #[case] current: CurrentIdentity,
        #[case] expected: &[u128],
    ) {
        let expected = expected.iter().map(|it| principal(*it)).collect();
        let status = RegistryAttachmentStatus {
            method: Some(MethodInUse::KubeletIdentity),
            kubelet_identity: Some(shown),
            ..RegistryAttachmentStatus::default()
        };
        assert_eq!(current.replaced(Some(&status)), expected);
        assert_eq!(current.replaced(None), BTreeSet::new());
    }

    #[test]
    fn the_service_principal_of_pull_secrets_is_no_identity_of_nodes() {
        let status = serde_json::json!({
            "method": "PullSecret",
            "roleAssignments": [{
                "id": "x", "role": "AcrPull", "ownership": "Managed",
                "principalId": principal(1).to_string(),
            }],
        });
        let status: RegistryAttachmentStatus = serde_json::from_value(status).unwrap();
        for current in [current(2, MANAGED), current(2, None)] {
            assert_eq!(current.replaced(Some(&status)), [principal(1)].into());
        }
        // Status goes on telling so while the role waits for its removal.
        let identity = KubeletIdentityStatus {
            replaced_principal_ids: Some(vec![principal(1).to_string()]),
            ..shown(2, None)
        };
        let later = RegistryAttachmentStatus {
            method: Some(MethodInUse::KubeletIdentity),
            kubelet_identity: Some(identity),
            ..status
        };
        assert_eq!(current(2, None).replaced(Some(&later)), [principal(1)].into());
    }

    #[test]
    fn a_user_releases_identities_by_their_object_ids() {
        let both = format!("{}, {}", principal(1), principal(2).to_string().to_uppercase());
        assert_eq!(released(Some(&both)), [principal(1), principal(2)].into());
        assert_eq!(released(Some("the old one")), BTreeSet::new());
        assert_eq!(released(None), BTreeSet::new());
    }
}

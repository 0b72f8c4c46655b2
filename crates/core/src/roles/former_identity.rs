//! Former identities of nodes: which of them may lose their role.
//!
//! A cluster that moves from a service principal to a managed identity is `Succeeded` at once, while
//! kubelets go on with the principal until their pool is upgraded (learn.microsoft.com, "Use a managed
//! identity in AKS", "Update an existing cluster"). And a changed `kubeletIdentity.principalId` says nothing
//! of nodes. Only where AKS replaces one managed identity by another does it upgrade the pools itself.

use std::collections::BTreeSet;

use crate::api::{IdentityType, KubeletIdentityStatus, RoleAssignmentStatus, RoleUser};
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
    /// Whether the cluster and its node pools are as configured, so that no node uses a former identity.
    pub settled: bool,
}

impl CurrentIdentity {
    /// The managed identities that AKS has replaced by this one: no node pulls with them once the cluster is
    /// settled. `shown` is the identity in the status before.
    #[must_use]
    pub fn replaced(&self, shown: Option<&KubeletIdentityStatus>) -> BTreeSet<PrincipalId> {
        let Some(shown) = shown.filter(|it| self.is_of(it)) else { return BTreeSet::new() };
        let is_managed = |it| it == Some(IdentityType::ManagedIdentity);
        let by_aks = is_managed(self.identity_type) && is_managed(shown.identity_type);
        let before = shown.principal_id.iter().filter(|_| by_aks);
        let ids = shown.replaced_principal_ids.iter().flatten().chain(before);
        let mut all: BTreeSet<PrincipalId> = ids.filter_map(|it| it.parse().ok()).collect();
        all.remove(&self.principal);
        all
    }

    /// Whether status tells of an identity from the same cluster, or of one that the spec gave too.
    fn is_of(&self, shown: &KubeletIdentityStatus) -> bool {
        let cluster = shown.cluster_resource_id.as_ref().and_then(|it| it.parse().ok());
        cluster == self.cluster
    }
}

/// The identities that only pull secrets have used, by the role assignments in status.
#[must_use]
pub fn of_pull_secrets(shown: &[RoleAssignmentStatus]) -> BTreeSet<PrincipalId> {
    let (by_secrets, others): (Vec<_>, Vec<_>) =
        shown.iter().partition(|it| it.used_by == Some(RoleUser::PullSecrets));
    let parsed = |all: Vec<&RoleAssignmentStatus>| -> BTreeSet<PrincipalId> {
        all.iter().filter_map(|it| it.principal_id.parse().ok()).collect()
    };
    &parsed(by_secrets) - &parsed(others)
}

/// The value of annotation `acr-attach.dev/release`: the object ids of former identities that no node uses
/// any more, with commas between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// The identities.
    pub principals: BTreeSet<PrincipalId>,
    /// The parts that are no object ids.
    pub invalid: Vec<String>,
}

impl Released {
    /// Reads the value of the annotation.
    #[must_use]
    pub fn parse(annotation: Option<&str>) -> Self {
        let mut released = Self::default();
        let parts = annotation.into_iter().flat_map(|it| it.split(',')).map(str::trim);
        for part in parts.filter(|it| !it.is_empty()) {
            match part.parse() {
                Ok(id) => _ = released.principals.insert(id),
                Err(_) => released.invalid.push(part.to_owned()),
            }
        }
        released
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::api::Ownership;

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
        CurrentIdentity { principal: principal(n), cluster, identity_type, settled: true }
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
        assert_eq!(current.replaced(Some(&shown)), expected);
        assert_eq!(current.replaced(None), BTreeSet::new());
    }

    #[test]
    fn an_identity_is_of_pull_secrets_only_where_no_node_has_used_it() {
        let used = |n, used_by| RoleAssignmentStatus {
            id: String::new(),
            role: String::new(),
            principal_id: principal(n).to_string(),
            ownership: Ownership::Managed,
            used_by,
            remove_after: None,
        };
        let (nodes, secrets) = (Some(RoleUser::Nodes), Some(RoleUser::PullSecrets));
        let shown = [used(1, secrets), used(2, nodes), used(3, None)];
        assert_eq!(of_pull_secrets(&shown), [principal(1)].into());
        // Two roles of one identity, of which nodes have used one.
        assert_eq!(of_pull_secrets(&[used(1, secrets), used(1, nodes)]), BTreeSet::new());
        assert_eq!(of_pull_secrets(&[]), BTreeSet::new());
    }

    #[test]
    fn a_user_releases_identities_by_their_object_ids() {
        let both = format!("{}, {},", principal(1), principal(2).to_string().to_uppercase());
        let principals = [principal(1), principal(2)].into();
        assert_eq!(Released::parse(Some(&both)), Released { principals, invalid: vec![] });
        let invalid = vec!["the old one".to_owned()];
        let expected = Released { principals: BTreeSet::new(), invalid };
        assert_eq!(Released::parse(Some("the old one")), expected);
        assert_eq!(Released::parse(None), Released::default());
    }
}

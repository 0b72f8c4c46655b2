//! The identity that the nodes of a cluster of AKS pull with.

use super::facts::Cluster;
use super::names::PrincipalId;
use super::problem::{Cause, Problem};

/// The identity that the cluster's nodes pull with.
///
/// # Errors
/// `Unsupported` when the cluster has none, or its pods do not pull with it.
pub fn principal(cluster: &Cluster) -> Result<PrincipalId, Problem> {
    let unsupported = |advice: &str, why: &str| {
        let account =
            |cluster: &str| format!("reading the kubelet identity of cluster {cluster}: {why}");
        let accounts = [account(cluster.id.as_str()), account(cluster.id.name())];
        Problem::advised(Cause::Unsupported, advice, &accounts)
    };
    if cluster.pulls_by_service_account {
        return Err(unsupported(
            "switch the cluster's service account image pull profile off (securityProfile.serviceAccountImagePullProfile.enabled), or set method to PullSecret",
            "with that profile pods pull with identities of their service accounts, and a role of the kubelet identity has no effect",
        ));
    }
    cluster.kubelet_identity.ok_or_else(|| {
        unsupported(
            "set kubeletIdentity.principalId to the object id of the identity that the nodes pull with",
            "it has none",
        )
    })
}

/// Adds the way round to what kept Microsoft Graph from telling the object id of a cluster's
/// service principal.
#[must_use]
pub fn unknown_service_principal(problem: &Problem, client: &str) -> Problem {
    let advice = format!(
        "set kubeletIdentity.principalId to the service principal's object id (az ad sp show --id {client} --query id prints it), which needs no right in Graph"
    );
    Problem::advised(problem.cause, &advice, &[format!("or cure this: {}", problem.message)])
        .with_reference_of(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> Cluster {
        let id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/prod";
        Cluster {
            id: id.parse().unwrap(),
            kubelet_identity: Some(someone()),
            service_principal: None,
            node_resource_group: None,
            pulls_by_service_account: false,
            settled: true,
        }
    }

    fn someone() -> PrincipalId {
        "22222222-2222-2222-2222-222222222222".parse().unwrap()
    }

    #[test]
    fn a_kubelet_identity_that_nobody_pulls_with_is_not_granted_anything() {
        assert_eq!(principal(&cluster()), Ok(someone()));
        let other = Cluster { pulls_by_service_account: true, ..cluster() };
        let problem = principal(&other).unwrap_err();
        assert_eq!(problem.cause, Cause::Unsupported);
        assert!(problem.message.contains("set method to PullSecret"), "{}", problem.message);
        let none = Cluster { kubelet_identity: None, ..cluster() };
        assert_eq!(principal(&none).unwrap_err().cause, Cause::Unsupported);
    }
}

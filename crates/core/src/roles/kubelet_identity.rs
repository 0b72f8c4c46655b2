//! The kubelet identity: the identity that nodes of AKS pull with.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::ids::{PrincipalId, eq_ignore_case};
use crate::platform::PlatformHint;
use crate::problem::{Cause, Problem};
use crate::snapshot::azure::Cluster;

/// The object id of the identity that the cluster's nodes pull with.
///
/// # Errors
/// `Unsupported` when the cluster has no kubelet identity, or its pods do not pull with it.
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

/// A warning that the nodes here are not those of the cluster that the spec names. Status shows it, and
/// nothing else changes.
#[must_use]
pub fn other_nodes_warning(cluster: &Cluster, here: &PlatformHint) -> Option<String> {
    let theirs = cluster.node_resource_group.as_deref()?;
    let ours = match here {
        PlatformHint::Aks(it)
            if it.subscription == cluster.id.subscription() && eq_ignore_case(&it.name, theirs) =>
        {
            return None;
        }
        PlatformHint::Aks(it) => {
            format!("in resource group {} of subscription {}", it.name, it.subscription)
        }
        PlatformHint::NotAks => "none of AKS".to_owned(),
        PlatformHint::Unsure(_) => return None,
    };
    Some(format!(
        "check kubeletIdentity.clusterResourceId: the nodes here are {ours}, and that cluster keeps its own in {theirs}"
    ))
}

/// A warning that the spec gives the client id of the kubelet identity, by the cluster or its nodes, in
/// place of the object id. Azure accepts an assignment to either.
#[must_use]
pub fn client_id_warning(
    principal: PrincipalId,
    here: Option<&Cluster>,
    of_nodes: &BTreeSet<Uuid>,
) -> Option<String> {
    let told = here.and_then(|it| it.kubelet_client);
    told.iter().chain(of_nodes).find(|it| principal.is(**it))?;
    let of_cluster = here.filter(|_| told.is_some_and(|it| principal.is(it)));
    let right = match of_cluster.and_then(|it| it.kubelet_identity) {
        Some(right) => format!(", here {right}"),
        None => format!(" (az ad sp show --id {principal} --query id prints it)"),
    };
    Some(format!(
        "kubeletIdentity.principalId is the client id of the kubelet identity, which can pull nothing: set the object id{right}"
    ))
}

/// Adds advice to a failed lookup of a service principal's object id in Microsoft Graph.
#[must_use]
pub fn unknown_service_principal(problem: &Problem, client: &str) -> Problem {
    let advice = format!(
        "set kubeletIdentity.principalId to the service principal's object id (az ad sp show --id {client} --query id prints it), which needs no right in Graph"
    );
    Problem::advised(problem.cause, &advice, &[format!("or cure this: {}", problem.message)])
        .with_correlation_id_of(problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::NodeResourceGroup;

    fn cluster() -> Cluster {
        let id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/prod";
        Cluster {
            id: id.parse().unwrap(),
            kubelet_identity: Some(someone()),
            kubelet_client: Some(uuid::Uuid::from_u128(7)),
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
    fn nodes_of_another_cluster_cause_a_warning() {
        const OTHER: &str = "22222222-1111-1111-1111-111111111111";
        const SAME: &str = "11111111-1111-1111-1111-111111111111";
        let cluster = Cluster { node_resource_group: Some("MC_Øst".into()), ..cluster() };
        let aks = |subscription: &str, name: &str| {
            let subscription = subscription.parse().unwrap();
            PlatformHint::Aks(NodeResourceGroup { subscription, name: name.into() })
        };
        assert_eq!(other_nodes_warning(&cluster, &aks(SAME, "mc_øst")), None);
        assert_eq!(other_nodes_warning(&cluster, &PlatformHint::Unsure("x".into())), None);
        for here in [aks(SAME, "mc_vest"), aks(OTHER, "mc_øst"), PlatformHint::NotAks] {
            let text = other_nodes_warning(&cluster, &here).unwrap();
            assert!(text.contains("clusterResourceId") && text.ends_with("MC_Øst"), "{text}");
        }
    }

    #[test]
    fn a_client_id_in_place_of_an_object_id_causes_a_warning() {
        let (here, nodes) = (cluster(), [Uuid::from_u128(7), Uuid::from_u128(8)].into());
        let client = |n| Uuid::from_u128(n).to_string().parse().unwrap();
        assert_eq!(client_id_warning(someone(), Some(&here), &nodes), None);
        let text = client_id_warning(client(7), Some(&here), &BTreeSet::new()).unwrap();
        assert!(text.ends_with(&format!("here {}", someone())), "{text}");
        for (here, n) in [(None, 7), (Some(&here), 8)] {
            let text = client_id_warning(client(n), here, &nodes).unwrap();
            let way = format!("(az ad sp show --id {} --query id prints it)", Uuid::from_u128(n));
            assert!(text.ends_with(&way), "{text}");
        }
    }

    #[test]
    fn a_kubelet_identity_that_pods_do_not_pull_with_gets_no_role() {
        assert_eq!(principal(&cluster()), Ok(someone()));
        let other = Cluster { pulls_by_service_account: true, ..cluster() };
        let problem = principal(&other).unwrap_err();
        assert_eq!(problem.cause, Cause::Unsupported);
        assert!(problem.message.contains("set method to PullSecret"), "{}", problem.message);
        let none = Cluster { kubelet_identity: None, ..cluster() };
        assert_eq!(principal(&none).unwrap_err().cause, Cause::Unsupported);
    }
}

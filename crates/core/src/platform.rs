//! Whether the cluster is AKS, as its nodes tell it.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::ids::{ClusterId, lower};
use crate::problem::{Cause, Problem};
use crate::roles::credential_provider::KubeletVersion;

/// A node, as far as it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Whether it bears a label of AKS, `kubernetes.azure.com/…`.
    pub is_labelled: bool,
    /// The machine behind it, as the cloud's controller wrote it.
    pub provider_id: Option<String>,
    /// Whether it is no machine but another service that runs pods, such as container instances.
    pub is_virtual: bool,
    /// The client id of the kubelet identity, as AKS writes it in label [`KUBELET_CLIENT`].
    pub kubelet_client: Option<Uuid>,
    /// The version of its kubelet.
    pub kubelet: Option<KubeletVersion>,
}

/// The oldest kubelet of all machines.
#[must_use]
pub fn oldest_kubelet(nodes: &[Node]) -> Option<KubeletVersion> {
    let machines = nodes.iter().filter(|it| !it.is_virtual);
    machines.filter_map(|it| it.kubelet.clone()).min()
}

/// A label of nodes of AKS. It is empty, or not there, on some.
pub const KUBELET_CLIENT: &str = "kubernetes.azure.com/kubelet-identity-client-id";

/// The group of resources that AKS keeps the nodes of one cluster in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeResourceGroup {
    /// Its subscription.
    pub subscription: Uuid,
    /// Its name, lower case.
    pub name: String,
}

/// What nodes tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlatformHint {
    /// They look like nodes of AKS, in that group.
    Aks(NodeResourceGroup),
    /// They are certainly not of AKS.
    NotAks,
    /// They tell neither, and why.
    Unsure(String),
}

/// What is known of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platform {
    /// It is that cluster of AKS.
    Aks(ClusterId),
    /// It is certainly not AKS.
    NotAks,
    /// Nobody can tell, and why.
    Unsure(String),
}

/// Reads what nodes tell. Self-managed clusters in Azure have machines of Azure too, so these
/// alone say nothing.
#[must_use]
pub fn hint(nodes: &[Node]) -> PlatformHint {
    let nodes: Vec<_> = nodes.iter().filter(|it| !it.is_virtual).collect();
    // The cloud's controller writes the providerID a moment after a node has joined. Until then the
    // other nodes tell.
    let telling: Vec<_> = nodes.iter().copied().filter(|it| it.provider_id.is_some()).collect();
    let nodes = if telling.is_empty() { nodes } else { telling };
    let groups: BTreeSet<_> = nodes.iter().map(|it| node_group(it)).collect();
    let in_azure = |it: &&&Node| it.provider_id.as_ref().is_some_and(|id| id.starts_with(AZURE));
    if nodes.is_empty() {
        return PlatformHint::Unsure("the cluster has no nodes".to_owned());
    }
    if !nodes.iter().any(|it| it.is_labelled) && !nodes.iter().any(|it| in_azure(&it)) {
        return PlatformHint::NotAks;
    }
    if let Some(odd) = nodes.iter().find(|it| !it.is_labelled) {
        return PlatformHint::Unsure(format!(
            "there are nodes in Azure, and node {} bears no label of AKS (kubernetes.azure.com/…)",
            odd.name
        ));
    }
    let mut groups = groups.into_iter();
    match (groups.next(), groups.next()) {
        (Some(Some(group)), None) => PlatformHint::Aks(group),
        (Some(Some(one)), Some(Some(other))) => PlatformHint::Unsure(format!(
            "its nodes are in resource group {} and in {}, and those of AKS are in one",
            one.name, other.name
        )),
        _ => PlatformHint::Unsure(
            "the providerID of a node with labels of AKS names no resource group of Azure"
                .to_owned(),
        ),
    }
}

const AZURE: &str = "azure://";

/// `azure:///subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/…`, in any case.
fn node_group(node: &Node) -> Option<NodeResourceGroup> {
    let path = lower(node.provider_id.as_ref()?.strip_prefix(AZURE)?);
    let segments: Vec<&str> = path.split('/').collect();
    let ["", "subscriptions", subscription, "resourcegroups", name, "providers", ..] = segments[..]
    else {
        return None;
    };
    Some(NodeResourceGroup { subscription: subscription.parse().ok()?, name: name.to_owned() })
}

/// What to do where nobody can tell.
#[must_use]
pub fn undetermined(why: &str) -> Problem {
    let advice = "set method to KubeletIdentity with kubeletIdentity.clusterResourceId (az aks show --query id prints it), or to PullSecret";
    let account = format!("finding out whether the cluster is AKS: {why}");
    Problem::advised(Cause::Undetermined, advice, &[account])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBSCRIPTION: &str = "11111111-1111-1111-1111-111111111111";

    fn node(is_labelled: bool, provider_id: Option<&str>) -> Node {
        let provider_id = provider_id.map(str::to_owned);
        let (kubelet_client, kubelet) = (None, None);
        Node {
            name: "n".into(),
            is_labelled,
            provider_id,
            is_virtual: false,
            kubelet_client,
            kubelet,
        }
    }

    fn machine(group: &str) -> String {
        format!(
            "azure:///subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/pool/virtualMachines/0"
        )
    }

    fn aks(group: &str) -> Node {
        node(true, Some(&machine(group)))
    }

    #[test]
    fn nodes_of_one_group_with_labels_hint_at_aks() {
        let group = NodeResourceGroup {
            subscription: SUBSCRIPTION.parse().unwrap(),
            name: "mc_rg_prod_eastus".into(),
        };
        let nodes = [aks("MC_rg_prod_eastus"), aks("mc_rg_PROD_eastus")];
        assert_eq!(hint(&nodes), PlatformHint::Aks(group.clone()));
        let container_instances = Node { is_virtual: true, ..node(false, None) };
        let all = [aks("MC_rg_prod_eastus"), container_instances, node(false, None)];
        assert_eq!(
            hint(&all),
            PlatformHint::Aks(group),
            "a node that says nothing counts for nothing"
        );
    }

    #[test]
    fn the_oldest_kubelet_is_that_of_a_machine() {
        let of = |version: &str, is_virtual| Node {
            kubelet: KubeletVersion::read(version),
            is_virtual,
            ..node(false, None)
        };
        let nodes =
            [of("v1.33.1", false), of("v1.32.4", false), of("v1.19.0", true), of("", false)];
        assert_eq!(oldest_kubelet(&nodes), KubeletVersion::read("v1.32.4"));
        assert_eq!(oldest_kubelet(&[]), None);
    }

    #[test]
    fn nodes_without_any_sign_of_azure_are_certainly_not_of_aks() {
        assert_eq!(
            hint(&[node(false, None), node(false, Some("kind://docker/a/b"))]),
            PlatformHint::NotAks
        );
    }

    #[rstest::rstest]
    #[case(&[], "no nodes")]
    #[case(&[node(false, Some(&machine("self-managed")))], "bears no label")]
    #[case(&[aks("a"), node(false, Some("kind://docker/a/b"))], "bears no label")]
    #[case(&[aks("a"), aks("b")], "resource group a and in b")]
    #[case(&[node(true, None)], "names no resource group")]
    #[case(&[aks("a"), node(true, Some("azure:///what"))], "names no resource group")]
    #[case(&[Node { is_virtual: true, ..node(false, None) }], "no nodes")]
    fn anything_else_is_left_open(#[case] nodes: &[Node], #[case] word: &str) {
        let PlatformHint::Unsure(why) = hint(nodes) else { panic!("it is sure") };
        assert!(why.contains(word), "{why}");
    }
}

//! Detects from its nodes whether the cluster is AKS.

use std::collections::BTreeSet;

use jiff::Timestamp;
use uuid::Uuid;

use crate::ids::{ClusterId, lower};
use crate::problem::{Cause, Problem};
use crate::roles::credential_provider::{KubeletVersion, NodeImage, OldestVersions};

/// A node, reduced to what the detection needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Whether the node bears a label of AKS, `kubernetes.azure.com/…`.
    pub is_labelled: bool,
    /// `spec.providerID`: the id of the machine, written by the cloud controller manager.
    pub provider_id: Option<String>,
    /// Whether the node is a virtual one: a service that runs pods, such as container instances.
    pub is_virtual: bool,
    /// The client id of the kubelet identity, from label [`KUBELET_CLIENT`].
    pub kubelet_client: Option<Uuid>,
    /// The version of its kubelet.
    pub kubelet: Option<KubeletVersion>,
    /// The version of its image.
    pub image: Option<NodeImage>,
    /// When it joined the cluster (UTC).
    pub created: Option<Timestamp>,
}

/// When the nodes joined the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeAges {
    /// The first of those that are there (UTC).
    pub oldest: Timestamp,
    /// The last one (UTC).
    pub newest: Timestamp,
}

impl NodeAges {
    /// The ages of machines; `None` where there are none.
    #[must_use]
    pub fn of(nodes: &[Node]) -> Option<Self> {
        let created = || nodes.iter().filter(|it| !it.is_virtual).filter_map(|it| it.created);
        Some(Self { oldest: created().min()?, newest: created().max()? })
    }
}

/// The oldest versions of the nodes that are machines.
#[must_use]
pub fn oldest_versions(nodes: &[Node]) -> OldestVersions {
    let machines = || nodes.iter().filter(|it| !it.is_virtual);
    OldestVersions {
        kubelet: machines().filter_map(|it| it.kubelet.clone()).min(),
        image: machines().filter_map(|it| it.image.clone()).min(),
    }
}

/// The label in which AKS writes the kubelet identity's client id. It is empty or missing on some
/// nodes.
pub const KUBELET_CLIENT: &str = "kubernetes.azure.com/kubelet-identity-client-id";

/// The resource group that holds the nodes of one AKS cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeResourceGroup {
    /// Its subscription.
    pub subscription: Uuid,
    /// Its name, lower case.
    pub name: String,
}

/// What the nodes tell about the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlatformHint {
    /// All nodes look like nodes of AKS, in that resource group.
    Aks(NodeResourceGroup),
    /// The nodes are certainly not of AKS.
    NotAks,
    /// The nodes do not tell, for that reason.
    Unsure(String),
}

/// The platform of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platform {
    /// AKS, with the id of the managed cluster.
    Aks(ClusterId),
    /// Certainly not AKS.
    NotAks,
    /// Unknown, for that reason.
    Unsure(String),
}

/// Reads the platform from nodes. Machines in Azure alone prove nothing, since self-managed clusters
/// have them too.
#[must_use]
pub fn hint(nodes: &[Node]) -> PlatformHint {
    let nodes: Vec<_> = nodes.iter().filter(|it| !it.is_virtual).collect();
    // The cloud controller manager writes the providerID shortly after a node joins. Until then only
    // the other nodes count.
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

/// Parses `azure:///subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/…`, in any case.
fn node_group(node: &Node) -> Option<NodeResourceGroup> {
    let path = lower(node.provider_id.as_ref()?.strip_prefix(AZURE)?);
    let segments: Vec<&str> = path.split('/').collect();
    let ["", "subscriptions", subscription, "resourcegroups", name, "providers", ..] = segments[..]
    else {
        return None;
    };
    Some(NodeResourceGroup { subscription: subscription.parse().ok()?, name: name.to_owned() })
}

/// The problem that the platform is unknown, with advice.
#[must_use]
pub fn undetermined(why: &str) -> Problem {
    let advice = "set method to KubeletIdentity with kubeletIdentity.clusterResourceId (az aks show --name <cluster> --resource-group <group> --query id prints it), or to PullSecret";
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
            image: None,
            created: None,
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
    fn the_oldest_versions_are_those_of_machines() {
        let of = |version: &str, image: &str, is_virtual| Node {
            kubelet: KubeletVersion::read(version),
            image: NodeImage::read(image),
            is_virtual,
            ..node(false, None)
        };
        let nodes = [
            of("v1.33.1", "AKSUbuntu-202607.1.0", false),
            of("v1.32.4", "AKSUbuntu-202608.1.0", false),
            of("v1.19.0", "AKSUbuntu-202001.1.0", true),
            of("", "", false),
        ];
        let kubelet = KubeletVersion::read("v1.32.4");
        let image = NodeImage::read("AKSUbuntu-202607.1.0");
        assert_eq!(oldest_versions(&nodes), OldestVersions { kubelet, image });
        assert_eq!(oldest_versions(&[]), OldestVersions::default());
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

//! What lives in subscriptions: resource groups and managed clusters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::DEFAULT_LOCATION;

/// A subscription.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subscription {
    /// The subscription id.
    pub subscription_id: String,
    /// The tenant it trusts.
    pub tenant_id: String,
    /// A name for people.
    #[serde(default)]
    pub display_name: String,
    /// Whether it is disabled: then it can be read, and nothing in it written.
    #[serde(default)]
    pub disabled: bool,
    /// The namespaces of resource providers that it is not registered for, such as
    /// `Microsoft.ContainerRegistry`.
    #[serde(default)]
    pub unregistered: Vec<String>,
}

/// A resource group.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ResourceGroup {
    /// The subscription id.
    pub subscription_id: String,
    /// Its name.
    pub name: String,
    /// Its region.
    pub location: String,
    /// The resource that manages it: the cluster of a node resource group.
    pub managed_by: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl Default for ResourceGroup {
    fn default() -> Self {
        Self::new("", "")
    }
}

impl ResourceGroup {
    pub(crate) fn new(subscription_id: &str, name: &str) -> Self {
        Self {
            subscription_id: subscription_id.into(),
            name: name.into(),
            location: DEFAULT_LOCATION.into(),
            managed_by: None,
            tags: BTreeMap::new(),
        }
    }

    /// Its resource id.
    #[must_use]
    pub fn id(&self) -> String {
        format!("/subscriptions/{}/resourceGroups/{}", self.subscription_id, self.name)
    }
}

/// The identity that the kubelets of a cluster pull images with.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubeletIdentity {
    /// The user-assigned identity's resource id.
    pub resource_id: String,
    /// Its client id.
    pub client_id: String,
    /// Its object id: what pull roles are assigned to.
    pub object_id: String,
}

/// A node pool.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AgentPool {
    /// Its name.
    pub name: String,
    /// Its number of nodes.
    pub count: u32,
    /// `Succeeded`, or what it is busy with, such as `Upgrading`.
    pub provisioning_state: String,
    /// The object id that its nodes still pull with, if that is no longer the kubelet identity's.
    /// ARM does not show it.
    pub former_kubelet_identity: Option<String>,
}

impl Default for AgentPool {
    fn default() -> Self {
        Self {
            name: "agentpool1".into(),
            count: 3,
            provisioning_state: "Succeeded".into(),
            former_kubelet_identity: None,
        }
    }
}

/// `securityProfile.serviceAccountImagePullProfile`: pulls by service-account identities instead
/// of the kubelet identity.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccountImagePull {
    /// Whether it is on.
    pub enabled: bool,
    /// The identity of service accounts that name none.
    #[serde(default)]
    pub default_managed_identity_id: Option<String>,
}

/// A managed cluster (AKS).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Cluster {
    /// The subscription id.
    pub subscription_id: String,
    /// The resource group.
    pub resource_group: String,
    /// Its name.
    pub name: String,
    /// Its region.
    pub location: String,
    /// The resource group of its nodes, `MC_…`.
    pub node_resource_group: String,
    /// `Succeeded`, or what it is busy with.
    pub provisioning_state: String,
    /// `msi`, or the client id of a service-principal cluster.
    pub service_principal_client_id: String,
    /// What its kubelets pull with; absent on service-principal clusters.
    pub kubelet_identity: Option<KubeletIdentity>,
    /// Object id of the control plane's identity; absent on service-principal clusters.
    pub control_plane_principal_id: Option<String>,
    /// Its node pools.
    pub agent_pools: Vec<AgentPool>,
    /// Service-account image pull, if the profile is present.
    pub service_account_image_pull: Option<ServiceAccountImagePull>,
    /// The issuer URL, if workload identity is on.
    pub oidc_issuer_url: Option<String>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            subscription_id: String::new(),
            resource_group: String::new(),
            name: String::new(),
            location: DEFAULT_LOCATION.into(),
            node_resource_group: String::new(),
            provisioning_state: "Succeeded".into(),
            service_principal_client_id: "msi".into(),
            kubelet_identity: None,
            control_plane_principal_id: None,
            agent_pools: vec![AgentPool::default()],
            service_account_image_pull: None,
            oidc_issuer_url: None,
        }
    }
}

impl Cluster {
    /// Its resource id, with `resourcegroups` in lower case as the service answers it
    /// (`cloud-provider-azure`, managed cluster client recordings).
    #[must_use]
    pub fn id(&self) -> String {
        format!(
            "/subscriptions/{}/resourcegroups/{}/providers/Microsoft.ContainerService/managedClusters/{}",
            self.subscription_id, self.resource_group, self.name
        )
    }
}

//! Putting managed clusters into the model.

use super::{
    super::{
        AgentPool, Cluster, DEFAULT_LOCATION, KubeletIdentity, Model, Principal, ResourceGroup,
        scope::stable_guid,
    },
    Add, identity_id,
};

impl Model {
    /// Starts a managed-identity cluster with a kubelet identity of its own.
    pub fn cluster(&mut self, name: &str) -> Add<'_, Cluster> {
        let (subscription_id, resource_group) = self.home();
        let object_id = stable_guid(&["kubelet", &subscription_id, &resource_group, name]);
        let item = Cluster {
            control_plane_principal_id: Some(stable_guid(&["control plane", name])),
            name: name.into(),
            ..Cluster::default()
        };
        let cluster = Add { model: self, item };
        cluster.within(&subscription_id, &resource_group).kubelet_identity(&object_id)
    }

    /// Adds the principal of a cluster's kubelet identity, unless it is there.
    pub(in crate::model) fn add_kubelet_principal(&mut self, cluster: &Cluster) {
        let tenant = self.subscription(&cluster.subscription_id).map(|it| it.tenant_id.clone());
        let Some(kubelet) = &cluster.kubelet_identity else { return };
        if self.principal(&kubelet.object_id).is_some() {
            return;
        }
        self.principals.push(Principal {
            object_id: kubelet.object_id.clone(),
            client_id: Some(kubelet.client_id.clone()),
            resource_id: Some(kubelet.resource_id.clone()),
            tenant_id: tenant.unwrap_or_default(),
            display_name: kubelet.name().into(),
            ..Principal::default()
        });
    }
}

impl Add<'_, Cluster> {
    /// Puts it and its nodes into another subscription or resource group.
    pub fn within(self, subscription_id: &str, resource_group: &str) -> Self {
        let cluster = self.with(|it| {
            it.subscription_id = subscription_id.into();
            it.resource_group = resource_group.into();
            it.node_resource_group = format!("MC_{resource_group}_{}_{DEFAULT_LOCATION}", it.name);
        });
        match cluster.item.kubelet_identity.clone() {
            Some(it) => cluster.kubelet_identity(&it.object_id),
            None => cluster,
        }
    }

    /// Sets the object id of the kubelet identity.
    pub fn kubelet_identity(self, object_id: &str) -> Self {
        self.with(|it| {
            let (group, name) = (&it.node_resource_group, &it.name);
            let identity = KubeletIdentity::new(&it.subscription_id, group, name, object_id);
            it.kubelet_identity = Some(identity);
        })
    }

    /// Makes it a service-principal cluster: no managed identity at all.
    pub fn service_principal(self, client_id: &str) -> Self {
        self.with(|it| {
            it.service_principal_client_id = client_id.into();
            it.kubelet_identity = None;
            it.control_plane_principal_id = None;
        })
    }

    /// Sets the node pools by name.
    pub fn agent_pools(self, names: &[&str]) -> Self {
        let pool = |name: &&str| AgentPool { name: (*name).into(), ..AgentPool::default() };
        self.with(|it| it.agent_pools = names.iter().map(pool).collect())
    }

    /// Adds it, with its resource groups and its kubelet identity's principal.
    #[expect(clippy::must_use_candidate, reason = "adding is the point, the copy a by-product")]
    pub fn add(self) -> Cluster {
        let Self { model, item } = self;
        model.add_resource_group(&item.subscription_id, &item.resource_group);
        model.resource_groups.push(node_resource_group(&item));
        model.add_kubelet_principal(&item);
        model.clusters.push(item.clone());
        item
    }
}

/// The node resource group names its cluster twice: in `managedBy` and in its tags.
fn node_resource_group(cluster: &Cluster) -> ResourceGroup {
    let tags = [
        ("aks-managed-cluster-name", &cluster.name),
        ("aks-managed-cluster-rg", &cluster.resource_group),
    ];
    ResourceGroup {
        managed_by: Some(cluster.id()),
        tags: tags.into_iter().map(|(key, value)| (key.into(), value.clone())).collect(),
        ..ResourceGroup::new(&cluster.subscription_id, &cluster.node_resource_group)
    }
}

impl KubeletIdentity {
    /// The identity `<cluster>-agentpool` in the node resource group.
    #[must_use]
    pub fn new(subscription: &str, node_group: &str, cluster: &str, object_id: &str) -> Self {
        Self::named(subscription, node_group, &format!("{cluster}-agentpool"), object_id)
    }

    /// An identity with a name of its own, as somebody makes one ahead of the cluster.
    #[must_use]
    pub fn named(subscription: &str, group: &str, name: &str, object_id: &str) -> Self {
        Self {
            resource_id: identity_id(subscription, group, name),
            client_id: stable_guid(&["kubelet client", object_id]),
            object_id: object_id.into(),
        }
    }
}

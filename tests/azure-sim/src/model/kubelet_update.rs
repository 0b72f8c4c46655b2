//! Another kubelet identity for a running cluster: ARM shows it at once, and nodes use it once
//! they are reimaged (Azure docs, `pre-created-kubelet-managed-identity`).

use super::{Cluster, KubeletIdentity, Model, scope::last_segment};

const SUCCEEDED: &str = "Succeeded";

impl KubeletIdentity {
    /// The identity's name.
    pub(super) fn name(&self) -> &str {
        last_segment(&self.resource_id)
    }
}

impl Cluster {
    /// The object ids that its nodes pull with now: the kubelet identity's, and former ones until
    /// [`Model::reimage_agent_pool`].
    #[must_use]
    pub fn kubelet_identities_in_use(&self) -> Vec<&str> {
        let current = self.kubelet_identity.as_ref().map(|it| it.object_id.as_str());
        let of_pools = self.agent_pools.iter();
        let of_pools = of_pools.filter_map(|it| it.former_kubelet_identity.as_deref().or(current));
        let mut all: Vec<_> = of_pools.collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl Model {
    /// Gives a cluster another kubelet identity, and the identity a principal, as
    /// `az aks update --assign-kubelet-identity` does; returns the former one.
    ///
    /// The cluster is `Updating` and its node pools are `Upgrading` until
    /// [`Model::reimage_agent_pool`]. That the update upgrades the pools is documented; which
    /// words ARM has for that time was not seen.
    pub fn replace_kubelet_identity(
        &mut self,
        cluster: &str,
        object_id: &str,
    ) -> Option<KubeletIdentity> {
        let cluster = self.cluster_mut(cluster)?;
        let name = format!("{}-kubelet-{object_id}", cluster.name);
        let (subscription, group) = (&cluster.subscription_id, &cluster.resource_group);
        let identity = KubeletIdentity::named(subscription, group, &name, object_id);
        let former = cluster.kubelet_identity.replace(identity);
        cluster.service_principal_client_id = "msi".into();
        cluster.provisioning_state = "Updating".into();
        for pool in &mut cluster.agent_pools {
            pool.provisioning_state = "Upgrading".into();
            if pool.former_kubelet_identity.is_none() {
                pool.former_kubelet_identity = former.as_ref().map(|it| it.object_id.clone());
            }
        }
        let changed = cluster.clone();
        self.add_kubelet_principal(&changed);
        former
    }

    /// Ends an update for one node pool: its nodes use the kubelet identity that ARM shows. With
    /// the last pool the cluster's update ends too.
    pub fn reimage_agent_pool(&mut self, cluster: &str, pool: &str) {
        let Some(cluster) = self.cluster_mut(cluster) else { return };
        for it in cluster.agent_pools.iter_mut().filter(|it| it.name.eq_ignore_ascii_case(pool)) {
            it.provisioning_state = SUCCEEDED.into();
            it.former_kubelet_identity = None;
        }
        if cluster.agent_pools.iter().all(|it| it.provisioning_state == SUCCEEDED) {
            cluster.provisioning_state = SUCCEEDED.into();
        }
    }
}

//! What a pass works with.

use kube::Client;
use tokio::sync::OnceCell;

use super::events::Events;
use super::kubernetes::Kubernetes;
use super::locks::Locks;
use super::memory::Memory;
use super::watches::Watches;
use crate::azure::Azure;
use crate::domain::claims::Claim;
use crate::domain::policy::Policy;
use crate::domain::problem::Problem;
use crate::domain::schedule::Intervals;
use crate::metrics::Metrics;

/// What all passes share.
pub struct Context {
    /// The cluster.
    pub kubernetes: Kubernetes,
    /// Azure.
    pub azure: Azure,
    /// What users are told as it happens.
    pub events: Events,
    /// What attachments may ask for.
    pub policy: Policy,
    /// The operator's own namespace.
    pub namespace: String,
    /// What the watches beside the one on attachments have shown.
    pub watches: Watches,
    /// The operator's intervals.
    pub intervals: Intervals,
    /// What is counted.
    pub metrics: Metrics,
    /// What is known of each attachment between passes.
    pub memory: Memory,
    /// Which role assignments are being changed.
    pub locks: Locks,
    cluster_uid: OnceCell<String>,
}

impl Context {
    /// For one operator.
    #[must_use]
    pub fn new(
        client: &Client,
        azure: Azure,
        (policy, namespace): (Policy, String),
        intervals: Intervals,
        metrics: Metrics,
    ) -> Self {
        Self {
            kubernetes: Kubernetes::new(client),
            azure,
            events: Events::new(client.clone()),
            watches: Watches::new(&policy),
            policy,
            namespace,
            intervals,
            metrics,
            memory: Memory::default(),
            locks: Locks::default(),
            cluster_uid: OnceCell::new(),
        }
    }

    /// What marks the role assignments of that attachment.
    ///
    /// # Errors
    /// When the cluster's identity cannot be read.
    pub async fn claim(&self, attachment: &str) -> Result<Claim, Problem> {
        let uid = self.cluster_uid.get_or_try_init(|| self.kubernetes.cluster_uid()).await?;
        Ok(Claim::new(uid, attachment))
    }
}

//! What a reconcile works with.

use std::path::PathBuf;

use acr_attach_azure::Azure;
use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::outcome::schedule::Intervals;
use acr_attach_core::problem::Problem;
use acr_attach_core::roles::claims::OwnClaims;
use acr_attach_core::spec::policy::Policy;
use jiff::Timestamp;
use kube::{Client, ResourceExt};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::attachment::apply::locks::Locks;
use crate::attachment::apply::principals::Principals;
use crate::attachment::snapshot::platform::Shared;
use crate::attachment::state::StateStore;
use crate::attachment::state::latest::Latest;
use crate::attachment::watch::signals::Signals;
use crate::cluster::events::Events;
use crate::cluster::kubernetes::Kubernetes;
use crate::cluster::watches::Watches;
use crate::delivery::{Delivery, Owners};
use crate::metrics::Metrics;

/// What the operator's settings say, as far as reconciles need it.
pub struct Rules {
    /// What attachments may ask for.
    pub policy: Policy,
    /// The operator's own namespace.
    pub namespace: String,
    /// The file with the operator's own token of the cluster, if it has one.
    pub token_file: Option<PathBuf>,
    /// The subscription in which registries are looked up by name, if one is set.
    pub subscription: Option<Uuid>,
    /// The operator's intervals.
    pub intervals: Intervals,
    /// This replica's name.
    pub instance: String,
}

/// What all reconciles share.
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
    /// The service principals of pull secrets.
    pub principals: Principals,
    /// The subscription in which registries are looked up by name, if one is set.
    pub subscription: Option<Uuid>,
    /// Which cluster this is.
    pub platform: Shared,
    /// What the watches beside the one on attachments have shown.
    pub watches: Watches,
    /// The operator's intervals.
    pub intervals: Intervals,
    /// What is counted.
    pub metrics: Metrics,
    /// What is known of each attachment between reconciles.
    pub states: StateStore,
    /// What the watch has shown last of attachments that are worked on.
    pub latest: Latest,
    /// Which role assignments are being changed.
    pub locks: Locks,
    /// What namespaces are to get for each attachment, and what they show of it.
    pub delivery: Delivery,
    /// Which attachments of other operators are gone.
    pub owners: Owners,
    /// What changed that attachments may have to check at.
    pub signals: Signals,
    cluster_uid: OnceCell<String>,
}

impl Context {
    /// For one operator.
    #[must_use]
    pub fn new(client: &Client, azure: Azure, rules: Rules, metrics: Metrics) -> Self {
        let Rules { policy, namespace, token_file, subscription, intervals, instance } = rules;
        let kubernetes = Kubernetes::new(client);
        Self {
            principals: Principals::new(&kubernetes, &namespace, token_file),
            kubernetes,
            azure,
            events: Events::new(client.clone(), instance),
            watches: Watches::new(&policy),
            policy,
            namespace,
            subscription,
            platform: Shared::default(),
            intervals,
            metrics,
            states: StateStore::default(),
            latest: Latest::default(),
            locks: Locks::default(),
            delivery: Delivery::default(),
            owners: Owners::default(),
            signals: Signals::default(),
            cluster_uid: OnceCell::new(),
        }
    }

    /// The claims of an attachment. `since` is as for [`platform`](Self::platform), and this may take a permit
    /// for Azure Resource Manager as that does.
    ///
    /// # Errors
    /// When the UID of namespace `kube-system` cannot be read; as [`OwnClaims::of`].
    pub async fn claims(
        &self,
        object: &RegistryAttachment,
        since: Option<Timestamp>,
    ) -> Result<OwnClaims, Problem> {
        let uid = self.cluster_uid.get_or_try_init(|| self.kubernetes.cluster_uid()).await?;
        let platform = self.platform(object, since).await;
        let shown = object.status.as_ref().and_then(|it| it.claim.as_ref()?.parse().ok());
        OwnClaims::of(&object.name_any(), uid, platform, shown)
    }
}

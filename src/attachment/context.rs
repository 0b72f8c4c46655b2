//! What all reconciles share.

use std::path::PathBuf;

use acr_attach_azure::Azure;
use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::outcome::waits::Intervals;
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
    /// The file with the operator's own service account token for Entra, if it has one.
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
    /// The publisher of events.
    pub events: Events,
    /// What attachments may ask for.
    pub policy: Policy,
    /// The operator's own namespace.
    pub namespace: String,
    /// The service principals of pull secrets.
    pub principals: Principals,
    /// The subscription in which registries are looked up by name, if one is set.
    pub subscription: Option<Uuid>,
    /// What was found out about the cluster: whether it is AKS, and which one.
    pub platform: Shared,
    /// The caches of the watches other than the one on attachments.
    pub watches: Watches,
    /// The operator's intervals.
    pub intervals: Intervals,
    /// The metrics.
    pub metrics: Metrics,
    /// The state of each attachment between reconciles.
    pub states: StateStore,
    /// The last revision that the watch has shown of each attachment that is being detached.
    pub latest: Latest,
    /// The locks on role assignments.
    pub locks: Locks,
    /// The state of the delivery controller: what to do for each attachment, and the reports of namespaces.
    pub delivery: Delivery,
    /// Attachments that this operator's watch does not show, and whether they are gone.
    pub owners: Owners,
    /// The signals of changes that concern attachments.
    pub signals: Signals,
    cluster_uid: OnceCell<String>,
}

impl Context {
    /// Creates the context of one operator.
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

    /// Returns the claims of an attachment. They depend on the platform: `since` is as for
    /// [`platform`](Self::platform), and a permit for Azure Resource Manager may be taken as there.
    ///
    /// # Errors
    /// When the UID of namespace `kube-system` cannot be read; as [`OwnClaims::of`].
    pub async fn claims(
        &self,
        object: &RegistryAttachment,
        since: Option<Timestamp>,
    ) -> Result<OwnClaims, Problem> {
        let uid = self.cluster_uid.get_or_try_init(|| self.kubernetes.cluster_uid()).await?;
        let platform = self.platform_for_claims(object, since).await;
        let shown = object.status.as_ref().and_then(|it| it.claim.as_ref()?.parse().ok());
        OwnClaims::of(&object.name_any(), uid, platform, shown)
    }
}

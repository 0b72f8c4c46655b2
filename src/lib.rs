//! acr-attach keeps a Kubernetes cluster attached to an Azure Container Registry.
//!
//! A reconcile of an attachment observes, decides, acts and reports:
//!
//! ```text
//! spec ─ parse ─▶ Attachment ─┐
//!                             ├─ observe ─▶ Desired ─┐
//! registry, cluster, … ───────┘  (reads)             ├─ plan ─▶ steps ─ act ─▶ report
//! assignments on the registry ─────────────▶ Owned ──┘ (pure)         (writes)
//! ```
//!
//! Crate `acr-attach-core` holds the custom resource and all decisions, as pure functions. Crate
//! `acr-attach-azure` calls Azure. Crate `acr-attach-check` is the command that checks from inside a
//! cluster whether a pod can pull.
//! In this crate, `cluster` calls the API server, `attachment` reconciles attachments, and `delivery`
//! reconciles namespaces. `leader` elects the one replica that works; all its writes ask a `fence`. Only
//! the program reads the environment.

pub mod attachment;
pub mod cluster;
pub mod delivery;
pub mod leader;
pub mod life;
pub mod metrics;
pub mod server;
pub mod settings;
pub mod telemetry;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use acr_attach_azure::{Azure, Configuration};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::attachment::{Context, Rules};
use crate::leader::fence::Fence;
use crate::leader::{Candidate, Work};
use crate::life::Pulse;
use crate::metrics::Metrics;
use crate::server::{Pages, Part};
use crate::settings::Settings;

/// How long running reconciles may take to end after the operator was told to stop. Another replica
/// waits for the lease meanwhile, and repeats what was cut short: every step can be taken again.
const GRACE: Duration = Duration::from_millis(500);

/// The connections of the operator.
pub struct Connections {
    /// The HTTP client for all of Azure.
    pub http: reqwest::Client,
    /// The client for the cluster.
    pub kubernetes: kube::Client,
    /// The listener for `/livez`, `/readyz` and `/metrics`.
    pub listener: TcpListener,
    /// The registry of all metrics.
    pub metrics: Registry,
}

/// Runs the operator until it is told to stop. With leader election, it works only while it leads.
///
/// # Errors
/// When the pages cannot be served.
pub async fn run(
    settings: Settings,
    connections: Connections,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let Connections { http, kubernetes, listener, mut metrics } = connections;
    let counts = Metrics::new(&mut metrics);
    let part = Part::default();
    let pulse = Pulse::new(Instant::now());
    let pages = Pages {
        part: part.clone(),
        pulse: pulse.clone(),
        limits: settings.limits,
        metrics: counts.clone(),
        per_object: settings.metrics_per_object,
        registry: Arc::new(Mutex::new(metrics)),
    };
    let replica = Replica { settings, http, kubernetes, counts, part };
    tokio::select! {
        () = replica.run(stop) => Ok(()),
        served = server::serve(listener, pages) => served,
        () = pulse.tick() => Ok(()),
    }
}

/// One replica of the operator.
struct Replica {
    settings: Settings,
    http: reqwest::Client,
    kubernetes: kube::Client,
    counts: Metrics,
    part: Part,
}

impl Replica {
    async fn run(&self, stop: CancellationToken) {
        let Settings { election, namespace, instance, .. } = &self.settings;
        let Some(election) = election else { return self.work(Fence::open(), stop).await };
        // The metric must show that this replica does not lead, even if the lease can never be read.
        self.counts.api_server.leads(&election.lease, false);
        let client = self.client(Fence::open());
        // A process that starts anew is another candidate: it does not know what it did before.
        let name = format!("{instance}_{}", uuid::Uuid::new_v4());
        Candidate::new(client, namespace, election.clone(), name).run(self, stop).await;
    }

    fn client(&self, fence: Fence) -> kube::Client {
        cluster::fenced(&self.kubernetes, fence, self.counts.clone())
    }
}

impl Work for Replica {
    /// Starts without state each time: what was known before may not be true any more.
    async fn work(&self, fence: Fence, stop: CancellationToken) {
        let client = self.client(fence.clone());
        let azure = Azure::new(
            self.http.clone(),
            self.configuration(),
            Arc::new(fence),
            Arc::new(self.counts.azure.clone()),
        );
        let context = Context::new(&client, azure, self.rules(), self.counts.clone());
        let Settings { attachment_selector, concurrency, .. } = &self.settings;
        let (attachments, reconciles) = attachment::run(
            &client,
            attachment_selector,
            *concurrency,
            Arc::new(context),
            stop.clone(),
        );
        self.part.works_on(attachments);
        // A task of its own, so that busy reconciles do not delay the renewal of the lease.
        let reconciles = AbortOnDropHandle::new(tokio::spawn(bounded_end(reconciles, stop)));
        if let Err(error) = reconciles.await {
            tracing::error!("the controller has ended: {error}");
        }
    }

    fn leads(&self, leads: bool) {
        if let Some(election) = &self.settings.election {
            self.counts.api_server.leads(&election.lease, leads);
        }
        if !leads {
            self.part.stands_by();
        }
    }
}

impl Replica {
    fn configuration(&self) -> Configuration {
        let Settings { cloud, identity, acr_audience, budget, .. } = self.settings.clone();
        Configuration { cloud, identity, acr_audience, budget }
    }

    fn rules(&self) -> Rules {
        let Settings { policy, namespace, token_file, subscription, intervals, instance, .. } =
            self.settings.clone();
        Rules { policy, namespace, token_file, subscription, intervals, instance }
    }
}

/// Waits for reconciles to end, but no longer than [`GRACE`] after the operator was told to stop.
async fn bounded_end(reconciles: impl Future<Output = ()>, stop: CancellationToken) {
    let limit = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        () = reconciles => {}
        () = limit => tracing::warn!("reconciles at work were cut short; they are taken up at the next start"),
    }
}

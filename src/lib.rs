//! acr-attach keeps a Kubernetes cluster attached to an Azure Container Registry.
//!
//! One pass is observe → decide → act → report:
//!
//! ```text
//! spec ─ parse ─▶ Attachment ─┐
//!                             ├─ observe ─▶ Desired ─┐
//! registry, cluster, … ───────┘  (reads)             ├─ plan ─▶ steps ─ act ─▶ report
//! assignments on the registry ─────────────▶ Owned ──┘ (pure)         (writes)
//! ```
//!
//! `api` is the custom resource and uses nothing of ours. `domain` decides, and is pure. `azure`
//! speaks to Azure and uses `domain`. `controller` speaks to the API server and uses all three.
//! Only the program reads the environment.

pub mod api;
pub mod azure;
pub mod controller;
pub mod domain;
pub mod metrics;
pub mod server;
pub mod settings;
pub mod telemetry;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::azure::Azure;
use crate::controller::{Context, Rules};
use crate::metrics::Metrics;
use crate::server::Pages;
use crate::settings::Settings;

/// How long passes at work may take to end after the operator was told to stop. Kubernetes gives
/// 30 s; every step can be taken again, so there is no need to use them.
const GRACE: Duration = Duration::from_secs(4);

/// What connects the operator to the world.
pub struct Connections {
    /// For all of Azure.
    pub http: reqwest::Client,
    /// For the cluster.
    pub kubernetes: kube::Client,
    /// For `/livez`, `/readyz` and `/metrics`.
    pub listener: TcpListener,
    /// Where counts are kept.
    pub metrics: Registry,
}

/// Runs the operator until it is told to stop.
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
    let Settings { cloud, identity, acr_audience, attachment_selector, concurrency, .. } = settings;
    let azure = Azure::new(http, cloud, identity, acr_audience, counts.clone());
    let azure = azure.within(settings.budget);
    let Settings { policy, namespace, token_file, subscription, intervals, .. } = settings;
    let rules = Rules { policy, namespace, token_file, subscription, intervals };
    let context = Arc::new(Context::new(&kubernetes, azure, rules, counts.clone()));
    let (attachments, passes) =
        controller::run(&kubernetes, &attachment_selector, concurrency, context, stop.clone());
    let pages = Pages { attachments, metrics: counts, registry: Arc::new(metrics) };
    let serve = axum::serve(listener, server::router(pages));
    tokio::select! {
        () = bounded_end(passes, stop) => Ok(()),
        served = serve => served,
    }
}

/// Waits for passes to end, but after being told to stop no longer than [`GRACE`].
async fn bounded_end(passes: impl Future<Output = ()>, stop: CancellationToken) {
    let limit = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        () = passes => {}
        () = limit => tracing::warn!("passes at work were cut short; they are taken up at the next start"),
    }
}

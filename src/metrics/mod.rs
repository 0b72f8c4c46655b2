//! The metrics of the operator. Names from controller-runtime have the same meaning here, so that
//! existing dashboards work. No label ever holds an id, a principal or an error text.
//!
//! `docs/metrics.md` lists them.

mod api_server;
mod attachments;
mod azure;
mod process;
mod reconciles;
pub mod text;
mod watches;

use jiff::Timestamp;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use api_server::ApiServer;
pub use attachments::{Attachments, Standing};
pub use azure::Azure;
pub use reconciles::{Reconciles, ResultLabel, Worker};
pub use watches::{Restart, Watches};

/// All metrics. Cloning is cheap, and clones share their counts.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// The reconciles of attachments.
    pub reconciles: Reconciles,
    /// The reconciles of namespaces: of entries in service accounts, and of pull secrets.
    pub delivery: [Reconciles; 2],
    /// Requests to Azure.
    pub azure: Azure,
    /// Requests to the API server, and leadership.
    pub api_server: ApiServer,
    /// The watches of the cluster.
    pub watches: Watches,
    /// The state of attachments, and what was done for them.
    pub attachments: Attachments,
}

impl Metrics {
    /// Creates the metrics in that registry.
    pub fn new(registry: &mut Registry) -> Self {
        let build = Info::new([
            ("version", env!("CARGO_PKG_VERSION")),
            ("revision", env!("ACR_ATTACH_REVISION")),
            ("rustc", env!("ACR_ATTACH_RUSTC")),
        ]);
        registry.register("acr_attach_build", "What this program was built from", build);
        process::register(registry);
        let reconciles = Reconciles::new(registry);
        Self {
            delivery: ["namespace-entries", "namespace-secrets"].map(|it| reconciles.of(it)),
            reconciles,
            azure: Azure::new(registry),
            api_server: ApiServer::new(registry),
            watches: Watches::new(registry),
            attachments: Attachments::new(registry),
        }
    }
}

impl Metrics {
    /// Sets the metrics that are measured at a scrape: the state of attachments, with `each` of single
    /// ones too; the last event of each watched resource; and the work in progress.
    pub fn measure(
        &self,
        attachments: &[Standing],
        each: bool,
        shown: impl IntoIterator<Item = (&'static str, Timestamp)>,
    ) {
        self.attachments.set(attachments, each, Timestamp::now());
        self.watches.set(shown);
        for reconciles in std::iter::once(&self.reconciles).chain(&self.delivery) {
            reconciles.measure();
        }
    }
}

fn seconds() -> Histogram {
    Histogram::new([0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

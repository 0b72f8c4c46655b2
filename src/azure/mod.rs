//! Azure as the operator needs it: what can be read, what can be written, and why it failed.
//!
//! It knows nothing of Kubernetes and never waits to try again: that is the schedule's task.

mod arm;
mod assignments;
mod cloud;
mod entra;
mod error;
mod resources;
mod transport;

use std::sync::Arc;

use azure_core::http::{ClientOptions, RetryOptions};

use crate::metrics::Metrics;

use arm::Arm;
pub use assignments::NewAssignment;
pub use cloud::Cloud;
pub use entra::Identity;
pub use error::Error;

/// Azure, by what may be done with it.
#[derive(Debug)]
pub struct Azure {
    /// Reads, and only reads.
    pub reader: Reader,
    /// Writes role assignments, and reads one before and after it writes it.
    pub writer: Writer,
}

/// What can be read.
#[derive(Clone, Debug)]
pub struct Reader(Arc<Arm>);

/// What can be written.
#[derive(Clone, Debug)]
pub struct Writer(Arc<Arm>);

impl Azure {
    /// Azure as that identity sees it, over one HTTP client for all hosts.
    #[must_use]
    pub fn new(http: reqwest::Client, cloud: Cloud, identity: Identity, metrics: Metrics) -> Self {
        let options = ClientOptions {
            transport: Some(transport::bounded(http, cloud, metrics)),
            retry: RetryOptions::none(),
            cloud: Some(Arc::new(cloud.configuration())),
            ..ClientOptions::default()
        };
        let arm = Arc::new(Arm::new(cloud, identity, options));
        Self { reader: Reader(Arc::clone(&arm)), writer: Writer(arm) }
    }
}

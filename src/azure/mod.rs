//! Azure as the operator needs it: what can be read, what can be written, and why it failed.
//!
//! It knows nothing of Kubernetes and never waits to try again: that is the schedule's task.

mod acr;
mod arm;
mod assignments;
mod cause;
mod cloud;
mod entra;
mod error;
mod permission;
mod resources;
mod transport;

use std::sync::Arc;

use azure_core::http::{ClientOptions, RetryOptions};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::names::LoginServer;
use crate::metrics::Metrics;

use acr::Registries;
pub use acr::{Credential, Minted, RegistrySession, ServicePrincipal};
use arm::Arm;
pub use assignments::NewAssignment;
pub use cloud::Cloud;
pub use entra::Identity;
pub use error::Error;

/// How many passes may speak to Azure Resource Manager at once. Each makes one call at a time.
const SESSIONS: usize = 8;

/// Azure, as one identity sees it.
#[derive(Debug)]
pub struct Azure {
    arm: Arc<Arm>,
    registries: Arc<Registries>,
    free: Arc<Semaphore>,
}

/// The right of one pass to speak to Azure Resource Manager.
#[derive(Debug)]
pub struct Session {
    /// Reads, and only reads.
    pub reader: Reader,
    /// Writes role assignments, and reads one before and after it writes it.
    pub writer: Writer,
    _place: OwnedSemaphorePermit,
}

/// What can be read.
#[derive(Debug)]
pub struct Reader(Arc<Arm>);

/// What can be written.
#[derive(Debug)]
pub struct Writer(Arc<Arm>);

impl Azure {
    /// Azure as that identity sees it, over one HTTP client for all hosts. The audience is that
    /// of tokens for registries; without one it is known.
    #[must_use]
    pub fn new(
        http: reqwest::Client,
        cloud: Cloud,
        identity: Identity,
        audience: Option<String>,
        metrics: Metrics,
    ) -> Self {
        let options = ClientOptions {
            transport: Some(transport::bounded(http, cloud, metrics)),
            retry: RetryOptions::none(),
            cloud: Some(Arc::new(cloud.configuration())),
            ..ClientOptions::default()
        };
        let registries = Arc::new(Registries::new(cloud, options.clone(), audience));
        let arm = Arc::new(Arm::new(cloud, identity, options));
        Self { arm, registries, free: Arc::new(Semaphore::new(SESSIONS)) }
    }

    /// Takes one of the places, for a whole pass: a pass that got one is not interrupted by
    /// others, and so no call is made in vain.
    ///
    /// # Errors
    /// Busy when none is free. Nobody waits for one, since whoever has it may be waiting for an
    /// Azure that hangs.
    pub fn session(&self) -> Result<Session, Error> {
        let place = Arc::clone(&self.free).try_acquire_owned();
        Ok(Session {
            reader: Reader(Arc::clone(&self.arm)),
            writer: Writer(Arc::clone(&self.arm)),
            _place: place.map_err(|_| Error::busy("Azure", SESSIONS))?,
        })
    }

    /// Takes a place at a registry. Each has places of its own: one that hangs delays no other.
    ///
    /// # Errors
    /// Busy when none is free.
    pub fn registry(&self, server: &LoginServer) -> Result<RegistrySession, Error> {
        self.registries.session(server)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::domain::problem::{Cause, Problem};

    #[test]
    fn so_many_passes_speak_to_azure_at_once_and_no_more() {
        let metrics = Metrics::new(&mut Registry::default());
        let azure =
            Azure::new(reqwest::Client::new(), Cloud::Public, Identity::None, None, metrics);
        let mut sessions: Vec<_> = (0..SESSIONS).map(|_| azure.session().unwrap()).collect();
        assert_eq!(Problem::from(azure.session().unwrap_err()).cause, Cause::Busy);
        sessions.pop();
        azure.session().unwrap();
    }
}

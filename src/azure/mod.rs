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
mod gate;
mod lookup;
mod permission;
mod refusal;
mod resources;
mod shared;
mod transport;
mod versions;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use azure_core::http::{ClientOptions, RetryOptions};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::domain::facts::Cluster;
use crate::domain::names::{ClusterId, LoginServer, PrincipalId, RegistryId};
use crate::metrics::Metrics;

use acr::Registries;
pub use acr::{Credential, Minted, RegistrySession, ServicePrincipal};
use arm::Arm;
pub use assignments::NewAssignment;
pub use cloud::Cloud;
pub use entra::Identity;
pub use error::Error;
pub use gate::{Budget, Rate};
use gate::{Gates, Line};
use shared::Shared;

/// How many passes may speak to Azure Resource Manager at once. Each makes one call at a time.
const SESSIONS: usize = 8;
/// How soon one more place is free, if many wait for one: eight passes, each of four calls of
/// 50 ms. Slower calls only make those who come back come back once more.
const PER_SESSION: Duration = Duration::from_millis(25);
/// What was read so shortly before a look was asked for is as good as read by it.
const AS_GOOD_AS_NEW: SignedDuration = SignedDuration::from_secs(5);

/// Azure, as one identity sees it.
#[derive(Debug)]
pub struct Azure {
    arm: Arc<Arm>,
    registries: Arc<Registries>,
    free: Arc<Semaphore>,
    line: Mutex<Line>,
    answers: Arc<Answers>,
}

/// What is read once for all who ask for it.
#[derive(Debug, Default)]
struct Answers {
    clusters: Shared<ClusterId, Cluster>,
    registries: Shared<Uuid, Arc<[RegistryId]>>,
    service_principals: Shared<String, PrincipalId>,
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
pub struct Reader {
    arm: Arc<Arm>,
    answers: Arc<Answers>,
    since: Timestamp,
}

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
        Self {
            arm: Arc::new(Arm::new(cloud, identity, options, &Arc::default())),
            registries,
            free: Arc::new(Semaphore::new(SESSIONS)),
            line: Mutex::default(),
            answers: Arc::default(),
        }
    }

    /// The same with another budget than that of Azure Resource Manager's public limits.
    #[must_use]
    pub fn within(self, budget: Budget) -> Self {
        let gates = Arc::new(Gates::new(budget));
        Self { arm: Arc::new(self.arm.behind(&gates)), ..self }
    }

    /// Takes one of the places, for a whole pass. Before its first call to a subscription the
    /// pass reserves there what it may need, so that no call is made in vain.
    ///
    /// # Errors
    /// A turn when no place is free. Nobody waits for one, since whoever has it may be waiting
    /// for an Azure that hangs.
    pub fn session(&self) -> Result<Session, Error> {
        let Ok(place) = Arc::clone(&self.free).try_acquire_owned() else {
            let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = line.join(PER_SESSION, PER_SESSION, Instant::now());
            return Err(Error::busy("Azure", SESSIONS, Some(turn)));
        };
        let arm = Arc::new(self.arm.for_a_pass());
        let answers = Arc::clone(&self.answers);
        let since = Timestamp::now() - AS_GOOD_AS_NEW;
        Ok(Session {
            reader: Reader { arm: Arc::clone(&arm), answers, since },
            writer: Writer(arm),
            _place: place,
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

impl Session {
    /// The same for a look that was wanted at that time, and had to wait for its turn: what was
    /// read since then serves it.
    #[must_use]
    pub fn wanted_at(mut self, time: Option<Timestamp>) -> Self {
        if let Some(time) = time {
            self.reader.since = self.reader.since.min(time - AS_GOOD_AS_NEW);
        }
        self
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
        let refused = Problem::from(azure.session().unwrap_err()).cause;
        assert!(matches!(refused, Cause::Queued { .. }), "{refused:?}");
        sessions.pop();
        azure.session().unwrap();
    }
}

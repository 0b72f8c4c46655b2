//! A client for Azure Resource Manager, Entra, Microsoft Graph and registries.
//!
//! The client knows nothing of Kubernetes, and never waits before a retry: its caller schedules
//! retries.

mod acr;
mod advice;
mod arm;
mod assignments;
mod attempt;
mod cause;
mod cloud;
mod entra;
mod error;
mod lookup;
mod permission;
mod permits;
mod rate_limiter;
mod refusal;
mod resources;
mod single_flight;
mod transport;
mod versions;

use std::sync::{Arc, Mutex, PoisonError};

use acr_attach_core::ids::{ClusterId, LoginServer, PrincipalId, RegistryId};
use acr_attach_core::snapshot::azure::Cluster;
use azure_core::http::{ClientOptions, RetryOptions};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::UnboundedReceiver;
use uuid::Uuid;

use acr::Registries;
pub use acr::bearer;
pub use acr::{AUDIENCE, form_body};
pub use acr::{Credential, ProbedCredential, RegistrySession};
use arm::Arm;
pub use assignments::NewAssignment;
pub use cloud::Cloud;
pub use entra::claims;
pub use entra::{ClientCredential, Identity, ServicePrincipal};
pub use error::Error;
use permits::{Permit, Permits};
use rate_limiter::RateLimiters;
pub use rate_limiter::{Budget, Rate};
pub use refusal::Refusal;
use single_flight::SingleFlight;
pub use transport::{Fence, Recorder};

/// How many sessions with Azure Resource Manager may be open at once. Each makes one call at a time.
const MAX_SESSIONS: usize = 8;
/// How old a shared read may be by default. A caller that knows of a later change asks for a newer
/// one, by [`Session::reading_since`].
pub const MAX_READ_AGE: SignedDuration = SignedDuration::from_secs(5);

/// A client for Azure with one identity.
#[derive(Debug)]
pub struct Azure {
    arm: Arc<Arm>,
    registries: Arc<Registries>,
    permits: Arc<Permits>,
    notified: Mutex<Option<UnboundedReceiver<String>>>,
    reads: Arc<SharedReads>,
}

/// Reads that concurrent callers share.
#[derive(Debug, Default)]
struct SharedReads {
    clusters: SingleFlight<ClusterId, Cluster>,
    /// By subscription id.
    registries: SingleFlight<Uuid, Arc<[RegistryId]>>,
    /// By client id.
    service_principals: SingleFlight<String, PrincipalId>,
    /// By tenant id and client id.
    object_ids: SingleFlight<(String, String), PrincipalId>,
}

/// Access to Azure Resource Manager for one reconcile. It holds one of the permits.
#[derive(Debug)]
pub struct Session {
    /// Makes the calls that only read.
    pub reader: Reader,
    /// Writes role assignments, and reads an assignment before and after the write.
    pub writer: Writer,
    _permit: Permit,
}

/// Reads from Azure. It has no method that writes.
#[derive(Debug)]
pub struct Reader {
    arm: Arc<Arm>,
    reads: Arc<SharedReads>,
    /// The earliest start of a shared read that the caller accepts.
    not_before: Timestamp,
}

/// Writes role assignments.
#[derive(Debug)]
pub struct Writer(Arc<Arm>);

/// The configuration of [`Azure`].
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The cloud, which decides all hosts.
    pub cloud: Cloud,
    /// The identity that signs in.
    pub identity: Identity,
    /// The audience of tokens for registries. `None` means [`AUDIENCE`], or Azure Resource
    /// Manager's where a tenant does not know that.
    pub acr_audience: Option<String>,
    /// The rate limits for one subscription.
    pub budget: Budget,
}

impl Azure {
    /// A client that uses one HTTP client for all hosts. Each write asks the fence first.
    #[must_use]
    pub fn new(
        http: reqwest::Client,
        configuration: Configuration,
        fence: Arc<dyn Fence>,
        recorder: Arc<dyn Recorder>,
    ) -> Self {
        let Configuration { cloud, identity, acr_audience, budget } = configuration;
        let options = ClientOptions {
            transport: Some(transport::bounded(http, cloud, fence, recorder)),
            retry: RetryOptions::none(),
            cloud: Some(Arc::new(cloud.configuration())),
            ..ClientOptions::default()
        };
        let registries = Arc::new(Registries::new(cloud, options.clone(), acr_audience));
        let (permits, notified) = Permits::new(MAX_SESSIONS);
        let limiters = Arc::new(RateLimiters::new(budget));
        Self {
            arm: Arc::new(Arm::new(cloud, identity, options, &limiters)),
            registries,
            permits,
            notified: Mutex::new(Some(notified)),
            reads: Arc::default(),
        }
    }

    /// Opens a session for a whole reconcile. Before its first call to a subscription the session
    /// reserves the calls that a reconcile may need, so that no call is wasted.
    ///
    /// # Errors
    /// How long to wait when no permit is free. A caller that gives its name is queued, and notified
    /// when a permit is free.
    pub fn session(&self, caller: Option<&str>) -> Result<Session, Error> {
        let permit = self.permits.try_acquire(caller);
        let permit = permit.map_err(|wait| Error::busy("Azure", MAX_SESSIONS, Some(wait)))?;
        let arm = Arc::new(self.arm.for_reconcile());
        let reads = Arc::clone(&self.reads);
        let not_before = Timestamp::now() - MAX_READ_AGE;
        Ok(Session {
            reader: Reader { arm: Arc::clone(&arm), reads, not_before },
            writer: Writer(arm),
            _permit: permit,
        })
    }

    /// The names of queued callers, each sent when a permit is free for the caller. There is one
    /// receiver: later calls return `None`.
    pub fn notified(&self) -> Option<UnboundedReceiver<String>> {
        self.notified.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Opens a session with a registry. Each registry has permits of its own, so a registry that
    /// hangs delays no other.
    ///
    /// # Errors
    /// When no permit is free for this registry.
    pub fn registry(&self, server: &LoginServer) -> Result<RegistrySession, Error> {
        self.registries.session(server)
    }
}

impl Session {
    /// The same session, with shared reads no older than that time.
    #[must_use]
    pub fn reading_since(mut self, time: Option<Timestamp>) -> Self {
        self.reader.not_before = time.unwrap_or(self.reader.not_before);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use acr_attach_core::lease::NotLeading;
    use acr_attach_core::problem::{Cause, Problem};

    /// A fence that allows every write, and a recorder that counts nothing.
    #[derive(Debug)]
    struct Stub;

    impl Fence for Stub {
        fn check(&self) -> Result<(), NotLeading> {
            Ok(())
        }
    }

    impl Recorder for Stub {
        fn requested(&self, _: &'static str, _: &'static str, _: &str, _: Duration) {}

        fn throttled(&self, _: &'static str, _: Timestamp) {}
    }

    #[test]
    fn the_number_of_open_sessions_is_limited() {
        let configuration = Configuration {
            cloud: Cloud::Public,
            identity: Identity::None,
            acr_audience: None,
            budget: Budget::default(),
        };
        let azure =
            Azure::new(reqwest::Client::new(), configuration, Arc::new(Stub), Arc::new(Stub));
        let mut sessions: Vec<_> =
            (0..MAX_SESSIONS).map(|_| azure.session(None).unwrap()).collect();
        let cause = Problem::from(azure.session(None).unwrap_err()).cause;
        assert!(matches!(cause, Cause::Queued { .. }), "{cause:?}");
        sessions.pop();
        azure.session(None).unwrap();
    }
}

//! Azure as the operator needs it: what can be read, what can be written, and why it failed.
//!
//! It knows nothing of Kubernetes and never waits to try again: that is the schedule's task.

mod acr;
mod advice;
mod arm;
mod assignments;
mod attempt;
mod cause;
mod cloud;
mod entra;
mod error;
mod gate;
mod lookup;
mod permission;
mod places;
mod refusal;
mod resources;
mod shared;
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
pub use acr::{AUDIENCE, form};
pub use acr::{Credential, Minted, RegistrySession};
use arm::Arm;
pub use assignments::NewAssignment;
pub use cloud::Cloud;
pub use entra::claims;
pub use entra::{ClientCredential, Identity, ServicePrincipal};
pub use error::Error;
use gate::Gates;
pub use gate::{Budget, Rate};
use places::{Place, Places};
pub use refusal::Refusal;
use shared::Shared;
pub use transport::{Fence, Recorder};

/// How many passes may speak to Azure Resource Manager at once. Each makes one call at a time.
const SESSIONS: usize = 8;
/// What was read so shortly before a look is as good as read by it, unless something has happened
/// since that the look is to show.
pub const AS_GOOD_AS_NEW: SignedDuration = SignedDuration::from_secs(5);

/// Azure, as one identity sees it.
#[derive(Debug)]
pub struct Azure {
    arm: Arc<Arm>,
    registries: Arc<Registries>,
    places: Arc<Places>,
    called: Mutex<Option<UnboundedReceiver<String>>>,
    answers: Arc<Answers>,
}

/// What is read once for all who ask for it.
#[derive(Debug, Default)]
struct Answers {
    clusters: Shared<ClusterId, Cluster>,
    registries: Shared<Uuid, Arc<[RegistryId]>>,
    service_principals: Shared<String, PrincipalId>,
    /// By tenant and client.
    object_ids: Shared<(String, String), PrincipalId>,
}

/// The right of one pass to speak to Azure Resource Manager.
#[derive(Debug)]
pub struct Session {
    /// Reads, and only reads.
    pub reader: Reader,
    /// Writes role assignments, and reads one before and after it writes it.
    pub writer: Writer,
    _place: Place,
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

/// How Azure is spoken to.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Where.
    pub cloud: Cloud,
    /// As whom.
    pub identity: Identity,
    /// The audience of tokens for registries; without one it is known.
    pub acr_audience: Option<String>,
    /// What may be asked of one subscription.
    pub budget: Budget,
}

impl Azure {
    /// Azure as one identity sees it, over one HTTP client for all hosts. Writes ask the fence.
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
        let (places, called) = Places::new(SESSIONS);
        let gates = Arc::new(Gates::new(budget));
        Self {
            arm: Arc::new(Arm::new(cloud, identity, options, &gates)),
            registries,
            places,
            called: Mutex::new(Some(called)),
            answers: Arc::default(),
        }
    }

    /// Takes one of the places, for a whole pass. Before its first call to a subscription the
    /// pass reserves there what it may need, so that no call is made in vain.
    ///
    /// # Errors
    /// A turn when no place is free. Whoever says who asks is called when one is.
    pub fn session(&self, caller: Option<&str>) -> Result<Session, Error> {
        let place = self.places.take(caller);
        let place = place.map_err(|wait| Error::busy("Azure", SESSIONS, Some(wait)))?;
        let arm = Arc::new(self.arm.for_a_pass());
        let answers = Arc::clone(&self.answers);
        let since = Timestamp::now() - AS_GOOD_AS_NEW;
        Ok(Session {
            reader: Reader { arm: Arc::clone(&arm), answers, since },
            writer: Writer(arm),
            _place: place,
        })
    }

    /// The names of those who are called since a place is free. For one listener.
    pub fn called(&self) -> Option<UnboundedReceiver<String>> {
        self.called.lock().unwrap_or_else(PoisonError::into_inner).take()
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
    /// The same for a look that what was read since that time serves, and nothing older.
    #[must_use]
    pub fn since(mut self, time: Option<Timestamp>) -> Self {
        self.reader.since = time.unwrap_or(self.reader.since);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use acr_attach_core::lease::NotLeading;
    use acr_attach_core::problem::{Cause, Problem};

    /// A process that always writes and counts nothing.
    #[derive(Debug)]
    struct Alone;

    impl Fence for Alone {
        fn check(&self) -> Result<(), NotLeading> {
            Ok(())
        }
    }

    impl Recorder for Alone {
        fn requested(&self, _: &'static str, _: &'static str, _: &str, _: Duration) {}

        fn throttled(&self, _: &'static str, _: Timestamp) {}
    }

    #[test]
    fn so_many_passes_speak_to_azure_at_once_and_no_more() {
        let configuration = Configuration {
            cloud: Cloud::Public,
            identity: Identity::None,
            acr_audience: None,
            budget: Budget::default(),
        };
        let azure =
            Azure::new(reqwest::Client::new(), configuration, Arc::new(Alone), Arc::new(Alone));
        let mut sessions: Vec<_> = (0..SESSIONS).map(|_| azure.session(None).unwrap()).collect();
        let refused = Problem::from(azure.session(None).unwrap_err()).cause;
        assert!(matches!(refused, Cause::Queued { .. }), "{refused:?}");
        sessions.pop();
        azure.session(None).unwrap();
    }
}

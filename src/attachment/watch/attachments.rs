//! The attachments as the watch has shown them, for metrics and for `/livez` and `/readyz`.

use std::time::{Duration, Instant};

use acr_attach_core::api::{MethodInUse, RegistryAttachment};
use futures::FutureExt;
use jiff::Timestamp;
use kube::runtime::reflector::Store;
use kube::{Resource, ResourceExt};

use crate::attachment::Guarded;
use crate::attachment::state::Revision;
use crate::life::Signs;
use crate::metrics::{Metrics, Standing};

/// The attachments that the watch has shown. Clones share them.
#[derive(Clone)]
pub struct Attachments {
    store: Store<Guarded>,
    signs: Signs,
}

impl Attachments {
    /// Creates a view of that store, with the signs of life of all watches.
    #[must_use]
    pub fn new(store: Store<Guarded>, signs: Signs) -> Self {
        Self { store, signs }
    }

    /// Whether the watch has listed all attachments.
    #[must_use]
    pub fn are_synced(&self) -> bool {
        self.store.wait_until_ready().now_or_never().is_some_and(|it| it.is_ok())
    }

    /// Describes the fault if a watch has given no sign of life for longer than the limit.
    #[must_use]
    pub fn failure(&self, now: Instant, limit: Duration) -> Option<String> {
        self.signs.failure(now, limit)
    }

    /// Measures all attachments, and with `each` also every single one.
    pub fn count(&self, metrics: &Metrics, each: bool) {
        let all: Vec<_> = self.store.state().iter().map(|it| standing(it)).collect();
        metrics.measure(&all, each, self.signs.shown());
    }
}

fn standing(object: &Guarded) -> Standing {
    let ours = !Revision::of(object).finalizers().is_empty();
    let deleted = object.meta().deletion_timestamp.as_ref().map(|it| it.0);
    let pending = deleted.filter(|_| ours);
    match &object.0 {
        Ok(object) => Standing { pending, ..told(object) },
        // This version cannot read the object, and knows only that it exists.
        Err(_) => {
            Standing { name: object.name_any(), method: UNKNOWN, pending, ..Standing::default() }
        }
    }
}

const UNKNOWN: &str = "unknown";

/// Returns what spec and status show for metrics.
fn told(object: &RegistryAttachment) -> Standing {
    let status = object.status.as_ref();
    let method = match status.and_then(|it| it.method) {
        Some(MethodInUse::KubeletIdentity) => "KubeletIdentity",
        Some(MethodInUse::PullSecret) => "PullSecret",
        Some(MethodInUse::Unknown) | None => UNKNOWN,
    };
    let conditions = status.and_then(|it| it.conditions.as_ref()).into_iter().flatten();
    let secret = status.and_then(|it| it.pull_secret.as_ref());
    let time = |text: &Option<String>| text.as_ref().and_then(|it| it.parse::<Timestamp>().ok());
    Standing {
        name: object.name_any(),
        method,
        suspended: object.spec.suspend,
        conditions: conditions.map(|it| (it.type_.clone(), it.status.clone())).collect(),
        expires: secret.and_then(|it| time(&it.expires_at)),
        renews: secret.and_then(|it| time(&it.renew_at)),
        pending: None,
    }
}

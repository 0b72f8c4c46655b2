//! What is known of each attachment between passes. Losing it costs a look at Azure, no more.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::Guarded;
use crate::api::{FINALIZER, REQUESTED_AT, RegistryAttachment, RegistryAttachmentStatus};
use crate::domain::verdict::History;

/// By name of the attachment.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<String, Recollection>>);

/// What is known of one attachment.
#[derive(Clone, Debug)]
pub struct Recollection {
    /// What the last pass worked on. Nothing new means nothing to do before the next look.
    pub trigger: Trigger,
    /// When to look again.
    pub next_look: Timestamp,
    /// What the passes so far have shown.
    pub history: History,
    /// The status that was last written, and the version of the object that holds it.
    pub written: Option<(u64, RegistryAttachmentStatus)>,
}

/// What a pass is about. Another value means that there is something new to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Trigger {
    uid: Option<String>,
    generation: Option<i64>,
    requested_at: Option<String>,
    deleting: bool,
    finalizer: bool,
    readable: bool,
}

impl Trigger {
    /// Of an object that this version may not understand.
    #[must_use]
    pub fn of_guarded(object: &Guarded) -> Self {
        Self { readable: object.0.is_ok(), ..Self::of(object) }
    }

    /// Of an object as it was read.
    #[must_use]
    pub fn of(object: &impl ResourceExt) -> Self {
        Self {
            uid: object.uid(),
            generation: object.meta().generation,
            requested_at: object.annotations().get(REQUESTED_AT).cloned(),
            deleting: object.meta().deletion_timestamp.is_some(),
            finalizer: object.finalizers().iter().any(|it| it == FINALIZER),
            readable: true,
        }
    }

    /// Whether the object bears our finalizer.
    #[must_use]
    pub fn has_finalizer(&self) -> bool {
        self.finalizer
    }

    /// The same, after our finalizer was added or removed.
    #[must_use]
    pub fn with_finalizer(self, finalizer: bool) -> Self {
        Self { finalizer, ..self }
    }
}

impl Memory {
    /// What is known of an attachment, unless it is another one of the same name.
    #[must_use]
    pub fn recall(&self, name: &str, trigger: &Trigger) -> Option<Recollection> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(name).filter(|it| it.trigger.uid == trigger.uid).cloned()
    }

    /// Keeps that.
    pub fn keep(&self, name: &str, recollection: Recollection) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(name.to_owned(), recollection);
    }

    /// The attachment is gone.
    pub fn forget(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

impl Recollection {
    /// How long there is nothing to do, if nothing new has come.
    ///
    /// Without it any event of the watch would look at Azure, since the earlier time wins in
    /// kube's scheduler.
    #[must_use]
    pub fn wait(&self, trigger: &Trigger, now: Timestamp) -> Option<SignedDuration> {
        let wait = self.next_look.duration_since(now);
        (self.trigger == *trigger && wait.is_positive()).then_some(wait)
    }

    /// The newest status: the one we wrote, while the watch has not shown it yet.
    #[must_use]
    pub fn newest_status(&self, object: &RegistryAttachment) -> Option<RegistryAttachmentStatus> {
        let seen = version(object.resource_version().as_deref());
        let written = self.written.as_ref().filter(|(version, _)| *version > seen);
        written.map(|(_, status)| status.clone()).or_else(|| object.status.clone())
    }
}

/// Versions of one resource compare as numbers (Kubernetes API concepts, "Resource versions").
#[must_use]
pub fn version(text: Option<&str>) -> u64 {
    text.and_then(|it| it.parse().ok()).unwrap_or_default()
}

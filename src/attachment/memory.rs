//! What is known of each attachment between passes. Losing it costs a look at Azure, no more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use acr_attach_core::api::{
    ABANDON_ENTRIES, MethodInUse, RELEASE, REQUESTED_AT, RegistryAttachment,
    RegistryAttachmentStatus,
};
use acr_attach_core::ids::AssignmentId;
use acr_attach_core::outcome::status::Observed;
use acr_attach_core::outcome::verdict::History;
use acr_attach_core::plan::Finalizer;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::Guarded;
use super::context::Context;
use super::look::Look;
use crate::cluster::mirror::version;

/// How long reports are gathered before status tells of them.
const REPORT_PERIOD: SignedDuration = SignedDuration::from_secs(1);

/// By name of the attachment.
#[derive(Debug, Default)]
pub struct Memory {
    known: Mutex<HashMap<String, Recollection>>,
    wakes: Mutex<HashMap<String, Wake>>,
}

/// Why an attachment has to be worked on although nothing of it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// Namespaces have reported something new.
    Report,
    /// Another attachment let go of a role assignment, or changed its condition.
    Role,
    /// There is a place for it at Azure.
    Place,
    /// The Secret with its client secret changed.
    Credential,
}

/// What is known of one attachment.
#[derive(Clone, Debug)]
pub struct Recollection {
    /// What the last pass worked on.
    pub trigger: Trigger,
    /// When to come back.
    pub next: Next,
    /// What the passes so far have shown.
    pub history: History,
    /// The status that was last written, and the version of the object that holds it.
    pub written: Option<(u64, RegistryAttachmentStatus)>,
    /// What was found out.
    pub known: Known,
}

/// When to come back, if nothing new comes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// To ask Azure anew.
    pub look: Timestamp,
    /// To read once more what was written in Azure, or may have been. Looks before that do not count.
    pub reread: Option<Timestamp>,
    /// To work on it at all; not after that.
    pub pass: Timestamp,
    /// Before that, Azure is not to be asked: it has said so.
    pub not_before: Timestamp,
    /// When that was decided. A clock that was set back since has outrun all of it.
    pub decided: Timestamp,
}

/// What was found out of one attachment.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// What Azure said.
    pub look: Look,
    /// The method in use.
    pub method: Option<MethodInUse>,
    /// What speaks against it, and changes nothing.
    pub remark: Option<String>,
    /// What was read before that does not serve the look that has to wait for its turn, if one has.
    pub since: Option<Timestamp>,
    /// Role assignments that were written, or asked for without an answer, and when. Azure may not show them
    /// yet.
    pub written: BTreeMap<AssignmentId, Timestamp>,
    /// Since when the attachment is in a transition, if it is (UTC).
    pub transition_since: Option<Timestamp>,
    /// What the last look has found for status.
    pub observed: Observed,
}

/// What a pass is about. Another value means that there is something new to do.
#[derive(Clone, Debug)]
pub struct Trigger {
    uid: Option<String>,
    generation: Option<i64>,
    requested_at: Option<String>,
    released: Option<String>,
    abandons_entries: Option<String>,
    deleting: bool,
    finalizers: BTreeSet<Finalizer>,
    readable: bool,
}

/// The finalizer for entries is none of it: delivery adds it.
impl PartialEq for Trigger {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Trigger {}

impl Hash for Trigger {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Trigger {
    fn key(&self) -> impl Eq + Hash + use<'_> {
        let Self { uid, generation, requested_at, deleting, finalizers, readable, .. } = self;
        let holds_roles = finalizers.contains(&Finalizer::RoleAssignments);
        let consents = (&self.released, &self.abandons_entries);
        (uid, generation, requested_at, consents, deleting, holds_roles, readable)
    }

    /// Of an object that this version may not understand.
    #[must_use]
    pub fn of_guarded(object: &Guarded) -> Self {
        Self { readable: object.0.is_ok(), ..Self::of(object) }
    }

    /// Of an object as it was read.
    #[must_use]
    pub fn of(object: &impl ResourceExt) -> Self {
        let annotation = |name: &str| object.annotations().get(name).cloned();
        Self {
            uid: object.uid(),
            generation: object.meta().generation,
            requested_at: annotation(REQUESTED_AT),
            released: annotation(RELEASE),
            abandons_entries: annotation(ABANDON_ENTRIES),
            deleting: object.meta().deletion_timestamp.is_some(),
            finalizers: Finalizer::ALL
                .into_iter()
                .filter(|ours| object.finalizers().iter().any(|it| it == ours.name()))
                .collect(),
            readable: true,
        }
    }

    /// Whether the object is being deleted.
    #[must_use]
    pub fn is_deleting(&self) -> bool {
        self.deleting
    }

    /// Whether it is of the same object, and not of another one of its name.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        self.uid == other.uid
    }

    /// Whether nobody has changed the spec between the two.
    #[must_use]
    pub fn has_spec_of(&self, other: &Self) -> bool {
        self.generation == other.generation
    }

    /// The finalizers of ours that the object bears.
    #[must_use]
    pub fn finalizers(&self) -> &BTreeSet<Finalizer> {
        &self.finalizers
    }

    /// The same, after one of our finalizers was added or removed.
    #[must_use]
    pub fn with_finalizer(mut self, finalizer: Finalizer, present: bool) -> Self {
        if present {
            self.finalizers.insert(finalizer);
        } else {
            self.finalizers.remove(&finalizer);
        }
        self
    }
}

impl Memory {
    /// What is known of an attachment, unless it is another one of the same name.
    #[must_use]
    pub fn recall(&self, name: &str, trigger: &Trigger) -> Option<Recollection> {
        let all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = all.get(name).filter(|it| it.trigger.uid == trigger.uid).cloned()?;
        if known.trigger.readable != trigger.readable {
            // What was told while it could not be read may never have been stored.
            known.written = None;
        }
        Some(known)
    }

    /// Keeps that.
    pub fn keep(&self, name: &str, recollection: Recollection) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(name.to_owned(), recollection);
    }

    /// The attachment is gone. Returns what was known of it.
    pub fn forget(&self, name: &str) -> Option<Recollection> {
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    /// Each attachment is due for a look, whatever time was promised.
    pub fn look_anew(&self) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for known in all.values_mut() {
            (known.next.look, known.next.pass) = (Timestamp::MIN, Timestamp::MIN);
        }
    }

    /// The names of the attachments of which something is known.
    pub fn names(&self) -> Vec<String> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// The attachment has to be worked on.
    pub fn wake(&self, name: &str, wake: Wake) {
        let mut all = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(name.to_owned()).or_insert(wake);
        *known = wake.max(*known);
    }

    /// How long reports have to wait, so that status is written once a second at most; `None` if they
    /// need not. A namespace that waits for a credential does not wait for that.
    #[must_use]
    pub fn is_too_soon(
        &self,
        name: &str,
        wake: Option<Wake>,
        before: Option<&Recollection>,
        ctx: &Context,
    ) -> Option<SignedDuration> {
        let before = before.filter(|_| wake == Some(Wake::Report))?;
        let uid = before.trigger.uid.as_deref()?;
        let waits = ctx.delivery.ask(uid, |it| !it.waiting().is_empty()).unwrap_or_default();
        let rest = REPORT_PERIOD - Timestamp::now().duration_since(before.next.decided);
        let is_refused = before.known.look.refusal.is_some();
        (rest.is_positive() && (!waits || is_refused)).then(|| {
            self.wake(name, Wake::Report);
            rest
        })
    }

    /// Why it has to be worked on. The next time it says so only if there is another reason.
    #[must_use]
    pub fn wake_of(&self, name: &str) -> Option<Wake> {
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner).remove(name)
    }
}

impl Wake {
    /// What it means for an attachment that waits for a place at Azure, or does not any more:
    /// then it has come by itself, and what else may have happened still counts.
    #[must_use]
    pub fn for_one_that_waits(self, waits: bool) -> Self {
        if self == Self::Place && !waits { Self::Role } else { self }
    }
}

impl Recollection {
    /// How long there is nothing to do; `None` if the time has come, or something new has.
    ///
    /// Without it any event of the watch would look at Azure, since the earlier time wins in
    /// kube's scheduler.
    #[must_use]
    pub fn wait(&self, trigger: &Trigger, now: Timestamp) -> Option<SignedDuration> {
        let wait = self.next.pass.duration_since(now);
        let valid = self.trigger == *trigger && now >= self.next.decided;
        (valid && wait.is_positive()).then_some(wait)
    }

    /// Whether Azure has asked to wait, and the user has asked for nothing else since.
    #[must_use]
    pub fn is_to_wait(&self, trigger: &Trigger, now: Timestamp) -> bool {
        self.trigger == *trigger && now >= self.next.decided && now < self.next.not_before
    }

    /// The newest status: the one we wrote, while the watch has not shown it yet.
    #[must_use]
    pub fn newest_status(&self, object: &RegistryAttachment) -> Option<RegistryAttachmentStatus> {
        let seen = version(object.resource_version().as_deref());
        let written = self.written.as_ref().filter(|(version, _)| *version > seen);
        written.map(|(_, status)| status.clone()).or_else(|| object.status.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_looked_at_anew_waits_for_no_promised_time() {
        let (memory, now) = (Memory::default(), Timestamp::now());
        let object = serde_json::json!({
            "apiVersion": "acr-attach.dev/v1alpha1", "kind": "RegistryAttachment",
            "metadata": {"name": "a"}, "spec": {"registry": {}},
        });
        let object: RegistryAttachment = serde_json::from_value(object).unwrap();
        let trigger = Trigger::of(&object);
        let later = now + SignedDuration::from_mins(30);
        let next = Next { look: later, reread: None, pass: later, not_before: now, decided: now };
        let (history, known) = (History::default(), Known::default());
        let recollection =
            Recollection { trigger: trigger.clone(), next, history, written: None, known };
        memory.keep("a", recollection);
        assert!(memory.recall("a", &trigger).unwrap().wait(&trigger, now).is_some());
        memory.look_anew();
        let due = memory.recall("a", &trigger).unwrap();
        assert!(due.wait(&trigger, now).is_none() && due.next.look < now);
    }

    #[test]
    fn a_call_that_comes_too_late_swallows_no_event_of_the_cluster() {
        let memory = Memory::default();
        memory.wake("a", Wake::Report);
        memory.wake("a", Wake::Place);
        let wake = memory.wake_of("a").unwrap();
        assert_eq!(wake.for_one_that_waits(true), Wake::Place);
        assert_eq!(wake.for_one_that_waits(false), Wake::Role);
        assert_eq!(Wake::Credential.for_one_that_waits(false), Wake::Credential);
        assert_eq!(memory.wake_of("a"), None);
    }
}

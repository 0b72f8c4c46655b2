//! The state of each attachment between reconciles, in memory only. To lose it costs a check of Azure and
//! nothing else.

pub mod latest;
mod revision;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use acr_attach_core::api::{MethodInUse, RegistryAttachment, RegistryAttachmentStatus};
use acr_attach_core::ids::AssignmentId;
use acr_attach_core::outcome::last_check::LastCheck;
use acr_attach_core::outcome::requeue::Schedule;
use acr_attach_core::outcome::status::Observed;
use acr_attach_core::outcome::verdict::History;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::attachment::context::Context;
use crate::cluster::cache::version;

pub use revision::Revision;

/// How long reports are gathered before they are written to status.
const REPORT_PERIOD: SignedDuration = SignedDuration::from_secs(1);

/// The states and triggers of attachments, by name.
#[derive(Debug, Default)]
pub struct StateStore {
    states: Mutex<HashMap<String, AttachmentState>>,
    triggers: Mutex<HashMap<String, Trigger>>,
}

/// Why an attachment has to be reconciled although its object did not change. Of two triggers the later
/// variant counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trigger {
    /// The delivery controller has new reports of namespaces.
    Report,
    /// Another attachment released a role assignment, or changed its condition.
    Role,
    /// A permit for Azure Resource Manager is free for the attachment.
    Permit,
    /// The Secret with the client secret of the attachment changed.
    Credential,
}

/// The state of one attachment after a reconcile.
#[derive(Clone, Debug)]
pub struct AttachmentState {
    /// The revision that was reconciled, with the reconcile's own changes of finalizers.
    pub revision: Revision,
    /// When to reconcile again.
    pub next: Schedule,
    /// The results of the reconciles so far.
    pub history: History,
    /// The status that was last written, and the version of the object that holds it.
    pub written: Option<(u64, RegistryAttachmentStatus)>,
    /// What the reconciles so far found.
    pub findings: Findings,
}

/// What the reconciles of one attachment found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// What the last check of Azure found.
    pub check: LastCheck,
    /// The method in use.
    pub method: Option<MethodInUse>,
    /// Why the platform speaks against the method, for the message of Ready. The method stays.
    pub remark: Option<String>,
    /// The earliest time of a shared read that the check accepts (UTC). Kept between reconciles only while a
    /// check waits, with cause `Busy` or `Queued`.
    pub since: Option<Timestamp>,
    /// The role assignments that were written, or may have been since Azure did not answer, and when (UTC).
    /// Azure may not show them yet.
    pub written: BTreeMap<AssignmentId, Timestamp>,
    /// Since when the attachment is in a transition, if it is (UTC).
    pub transition_since: Option<Timestamp>,
    /// What the last check of Azure found for status.
    pub observed: Observed,
}

impl StateStore {
    /// The state of an attachment, unless it is of another object with the same name.
    #[must_use]
    pub fn get(&self, name: &str, revision: &Revision) -> Option<AttachmentState> {
        let all = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = all.get(name).filter(|it| it.revision.is_of(revision)).cloned()?;
        if known.revision.is_readable() != revision.is_readable() {
            // A status that was written while the object was unreadable may never have been stored.
            known.written = None;
        }
        Some(known)
    }

    /// Keeps the state of an attachment.
    pub fn put(&self, name: &str, state: AttachmentState) {
        let mut all = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(name.to_owned(), state);
    }

    /// Forgets an attachment that is gone. Returns its state.
    pub fn remove(&self, name: &str) -> Option<AttachmentState> {
        self.triggers.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.states.lock().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    /// Makes a check of Azure due for each attachment, whatever time was scheduled.
    pub fn check_anew(&self) {
        let mut all = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        for known in all.values_mut() {
            (known.next.check, known.next.reconcile) = (Timestamp::MIN, Timestamp::MIN);
        }
    }

    /// The names of the attachments that have a state.
    pub fn names(&self) -> Vec<String> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Notes why an attachment has to be reconciled.
    pub fn trigger(&self, name: &str, trigger: Trigger) {
        let mut all = self.triggers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(name.to_owned()).or_insert(trigger);
        *known = trigger.max(*known);
    }

    /// How long a reconcile for reports has to wait, so that status is written once a second at most; `None`
    /// if it need not. A namespace that waits for a credential is served at once, unless the last try for a
    /// credential failed.
    #[must_use]
    pub fn is_too_soon(
        &self,
        name: &str,
        trigger: Option<Trigger>,
        before: Option<&AttachmentState>,
        ctx: &Context,
    ) -> Option<SignedDuration> {
        let before = before.filter(|_| trigger == Some(Trigger::Report))?;
        let uid = before.revision.uid()?;
        let waits = ctx.delivery.ask(uid, |it| !it.waiting().is_empty()).unwrap_or_default();
        let rest = REPORT_PERIOD - Timestamp::now().duration_since(before.next.decided);
        let is_refused = before.findings.check.refusal.is_some();
        (rest.is_positive() && (!waits || is_refused)).then(|| {
            self.trigger(name, Trigger::Report);
            rest
        })
    }

    /// Takes the trigger of an attachment. The next call returns a newer one only.
    #[must_use]
    pub fn take_trigger(&self, name: &str) -> Option<Trigger> {
        self.triggers.lock().unwrap_or_else(PoisonError::into_inner).remove(name)
    }
}

impl Trigger {
    /// The trigger for an attachment that waits for a permit, or does not any more. In the second case a
    /// permit counts as [`Role`](Self::Role), since it may have replaced a lesser trigger.
    #[must_use]
    pub fn for_waiting(self, waits: bool) -> Self {
        if self == Self::Permit && !waits { Self::Role } else { self }
    }
}

impl AttachmentState {
    /// How long until the next reconcile is due; `None` if it is due, or if the revision is new.
    ///
    /// Without this wait the attachment would be reconciled before it is due, since the earlier time wins in
    /// kube's scheduler.
    #[must_use]
    pub fn wait(&self, revision: &Revision, now: Timestamp) -> Option<SignedDuration> {
        let wait = self.next.reconcile.duration_since(now);
        let valid = self.revision == *revision && now >= self.next.decided;
        (valid && wait.is_positive()).then_some(wait)
    }

    /// Whether Azure, the rate limiter or the queue for permits makes the next check wait, and the object has
    /// not changed since.
    #[must_use]
    pub fn has_to_wait(&self, revision: &Revision, now: Timestamp) -> bool {
        self.revision == *revision && now >= self.next.decided && now < self.next.not_before
    }

    /// The newest status: the last one that was written while the watch has not shown it yet, else that of
    /// the object.
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
        let (states, now) = (StateStore::default(), Timestamp::now());
        let object = serde_json::json!({
            "apiVersion": "acr-attach.dev/v1alpha1", "kind": "RegistryAttachment",
            "metadata": {"name": "a"}, "spec": {"registry": {}},
        });
        let object: RegistryAttachment = serde_json::from_value(object).unwrap();
        let revision = Revision::of(&object);
        let later = now + SignedDuration::from_mins(30);
        let next = Schedule {
            check: later,
            reread: None,
            reconcile: later,
            not_before: now,
            decided: now,
        };
        let (history, findings) = (History::default(), Findings::default());
        let state =
            AttachmentState { revision: revision.clone(), next, history, written: None, findings };
        states.put("a", state);
        assert!(states.get("a", &revision).unwrap().wait(&revision, now).is_some());
        states.check_anew();
        let due = states.get("a", &revision).unwrap();
        assert!(due.wait(&revision, now).is_none() && due.next.check < now);
    }

    #[test]
    fn a_call_that_comes_too_late_swallows_no_event_of_the_cluster() {
        let states = StateStore::default();
        states.trigger("a", Trigger::Report);
        states.trigger("a", Trigger::Permit);
        let trigger = states.take_trigger("a").unwrap();
        assert_eq!(trigger.for_waiting(true), Trigger::Permit);
        assert_eq!(trigger.for_waiting(false), Trigger::Role);
        assert_eq!(Trigger::Credential.for_waiting(false), Trigger::Credential);
        assert_eq!(states.take_trigger("a"), None);
    }
}

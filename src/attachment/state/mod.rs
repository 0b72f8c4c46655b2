//! What is known of each attachment between reconciles. Losing it costs a check at Azure, no more.

pub mod last_check;
pub mod latest;
mod revision;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use acr_attach_core::api::{MethodInUse, RegistryAttachment, RegistryAttachmentStatus};
use acr_attach_core::ids::AssignmentId;
use acr_attach_core::outcome::status::Observed;
use acr_attach_core::outcome::verdict::History;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::attachment::context::Context;
use crate::attachment::state::last_check::LastCheck;
use crate::cluster::cache::version;

pub use revision::Revision;

/// How long reports are gathered before status tells of them.
const REPORT_PERIOD: SignedDuration = SignedDuration::from_secs(1);

/// By name of the attachment.
#[derive(Debug, Default)]
pub struct StateStore {
    states: Mutex<HashMap<String, AttachmentState>>,
    triggers: Mutex<HashMap<String, Trigger>>,
}

/// Why an attachment has to be worked on although nothing of it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trigger {
    /// Namespaces have reported something new.
    Report,
    /// Another attachment let go of a role assignment, or changed its condition.
    Role,
    /// There is a place for it at Azure.
    Permit,
    /// The Secret with its client secret changed.
    Credential,
}

/// What is known of one attachment.
#[derive(Clone, Debug)]
pub struct AttachmentState {
    /// What the last reconcile worked on.
    pub revision: Revision,
    /// When to come back.
    pub next: Schedule,
    /// What the reconciles so far have shown.
    pub history: History,
    /// The status that was last written, and the version of the object that holds it.
    pub written: Option<(u64, RegistryAttachmentStatus)>,
    /// What was found out.
    pub findings: Findings,
}

/// When to come back, if nothing new comes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// To ask Azure anew.
    pub check: Timestamp,
    /// To read once more what was written in Azure, or may have been. Looks before that do not count.
    pub reread: Option<Timestamp>,
    /// To work on it at all; not after that.
    pub reconcile: Timestamp,
    /// Before that, Azure is not to be asked: it has said so.
    pub not_before: Timestamp,
    /// When that was decided. A clock that was set back since has outrun all of it.
    pub decided: Timestamp,
}

/// What was found out of one attachment.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// What Azure said.
    pub check: LastCheck,
    /// The method in use.
    pub method: Option<MethodInUse>,
    /// What speaks against it, and changes nothing.
    pub remark: Option<String>,
    /// What was read before that does not serve the check that has to wait for its turn, if one has.
    pub since: Option<Timestamp>,
    /// Role assignments that were written, or asked for without an answer, and when. Azure may not show them
    /// yet.
    pub written: BTreeMap<AssignmentId, Timestamp>,
    /// Since when the attachment is in a transition, if it is (UTC).
    pub transition_since: Option<Timestamp>,
    /// What the last check has found for status.
    pub observed: Observed,
}

impl StateStore {
    /// What is known of an attachment, unless it is another one of the same name.
    #[must_use]
    pub fn get(&self, name: &str, revision: &Revision) -> Option<AttachmentState> {
        let all = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = all.get(name).filter(|it| it.revision.is_of(revision)).cloned()?;
        if known.revision.is_readable() != revision.is_readable() {
            // What was told while it could not be read may never have been stored.
            known.written = None;
        }
        Some(known)
    }

    /// Keeps that.
    pub fn put(&self, name: &str, recollection: AttachmentState) {
        let mut all = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(name.to_owned(), recollection);
    }

    /// The attachment is gone. Returns what was known of it.
    pub fn remove(&self, name: &str) -> Option<AttachmentState> {
        self.triggers.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.states.lock().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    /// Each attachment is due for a check, whatever time was promised.
    pub fn check_anew(&self) {
        let mut all = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        for known in all.values_mut() {
            (known.next.check, known.next.reconcile) = (Timestamp::MIN, Timestamp::MIN);
        }
    }

    /// The names of the attachments of which something is known.
    pub fn names(&self) -> Vec<String> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// The attachment has to be worked on.
    pub fn trigger(&self, name: &str, trigger: Trigger) {
        let mut all = self.triggers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(name.to_owned()).or_insert(trigger);
        *known = trigger.max(*known);
    }

    /// How long reports have to wait, so that status is written once a second at most; `None` if they
    /// need not. A namespace that waits for a credential does not wait for that.
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

    /// Why it has to be worked on. The next time it says so only if there is another reason.
    #[must_use]
    pub fn take_trigger(&self, name: &str) -> Option<Trigger> {
        self.triggers.lock().unwrap_or_else(PoisonError::into_inner).remove(name)
    }
}

impl Trigger {
    /// What it means for an attachment that waits for a place at Azure, or does not any more:
    /// then it has come by itself, and what else may have happened still counts.
    #[must_use]
    pub fn for_waiting(self, waits: bool) -> Self {
        if self == Self::Permit && !waits { Self::Role } else { self }
    }
}

impl AttachmentState {
    /// How long there is nothing to do; `None` if the time has come, or something new has.
    ///
    /// Without it any event of the watch would check at Azure, since the earlier time wins in
    /// kube's scheduler.
    #[must_use]
    pub fn wait(&self, revision: &Revision, now: Timestamp) -> Option<SignedDuration> {
        let wait = self.next.reconcile.duration_since(now);
        let valid = self.revision == *revision && now >= self.next.decided;
        (valid && wait.is_positive()).then_some(wait)
    }

    /// Whether Azure has asked to wait, and the user has asked for nothing else since.
    #[must_use]
    pub fn has_to_wait(&self, revision: &Revision, now: Timestamp) -> bool {
        self.revision == *revision && now >= self.next.decided && now < self.next.not_before
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
        let recollection =
            AttachmentState { revision: revision.clone(), next, history, written: None, findings };
        states.put("a", recollection);
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

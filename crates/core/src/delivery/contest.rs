//! Contests: records of writes that others refuse, change or undo.
//!
//! Each object that an attachment manages in the cluster has one record. The record limits the
//! writes to that object, tells when the next write is due, and holds the problem for status.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::outcome::waits::Intervals;
use crate::problem::{Cause, Problem};

/// An object in the cluster that an attachment manages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ManagedObject {
    /// A pull secret.
    Secret {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The name of a pull secret in `imagePullSecrets` of a service account.
    Entry {
        /// The namespace of the service account.
        namespace: String,
        /// The name of the service account.
        account: String,
        /// The name of the pull secret.
        secret: String,
    },
    /// The removal of such an object, which is not desired any more.
    Removal(Box<ManagedObject>),
}

/// The state of an object that was written before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectState {
    /// The object is as it was written.
    AsWritten,
    /// The object was changed or deleted. Holds the field manager that wrote last, if the object names
    /// one.
    Undone(Option<String>),
    /// The attachment does not desire the object any more.
    NotDesired,
    /// The cluster could not be read.
    Unknown,
}

/// The contests of one attachment. They are kept in memory only, and start again after a restart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contests(BTreeMap<ManagedObject, Contest>);

#[derive(Clone, Debug, PartialEq)]
struct Contest {
    /// Since when the object is as it was written; `None` after a loss.
    unchanged_since: Option<Timestamp>,
    /// How many writes were refused or undone: the losses.
    losses: u32,
    /// The time of the last loss.
    lost_at: Timestamp,
    /// When the object is written again after a loss.
    due: Timestamp,
    /// The longest time from a write to its loss.
    longest_unchanged: SignedDuration,
    /// The problem for status; `None` before the first loss.
    problem: Option<Problem>,
}

/// After more losses than these an object is contested. Each of these writes is repeated at once,
/// since a mistake of a user looks the same.
const FREE_LOSSES: u32 = 3;
/// How long a record is kept after the last loss, while the object stays as it was written. It is longer than a
/// day, so that a tool that undoes a write once a day is recognised.
const RECORD_LIFETIME: SignedDuration = SignedDuration::from_hours(48);
/// A contest ends when its object was unchanged for at least that time, and for four times its
/// longest time between a write and a loss.
const MIN_UNCHANGED: SignedDuration = SignedDuration::from_hours(1);
/// The longest wait between two writes against a writer that undoes each.
const MAX_WAIT: SignedDuration = SignedDuration::from_hours(12);
/// The longest wait after a refusal by admission: a quota or a policy may change at any time.
const MAX_REFUSAL_WAIT: SignedDuration = SignedDuration::from_mins(10);

impl Contests {
    /// Records a write that the API server stored as intended.
    pub fn record_write(&mut self, object: ManagedObject, now: Timestamp) {
        let record = self.0.entry(object).or_insert_with(|| Contest::new(now));
        record.unchanged_since = Some(now);
    }

    /// Records a write that was refused, or stored with changes. A refused write is repeated at the
    /// resync at the latest.
    pub fn record_refusal(
        &mut self,
        object: ManagedObject,
        problem: Problem,
        intervals: &Intervals,
        now: Timestamp,
    ) {
        let resync = intervals.resync;
        let record = self.0.entry(object).or_insert_with(|| Contest::new(now));
        let losses = record.losses;
        let wait = match problem.cause {
            // Where any name is allowed, no watch shows when the other object is deleted.
            Cause::NotOurs => intervals.conflict_retry.min(resync),
            Cause::AdmissionDenied => {
                doubled(SignedDuration::from_secs(10), losses, MAX_REFUSAL_WAIT).min(resync)
            }
            _ => doubled(SignedDuration::from_mins(1), losses, MAX_WAIT),
        };
        record.lose(problem, wait, now);
    }

    /// Compares all records with the cluster. A write that was undone is a loss. The record of an
    /// object that others have corrected, or that is not desired any more, ends.
    pub fn observe(&mut self, state: impl Fn(&ManagedObject) -> ObjectState, now: Timestamp) {
        self.0.retain(|object, record| match (state(object), record.unchanged_since) {
            (ObjectState::NotDesired, _) | (ObjectState::AsWritten, None) => false,
            (ObjectState::AsWritten, Some(_)) => now < record.settled_at(),
            (ObjectState::Undone(by), Some(since)) => {
                record.longest_unchanged = record.longest_unchanged.max(now.duration_since(since));
                let times = record.losses.saturating_add(1);
                let wait = match times.checked_sub(FREE_LOSSES + 1) {
                    Some(times) => doubled(SignedDuration::from_mins(1), times, MAX_WAIT),
                    None => SignedDuration::ZERO,
                };
                record.lose(undone(object, by.as_deref(), times, now), wait, now);
                true
            }
            (ObjectState::Undone(_), None) | (ObjectState::Unknown, _) => true,
        });
    }

    /// Why an object must not be written now; `None` if it may be written.
    #[must_use]
    pub fn blocks(&self, object: &ManagedObject, now: Timestamp) -> Option<&Problem> {
        let record = self.0.get(object)?;
        let waits = record.unchanged_since.is_none() && now < record.due;
        record.problem.as_ref().filter(|_| waits)
    }

    /// Whether others have undone so many writes to an object that it counts as theirs. Refusals do not count.
    #[must_use]
    pub fn is_lost(&self, object: &ManagedObject) -> bool {
        let Some(record) = self.0.get(object) else { return false };
        let is_undone = |it: &Problem| it.cause == Cause::ExternallyManaged;
        record.is_contested() && record.problem.as_ref().is_some_and(is_undone)
    }

    /// Why an object still counts as contested although it is as it was written; `None` if it does not.
    #[must_use]
    pub fn still_contested(&self, object: &ManagedObject) -> Option<&Problem> {
        let record = self.0.get(object)?;
        record
            .problem
            .as_ref()
            .filter(|_| record.is_contested() && record.unchanged_since.is_some())
    }

    /// When the next wait or the next contest ends (UTC).
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        let lost = self.0.values().filter(|it| it.losses > 0);
        lost.map(|it| if it.unchanged_since.is_some() { it.settled_at() } else { it.due }).min()
    }

    /// Drops all records with losses, after a user changed the spec or requested a reconcile.
    pub fn forget_losses(&mut self) {
        self.0.retain(|_, record| record.losses == 0);
    }
}

impl Contest {
    fn new(now: Timestamp) -> Self {
        let longest_unchanged = SignedDuration::ZERO;
        Self {
            unchanged_since: None,
            losses: 0,
            lost_at: now,
            due: now,
            longest_unchanged,
            problem: None,
        }
    }

    fn lose(&mut self, problem: Problem, wait: SignedDuration, now: Timestamp) {
        self.losses = self.losses.saturating_add(1);
        self.lost_at = now;
        self.due = after(now, wait);
        self.unchanged_since = None;
        self.problem = Some(problem);
    }

    fn is_contested(&self) -> bool {
        self.losses > FREE_LOSSES
    }

    /// When the contest of an unchanged object ends.
    fn settled_at(&self) -> Timestamp {
        let since = self.unchanged_since.unwrap_or(self.lost_at);
        if self.is_contested() {
            let calm = self
                .longest_unchanged
                .checked_mul(4)
                .unwrap_or(RECORD_LIFETIME)
                .clamp(MIN_UNCHANGED, RECORD_LIFETIME);
            return after(since, calm);
        }
        after(since.max(self.lost_at), RECORD_LIFETIME)
    }
}

fn doubled(first: SignedDuration, times: u32, longest: SignedDuration) -> SignedDuration {
    first.checked_mul(1 << times.min(16)).unwrap_or(longest).min(longest)
}

fn after(from: Timestamp, wait: SignedDuration) -> Timestamp {
    from.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// The problem of an object that others changed or deleted `times` times, or created again after
/// its removal.
fn undone(object: &ManagedObject, by: Option<&str>, times: u32, now: Timestamp) -> Problem {
    let by = by.map_or_else(|| "another writer".to_owned(), |it| format!("field manager {it}"));
    let when = now.strftime("%FT%TZ");
    let count = if times == 1 { "once".to_owned() } else { format!("{times} times") };
    let often =
        format!("{count}, last at {when}, and acr-attach waits longer before each further try");
    Problem::new(Cause::ExternallyManaged, lost(object, &by, &often))
}

fn lost(object: &ManagedObject, by: &str, often: &str) -> String {
    match object {
        ManagedObject::Entry { namespace, account, secret } => format!(
            "add `- name: {secret}` to imagePullSecrets of service account {account} in namespace {namespace} where {by} takes it from: {by} took the entry out {often}"
        ),
        ManagedObject::Secret { namespace, name } => format!(
            "exempt Secret {name} in namespace {namespace} (label app.kubernetes.io/managed-by=acr-attach) from what changes or deletes it: {by} did so {often}"
        ),
        ManagedObject::Removal(object) => left(object, by, often),
    }
}

fn left(object: &ManagedObject, by: &str, often: &str) -> String {
    match object {
        ManagedObject::Entry { namespace, account, secret } => format!(
            "take {secret} out of imagePullSecrets of service account {account} in namespace {namespace}, and annotation pull-secrets.acr-attach.dev/{secret} with it, where {by} takes them from: they came back {often}"
        ),
        ManagedObject::Secret { namespace, name } => format!(
            "stop what keeps Secret {name} in namespace {namespace} or makes it anew, such as a finalizer or a tool that copies Secrets: it was deleted, and was there again {often}"
        ),
        ManagedObject::Removal(object) => left(object, by, often),
    }
}

#[cfg(test)]
mod tests;

//! The reports of namespaces, and the queries of the attachment controller on them.

use std::sync::Arc;
use std::time::Duration;

use acr_attach_core::delivery::contest::Contests;
use acr_attach_core::delivery::{Deliveries, Directive, Reported};
use acr_attach_core::outcome::changes::NamespaceChange;
use acr_attach_core::problem::Problem;
use kube::ResourceExt;

use super::Lane;
use super::attachment::{Attachment, Report};
use super::state::Delivery;
use crate::cluster::watches::Watches;

/// How long a reconcile of an attachment waits for reports, so that status covers all at once.
const REPORTING: Duration = Duration::from_secs(1);

/// The result of a reconcile of a namespace for one attachment.
pub struct Found<'a> {
    /// The report.
    pub report: Report,
    /// The writes that others refuse or undo.
    pub contests: Contests,
    /// The changes that were made.
    pub changes: Vec<NamespaceChange>,
    /// The directive that the reconcile followed.
    pub directive: &'a Arc<Directive>,
}

impl Delivery {
    /// Stores the report on a namespace, and the changes there.
    ///
    /// A report on a namespace that is gone would stay for ever, so it is dropped. The cache tells: it loses a
    /// namespace before [`namespace_gone`](Self::namespace_gone) discards the reports on it.
    pub fn report(&self, (uid, namespace): (&str, &str), found: Found<'_>, watches: &Watches) {
        let Found { report, contests, changes, directive } = found;
        let mut all = self.lock();
        if !matches!(watches.namespaces.get("", namespace), Ok(Some(_))) {
            return;
        }
        let Some(known) = all.get_mut(uid) else { return };
        let lane = report.lane();
        let key = (lane, namespace.to_owned());
        if contests == Contests::default() {
            known.contests.remove(&key);
        } else {
            known.contests.insert(key, contests);
        }
        let removals = changes.iter().any(NamespaceChange::is_removal);
        let has_changed = !changes.is_empty();
        known.changes.extend(changes);
        if !Arc::ptr_eq(&known.directive, directive) {
            // The directive has changed since: the report is outdated. What was removed is gone all the
            // same, and another attachment may wait for the name.
            self.queues.enqueue(namespace);
            if has_changed {
                self.tell(known);
            }
            return;
        }
        let Reported { is_new, was_expected } = match report {
            Report::Entries(it) => known.deliveries.report_entries(namespace, *it),
            Report::Secret(it) => known.deliveries.report_secret(namespace, *it),
        };
        if removals {
            // Another attachment may wait for the name.
            self.queues.enqueue(namespace);
        } else if is_new {
            // The other lane may have something to remove now: an old Secret goes once the accounts name the new
            // one, an old entry once the new Secret serves.
            self.queues.add(lane.other(), namespace);
        }
        if is_new || was_expected || has_changed {
            self.tell(known);
        }
    }

    /// Counts the failures in a row, and returns the count.
    pub fn failed(&self, uid: &str, lane: Lane, namespace: &str, failed: bool) -> u32 {
        let mut all = self.lock();
        let Some(known) = all.get_mut(uid) else { return 0 };
        let key = (lane, namespace.to_owned());
        if !failed {
            known.failures.remove(&key);
            return 0;
        }
        let count = known.failures.entry(key).or_default();
        *count = count.saturating_add(1);
        *count
    }

    pub(super) fn tell(&self, known: &Attachment) {
        if known.deliveries.are_complete() {
            known.complete.notify_waiters();
        }
        // No receiver is left only when the operator ends.
        let _ = self.queues.reports.send(known.object.name_any());
    }

    /// Waits until every namespace has reported on the latest directive, but not for long.
    pub async fn reported_on(&self, uid: &str) {
        let complete = async {
            loop {
                let Some(notify) = self.lock().get(uid).map(|it| Arc::clone(&it.complete)) else {
                    return;
                };
                let mut next = std::pin::pin!(notify.notified());
                next.as_mut().enable();
                if self.ask(uid, Deliveries::are_complete).unwrap_or(true) {
                    return;
                }
                next.await;
            }
        };
        let _ = tokio::time::timeout(REPORTING, complete).await;
    }

    /// Queries the reports on an attachment; `None` for one that is not known.
    pub fn ask<T>(&self, uid: &str, question: impl FnOnce(&Deliveries) -> T) -> Option<T> {
        self.lock().get(uid).map(|it| question(&it.deliveries))
    }

    /// Why something that is no longer desired was not removed.
    #[must_use]
    pub fn unremoved(&self, uid: &str) -> Option<Problem> {
        self.ask(uid, |it| it.unremoved().cloned()).flatten()
    }

    /// Returns the changes since the last call.
    #[must_use]
    pub fn take_changes(&self, uid: &str) -> Vec<NamespaceChange> {
        self.lock().get_mut(uid).map(|it| std::mem::take(&mut it.changes)).unwrap_or_default()
    }
}

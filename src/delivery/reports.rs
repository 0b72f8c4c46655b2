//! What namespaces report, and what the attachment controller asks of it.

use std::sync::Arc;
use std::time::Duration;

use acr_attach_core::delivery::contest::Contests;
use acr_attach_core::delivery::{Deliveries, Reported};
use acr_attach_core::problem::Problem;
use kube::ResourceExt;

use super::attachment::{Attachment, Report};
use super::state::Delivery;
use super::{Change, Lane};
use crate::cluster::watches::Watches;

/// How long a reconcile of an attachment waits for the reports of namespaces, so that status tells of
/// all of them at once.
const REPORTING: Duration = Duration::from_secs(1);

impl Delivery {
    /// Takes the report on a namespace, with what was changed there. A namespace that has gone meanwhile
    /// counts no more: the cache forgets it before its report is forgotten.
    pub fn report(
        &self,
        (uid, namespace): (&str, &str),
        report: Report,
        (contests, changes): (Contests, Vec<Change>),
        watches: &Watches,
    ) {
        let mut all = self.lock();
        if !matches!(watches.namespaces.get("", namespace), Ok(Some(_))) {
            return;
        }
        let Some(known) = all.get_mut(uid) else { return };
        let lane = match report {
            Report::Entries(_) => Lane::Entries,
            Report::Secret(_) => Lane::Secrets,
        };
        let key = (lane, namespace.to_owned());
        if contests == Contests::default() {
            known.contests.remove(&key);
        } else {
            known.contests.insert(key, contests);
        }
        let has_changed = !changes.is_empty();
        known.changes.extend(changes);
        let Reported { is_new, was_expected } = match report {
            Report::Entries(it) => known.deliveries.report_entries(namespace, *it),
            Report::Secret(it) => known.deliveries.report_secret(namespace, *it),
        };
        if is_new {
            // What one lane has found decides when the other may remove what is replaced.
            self.queues.add(lane.other(), namespace);
        }
        if is_new || was_expected || has_changed {
            self.tell(known);
        }
    }

    /// Counts failures in a row. Returns how many there are now.
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

    /// Waits until every namespace has reported since what is desired has changed, but not for long.
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

    /// Asks the reports on an attachment; `None` for one that is not known.
    pub fn ask<T>(&self, uid: &str, question: impl FnOnce(&Deliveries) -> T) -> Option<T> {
        self.lock().get(uid).map(|it| question(&it.deliveries))
    }

    /// Why something that is no longer desired was not removed.
    #[must_use]
    pub fn unremoved(&self, uid: &str) -> Option<Problem> {
        self.ask(uid, |it| it.unremoved().cloned()).flatten()
    }

    /// What was changed since this was last asked.
    #[must_use]
    pub fn take_changes(&self, uid: &str) -> Vec<Change> {
        self.lock().get_mut(uid).map(|it| std::mem::take(&mut it.changes)).unwrap_or_default()
    }
}

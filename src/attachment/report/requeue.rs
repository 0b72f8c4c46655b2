//! When to come back: to ask Azure, and to check at the cluster.

use acr_attach_core::api::MethodInUse;
use acr_attach_core::outcome::schedule::{Intervals, reread, resync, retry, spread, transition};
use acr_attach_core::outcome::verdict::History;
use acr_attach_core::problem::{Cause, Problem};
use jiff::{SignedDuration, Timestamp};

use crate::attachment::report::outcome::{Failure, Outcome};
use crate::attachment::snapshot::Scope;
use crate::attachment::state::{AttachmentState, Schedule};

/// How a reconcile ended, as far as the next one depends on it.
pub struct Requeue<'a> {
    /// What it came to.
    pub outcome: &'a Outcome,
    /// What the reconciles so far have shown.
    pub history: &'a History,
    /// Why status could not be written.
    pub unreported: Option<&'a Problem>,
    /// What was known before.
    pub before: Option<&'a AttachmentState>,
    /// Whether the time for the reconcile had come, or something of the attachment was new.
    pub due: bool,
}

impl Requeue<'_> {
    /// When to come back.
    ///
    /// Events of the cluster put nothing off: a glance keeps what was promised before. Nor do
    /// they hasten a question to Azure, which may have asked to wait.
    pub fn next(&self, intervals: &Intervals, now: Timestamp) -> Schedule {
        let after = |wait: SignedDuration| now.checked_add(wait).unwrap_or(now);
        let glanced = !self.outcome.has_checked_azure();
        let promised = self.before.map(|it| it.next).filter(|_| glanced);
        // The same for both: where the resync is the shorter one, it is one check.
        let jitter = fastrand::f64();
        let calm = match promised {
            Some(promised) => promised.check,
            None if glanced => after(spread(intervals, fastrand::f64())),
            None => after(match self.outcome.findings.transition_since {
                Some(since) => transition(now.duration_since(since), intervals, jitter),
                None => resync(intervals, jitter),
            }),
        };
        let asking = self.retries(Scope::Azure, intervals).map(after);
        let carried = self.before.and_then(|it| it.next.reread);
        let reread = if self.outcome.may_have_written() {
            Some(after(reread(intervals, jitter)))
        } else {
            carried.filter(|it| glanced || *it > now)
        };
        let dates = self.dates(Scope::Azure, now);
        // A failure has a time of its own, which may be later than the resync.
        let calm = Some(calm).filter(|_| asking.is_none() || promised.is_some());
        let check = calm.into_iter().chain(asking).chain(reread).chain(dates).min();
        let not_before = self.asked_to_wait(intervals).map(after);
        let not_before = not_before.into_iter().chain(promised.map(|it| it.not_before)).max();
        let not_before = not_before.unwrap_or(now);
        let check = check.unwrap_or(now).max(not_before);

        let soon = self.retries(Scope::Cluster, intervals).map(after);
        let soon = soon.into_iter().chain(self.dates(Scope::Cluster, now));
        let reconcile = soon.chain([check]).min().unwrap_or(check);
        let promised = self.before.filter(|_| !self.due).map(|it| it.next.reconcile);
        let reconcile = promised.map_or(reconcile, |it| it.min(reconcile));
        Schedule { check, reread, reconcile, not_before, decided: now }
    }

    /// What went wrong and was not known before: a glance does not try again what a check found.
    fn failures(&self) -> impl Iterator<Item = &Failure> {
        let last =
            self.before.map(|it| &it.findings.check).filter(|_| !self.outcome.has_checked_azure());
        let new = move |it: &&Failure| last.is_none_or(|last| !last.has_found(&it.problem));
        self.outcome.failures.iter().filter(new)
    }

    /// The shortest wait among what went wrong and takes such a reconcile to be tried again.
    fn retries(&self, needs: Scope, intervals: &Intervals) -> Option<SignedDuration> {
        let times = |it: &Problem| match (it.cause, &self.history.streak) {
            (cause, _) if cause.is_waiting() => self.history.waits,
            (cause, Some(streak)) => streak.failures_of(cause),
            (_, None) => 1,
        };
        let failures = self.failures().filter(|it| it.needs == needs);
        let waits = failures
            .map(|it| retry(it.problem.cause, times(&it.problem), intervals, fastrand::f64()));
        // Only a check writes the status of every method.
        let unreported = self.unreported.filter(|_| needs == Scope::Azure).map(|it| {
            retry(it.cause, self.history.failed_status_writes, intervals, fastrand::f64())
        });
        waits.chain(unreported).min()
    }

    /// How long Azure has just asked to wait, or has to be waited for.
    fn asked_to_wait(&self, intervals: &Intervals) -> Option<SignedDuration> {
        let causes = self.failures().map(|it| it.problem.cause);
        let asked =
            causes.filter(|it| matches!(it, Cause::Throttled { .. } | Cause::Queued { .. }));
        asked.map(|it| retry(it, 1, intervals, 0.0)).max()
    }

    /// What is due, and was not when the reconcile decided.
    fn dates(&self, needs: Scope, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        let by_secret = self.outcome.observed.method == Some(MethodInUse::PullSecret);
        let decided = self.outcome.decided;
        let dates = self.outcome.dates.iter().filter(move |(at, takes)| {
            // A role is no business of a glance.
            let takes = if by_secret { *takes } else { Scope::Azure };
            takes == needs && *at > decided
        });
        dates.map(move |(at, _)| (*at).max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attachment::state::{Findings, Revision};

    const INTERVALS: Intervals = Intervals {
        resync: SignedDuration::from_mins(30),
        patience: SignedDuration::from_mins(10),
        removal_delay: SignedDuration::from_hours(1),
        conflict_retry: Intervals::CONFLICT_RETRY,
        reread: Intervals::REREAD,
        transition: Intervals::TRANSITION,
        visibility: Intervals::VISIBILITY,
    };

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn outcome(scope: Scope, failures: &[(Cause, Scope)]) -> Outcome {
        let failure = |(cause, needs): &(Cause, Scope)| Failure {
            problem: Problem::new(*cause, "x"),
            needs: *needs,
        };
        let mut outcome = Outcome::idle(&Findings::default());
        outcome.observed.method = Some(MethodInUse::PullSecret);
        outcome.failures = failures.iter().map(failure).collect();
        Outcome { scope, decided: now(), ..outcome }
    }

    /// Promises to check after so many seconds, and to come back after so many.
    fn before(check: i64, reconcile: i64) -> AttachmentState {
        let object: acr_attach_core::api::RegistryAttachment =
            serde_json::from_value(serde_json::json!({
                "apiVersion": "acr-attach.dev/v1alpha1", "kind": "RegistryAttachment",
                "metadata": {"name": "a"}, "spec": {"registry": {}},
            }))
            .unwrap();
        AttachmentState {
            revision: Revision::of(&object),
            next: Schedule {
                check: now() + SignedDuration::from_secs(check),
                reread: None,
                reconcile: now() + SignedDuration::from_secs(reconcile),
                not_before: now(),
                decided: now(),
            },
            history: History::default(),
            written: None,
            findings: Findings::default(),
        }
    }

    /// Seconds until the next check and the next reconcile.
    fn next(outcome: &Outcome, before: Option<&AttachmentState>, due: bool) -> (i64, i64) {
        let history = History::default();
        let ended = Requeue { outcome, history: &history, unreported: None, before, due };
        let Schedule { check, reconcile, .. } = ended.next(&INTERVALS, now());
        (check.duration_since(now()).as_secs(), reconcile.duration_since(now()).as_secs())
    }

    #[test]
    fn after_a_calm_look_comes_the_resync_and_a_renewal_before_it() {
        let calm = outcome(Scope::Azure, &[]);
        let (check, reconcile) = next(&calm, None, true);
        assert!((1620..=1980).contains(&check) && reconcile == check, "{check} {reconcile}");
        let renewal = (now() + SignedDuration::from_secs(90), Scope::Cluster);
        let ended = (now() - SignedDuration::from_secs(90), Scope::Cluster);
        let calm = Outcome { dates: vec![ended, renewal], ..calm };
        let (check, reconcile) = next(&calm, None, true);
        assert!(check > 1600 && reconcile == 90, "{check} {reconcile}");
        let mut by_role = calm;
        by_role.observed.method = Some(MethodInUse::KubeletIdentity);
        assert_eq!(next(&by_role, None, true), (90, 90));
    }

    #[test]
    fn a_transition_is_looked_at_before_the_resync() {
        let mut watched = outcome(Scope::Azure, &[]);
        watched.findings.transition_since = Some(now());
        let (check, reconcile) = next(&watched, None, true);
        assert!((108..=132).contains(&check) && reconcile == check, "{check} {reconcile}");
    }

    #[test]
    fn events_put_nothing_off_and_hasten_no_question_to_azure() {
        let glance = outcome(Scope::Cluster, &[]);
        assert_eq!(next(&glance, Some(&before(600, 5)), false), (600, 5));
        // When its time has come, it is done with.
        assert_eq!(next(&glance, Some(&before(600, 0)), true), (600, 600));
        let failing = outcome(Scope::Cluster, &[(Cause::Unavailable, Scope::Cluster)]);
        let (check, reconcile) = next(&failing, Some(&before(600, 600)), false);
        assert!(check == 600 && (4..=5).contains(&reconcile), "{check} {reconcile}");
    }

    #[test]
    fn what_fails_for_long_keeps_nothing_else_waiting() {
        let failures = [(Cause::NotOurs, Scope::Cluster), (Cause::Unavailable, Scope::Azure)];
        let (check, reconcile) = next(&outcome(Scope::Azure, &failures), None, true);
        assert!((4..=5).contains(&check) && reconcile == check, "{check} {reconcile}");
    }

    #[test]
    fn azure_is_not_asked_before_the_time_that_it_named() {
        let throttled = Cause::Throttled { retry_after: std::time::Duration::from_secs(300) };
        let failures = [(throttled, Scope::Azure), (Cause::Unavailable, Scope::Azure)];
        let mut outcome = outcome(Scope::Azure, &failures);
        outcome.dates = vec![
            (now() + SignedDuration::from_secs(10), Scope::Azure),
            (now() + SignedDuration::from_secs(20), Scope::Cluster),
        ];
        assert_eq!(next(&outcome, None, true), (300, 20));
    }

    /// Another cluster may have written at the same moment, whatever this process was answered.
    #[test]
    fn what_may_have_been_written_is_read_once_more_and_no_look_before_that_counts() {
        let lost = Outcome { unanswered: true, ..outcome(Scope::Azure, &[]) };
        let (check, _) = next(&lost, None, true);
        assert!((60..=90).contains(&check), "{check}");
        // A check so many seconds after the last one, which promised to read once more 70 s after it.
        let check = |later: i64| {
            let mut before = before(70, 70);
            before.next.reread = Some(now() + SignedDuration::from_secs(70));
            let (calm, history) = (outcome(Scope::Azure, &[]), History::default());
            let (outcome, before) = (&calm, Some(&before));
            let ended = Requeue { outcome, history: &history, unreported: None, before, due: true };
            let next = ended.next(&INTERVALS, now() + SignedDuration::from_secs(later));
            (next.check.duration_since(now()).as_secs(), next.reread.is_some())
        };
        assert_eq!(check(5), (70, true));
        let (check, waits) = check(70);
        assert!(check > 1600 && !waits, "{check}");
    }

    #[test]
    fn a_start_that_could_not_see_the_cluster_yet_asks_nobody() {
        let busy = outcome(Scope::Cluster, &[(Cause::Busy, Scope::Cluster)]);
        let (check, reconcile) = next(&busy, None, true);
        assert!(check >= 179 && reconcile == 0, "{check} {reconcile}");
    }
}

//! Sets the times of the next reconcile of an attachment and of the next check of Azure, from how a reconcile
//! ended. How long each wait is stands in [`waits`](super::waits).

use jiff::{SignedDuration, Timestamp};

use super::failures::Failure;
use super::last_check::{LastCheck, Scope};
use super::verdict::History;
use super::waits::{Intervals, reread, resync, retry, spread, transition};
use crate::problem::{Cause, Problem};

/// When to come back, if nothing new comes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// When Azure is read anew (UTC).
    pub check: Timestamp,
    /// When Azure is read once more after a write, or after a write without an answer (UTC). Checks before that do
    /// not count.
    pub reread: Option<Timestamp>,
    /// When the attachment is reconciled at the latest (UTC).
    pub reconcile: Timestamp,
    /// Before that, Azure is not to be asked, as Azure or the rate limiter has said (UTC).
    pub not_before: Timestamp,
    /// When this was decided (UTC). A clock that was set back since makes all of it void.
    pub decided: Timestamp,
}

/// How a reconcile ended, as far as the next one depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Requeue<'a> {
    /// What the reconcile read.
    pub scope: Scope,
    /// Everything that went wrong.
    pub failures: &'a [Failure],
    /// When role assignments are to be removed (UTC).
    pub removals: &'a [Timestamp],
    /// When the plan was made (UTC). A removal before that was taken into account.
    pub decided: Timestamp,
    /// Whether role assignments were changed, or may have been.
    pub may_have_written: bool,
    /// Since when the attachment is in a transition, if it is (UTC).
    pub transition_since: Option<Timestamp>,
    /// What the reconciles so far have shown.
    pub history: &'a History,
    /// Why status could not be written.
    pub unreported: Option<&'a Problem>,
    /// The schedule of the reconcile before, and what was known then of Azure.
    pub before: Option<(Schedule, &'a LastCheck)>,
    /// Whether the time of the reconcile had come, or something of the attachment was new.
    pub due: bool,
}

impl Requeue<'_> {
    /// When to come back. `jitter` is a random number from 0 to 1.
    ///
    /// A reconcile that reads only the cluster ([`Scope::Cluster`]) keeps the times that the last check of Azure
    /// has set. So events of the cluster delay no check, and cause no read of Azure before the time that Azure
    /// has asked for.
    #[must_use]
    pub fn schedule(&self, intervals: &Intervals, now: Timestamp, jitter: f64) -> Schedule {
        let after = |wait: SignedDuration| now.checked_add(wait).unwrap_or(now);
        let kept = self.before.map(|(it, _)| it).filter(|_| self.is_of_cluster());
        let reread = self.reread(intervals, now, jitter);
        let retry = self.retry(Scope::Azure, intervals, jitter).map(after);
        // After a failure its retry sets the next check, even if that is later than the resync. The regular time
        // counts only where no failure waits for Azure, where the times of the last check are kept, or in a
        // transition.
        let calm = Some(self.calm(intervals, now, jitter));
        let is_calm = retry.is_none() || kept.is_some() || self.transition_since.is_some();
        let calm = calm.filter(|_| is_calm);
        let removals = self.removals.iter().filter(|it| **it > self.decided);
        let removals = removals.map(|it| (*it).max(now));
        let check = calm.into_iter().chain(retry).chain(reread).chain(removals).min();
        let not_before = self.asked_to_wait(intervals).map(after);
        let not_before = not_before.into_iter().chain(kept.map(|it| it.not_before)).max();
        let not_before = not_before.unwrap_or(now);
        let check = check.unwrap_or(now).max(not_before);

        let soon = self.retry(Scope::Cluster, intervals, jitter).map(after);
        let reconcile = soon.map_or(check, |it| it.min(check));
        let before = self.before.filter(|_| !self.due).map(|(it, _)| it.reconcile);
        let reconcile = before.map_or(reconcile, |it| it.min(reconcile));
        Schedule { check, reread, reconcile, not_before, decided: now }
    }

    fn is_of_cluster(&self) -> bool {
        self.scope == Scope::Cluster
    }

    /// The next check of Azure, as far as no failure and no date brings it earlier.
    fn calm(&self, intervals: &Intervals, now: Timestamp, jitter: f64) -> Timestamp {
        let wait = match (self.before, self.transition_since) {
            (Some((before, _)), _) if self.is_of_cluster() => return before.check,
            (None, _) if self.is_of_cluster() => spread(intervals, jitter),
            (_, Some(since)) => transition(now.duration_since(since), intervals, jitter),
            (_, None) => resync(intervals, jitter),
        };
        now.checked_add(wait).unwrap_or(now)
    }

    fn reread(&self, intervals: &Intervals, now: Timestamp, jitter: f64) -> Option<Timestamp> {
        if self.may_have_written {
            return now.checked_add(reread(intervals, jitter)).ok();
        }
        let before = self.before.and_then(|(it, _)| it.reread);
        before.filter(|it| self.is_of_cluster() || *it > now)
    }

    /// What went wrong and was not known before: a reconcile of the cluster alone does not retry what a check
    /// of Azure has found.
    fn new_failures(&self) -> impl Iterator<Item = &Failure> {
        let last = self.before.map(|(_, it)| it).filter(|_| self.is_of_cluster());
        let is_new = move |it: &&Failure| last.is_none_or(|last| !last.has_found(&it.problem));
        self.failures.iter().filter(is_new)
    }

    /// The shortest wait among the failures that take such a reconcile to be tried again.
    fn retry(&self, needs: Scope, intervals: &Intervals, jitter: f64) -> Option<SignedDuration> {
        let times = |it: &Problem| match (it.cause, &self.history.streak) {
            (cause, _) if cause.is_waiting() => self.history.waits,
            (cause, Some(streak)) => streak.failures_of(cause),
            (_, None) => 1,
        };
        let failures = self.new_failures().filter(|it| it.needs == needs).map(|it| &it.problem);
        let waits = failures.map(|it| retry(it.cause, times(it), intervals, jitter));
        // Only a check of Azure writes the status of every method.
        let unreported = self.unreported.filter(|_| needs == Scope::Azure);
        let failed = self.history.failed_status_writes;
        let unreported = unreported.map(|it| retry(it.cause, failed, intervals, jitter));
        waits.chain(unreported).min()
    }

    /// How long Azure has just asked to wait, or has to be waited for.
    fn asked_to_wait(&self, intervals: &Intervals) -> Option<SignedDuration> {
        let causes = self.new_failures().map(|it| it.problem.cause);
        let asked =
            causes.filter(|it| matches!(it, Cause::Throttled { .. } | Cause::Queued { .. }));
        asked.map(|it| retry(it, 1, intervals, 0.0)).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        now() + SignedDuration::from_secs(seconds)
    }

    /// The end of a reconcile in which nothing went wrong and nothing is due.
    struct End {
        scope: Scope,
        failures: Vec<Failure>,
        removals: Vec<Timestamp>,
        may_have_written: bool,
        transition_since: Option<Timestamp>,
        before: Option<Schedule>,
        due: bool,
        now: Timestamp,
    }

    impl End {
        fn of(scope: Scope, failures: &[(Cause, Scope)]) -> Self {
            let failure = |(cause, needs): &(Cause, Scope)| Failure {
                problem: Problem::new(*cause, "x"),
                needs: *needs,
            };
            Self {
                scope,
                failures: failures.iter().map(failure).collect(),
                removals: Vec::new(),
                may_have_written: false,
                transition_since: None,
                before: None,
                due: true,
                now: now(),
            }
        }

        /// After a reconcile that set these times, in seconds from now.
        fn after(self, check: i64, reconcile: i64) -> Self {
            let (check, reconcile) = (at(check), at(reconcile));
            let before =
                Schedule { check, reread: None, reconcile, not_before: now(), decided: now() };
            Self { before: Some(before), ..self }
        }

        fn schedule(&self) -> Schedule {
            let (history, check) = (History::default(), LastCheck::default());
            let requeue = Requeue {
                scope: self.scope,
                failures: &self.failures,
                removals: &self.removals,
                decided: now(),
                may_have_written: self.may_have_written,
                transition_since: self.transition_since,
                history: &history,
                unreported: None,
                before: self.before.map(|it| (it, &check)),
                due: self.due,
            };
            requeue.schedule(&Intervals::DEFAULT, self.now, 0.5)
        }

        /// Seconds until the next check of Azure and the next reconcile.
        fn next(&self) -> (i64, i64) {
            let Schedule { check, reconcile, .. } = self.schedule();
            (check.duration_since(now()).as_secs(), reconcile.duration_since(now()).as_secs())
        }
    }

    #[test]
    fn after_a_calm_check_comes_the_resync_and_a_removal_before_it() {
        let mut calm = End::of(Scope::Azure, &[]);
        assert_eq!(calm.next(), (1800, 1800));
        // What was due before the plan was made brings nothing back.
        calm.removals = vec![at(-90), at(90)];
        assert_eq!(calm.next(), (90, 90));
    }

    #[test]
    fn a_transition_is_checked_before_the_resync() {
        let transition_since = Some(now());
        for failures in [vec![], vec![(Cause::Locked, Scope::Azure)]] {
            let watched = End { transition_since, ..End::of(Scope::Azure, &failures) };
            assert_eq!(watched.next(), (120, 120), "{failures:?}");
        }
    }

    #[test]
    fn events_put_nothing_off_and_hasten_no_read_of_azure() {
        let event = |end: End| End { due: false, ..end };
        let calm = || End::of(Scope::Cluster, &[]);
        assert_eq!(event(calm().after(600, 5)).next(), (600, 5));
        // When its time has come, it is done with.
        assert_eq!(calm().after(600, 0).next(), (600, 600));
        let failing = End::of(Scope::Cluster, &[(Cause::Unavailable, Scope::Cluster)]);
        assert_eq!(event(failing.after(600, 600)).next(), (600, 5));
    }

    #[test]
    fn what_fails_for_long_keeps_nothing_else_waiting() {
        let failures = [(Cause::NotOurs, Scope::Cluster), (Cause::Unavailable, Scope::Azure)];
        assert_eq!(End::of(Scope::Azure, &failures).next(), (5, 5));
    }

    #[test]
    fn azure_is_not_asked_before_the_time_that_it_named() {
        let throttled = Cause::Throttled { retry_after: std::time::Duration::from_secs(300) };
        let failures = [(throttled, Scope::Azure), (Cause::Unavailable, Scope::Azure)];
        let removals = vec![at(10)];
        assert_eq!(End { removals, ..End::of(Scope::Azure, &failures) }.next(), (300, 300));
    }

    /// Another cluster may have written at the same moment, whatever Azure answered to this process.
    #[test]
    fn what_may_have_been_written_is_read_once_more_and_no_check_before_that_counts() {
        let lost = End { may_have_written: true, ..End::of(Scope::Azure, &[]) };
        assert_eq!(lost.next(), (75, 75));
        // A check so many seconds after the last one, which set to read once more 70 s after itself.
        let again = |later: i64| {
            let mut end = End::of(Scope::Azure, &[]).after(70, 70);
            end.before.as_mut().unwrap().reread = Some(at(70));
            let schedule = End { now: at(later), ..end }.schedule();
            (schedule.check.duration_since(now()).as_secs(), schedule.reread.is_some())
        };
        assert_eq!([again(5), again(70)], [(70, true), (1870, false)]);
    }

    #[test]
    fn a_start_that_could_not_see_the_cluster_yet_asks_for_nothing_of_azure() {
        let busy = End::of(Scope::Cluster, &[(Cause::Busy, Scope::Cluster)]);
        let (check, reconcile) = busy.next();
        assert!(check >= 179 && reconcile == 0, "{check} {reconcile}");
    }
}

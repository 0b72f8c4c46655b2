//! When to come back: to ask Azure, and to look at the cluster.

use acr_attach_core::api::MethodInUse;
use acr_attach_core::outcome::schedule::{Intervals, reread, resync, retry, spread, transition};
use acr_attach_core::outcome::verdict::History;
use acr_attach_core::problem::{Cause, Problem};
use jiff::{SignedDuration, Timestamp};

use super::memory::{Next, Recollection};
use super::observe::Occasion;
use super::outcome::{Outcome, Trouble};

/// How a pass ended, as far as the next one depends on it.
pub struct Ended<'a> {
    /// What it came to.
    pub outcome: &'a Outcome,
    /// What the passes so far have shown.
    pub history: &'a History,
    /// Why status could not be written.
    pub unreported: Option<&'a Problem>,
    /// What was known before.
    pub before: Option<&'a Recollection>,
    /// Whether the time for the pass had come, or something of the attachment was new.
    pub due: bool,
}

impl Ended<'_> {
    /// When to come back.
    ///
    /// Events of the cluster put nothing off: a glance keeps what was promised before. Nor do
    /// they hasten a question to Azure, which may have asked to wait.
    pub fn next(&self, intervals: &Intervals, now: Timestamp) -> Next {
        let after = |wait: SignedDuration| now.checked_add(wait).unwrap_or(now);
        let glanced = !self.outcome.has_looked();
        let promised = self.before.map(|it| it.next).filter(|_| glanced);
        // The same for both: where the resync is the shorter one, it is one look.
        let jitter = fastrand::f64();
        let calm = match promised {
            Some(promised) => promised.look,
            None if glanced => after(spread(intervals, fastrand::f64())),
            None => after(match self.outcome.known.transition_since {
                Some(since) => transition(now.duration_since(since), intervals, jitter),
                None => resync(intervals, jitter),
            }),
        };
        let asking = self.retries(Occasion::Look, intervals).map(after);
        let carried = self.before.and_then(|it| it.next.reread);
        let reread = if self.outcome.may_have_written() {
            Some(after(reread(intervals, jitter)))
        } else {
            carried.filter(|it| glanced || *it > now)
        };
        let dates = self.dates(Occasion::Look, now);
        // A failure has a time of its own, which may be later than the resync.
        let calm = Some(calm).filter(|_| asking.is_none() || promised.is_some());
        let look = calm.into_iter().chain(asking).chain(reread).chain(dates).min();
        let not_before = self.asked_to_wait(intervals).map(after);
        let not_before = not_before.into_iter().chain(promised.map(|it| it.not_before)).max();
        let not_before = not_before.unwrap_or(now);
        let look = look.unwrap_or(now).max(not_before);

        let soon = self.retries(Occasion::Glance, intervals).map(after);
        let soon = soon.into_iter().chain(self.dates(Occasion::Glance, now));
        let pass = soon.chain([look]).min().unwrap_or(look);
        let promised = self.before.filter(|_| !self.due).map(|it| it.next.pass);
        let pass = promised.map_or(pass, |it| it.min(pass));
        Next { look, reread, pass, not_before, decided: now }
    }

    /// What went wrong and was not known before: a glance does not try again what a look found.
    fn troubles(&self) -> impl Iterator<Item = &Trouble> {
        let known = self.before.map(|it| &it.known.look).filter(|_| !self.outcome.has_looked());
        let new = move |it: &&Trouble| known.is_none_or(|look| !look.has_found(&it.problem));
        self.outcome.troubles.iter().filter(new)
    }

    /// The shortest wait among what went wrong and takes such a pass to be tried again.
    fn retries(&self, needs: Occasion, intervals: &Intervals) -> Option<SignedDuration> {
        let times = |it: &Problem| match (it.cause, &self.history.streak) {
            (cause, _) if cause.is_waiting() => self.history.waits,
            (cause, Some(streak)) => streak.failures_of(cause),
            (_, None) => 1,
        };
        let troubles = self.troubles().filter(|it| it.needs == needs);
        let waits = troubles
            .map(|it| retry(it.problem.cause, times(&it.problem), intervals, fastrand::f64()));
        // Only a look writes the status of every method.
        let unreported = self.unreported.filter(|_| needs == Occasion::Look).map(|it| {
            retry(it.cause, self.history.failed_status_writes, intervals, fastrand::f64())
        });
        waits.chain(unreported).min()
    }

    /// How long Azure has just asked to wait, or has to be waited for.
    fn asked_to_wait(&self, intervals: &Intervals) -> Option<SignedDuration> {
        let causes = self.troubles().map(|it| it.problem.cause);
        let asked =
            causes.filter(|it| matches!(it, Cause::Throttled { .. } | Cause::Queued { .. }));
        asked.map(|it| retry(it, 1, intervals, 0.0)).max()
    }

    /// What is due, and was not when the pass decided.
    fn dates(&self, needs: Occasion, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        let by_secret = self.outcome.observed.method == Some(MethodInUse::PullSecret);
        let decided = self.outcome.decided;
        let dates = self.outcome.dates.iter().filter(move |(at, takes)| {
            // A role is no business of a glance.
            let takes = if by_secret { *takes } else { Occasion::Look };
            takes == needs && *at > decided
        });
        dates.map(move |(at, _)| (*at).max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attachment::memory::{Known, Trigger};

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

    fn outcome(occasion: Occasion, troubles: &[(Cause, Occasion)]) -> Outcome {
        let trouble = |(cause, needs): &(Cause, Occasion)| Trouble {
            problem: Problem::new(*cause, "x"),
            needs: *needs,
        };
        let mut outcome = Outcome::idle(&Known::default());
        outcome.observed.method = Some(MethodInUse::PullSecret);
        outcome.troubles = troubles.iter().map(trouble).collect();
        Outcome { occasion, decided: now(), ..outcome }
    }

    /// Promises to look after so many seconds, and to come back after so many.
    fn before(look: i64, pass: i64) -> Recollection {
        let object: acr_attach_core::api::RegistryAttachment =
            serde_json::from_value(serde_json::json!({
                "apiVersion": "acr-attach.dev/v1alpha1", "kind": "RegistryAttachment",
                "metadata": {"name": "a"}, "spec": {"registry": {}},
            }))
            .unwrap();
        Recollection {
            trigger: Trigger::of(&object),
            next: Next {
                look: now() + SignedDuration::from_secs(look),
                reread: None,
                pass: now() + SignedDuration::from_secs(pass),
                not_before: now(),
                decided: now(),
            },
            history: History::default(),
            written: None,
            known: Known::default(),
        }
    }

    /// Seconds until the next look and the next pass.
    fn next(outcome: &Outcome, before: Option<&Recollection>, due: bool) -> (i64, i64) {
        let history = History::default();
        let ended = Ended { outcome, history: &history, unreported: None, before, due };
        let Next { look, pass, .. } = ended.next(&INTERVALS, now());
        (look.duration_since(now()).as_secs(), pass.duration_since(now()).as_secs())
    }

    #[test]
    fn after_a_calm_look_comes_the_resync_and_a_renewal_before_it() {
        let calm = outcome(Occasion::Look, &[]);
        let (look, pass) = next(&calm, None, true);
        assert!((1620..=1980).contains(&look) && pass == look, "{look} {pass}");
        let renewal = (now() + SignedDuration::from_secs(90), Occasion::Glance);
        let ended = (now() - SignedDuration::from_secs(90), Occasion::Glance);
        let calm = Outcome { dates: vec![ended, renewal], ..calm };
        let (look, pass) = next(&calm, None, true);
        assert!(look > 1600 && pass == 90, "{look} {pass}");
        let mut by_role = calm;
        by_role.observed.method = Some(MethodInUse::KubeletIdentity);
        assert_eq!(next(&by_role, None, true), (90, 90));
    }

    #[test]
    fn a_transition_is_looked_at_before_the_resync() {
        let mut watched = outcome(Occasion::Look, &[]);
        watched.known.transition_since = Some(now());
        let (look, pass) = next(&watched, None, true);
        assert!((108..=132).contains(&look) && pass == look, "{look} {pass}");
    }

    #[test]
    fn events_put_nothing_off_and_hasten_no_question_to_azure() {
        let glance = outcome(Occasion::Glance, &[]);
        assert_eq!(next(&glance, Some(&before(600, 5)), false), (600, 5));
        // When its time has come, it is done with.
        assert_eq!(next(&glance, Some(&before(600, 0)), true), (600, 600));
        let failing = outcome(Occasion::Glance, &[(Cause::Unavailable, Occasion::Glance)]);
        let (look, pass) = next(&failing, Some(&before(600, 600)), false);
        assert!(look == 600 && (4..=5).contains(&pass), "{look} {pass}");
    }

    #[test]
    fn what_fails_for_long_keeps_nothing_else_waiting() {
        let troubles = [(Cause::NotOurs, Occasion::Glance), (Cause::Unavailable, Occasion::Look)];
        let (look, pass) = next(&outcome(Occasion::Look, &troubles), None, true);
        assert!((4..=5).contains(&look) && pass == look, "{look} {pass}");
    }

    #[test]
    fn azure_is_not_asked_before_the_time_that_it_named() {
        let throttled = Cause::Throttled { retry_after: std::time::Duration::from_secs(300) };
        let troubles = [(throttled, Occasion::Look), (Cause::Unavailable, Occasion::Look)];
        let mut outcome = outcome(Occasion::Look, &troubles);
        outcome.dates = vec![
            (now() + SignedDuration::from_secs(10), Occasion::Look),
            (now() + SignedDuration::from_secs(20), Occasion::Glance),
        ];
        assert_eq!(next(&outcome, None, true), (300, 20));
    }

    /// Another cluster may have written at the same moment, whatever this process was answered.
    #[test]
    fn what_may_have_been_written_is_read_once_more_and_no_look_before_that_counts() {
        let lost = Outcome { unanswered: true, ..outcome(Occasion::Look, &[]) };
        let (look, _) = next(&lost, None, true);
        assert!((60..=90).contains(&look), "{look}");
        // A look so many seconds after the last one, which promised to read once more 70 s after it.
        let look = |later: i64| {
            let mut before = before(70, 70);
            before.next.reread = Some(now() + SignedDuration::from_secs(70));
            let (calm, history) = (outcome(Occasion::Look, &[]), History::default());
            let (outcome, before) = (&calm, Some(&before));
            let ended = Ended { outcome, history: &history, unreported: None, before, due: true };
            let next = ended.next(&INTERVALS, now() + SignedDuration::from_secs(later));
            (next.look.duration_since(now()).as_secs(), next.reread.is_some())
        };
        assert_eq!(look(5), (70, true));
        let (look, waits) = look(70);
        assert!(look > 1600 && !waits, "{look}");
    }

    #[test]
    fn a_start_that_could_not_see_the_cluster_yet_asks_nobody() {
        let busy = outcome(Occasion::Glance, &[(Cause::Busy, Occasion::Glance)]);
        let (look, pass) = next(&busy, None, true);
        assert!(look >= 179 && pass == 0, "{look} {pass}");
    }
}

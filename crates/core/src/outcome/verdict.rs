//! What a pass means, seen together with the passes before it.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::{ConditionType, Reason, RegistryAttachmentStatus};
use crate::outcome::schedule::Streak;
use crate::problem::{Cause, Problem};

/// After that many periodic looks in a row that failed for a passing reason, nobody knows any
/// more whether the attachment holds.
const MAX_FAILED_CHECKS: u32 = 3;

/// What to tell of a pass.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Everything asked for holds.
    Attached,
    /// Something failed, and is tried again.
    Retrying(Problem),
    /// Something failed, and somebody has to act.
    Stalled(Problem),
    /// A look failed for a passing reason; what held a moment ago is taken to hold.
    Unchanged,
    /// Such looks failed so often that nobody knows.
    Unknown(Problem),
    /// The object asks for nothing at the moment.
    Suspended,
}

impl Verdict {
    /// Whether the pass got so far that it looked at what holds.
    #[must_use]
    pub fn has_checked(&self) -> bool {
        !matches!(self, Self::Unchanged)
            && !matches!(self, Self::Retrying(problem) if problem.cause.is_waiting())
    }
}

/// How a pass ended.
#[derive(Clone, Copy, Debug)]
pub struct ReconcileResult<'a> {
    /// What stands in the way.
    pub problem: Option<&'a Problem>,
    /// What else went wrong and is tried again, while what Ready speaks for holds.
    pub other_problem: Option<&'a Problem>,
    /// Whether the object asks for nothing at the moment.
    pub suspended: bool,
    /// Whether what should hold does, if that is known.
    pub holds: Option<bool>,
    /// The generation that was worked on.
    pub generation: i64,
    /// Whether the object is being deleted.
    pub deleting: bool,
    /// What the pass has tried.
    pub attempt: Attempt,
}

/// What a pass has tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It asked Azure anew.
    ReadAzure,
    /// It was time, and what Azure said before was used.
    Retry,
    /// An event brought it on. That is no further failure.
    Event,
}

impl ReconcileResult<'_> {
    /// The run of failures that this one continues or begins.
    fn streak(&self, problem: &Problem, before: &History, now: Timestamp) -> Streak {
        match &before.streak {
            Some(streak)
                if self.attempt == Attempt::Event
                    && streak.is_of(problem.cause, self.generation) =>
            {
                *streak
            }
            streak => Streak::after(streak.as_ref(), problem.cause, self.generation, now),
        }
    }
}

/// What the passes so far have shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct History {
    /// The failures in a row, if the last pass failed.
    pub streak: Option<Streak>,
    /// Periodic looks in a row that failed for a passing reason.
    pub failed_checks: u32,
    /// Passes in a row that found no place at Azure.
    pub waits: u32,
    /// Passes in a row whose status could not be written.
    pub failed_status_writes: u32,
}

/// Judges a pass, and carries the history on.
#[must_use]
pub fn judge(
    result: &ReconcileResult<'_>,
    before: &History,
    shown: Option<&RegistryAttachmentStatus>,
    now: Timestamp,
    patience: SignedDuration,
) -> (Verdict, History) {
    let History { failed_status_writes, .. } = *before;
    let Some(problem) = result.problem else {
        let verdict = if result.suspended { Verdict::Suspended } else { Verdict::Attached };
        let history = match result.other_problem {
            Some(it) if it.cause.is_waiting() => {
                History { waits: before.waits.saturating_add(1), ..*before }
            }
            other_problem => History {
                streak: other_problem.map(|it| result.streak(it, before, now)),
                failed_status_writes,
                ..History::default()
            },
        };
        return (verdict, history);
    };
    let cause = problem.cause;
    if cause.is_waiting() {
        let history = History { waits: before.waits.saturating_add(1), ..*before };
        let told = ready(shown).is_some_and(|it| is_of(it, result.generation));
        let verdict = if told { Verdict::Unchanged } else { Verdict::Retrying(problem.clone()) };
        return (verdict, history);
    }
    let streak = result.streak(problem, before, now);
    if result.holds == Some(true) && cause.is_transient() && !result.deleting {
        // Only something beside it failed, such as the removal of a former role.
        let history = History { streak: Some(streak), failed_status_writes, ..History::default() };
        return (Verdict::Attached, history);
    }
    let failed_checks = failed_checks(result, cause, before, shown);
    let verdict = match failed_checks {
        0 if streak.is_stalled(cause, shown, now, patience) => Verdict::Stalled(problem.clone()),
        0 => Verdict::Retrying(problem.clone()),
        n if n < MAX_FAILED_CHECKS => Verdict::Unchanged,
        _ => Verdict::Unknown(problem.clone()),
    };
    (verdict, History { streak: Some(streak), failed_checks, waits: 0, failed_status_writes })
}

/// How many looks in a row have failed while the attachment was taken to hold.
fn failed_checks(
    result: &ReconcileResult<'_>,
    cause: Cause,
    before: &History,
    shown: Option<&RegistryAttachmentStatus>,
) -> u32 {
    let shown = ready(shown).filter(|it| is_of(it, result.generation));
    let looking = cause.is_transient() && result.holds != Some(false) && !result.deleting;
    let Some(shown) = shown.filter(|_| looking) else { return 0 };
    match shown.status.as_str() {
        // A first failure is one, whichever pass it comes in.
        "True" if result.attempt != Attempt::ReadAzure => before.failed_checks.max(1),
        _ if result.attempt != Attempt::ReadAzure => before.failed_checks,
        "True" => before.failed_checks.saturating_add(1),
        // A restart forgets how many they were; what is shown says that they were enough.
        "Unknown" if shown.reason != Reason::Progressing.as_str() => {
            before.failed_checks.saturating_add(1).max(MAX_FAILED_CHECKS)
        }
        _ => 0,
    }
}

fn is_of(condition: &Condition, generation: i64) -> bool {
    condition.observed_generation == Some(generation)
}

/// The Ready condition, if there is one yet.
#[must_use]
pub fn ready(status: Option<&RegistryAttachmentStatus>) -> Option<&Condition> {
    condition(status, ConditionType::Ready)
}

/// The condition of that type, if there is one.
#[must_use]
pub fn condition(
    status: Option<&RegistryAttachmentStatus>,
    type_: ConditionType,
) -> Option<&Condition> {
    let conditions = status.and_then(|it| it.conditions.as_ref());
    conditions.into_iter().flatten().find(|it| it.type_ == type_.as_str())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn shown(status: &str) -> RegistryAttachmentStatus {
        RegistryAttachmentStatus {
            conditions: Some(vec![Condition {
                type_: "Ready".into(),
                status: status.into(),
                reason: "x".into(),
                message: String::new(),
                observed_generation: Some(1),
                last_transition_time: Time(now()),
            }]),
            ..Default::default()
        }
    }

    fn failed(problem: &Problem, lacks: bool, generation: i64) -> ReconcileResult<'_> {
        let holds = lacks.then_some(false);
        let problem = Some(problem);
        let attempt = Attempt::ReadAzure;
        ReconcileResult {
            problem,
            other_problem: None,
            suspended: false,
            holds,
            generation,
            deleting: false,
            attempt,
        }
    }

    /// The verdicts on that many passes in a row that fail alike.
    fn verdicts(cause: Cause, ready: &str, lacks: bool, passes: usize) -> Vec<&'static str> {
        of_generation(1, cause, ready, lacks, passes)
    }

    fn of_generation(
        generation: i64,
        cause: Cause,
        ready: &str,
        lacks: bool,
        passes: usize,
    ) -> Vec<&'static str> {
        let (problem, shown) = (Problem::new(cause, "x"), shown(ready));
        let result = failed(&problem, lacks, generation);
        let mut history = History::default();
        (0..passes)
            .map(|_| {
                let (verdict, next) = judge(&result, &history, Some(&shown), now(), PATIENCE);
                history = next;
                match verdict {
                    Verdict::Unchanged => "missed",
                    Verdict::Unknown(_) => "lost",
                    Verdict::Retrying(_) => "retrying",
                    Verdict::Stalled(_) => "stalled",
                    Verdict::Attached | Verdict::Suspended => "other",
                }
            })
            .collect()
    }

    /// A changed client secret may be seen by a pass that an event has brought on.
    #[test]
    fn a_first_failure_that_an_event_brings_on_is_missed_too_and_counts_once() {
        let (problem, shown) = (Problem::new(Cause::Unavailable, "x"), shown("True"));
        let result = ReconcileResult { attempt: Attempt::Event, ..failed(&problem, false, 1) };
        let mut history = History::default();
        for _ in 0..5 {
            let (verdict, next) = judge(&result, &history, Some(&shown), now(), PATIENCE);
            assert_eq!((verdict, next.failed_checks), (Verdict::Unchanged, 1));
            history = next;
        }
    }

    #[test]
    fn what_holds_survives_two_missed_looks() {
        let seen = verdicts(Cause::Unavailable, "True", false, 4);
        assert_eq!(seen, ["missed", "missed", "lost", "lost"]);
    }

    #[test]
    fn what_does_not_hold_is_told_at_once() {
        assert_eq!(verdicts(Cause::Unavailable, "True", true, 1), ["retrying"]);
        assert_eq!(verdicts(Cause::Unavailable, "False", false, 1), ["retrying"]);
        assert_eq!(verdicts(Cause::AccessDenied, "True", false, 1), ["retrying"]);
        assert_eq!(verdicts(Cause::NotOurs, "True", false, 1), ["stalled"]);
    }

    #[test]
    fn being_busy_is_no_news() {
        for cause in [Cause::Busy, Cause::Queued { wait: std::time::Duration::from_secs(9) }] {
            assert_eq!(verdicts(cause, "True", false, 9), ["missed"; 9]);
            assert_eq!(verdicts(cause, "False", true, 9), ["missed"; 9]);
        }
    }

    #[test]
    fn a_new_generation_is_never_taken_to_hold() {
        assert_eq!(of_generation(2, Cause::Busy, "True", false, 1), ["retrying"]);
        assert_eq!(of_generation(2, Cause::Unavailable, "True", false, 1), ["retrying"]);
    }

    #[test]
    fn being_busy_neither_ends_nor_lengthens_a_row_of_failures() {
        let problem = Problem::new(Cause::AccessDenied, "x");
        let (_, first) =
            judge(&failed(&problem, false, 1), &History::default(), None, now(), PATIENCE);
        let busy = Problem::new(Cause::Busy, "x");
        let (_, second) = judge(&failed(&busy, false, 1), &first, None, now(), PATIENCE);
        assert_eq!((second.streak, second.waits), (first.streak, 1));
        let later = now() + PATIENCE;
        let (verdict, third) = judge(&failed(&problem, false, 1), &second, None, later, PATIENCE);
        assert_eq!(verdict, Verdict::Stalled(problem));
        assert_eq!(third.waits, 0);
    }

    #[test]
    fn a_deletion_is_told_when_it_waits_and_never_lost() {
        // The API server counts a deletion as a new generation.
        let busy = Problem::new(Cause::Busy, "x");
        let result = ReconcileResult { deleting: true, ..failed(&busy, false, 2) };
        let shown = shown("True");
        let (verdict, busy_once) =
            judge(&result, &History::default(), Some(&shown), now(), PATIENCE);
        assert_eq!(verdict, Verdict::Retrying(busy));

        let outage = Problem::new(Cause::Unavailable, "x");
        let mut waiting = shown.clone();
        let ready = &mut waiting.conditions.as_mut().unwrap()[0];
        (ready.status, ready.reason) = ("Unknown".into(), "Detaching".into());
        ready.observed_generation = Some(2);
        let result = ReconcileResult { deleting: true, ..failed(&outage, false, 2) };
        let (verdict, _) = judge(&result, &busy_once, Some(&waiting), now(), PATIENCE);
        assert_eq!(verdict, Verdict::Retrying(outage));
    }

    #[test]
    fn what_is_known_to_hold_is_not_lost_when_something_beside_it_fails() {
        let problem = Problem::new(Cause::Unavailable, "x");
        let result = ReconcileResult { holds: Some(true), ..failed(&problem, false, 1) };
        let (shown, mut history) = (shown("True"), History::default());
        for _ in 0..5 {
            let (verdict, next) = judge(&result, &history, Some(&shown), now(), PATIENCE);
            assert_eq!(verdict, Verdict::Attached);
            history = next;
        }
        assert_eq!(history.streak.unwrap().failures, 5, "it is tried ever less often");
    }

    #[test]
    fn a_restart_in_an_outage_is_no_news() {
        assert_eq!(verdicts(Cause::Unavailable, "Unknown", false, 2), ["lost", "lost"]);
    }

    #[test]
    fn success_forgets() {
        let result = ReconcileResult {
            problem: None,
            other_problem: None,
            suspended: false,
            holds: None,
            generation: 1,
            deleting: false,
            attempt: Attempt::ReadAzure,
        };
        let history = History { failed_checks: 2, waits: 3, ..History::default() };
        let (verdict, after) = judge(&result, &history, Some(&shown("True")), now(), PATIENCE);
        assert_eq!((verdict, after), (Verdict::Attached, History::default()));
    }

    #[test]
    fn what_fails_beside_is_tried_ever_less_often_and_takes_nothing_away() {
        let problem = Problem::new(Cause::AccessDenied, "x");
        let result = ReconcileResult {
            problem: None,
            other_problem: Some(&problem),
            ..failed(&problem, false, 1)
        };
        let shown = shown("True");
        let (verdict, first) = judge(&result, &History::default(), Some(&shown), now(), PATIENCE);
        assert_eq!(verdict, Verdict::Attached);
        let (_, second) = judge(&result, &first, Some(&shown), now(), PATIENCE);
        assert_eq!(second.streak.unwrap().failures, 2);
    }

    #[test]
    fn what_an_event_brings_on_is_no_further_failure() {
        let problem = Problem::new(Cause::Unavailable, "x");
        let looked = failed(&problem, false, 1);
        let glanced = ReconcileResult { attempt: Attempt::Event, ..looked };
        let shown = shown("True");
        let (_, mut history) = judge(&looked, &History::default(), Some(&shown), now(), PATIENCE);
        assert_eq!((history.failed_checks, history.streak.unwrap().failures), (1, 1));
        for _ in 0..9 {
            let (verdict, next) = judge(&glanced, &history, Some(&shown), now(), PATIENCE);
            assert_eq!((verdict, next), (Verdict::Unchanged, history));
            history = next;
        }
        let (_, after) = judge(&looked, &history, Some(&shown), now(), PATIENCE);
        assert_eq!((after.failed_checks, after.streak.unwrap().failures), (2, 2));
    }
}

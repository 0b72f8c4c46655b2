//! The verdict on a reconcile, by its result and the history of earlier reconciles.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::{ConditionType, Reason, RegistryAttachmentStatus};
use crate::outcome::waits::Streak;
use crate::problem::{Cause, Problem};

/// After that many checks of Azure in a row that failed for a transient cause, Ready turns Unknown.
const MAX_FAILED_CHECKS: u32 = 3;

/// What status tells about a reconcile.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Everything that the spec asks for is in place.
    Attached,
    /// A step failed, and is retried.
    Retrying(Problem),
    /// A step failed, and a user has to act.
    Stalled(Problem),
    /// A check failed for a transient cause, or waits. The conditions stay as they are.
    Unchanged,
    /// Checks failed so often that the state is unknown.
    Unknown(Problem),
    /// `spec.suspend` is true.
    Suspended,
}

impl Verdict {
    /// Whether the reconcile got so far that it checked the attachment.
    #[must_use]
    pub fn has_checked(&self) -> bool {
        !matches!(self, Self::Unchanged)
            && !matches!(self, Self::Retrying(problem) if problem.cause.is_waiting())
    }
}

/// The result of a reconcile.
#[derive(Clone, Copy, Debug)]
pub struct ReconcileResult<'a> {
    /// The problem that keeps the attachment from being Ready.
    pub problem: Option<&'a Problem>,
    /// Another problem, which does not affect Ready and is retried.
    pub other_problem: Option<&'a Problem>,
    /// Whether `spec.suspend` is true.
    pub suspended: bool,
    /// Whether the desired state is in place, if that is known.
    pub holds: Option<bool>,
    /// The generation that was reconciled.
    pub generation: i64,
    /// Whether the object is being deleted.
    pub deleting: bool,
    /// What caused the reconcile, and what it read.
    pub attempt: Attempt,
}

/// What caused a reconcile, and what it read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The reconcile read Azure.
    ReadAzure,
    /// The reconcile was due, and used earlier answers of Azure.
    Retry,
    /// An event in the cluster caused the reconcile. The same failure is not counted again.
    Event,
}

impl ReconcileResult<'_> {
    /// The streak of failures that this failure continues or begins.
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

/// What earlier reconciles have shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct History {
    /// The failures in a row, if the last reconcile failed.
    pub streak: Option<Streak>,
    /// Checks of Azure in a row that failed for a transient cause.
    pub failed_checks: u32,
    /// Reconciles in a row that had to wait for a permit or for the rate limit.
    pub waits: u32,
    /// Reconciles in a row whose status could not be written.
    pub failed_status_writes: u32,
}

/// Judges a reconcile, and extends the history. `shown` is the status before it.
#[must_use]
pub fn judge(
    result: &ReconcileResult<'_>,
    before: &History,
    shown: Option<&RegistryAttachmentStatus>,
    now: Timestamp,
    patience: SignedDuration,
) -> (Verdict, History) {
    let History { failed_status_writes, .. } = *before;
    let Some(problem) = result.problem else { return judge_success(result, before, now) };
    let cause = problem.cause;
    if cause.is_waiting() {
        let history = History { waits: before.waits.saturating_add(1), ..*before };
        let is_shown = ready(shown).is_some_and(|it| is_of(it, result.generation));
        let verdict =
            if is_shown { Verdict::Unchanged } else { Verdict::Retrying(problem.clone()) };
        return (verdict, history);
    }
    let streak = result.streak(problem, before, now);
    if result.holds == Some(true) && cause.is_transient() && !result.deleting {
        // The desired state is in place, and another part failed, such as the removal of a former role.
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

/// Judges a reconcile without a problem that affects Ready.
fn judge_success(
    result: &ReconcileResult<'_>,
    before: &History,
    now: Timestamp,
) -> (Verdict, History) {
    let verdict = if result.suspended { Verdict::Suspended } else { Verdict::Attached };
    let history = match result.other_problem {
        Some(it) if it.cause.is_waiting() => {
            History { waits: before.waits.saturating_add(1), ..*before }
        }
        other_problem => History {
            streak: other_problem.map(|it| result.streak(it, before, now)),
            failed_status_writes: before.failed_status_writes,
            ..History::default()
        },
    };
    (verdict, history)
}

/// How many checks in a row have failed since the attachment was Ready.
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
        // The first failure counts as one, also in a reconcile that an event caused.
        "True" if result.attempt != Attempt::ReadAzure => before.failed_checks.max(1),
        _ if result.attempt != Attempt::ReadAzure => before.failed_checks,
        "True" => before.failed_checks.saturating_add(1),
        // After a restart the number is lost. Ready=Unknown shows that it was at the limit.
        "Unknown" if shown.reason != Reason::Progressing.as_str() => {
            before.failed_checks.saturating_add(1).max(MAX_FAILED_CHECKS)
        }
        _ => 0,
    }
}

fn is_of(condition: &Condition, generation: i64) -> bool {
    condition.observed_generation == Some(generation)
}

/// The Ready condition, if status has one.
#[must_use]
pub fn ready(status: Option<&RegistryAttachmentStatus>) -> Option<&Condition> {
    condition(status, ConditionType::Ready)
}

/// The condition of that type, if status has one.
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

    /// The verdicts on that many reconciles in a row with the same failure.
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
                    Verdict::Unchanged => "unchanged",
                    Verdict::Unknown(_) => "unknown",
                    Verdict::Retrying(_) => "retrying",
                    Verdict::Stalled(_) => "stalled",
                    Verdict::Attached | Verdict::Suspended => "other",
                }
            })
            .collect()
    }

    /// An event, such as a changed client secret, may cause the reconcile that fails first.
    #[test]
    fn a_first_failure_in_a_reconcile_by_an_event_counts_once() {
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
    fn ready_survives_two_failed_checks() {
        let seen = verdicts(Cause::Unavailable, "True", false, 4);
        assert_eq!(seen, ["unchanged", "unchanged", "unknown", "unknown"]);
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
            assert_eq!(verdicts(cause, "True", false, 9), ["unchanged"; 9]);
            assert_eq!(verdicts(cause, "False", true, 9), ["unchanged"; 9]);
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
    fn a_deletion_that_waits_is_shown_and_never_unknown() {
        // The API server raises the generation when an object is deleted.
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
    fn a_state_in_place_stays_attached_when_another_part_fails() {
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
        assert_eq!(verdicts(Cause::Unavailable, "Unknown", false, 2), ["unknown", "unknown"]);
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
        let by_check = failed(&problem, false, 1);
        let by_event = ReconcileResult { attempt: Attempt::Event, ..by_check };
        let shown = shown("True");
        let (_, mut history) = judge(&by_check, &History::default(), Some(&shown), now(), PATIENCE);
        assert_eq!((history.failed_checks, history.streak.unwrap().failures), (1, 1));
        for _ in 0..9 {
            let (verdict, next) = judge(&by_event, &history, Some(&shown), now(), PATIENCE);
            assert_eq!((verdict, next), (Verdict::Unchanged, history));
            history = next;
        }
        let (_, after) = judge(&by_check, &history, Some(&shown), now(), PATIENCE);
        assert_eq!((after.failed_checks, after.streak.unwrap().failures), (2, 2));
    }

    /// A request that is answered by waiting has not been handled.
    #[test]
    fn only_a_reconcile_that_got_so_far_has_checked() {
        let problem = |cause| Problem::new(cause, "x");
        let checked = [
            Verdict::Attached,
            Verdict::Suspended,
            Verdict::Retrying(problem(Cause::NotFound)),
            Verdict::Stalled(problem(Cause::NotOurs)),
            Verdict::Unknown(problem(Cause::Unavailable)),
        ];
        assert!(checked.iter().all(Verdict::has_checked));
        let waits = [Verdict::Unchanged, Verdict::Retrying(problem(Cause::Busy))];
        assert!(!waits.iter().any(Verdict::has_checked));
    }

    /// Status that could not be written is counted by its writer, whatever else goes well or wrong.
    #[test]
    fn what_others_count_is_kept_and_waits_are_counted_beside_success() {
        let before = History { failed_status_writes: 2, waits: 1, ..History::default() };
        let (failure, busy) = (Problem::new(Cause::NotFound, "x"), Problem::new(Cause::Busy, "x"));
        let away = Problem::new(Cause::Unavailable, "x");
        let holding = ReconcileResult { holds: Some(true), ..failed(&away, false, 1) };
        let well = ReconcileResult { problem: None, ..failed(&failure, false, 1) };
        let beside = ReconcileResult { other_problem: Some(&busy), ..well };
        let after = |result| judge(&result, &before, None, now(), PATIENCE).1;
        for result in [failed(&failure, true, 1), holding, well, beside] {
            assert_eq!(after(result).failed_status_writes, 2, "{result:?}");
        }
        assert_eq!([after(well).waits, after(beside).waits], [0, 2]);
        assert!(after(beside).streak.is_none());
    }

    /// Ready=Unknown says after a restart that the limit was reached, unless the attachment only waits.
    #[test]
    fn a_restart_goes_on_where_ready_is_unknown() {
        let away = Problem::new(Cause::Unavailable, "x");
        let judged = |reason: Reason, attempt| {
            let mut shown = shown("Unknown");
            shown.conditions.as_mut().unwrap()[0].reason = reason.as_str().into();
            let result = ReconcileResult { attempt, ..failed(&away, false, 1) };
            judge(&result, &History::default(), Some(&shown), now(), PATIENCE).0
        };
        let unknown = Verdict::Unknown(away.clone());
        assert_eq!(judged(Reason::Unavailable, Attempt::ReadAzure), unknown);
        let retrying = Verdict::Retrying(away.clone());
        assert_eq!(judged(Reason::Progressing, Attempt::ReadAzure), retrying);
        assert_eq!(judged(Reason::Unavailable, Attempt::Retry), retrying);
    }
}

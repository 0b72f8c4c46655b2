//! What a pass means, seen together with the passes before it.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::problem::{Cause, Problem};
use super::schedule::Streak;
use crate::api::{ConditionType, RegistryAttachmentStatus};

/// After that many periodic looks in a row that failed for a passing reason, nobody knows any
/// more whether the attachment holds.
const MOST_MISSES: u32 = 3;

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
    Missed,
    /// Such looks failed so often that nobody knows.
    Lost(Problem),
    /// The object asks for nothing at the moment.
    Suspended,
}

/// How a pass ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// What stands in the way.
    pub problem: Option<&'a Problem>,
    /// Whether the object asks for nothing at the moment.
    pub suspended: bool,
    /// Whether something that should hold is known not to.
    pub lacks: bool,
    /// The generation that was worked on.
    pub generation: i64,
}

/// What the passes so far have shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct History {
    /// The failures in a row, if the last pass failed.
    pub streak: Option<Streak>,
    /// Periodic looks in a row that failed for a passing reason.
    pub misses: u32,
}

/// Judges a pass, and carries the history on.
#[must_use]
pub fn judge(
    ended: &Ended<'_>,
    before: &History,
    shown: Option<&RegistryAttachmentStatus>,
    now: Timestamp,
    patience: SignedDuration,
) -> (Verdict, History) {
    let Some(problem) = ended.problem else {
        let verdict = if ended.suspended { Verdict::Suspended } else { Verdict::Attached };
        return (verdict, History::default());
    };
    let cause = problem.cause;
    let streak = Streak::after(before.streak.as_ref(), cause, ended.generation, now);
    let misses = misses(ended, cause, before.misses, shown);
    let verdict = match misses {
        _ if cause == Cause::Busy && ready(shown).is_some() => Verdict::Missed,
        0 if streak.is_stalled(cause, shown, now, patience) => Verdict::Stalled(problem.clone()),
        0 => Verdict::Retrying(problem.clone()),
        n if n < MOST_MISSES => Verdict::Missed,
        _ => Verdict::Lost(problem.clone()),
    };
    (verdict, History { streak: Some(streak), misses })
}

/// How many looks in a row have failed while the attachment was taken to hold.
fn misses(
    ended: &Ended<'_>,
    cause: Cause,
    before: u32,
    shown: Option<&RegistryAttachmentStatus>,
) -> u32 {
    let held = before > 0
        || ready(shown).is_some_and(|it| {
            it.status == "True" && it.observed_generation == Some(ended.generation)
        });
    match cause {
        Cause::Busy => before,
        cause if cause.is_passing() && held && !ended.lacks => before.saturating_add(1),
        _ => 0,
    }
}

/// The Ready condition, if there is one yet.
#[must_use]
pub fn ready(status: Option<&RegistryAttachmentStatus>) -> Option<&Condition> {
    let conditions = status.and_then(|it| it.conditions.as_ref());
    conditions.into_iter().flatten().find(|it| it.type_ == ConditionType::Ready.as_str())
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

    /// The verdicts on that many passes in a row that fail alike.
    fn verdicts(cause: Cause, ready: &str, lacks: bool, passes: usize) -> Vec<&'static str> {
        let (problem, shown) = (Problem::new(cause, "x"), shown(ready));
        let ended = Ended { problem: Some(&problem), suspended: false, lacks, generation: 1 };
        let mut history = History::default();
        (0..passes)
            .map(|_| {
                let (verdict, next) = judge(&ended, &history, Some(&shown), now(), PATIENCE);
                history = next;
                match verdict {
                    Verdict::Missed => "missed",
                    Verdict::Lost(_) => "lost",
                    Verdict::Retrying(_) => "retrying",
                    Verdict::Stalled(_) => "stalled",
                    Verdict::Attached | Verdict::Suspended => "other",
                }
            })
            .collect()
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
        assert_eq!(verdicts(Cause::Busy, "True", false, 9), ["missed"; 9]);
        assert_eq!(verdicts(Cause::Busy, "False", true, 9), ["missed"; 9]);
    }

    #[test]
    fn success_forgets() {
        let ended = Ended { problem: None, suspended: false, lacks: false, generation: 1 };
        let history = History { misses: 2, streak: None };
        let (verdict, after) = judge(&ended, &history, Some(&shown("True")), now(), PATIENCE);
        assert_eq!((verdict, after), (Verdict::Attached, History::default()));
    }
}

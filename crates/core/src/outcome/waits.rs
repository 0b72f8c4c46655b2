//! How long each wait is: after a failure, until the resync, in a transition; and when a problem stalls.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::api::{ConditionType, Reason, RegistryAttachmentStatus};
use crate::problem::{Cause, Stalls};

/// The operator's intervals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Intervals {
    /// The time between two checks of an attachment that is in order.
    pub resync: SignedDuration,
    /// How long a problem may last before the attachment is Stalled.
    pub patience: SignedDuration,
    /// How long a replacement must have been in force before the replaced role or Secret is removed.
    pub removal_delay: SignedDuration,
    /// The first wait after cause `NotOurs`. No event tells when the blocking object is removed.
    pub conflict_retry: SignedDuration,
    /// How long after a write Azure is read again; with jitter up to half as long again.
    pub reread: SignedDuration,
    /// The wait between checks while something changes that tells by no event; see [`transition`].
    pub transition: SignedDuration,
    /// How long after a write Azure may not show a role assignment, so that its absence proves nothing.
    pub visibility: SignedDuration,
}

impl Intervals {
    /// The defaults of the program.
    pub const DEFAULT: Self = Self {
        resync: SignedDuration::from_mins(30),
        patience: SignedDuration::from_mins(10),
        removal_delay: SignedDuration::from_hours(1),
        conflict_retry: SignedDuration::from_mins(2),
        reread: SignedDuration::from_mins(1),
        transition: SignedDuration::from_mins(2),
        // Azure Resource Manager takes up to 10 minutes to show a change of role assignments
        // (learn.microsoft.com, "Troubleshoot Azure RBAC"); seen as 201 and then 404 in
        // terraform-provider-azurerm issues 8584 and 9379.
        visibility: SignedDuration::from_mins(10),
    };
}

/// Consecutive failures of the same cause and generation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Streak {
    cause: Reason,
    generation: i64,
    since: Timestamp,
    /// The number of failures, at least 1.
    pub failures: u32,
}

impl Streak {
    /// The streak that a failure continues or begins.
    #[must_use]
    pub fn after(before: Option<&Self>, cause: Cause, generation: i64, now: Timestamp) -> Self {
        let cause = cause.reason();
        match before {
            Some(it) if it.cause == cause && it.generation == generation => {
                Self { failures: it.failures.saturating_add(1), ..*it }
            }
            _ => Self { cause, generation, since: now, failures: 1 },
        }
    }

    /// Whether the streak is of that cause and generation.
    #[must_use]
    pub fn is_of(&self, cause: Cause, generation: i64) -> bool {
        self.cause == cause.reason() && self.generation == generation
    }

    /// The number of failures of that cause in a row, at least 1.
    #[must_use]
    pub fn failures_of(&self, cause: Cause) -> u32 {
        if self.cause == cause.reason() { self.failures } else { 1 }
    }

    /// Whether the attachment is Stalled, so that a user has to act.
    ///
    /// The time of the first failure is in memory only. So an attachment whose status shows Stalled for
    /// the same cause and generation stays Stalled after a restart.
    #[must_use]
    pub fn is_stalled(
        &self,
        cause: Cause,
        before: Option<&RegistryAttachmentStatus>,
        now: Timestamp,
        patience: SignedDuration,
    ) -> bool {
        match cause.stalls() {
            Stalls::Never => false,
            Stalls::AtOnce => true,
            Stalls::After(times) => {
                let limit = i32::try_from(times).map_or(patience, |times| patience * times);
                now.duration_since(self.since) >= limit
                    || is_shown_stalled(before, cause, self.generation)
            }
        }
    }
}

fn is_shown_stalled(
    status: Option<&RegistryAttachmentStatus>,
    cause: Cause,
    generation: i64,
) -> bool {
    let conditions = status.and_then(|it| it.conditions.as_ref());
    conditions.into_iter().flatten().any(|it| {
        it.type_ == ConditionType::Stalled.as_str()
            && it.status == "True"
            && it.reason == cause.reason().as_str()
            && it.observed_generation == Some(generation)
    })
}

/// The wait until the next check of an attachment that is in order. `jitter`, here and below, is a
/// random number from 0 to 1, so that attachments do not check all at once.
#[must_use]
pub fn resync(intervals: &Intervals, jitter: f64) -> SignedDuration {
    intervals.resync.mul_f64(0.9 + 0.2 * jitter)
}

/// The wait until the next check of an attachment whose transition has lasted that long, at most the resync.
/// With the default it is 2 minutes in the first 30, and then a 15th of the time.
#[must_use]
pub fn transition(lasts: SignedDuration, intervals: &Intervals, jitter: f64) -> SignedDuration {
    let wait = intervals.transition.max(lasts / 15).mul_f64(0.9 + 0.2 * jitter);
    wait.min(resync(intervals, jitter))
}

/// The wait until the first check after a start, when all attachments are reconciled at once.
#[must_use]
pub fn spread(intervals: &Intervals, jitter: f64) -> SignedDuration {
    intervals.resync.mul_f64(0.1 + 0.9 * jitter)
}

/// The wait until a changed role assignment is read again, at most the resync. Role assignments have no
/// `ETag`, so another cluster may have overwritten the change.
#[must_use]
pub fn reread(intervals: &Intervals, jitter: f64) -> SignedDuration {
    intervals.reread.mul_f64(1.0 + 0.5 * jitter).min(resync(intervals, jitter))
}

/// The longest wait that Azure or the rate limiter can ask for.
const LONGEST: SignedDuration = SignedDuration::from_mins(10);

/// The wait after the nth failure in a row.
#[must_use]
pub fn retry(cause: Cause, failures: u32, intervals: &Intervals, jitter: f64) -> SignedDuration {
    let resync = resync(intervals, jitter);
    let doublings = failures.saturating_sub(1).min(16);
    let growing = |first: i64, most: i64| {
        let wait = seconds((first << doublings).min(most)).mul_f64(0.9 + 0.2 * jitter);
        wait.min(resync)
    };
    let in_a_moment = || {
        let longest = (100_i64 << doublings).min(2000);
        SignedDuration::from_millis(longest).mul_f64(0.5 + 0.5 * jitter)
    };
    let asked = |wait: Duration| {
        let wait = SignedDuration::try_from(wait).unwrap_or(LONGEST);
        wait.clamp(seconds(1), LONGEST)
    };
    match cause {
        Cause::InvalidSpec | Cause::Unsupported | Cause::NotAllowed | Cause::ExternallyManaged => {
            resync
        }
        // A user may remove the blocking object at any time, and no event tells when.
        Cause::NotOurs => {
            let first = intervals.conflict_retry.as_secs();
            growing(first, first.max(7200))
        }
        Cause::QuotaExceeded | Cause::Locked => seconds(1800).min(resync),
        Cause::Undetermined | Cause::Internal => growing(60, 600),
        Cause::AuthenticationFailed
        | Cause::AccessDenied
        | Cause::AdmissionDenied
        | Cause::NotFound => growing(10, 600),
        Cause::Propagating => growing(5, 60),
        Cause::Unavailable => growing(5, 300),
        Cause::Throttled { retry_after } => asked(retry_after),
        Cause::Busy => in_a_moment(),
        // The rate limiter staggers the waits; a reconcile that comes back too early waits longer.
        Cause::Queued { wait } => {
            in_a_moment().max(SignedDuration::try_from(wait).unwrap_or(LONGEST)).min(LONGEST)
        }
    }
}

pub(crate) fn seconds(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
    use proptest::prelude::*;

    use super::*;
    use crate::problem::ALL;

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn wait(cause: Cause, failures: u32) -> i64 {
        retry(cause, failures, &Intervals::DEFAULT, 0.5).as_secs()
    }

    #[test]
    fn a_transition_is_watched_closely_at_first_and_then_ever_less() {
        let minutes = |lasts: i64| {
            transition(SignedDuration::from_mins(lasts), &Intervals::DEFAULT, 0.5).as_secs() / 60
        };
        assert_eq!([0, 29, 30, 60, 120].map(minutes), [2, 2, 2, 4, 8]);
        assert_eq!([450, 10_000].map(minutes), [30, 30]);
    }

    #[test]
    fn waits_grow_to_their_limit() {
        let waits = |cause| [1, 2, 3, 9, 99].map(|n| wait(cause, n));
        assert_eq!(waits(Cause::Unavailable), [5, 10, 20, 300, 300]);
        assert_eq!(waits(Cause::AccessDenied), [10, 20, 40, 600, 600]);
        assert_eq!(waits(Cause::Propagating), [5, 10, 20, 60, 60]);
        assert_eq!(waits(Cause::Internal), [60, 120, 240, 600, 600]);
    }

    #[test]
    fn azure_is_obeyed_within_bounds() {
        let throttled = |s| Cause::Throttled { retry_after: Duration::from_secs(s) };
        assert_eq!(wait(throttled(20), 7), 20);
        assert_eq!(wait(throttled(u64::MAX), 1), 600);
        assert_eq!(wait(throttled(0), 1), 1);
    }

    #[test]
    fn a_queued_wait_is_kept_and_a_busy_one_grows() {
        let queued = |ms| Cause::Queued { wait: Duration::from_millis(ms) };
        let wait = |cause, n| retry(cause, n, &Intervals::DEFAULT, 1.0).as_millis();
        assert_eq!([1, 9].map(|n| wait(queued(40_000), n)), [40_000; 2]);
        assert_eq!([1, 2, 9].map(|n| wait(queued(25), n)), [100, 200, 2000]);
        assert_eq!([1, 2, 9].map(|n| wait(Cause::Busy, n)), [100, 200, 2000]);
    }

    #[test]
    fn patience_counts_one_cause_and_generation() {
        let cause = Cause::AccessDenied;
        let later = now() + Intervals::DEFAULT.patience;
        let first = Streak::after(None, cause, 1, now());
        assert!(!first.is_stalled(cause, None, now(), Intervals::DEFAULT.patience));
        let second = Streak::after(Some(&first), cause, 1, later);
        assert_eq!(second.failures, 2);
        assert!(second.is_stalled(cause, None, later, Intervals::DEFAULT.patience));
        let edited = Streak::after(Some(&second), cause, 2, later);
        assert!(!edited.is_stalled(cause, None, later, Intervals::DEFAULT.patience));
        let other = Streak::after(Some(&second), Cause::NotFound, 1, later);
        assert_eq!(other.failures, 1);
    }

    #[test]
    fn what_is_shown_as_stalled_stays_so_after_a_restart() {
        let shown = RegistryAttachmentStatus {
            conditions: Some(vec![Condition {
                type_: "Stalled".into(),
                status: "True".into(),
                reason: "AccessDenied".into(),
                message: String::new(),
                observed_generation: Some(3),
                last_transition_time: Time(now()),
            }]),
            ..Default::default()
        };
        let stalled = |cause, generation| {
            Streak::after(None, cause, generation, now()).is_stalled(
                cause,
                Some(&shown),
                now(),
                Intervals::DEFAULT.patience,
            )
        };
        assert!(stalled(Cause::AccessDenied, 3));
        assert!(!stalled(Cause::AccessDenied, 4));
        assert!(!stalled(Cause::NotFound, 3));
    }

    #[test]
    fn a_write_is_read_again_and_a_start_spreads_the_checks() {
        assert_eq!(reread(&Intervals::DEFAULT, 0.5).as_secs(), 75);
        assert_eq!(
            [0.0, 0.5, 1.0].map(|it| resync(&Intervals::DEFAULT, it).as_secs()),
            [1620, 1800, 1980]
        );
        assert_eq!([0.0, 1.0].map(|it| spread(&Intervals::DEFAULT, it).as_secs()), [180, 1800]);
        let often = Intervals { resync: SignedDuration::from_secs(2), ..Intervals::DEFAULT };
        assert_eq!(reread(&often, 0.5).as_secs(), 2);
    }

    proptest! {
        #[test]
        fn every_wait_is_bounded(
            n in 0usize..ALL.len(), failures in 1u32.., jitter in 0.0f64..=1.0,
        ) {
            let wait = retry(ALL[n], failures, &Intervals::DEFAULT, jitter);
            prop_assert!(wait >= SignedDuration::from_millis(50));
            prop_assert!(wait <= Intervals::DEFAULT.resync.mul_f64(1.1));
        }
    }
}

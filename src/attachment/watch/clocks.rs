//! Compares the wall clock with the monotonic clock. They part when the machine was suspended, or its wall
//! clock was set. Stored times mean something else then, and Azure and the cluster may have changed meanwhile.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::attachment::context::Context;
use crate::attachment::watch::signals::Signal;

/// The time between two comparisons.
const PERIOD: Duration = Duration::from_secs(10);
/// How far one clock may run ahead of the other within a period.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(30);

/// The readings of both clocks at one moment.
#[derive(Clone, Copy)]
struct Reading {
    wall: Timestamp,
    /// The time of a clock that stands still while the machine is suspended.
    monotonic: Instant,
}

impl Reading {
    fn now() -> Self {
        Self { wall: Timestamp::now(), monotonic: Instant::now() }
    }

    /// Returns how far the wall clock has run ahead of the monotonic clock since `before`; negative if it lags.
    fn parted(self, before: Self) -> SignedDuration {
        let monotonic = self.monotonic.saturating_duration_since(before.monotonic);
        let monotonic = SignedDuration::try_from(monotonic).unwrap_or(SignedDuration::MAX);
        self.wall.duration_since(before.wall).saturating_sub(monotonic)
    }
}

/// Compares the clocks until the future is dropped. Where they have parted, schedules a check of Azure for
/// every attachment.
pub async fn watch(ctx: &Context) {
    let mut before = Reading::now();
    loop {
        tokio::time::sleep(PERIOD).await;
        let now = Reading::now();
        let parted = now.parted(before);
        if parted.abs() > TOLERANCE {
            tracing::warn!(
                seconds = parted.as_secs(),
                "the wall clock has run ahead or back: the machine was suspended, or its clock was set; everything is looked at anew"
            );
            ctx.states.check_anew();
            // No receiver is left only when the operator ends.
            let _ = ctx.signals.sender.send(Signal::Everything);
        }
        before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::together(10, 10, 0)]
    #[case::suspended(3_600, 10, 3_590)]
    #[case::set_back(-600, 10, -610)]
    fn clocks_part_by_what_one_has_run_ahead(
        #[case] wall: i64,
        #[case] monotonic: u64,
        #[case] expected: i64,
    ) {
        let before = Reading::now();
        let now = Reading {
            wall: before.wall + SignedDuration::from_secs(wall),
            monotonic: before.monotonic + Duration::from_secs(monotonic),
        };
        assert_eq!(now.parted(before).as_secs(), expected);
    }
}

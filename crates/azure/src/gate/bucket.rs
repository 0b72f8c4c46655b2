//! Token buckets, as Azure Resource Manager keeps them, and the line before an empty one.
//!
//! Only arithmetic: what time it is, is an argument.

use std::time::{Duration, Instant};

/// How often something may be done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// So often at once.
    pub burst: u32,
    /// So often a second in the long run.
    pub per_second: f64,
}

/// The calls of one kind that Azure would take now.
///
/// Calls are reserved before they are made. A reserved one still counts as in the bucket, so that
/// what comes back meanwhile is not counted twice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    rate: Rate,
    level: f64,
    reserved: u32,
    at: Instant,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, level: f64::from(rate.burst), reserved: 0, at: now }
    }

    /// So many calls, or as many as it holds at all.
    pub(super) fn at_most(&self, calls: u32) -> u32 {
        calls.min(self.rate.burst)
    }

    /// How long until so many calls can be reserved, if nobody else reserves any; zero: now.
    pub(super) fn wait_for(&mut self, calls: u32, now: Instant) -> Duration {
        self.fill(now);
        let missing = f64::from(self.reserved) + f64::from(calls) - self.level;
        self.time_for(missing)
    }

    /// How long it takes until so many come back.
    pub(super) fn time_for(&self, calls: f64) -> Duration {
        if calls <= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(calls / self.rate.per_second).unwrap_or(Duration::MAX)
    }

    pub(super) fn reserve(&mut self, calls: u32) {
        self.reserved += calls;
    }

    /// Gives back what was reserved and is not needed.
    pub(super) fn give_back(&mut self, calls: u32) {
        self.reserved = self.reserved.saturating_sub(calls);
    }

    /// Makes a call that was reserved.
    pub(super) fn spend(&mut self, now: Instant) {
        self.fill(now);
        self.level -= 1.0;
        self.give_back(1);
    }

    /// Azure says that it is empty: somebody else makes calls too.
    pub(super) fn drain(&mut self, now: Instant) {
        self.fill(now);
        self.level = 0.0;
    }

    fn fill(&mut self, now: Instant) {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.rate.per_second;
        self.level = (self.level + gained).min(f64::from(self.rate.burst));
        self.at = self.at.max(now);
    }
}

/// How long a line may become. Whoever is further behind comes back in between and sees again, so
/// that no mistake about the length of the line costs more than this.
const LONGEST: Duration = Duration::from_secs(60);

/// Those who have to come back, one after the other. Only the time of the last turn is kept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    last: Option<Instant>,
}

impl Line {
    /// How long until the turn of one more: not before `soonest`, and `step` after the one before.
    pub(super) fn join(&mut self, soonest: Duration, step: Duration, now: Instant) -> Duration {
        let first = now + soonest.min(LONGEST);
        let turn = self.last.map_or(first, |last| first.max(last + step));
        let turn = if turn > now + LONGEST { first } else { turn };
        self.last = Some(turn);
        turn.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { burst: 10, per_second: 4.0 };

    #[test]
    fn what_is_reserved_is_not_there_for_others_and_comes_back() {
        let now = Instant::now();
        let mut bucket = Bucket::new(RATE, now);
        assert_eq!(bucket.wait_for(10, now), Duration::ZERO);
        bucket.reserve(8);
        assert_eq!(bucket.wait_for(4, now), Duration::from_millis(500));
        bucket.give_back(2);
        assert_eq!(bucket.wait_for(4, now), Duration::ZERO);
        bucket.drain(now);
        bucket.give_back(6);
        assert_eq!(bucket.wait_for(1, now), Duration::from_millis(250));
        assert_eq!(bucket.wait_for(1, now + Duration::from_millis(250)), Duration::ZERO);
    }

    #[test]
    fn a_line_gives_one_turn_after_the_other_and_ends_somewhere() {
        let (now, step) = (Instant::now(), Duration::from_secs(10));
        let mut line = Line::default();
        let turns: Vec<_> =
            (0..9).map(|_| line.join(Duration::from_secs(5), step, now).as_secs()).collect();
        assert_eq!(turns, [5, 15, 25, 35, 45, 55, 5, 15, 25]);
        let later = now + Duration::from_secs(100);
        assert_eq!(line.join(Duration::ZERO, step, later), Duration::ZERO);
    }

    proptest! {
        /// Whatever is reserved, made and given back: in no window are there more calls than
        /// Azure's bucket of the same size would take.
        #[test]
        fn in_no_window_are_there_too_many_calls(
            steps in prop::collection::vec((0u64..700, 0u32..6, 0u32..6), 1..150),
        ) {
            let mut now = Instant::now();
            let mut bucket = Bucket::new(RATE, now);
            let (mut open, mut calls) = (Vec::new(), Vec::new());
            for (milliseconds, wanted, made) in steps {
                now += Duration::from_millis(milliseconds);
                if bucket.wait_for(wanted, now).is_zero() {
                    bucket.reserve(wanted);
                    open.push(wanted);
                }
                // Every other time the oldest of those that are open goes on; then it ends.
                if milliseconds % 2 == 0 && !open.is_empty() {
                    let reserved = open.remove(0);
                    let made = made.min(reserved);
                    (0..made).for_each(|_| { bucket.spend(now); calls.push(now) });
                    bucket.give_back(reserved - made);
                }
            }
            for (n, first) in calls.iter().enumerate() {
                for (m, last) in calls.iter().enumerate().skip(n) {
                    let most = f64::from(RATE.burst)
                        + last.duration_since(*first).as_secs_f64() * RATE.per_second;
                    let count = u32::try_from(m - n + 1).unwrap();
                    prop_assert!(f64::from(count) <= most + 1e-6, "{count} calls, {most} allowed");
                }
            }
        }
    }
}

//! Token buckets as Azure Resource Manager keeps them, and staggered retry times.
//!
//! This is arithmetic only: the current time is an argument.

use std::time::{Duration, Instant};

/// A rate limit, as a token bucket has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// How many calls a full bucket allows at once.
    pub burst: u32,
    /// How many calls become available per second.
    pub per_second: f64,
}

/// A token bucket: the calls of one kind that Azure would accept now.
///
/// A call is reserved before it is made. Until then its token stays in the bucket, so that the
/// refill in between is not counted twice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    rate: Rate,
    tokens: f64,
    reserved: u32,
    updated: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, tokens: f64::from(rate.burst), reserved: 0, updated: now }
    }

    /// So many calls, limited to the size of the bucket.
    pub(super) fn at_most(&self, calls: u32) -> u32 {
        calls.min(self.rate.burst)
    }

    /// How long until so many calls can be reserved, if there are no other reservations until then.
    /// Zero means now.
    pub(super) fn wait_for(&mut self, calls: u32, now: Instant) -> Duration {
        self.refill(now);
        let missing = f64::from(self.reserved) + f64::from(calls) - self.tokens;
        self.refill_time(missing)
    }

    /// How long it takes to refill so many calls.
    pub(super) fn refill_time(&self, calls: f64) -> Duration {
        if calls <= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(calls / self.rate.per_second).unwrap_or(Duration::MAX)
    }

    pub(super) fn reserve(&mut self, calls: u32) {
        self.reserved += calls;
    }

    /// Releases reserved calls that are not needed.
    pub(super) fn release(&mut self, calls: u32) {
        self.reserved = self.reserved.saturating_sub(calls);
    }

    /// Takes the token of a reserved call that is made now.
    pub(super) fn consume(&mut self, now: Instant) {
        self.refill(now);
        self.tokens -= 1.0;
        self.release(1);
    }

    /// Empties the bucket. Azure's own one is empty, since other programs make calls too.
    pub(super) fn drain(&mut self, now: Instant) {
        self.refill(now);
        self.tokens = 0.0;
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.updated).as_secs_f64();
        let gained = passed * self.rate.per_second;
        self.tokens = (self.tokens + gained).min(f64::from(self.rate.burst));
        self.updated = self.updated.max(now);
    }
}

/// The longest retry time. Later ones start over at the first, so a wrong estimate of the queue
/// costs no more than this.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Staggered retry times for reconciles that could not reserve enough calls. Only the last one is
/// kept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RetryQueue {
    last: Option<Instant>,
}

impl RetryQueue {
    /// How long until the next retry time: not before `soonest`, and `step` after the previous one.
    pub(super) fn join(&mut self, soonest: Duration, step: Duration, now: Instant) -> Duration {
        let first = now + soonest.min(MAX_WAIT);
        let retry = self.last.map_or(first, |last| first.max(last + step));
        let retry = if retry > now + MAX_WAIT { first } else { retry };
        self.last = Some(retry);
        retry.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate { burst: 10, per_second: 4.0 };

    #[test]
    fn reserved_calls_are_not_available_to_others_until_they_are_released() {
        let now = Instant::now();
        let mut bucket = Bucket::new(RATE, now);
        assert_eq!(bucket.wait_for(10, now), Duration::ZERO);
        bucket.reserve(8);
        assert_eq!(bucket.wait_for(4, now), Duration::from_millis(500));
        bucket.release(2);
        assert_eq!(bucket.wait_for(4, now), Duration::ZERO);
        bucket.drain(now);
        bucket.release(6);
        assert_eq!(bucket.wait_for(1, now), Duration::from_millis(250));
        assert_eq!(bucket.wait_for(1, now + Duration::from_millis(250)), Duration::ZERO);
    }

    #[test]
    fn retry_times_are_staggered_and_bounded() {
        let (now, step) = (Instant::now(), Duration::from_secs(10));
        let mut queue = RetryQueue::default();
        let waits: Vec<_> =
            (0..9).map(|_| queue.join(Duration::from_secs(5), step, now).as_secs()).collect();
        assert_eq!(waits, [5, 15, 25, 35, 45, 55, 5, 15, 25]);
        let later = now + Duration::from_secs(100);
        assert_eq!(queue.join(Duration::ZERO, step, later), Duration::ZERO);
    }

    proptest! {
        /// Whatever is reserved, called and released: from any call to any later one there are at most
        /// `burst + seconds × per_second` calls, as Azure's own bucket allows.
        #[test]
        fn no_window_has_too_many_calls(
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
                // In about every second step the oldest reservation makes its calls and ends.
                if milliseconds % 2 == 0 && !open.is_empty() {
                    let reserved = open.remove(0);
                    let made = made.min(reserved);
                    (0..made).for_each(|_| { bucket.consume(now); calls.push(now) });
                    bucket.release(reserved - made);
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

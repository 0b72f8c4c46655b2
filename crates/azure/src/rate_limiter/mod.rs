//! A rate limiter for each subscription. It rejects calls that Azure would answer with 429, and all
//! calls while Azure asks for a pause.
//!
//! It never waits. Before its first call to a subscription a reconcile reserves the calls that it
//! may need, so that it does not fail half-way. Without enough calls it gets a retry time.

mod bucket;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use azure_core::http::Method;
use jiff::Timestamp;
use uuid::Uuid;

pub use bucket::Rate;
use bucket::{Bucket, RetryQueue};

/// The rate limits of one identity for one subscription.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// GET requests.
    pub reads: Rate,
    /// PUT requests.
    pub writes: Rate,
    /// DELETE requests.
    pub deletes: Rate,
}

impl Default for Budget {
    /// Nine tenths of what Azure Resource Manager allows (learn.microsoft.com, "Understand how
    /// Azure Resource Manager throttles requests"). The rest is a margin: calls do not arrive as
    /// evenly as they are made, and administrators sign in as the operator to examine its rights.
    fn default() -> Self {
        Self {
            reads: Rate { burst: 225, per_second: 22.5 },
            writes: Rate { burst: 180, per_second: 9.0 },
            deletes: Rate { burst: 180, per_second: 9.0 },
        }
    }
}

/// A kind of call that Azure counts separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Delete,
}

impl Kind {
    fn of(method: Method) -> Self {
        match method {
            Method::Get => Self::Read,
            Method::Delete => Self::Delete,
            _ => Self::Write,
        }
    }
}

/// A number of calls for each [`Kind`].
type Calls = [u32; 3];

/// The calls that a reconcile reserves. To share a role assignment it reads the registry, the
/// cluster, the list of assignments, and the shared assignment before and after it writes it.
/// Further calls, such as for more pages, need a free token.
const RESERVED_CALLS: Calls = [5, 1, 1];
/// The calls that most reconciles make: they read the registry and the list of assignments, and
/// write one assignment and read it back. The read of the cluster is shared.
const TYPICAL_CALLS: [f64; 3] = [3.0, 1.0, 0.0];

/// Why a call is not made now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum RateLimited {
    /// Azure asked for a pause.
    Paused { wait: Duration, until: Timestamp },
    /// The call would exceed the budget.
    Queued { wait: Duration },
}

/// The subscription that a rate limiter is for; `None` is for calls outside of any subscription.
pub(super) type Key = Option<Uuid>;

/// The rate limiter for a path: that of the subscription in it.
pub(super) fn key(path: &str) -> Key {
    let mut segments = path.split(['/', '?']).skip(1);
    let is_subscription = segments.next()?.eq_ignore_ascii_case("subscriptions");
    segments.next().filter(|_| is_subscription)?.parse().ok()
}

/// All rate limiters of one identity.
#[derive(Debug, Default)]
pub(super) struct RateLimiters {
    budget: Budget,
    all: Mutex<HashMap<Key, RateLimiter>>,
}

impl RateLimiters {
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, all: Mutex::default() }
    }

    fn with<T>(&self, key: Key, now: Instant, work: impl FnOnce(&mut RateLimiter) -> T) -> T {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        work(all.entry(key).or_insert_with(|| RateLimiter::new(&self.budget, now)))
    }
}

/// The calls that a reconcile has reserved. Dropping the reservation releases the calls.
#[derive(Debug)]
pub(super) struct Reservation {
    limiters: Arc<RateLimiters>,
    calls: Mutex<HashMap<Key, Calls>>,
}

impl Reservation {
    /// A reservation of no calls.
    pub(super) fn empty(limiters: &Arc<RateLimiters>) -> Self {
        Self { limiters: Arc::clone(limiters), calls: Mutex::default() }
    }

    /// An empty reservation with the same rate limiters, for another reconcile.
    pub(super) fn for_reconcile(&self) -> Self {
        Self::empty(&self.limiters)
    }

    /// Takes the token for one call. The first call for a key reserves the others.
    ///
    /// # Errors
    /// When the call must not be made now.
    pub(super) fn acquire(
        &self,
        key: Key,
        method: Method,
        now: Instant,
    ) -> Result<(), RateLimited> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        self.limiters.with(key, now, |limiter| {
            let calls = match calls.entry(key) {
                Entry::Occupied(it) => it.into_mut(),
                Entry::Vacant(it) => it.insert(limiter.reserve(now)?),
            };
            limiter.acquire(calls, Kind::of(method), now)
        })
    }

    /// Rejects all calls for so long, after Azure has answered such a call with 429.
    pub(super) fn pause(&self, key: Key, method: Method, wait: Duration, now: Instant) {
        self.limiters.with(key, now, |limiter| limiter.pause(Kind::of(method), wait, now));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let calls = self.calls.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (key, calls) in calls.drain() {
            self.limiters.with(key, Instant::now(), |limiter| limiter.release(calls));
        }
    }
}

/// The rate limiter of one subscription: a bucket for each [`Kind`].
#[derive(Debug)]
struct RateLimiter {
    buckets: [Bucket; 3],
    pause: Option<(Instant, Timestamp)>,
    queue: RetryQueue,
}

impl RateLimiter {
    fn new(budget: &Budget, now: Instant) -> Self {
        let rates = [budget.reads, budget.writes, budget.deletes];
        let buckets = rates.map(|it| Bucket::new(it, now));
        Self { buckets, pause: None, queue: RetryQueue::default() }
    }

    /// Reserves the calls that a reconcile may need.
    fn reserve(&mut self, now: Instant) -> Result<Calls, RateLimited> {
        self.check_pause(now)?;
        let mut calls = RESERVED_CALLS;
        let mut soonest = Duration::ZERO;
        for (bucket, calls) in self.buckets.iter_mut().zip(&mut calls) {
            *calls = bucket.at_most(*calls);
            soonest = soonest.max(bucket.wait_for(*calls, now));
        }
        if !soonest.is_zero() {
            return Err(self.enqueue(soonest, now));
        }
        for (bucket, calls) in self.buckets.iter_mut().zip(calls) {
            bucket.reserve(calls);
        }
        Ok(calls)
    }

    /// Takes the token for one call: a reserved one, else a free one.
    fn acquire(
        &mut self,
        reserved: &mut Calls,
        kind: Kind,
        now: Instant,
    ) -> Result<(), RateLimited> {
        self.check_pause(now)?;
        let (bucket, reserved) = (&mut self.buckets[kind as usize], &mut reserved[kind as usize]);
        if *reserved == 0 {
            let soonest = bucket.wait_for(bucket.at_most(1), now);
            if !soonest.is_zero() {
                return Err(self.enqueue(soonest, now));
            }
            bucket.reserve(1);
            *reserved = 1;
        }
        bucket.consume(now);
        *reserved -= 1;
        Ok(())
    }

    fn release(&mut self, calls: Calls) {
        for (bucket, calls) in self.buckets.iter_mut().zip(calls) {
            bucket.release(calls);
        }
    }

    fn check_pause(&self, now: Instant) -> Result<(), RateLimited> {
        match self.pause.filter(|(end, _)| *end > now) {
            Some((end, until)) => Err(RateLimited::Paused { wait: end.duration_since(now), until }),
            None => Ok(()),
        }
    }

    /// Staggers the retry times, so that rejected reconciles do not come back all at once.
    fn enqueue(&mut self, soonest: Duration, now: Instant) -> RateLimited {
        let times = self.buckets.iter().zip(TYPICAL_CALLS);
        let step = times.map(|(bucket, calls)| bucket.refill_time(calls)).max().unwrap_or_default();
        RateLimited::Queued { wait: self.queue.join(soonest, step, now) }
    }

    fn pause(&mut self, kind: Kind, wait: Duration, now: Instant) {
        self.buckets[kind as usize].drain(now);
        let end = now + wait;
        if self.pause.is_none_or(|(before, _)| before < end) {
            let until = Timestamp::now().checked_add(wait).unwrap_or(Timestamp::MAX);
            self.pause = Some((end, until));
        }
    }
}

#[cfg(test)]
mod tests;

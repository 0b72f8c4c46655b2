//! The gate before each subscription: no call is made that Azure would answer with 429, and none
//! while it asks to be left alone.
//!
//! Nobody waits here. A pass reserves what it may need before its first call to a subscription,
//! so that it knows then whether it can finish; whoever cannot is told when to come back.

mod bucket;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use azure_core::http::Method;
use jiff::Timestamp;
use uuid::Uuid;

pub use bucket::Rate;
use bucket::{Bucket, Line};

/// What one identity may ask of one subscription.
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
    /// Azure Resource Manager throttles requests"): calls do not arrive as evenly as they are
    /// made, and people sign in as the operator to see why it may not do something.
    fn default() -> Self {
        Self {
            reads: Rate { burst: 225, per_second: 22.5 },
            writes: Rate { burst: 180, per_second: 9.0 },
            deletes: Rate { burst: 180, per_second: 9.0 },
        }
    }
}

/// A kind of call that Azure counts by itself.
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

/// Calls by [`Kind`].
type Calls = [u32; 3];

/// What a pass may need: to share an assignment it reads the registry, the cluster, the
/// assignments, and the one to share before and after it writes it. What goes beyond that, such
/// as further pages, takes what is there.
const NEEDED: Calls = [5, 1, 1];
/// What a pass takes in the end, mostly: the registry, the assignments, one written and read back.
/// The cluster is read for all.
const TAKEN: [f64; 3] = [3.0, 1.0, 0.0];

/// Why a call is not made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shut {
    /// Azure asked for it.
    Paused { wait: Duration, until: Timestamp },
    /// It would be one too many.
    Queued { wait: Duration },
}

/// Which gate leads to something: that of the subscription that a path names, or the one for all
/// that is in none.
pub(super) type Name = Option<Uuid>;

/// The gate that a path leads through.
pub(super) fn name(path: &str) -> Name {
    let mut segments = path.split(['/', '?']).skip(1);
    let is_subscription = segments.next()?.eq_ignore_ascii_case("subscriptions");
    segments.next().filter(|_| is_subscription)?.parse().ok()
}

/// All gates of one identity.
#[derive(Debug, Default)]
pub(super) struct Gates {
    budget: Budget,
    all: Mutex<HashMap<Name, Gate>>,
}

impl Gates {
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, all: Mutex::default() }
    }

    fn at<T>(&self, name: Name, now: Instant, work: impl FnOnce(&mut Gate) -> T) -> T {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        work(all.entry(name).or_insert_with(|| Gate::new(&self.budget, now)))
    }
}

/// What one pass has reserved. It is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    gates: Arc<Gates>,
    calls: Mutex<HashMap<Name, Calls>>,
}

impl Reserved {
    /// Nothing yet.
    pub(super) fn nothing(gates: &Arc<Gates>) -> Self {
        Self { gates: Arc::clone(gates), calls: Mutex::default() }
    }

    /// The same gates, for another pass.
    pub(super) fn anew(&self) -> Self {
        Self::nothing(&self.gates)
    }

    /// Lets one call pass.
    ///
    /// # Errors
    /// When it must not be made now.
    pub(super) fn pass(&self, name: Name, method: Method, now: Instant) -> Result<(), Shut> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        self.gates.at(name, now, |gate| {
            let calls = match calls.entry(name) {
                Entry::Occupied(it) => it.into_mut(),
                Entry::Vacant(it) => it.insert(gate.reserve(now)?),
            };
            gate.pass(calls, Kind::of(method), now)
        })
    }

    /// Azure has answered such a call with 429, and asks to wait that long.
    pub(super) fn pause(&self, name: Name, method: Method, wait: Duration, now: Instant) {
        self.gates.at(name, now, |gate| gate.pause(Kind::of(method), wait, now));
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let calls = self.calls.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (name, calls) in calls.drain() {
            self.gates.at(name, Instant::now(), |gate| gate.give_back(calls));
        }
    }
}

/// One gate.
#[derive(Debug)]
struct Gate {
    buckets: [Bucket; 3],
    pause: Option<(Instant, Timestamp)>,
    line: Line,
}

impl Gate {
    fn new(budget: &Budget, now: Instant) -> Self {
        let rates = [budget.reads, budget.writes, budget.deletes];
        let buckets = rates.map(|it| Bucket::new(it, now));
        Self { buckets, pause: None, line: Line::default() }
    }

    /// Reserves what a pass may need.
    fn reserve(&mut self, now: Instant) -> Result<Calls, Shut> {
        self.is_open(now)?;
        let mut calls = NEEDED;
        let mut soonest = Duration::ZERO;
        for (bucket, calls) in self.buckets.iter_mut().zip(&mut calls) {
            *calls = bucket.at_most(*calls);
            soonest = soonest.max(bucket.wait_for(*calls, now));
        }
        if !soonest.is_zero() {
            return Err(self.queue(soonest, now));
        }
        for (bucket, calls) in self.buckets.iter_mut().zip(calls) {
            bucket.reserve(calls);
        }
        Ok(calls)
    }

    /// Lets a call pass that is reserved, or that nobody has reserved.
    fn pass(&mut self, reserved: &mut Calls, kind: Kind, now: Instant) -> Result<(), Shut> {
        self.is_open(now)?;
        let (bucket, reserved) = (&mut self.buckets[kind as usize], &mut reserved[kind as usize]);
        if *reserved == 0 {
            let soonest = bucket.wait_for(bucket.at_most(1), now);
            if !soonest.is_zero() {
                return Err(self.queue(soonest, now));
            }
            bucket.reserve(1);
            *reserved = 1;
        }
        bucket.spend(now);
        *reserved -= 1;
        Ok(())
    }

    fn give_back(&mut self, calls: Calls) {
        for (bucket, calls) in self.buckets.iter_mut().zip(calls) {
            bucket.give_back(calls);
        }
    }

    fn is_open(&self, now: Instant) -> Result<(), Shut> {
        match self.pause.filter(|(end, _)| *end > now) {
            Some((end, until)) => Err(Shut::Paused { wait: end.duration_since(now), until }),
            None => Ok(()),
        }
    }

    /// Nobody who is turned away comes back together with others.
    fn queue(&mut self, soonest: Duration, now: Instant) -> Shut {
        let times = self.buckets.iter().zip(TAKEN).map(|(bucket, calls)| bucket.time_for(calls));
        let step = times.max().unwrap_or_default();
        Shut::Queued { wait: self.line.join(soonest, step, now) }
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
mod tests {
    use super::*;

    const A: Name = Some(Uuid::from_u128(1));
    const B: Name = Some(Uuid::from_u128(2));

    fn gates() -> Arc<Gates> {
        let rate = Rate { burst: 10, per_second: 10.0 };
        Arc::new(Gates::new(Budget { reads: rate, writes: rate, deletes: rate }))
    }

    fn read(pass: &Reserved, name: Name, now: Instant) -> Result<(), Shut> {
        pass.pass(name, Method::Get, now)
    }

    /// How many milliseconds a pass has to wait for its turn.
    fn wait(refused: Result<(), Shut>) -> u128 {
        match refused {
            Err(Shut::Queued { wait }) => wait.as_millis(),
            other => panic!("{other:?}"),
        }
    }

    #[rstest::rstest]
    #[case("/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/x?y=z", A)]
    #[case("/SUBSCRIPTIONS/00000000-0000-0000-0000-000000000001?y=z", A)]
    #[case("/providers/Microsoft.Management/managementGroups/x", None)]
    #[case("/v1.0/servicePrincipals", None)]
    fn a_path_names_its_gate(#[case] path: &str, #[case] expected: Name) {
        assert_eq!(name(path), expected);
    }

    #[test]
    fn a_pass_that_was_let_in_can_finish_and_others_come_back_one_by_one() {
        let (gates, now) = (gates(), Instant::now());
        let (first, second) = (Reserved::nothing(&gates), Reserved::nothing(&gates));
        read(&first, A, now).unwrap();
        read(&second, A, now).unwrap();
        let turned_away: Vec<_> =
            (0..3).map(|_| wait(read(&Reserved::nothing(&gates), A, now))).collect();
        assert_eq!(turned_away, [500, 800, 1100]);
        for _ in 1..NEEDED[0] {
            read(&first, A, now).unwrap();
        }
        first.pass(A, Method::Put, now).unwrap();
        // More than it may need: nobody has reserved it, but it is not there.
        wait(read(&first, A, now));
        read(&Reserved::nothing(&gates), B, now).unwrap();
    }

    #[test]
    fn what_is_not_needed_is_given_back() {
        let (gates, now) = (gates(), Instant::now());
        for made in 1..=6 {
            read(&Reserved::nothing(&gates), A, now).unwrap();
            let left = 10 - made;
            let wait = |calls| gates.at(A, now, |it| it.buckets[0].wait_for(calls, now));
            assert_eq!((wait(left), wait(left + 1).is_zero()), (Duration::ZERO, false));
        }
        wait(read(&Reserved::nothing(&gates), A, now));
    }

    #[test]
    fn a_subscription_is_left_alone_for_as_long_as_azure_asks() {
        let (gates, now) = (gates(), Instant::now());
        let pass = Reserved::nothing(&gates);
        read(&pass, A, now).unwrap();
        pass.pause(A, Method::Put, Duration::from_secs(20), now);
        pass.pause(A, Method::Put, Duration::from_secs(5), now);
        let later = now + Duration::from_secs(19);
        for pass in [&pass, &Reserved::nothing(&gates)] {
            let refused = read(pass, A, later);
            assert!(
                matches!(refused, Err(Shut::Paused { wait, .. }) if wait.as_secs() == 1),
                "{refused:?}"
            );
        }
        read(&pass, B, later).unwrap();
        read(&pass, A, now + Duration::from_secs(20)).unwrap();
    }

    #[test]
    fn a_budget_smaller_than_a_pass_lets_one_in_at_a_time() {
        let rate = Rate { burst: 2, per_second: 1.0 };
        let gates = Arc::new(Gates::new(Budget { reads: rate, writes: rate, deletes: rate }));
        let now = Instant::now();
        let pass = Reserved::nothing(&gates);
        read(&pass, A, now).unwrap();
        assert_eq!(wait(read(&Reserved::nothing(&gates), A, now)), 2000);
    }
}

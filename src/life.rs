//! Signs of life of the executor and of each watch, by which `/livez` judges. They need no answer from
//! Azure or the API server: a failed attempt is a sign of life too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The longest times without a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of the executor, which should tick every second.
    pub executor: Duration,
    /// Of a watch. A watch that shows nothing is restarted after 5 minutes, and one that fails is
    /// retried within half a minute.
    pub watch: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { executor: Duration::from_secs(30), watch: Duration::from_secs(600) }
    }
}

const TICK: Duration = Duration::from_secs(1);

/// The heartbeat of the executor: the time of its last tick.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    /// Starts with a tick at `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }

    /// Ticks, on the executor that awaits this future.
    pub async fn tick(&self) {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            self.ticked(ticks.tick().await.into_std());
        }
    }

    fn ticked(&self, now: Instant) {
        *lock(&self.0) = now;
    }

    /// Describes the fault if the executor has not ticked for longer than the limit.
    #[must_use]
    pub fn failure(&self, now: Instant, limit: Duration) -> Option<String> {
        let silent = now.saturating_duration_since(*lock(&self.0));
        (silent > limit).then(|| {
            format!("the executor has run nothing for {} s: it is stuck\n", silent.as_secs())
        })
    }
}

/// The signs of life of all watches.
#[derive(Clone, Debug, Default)]
pub struct Signs(Arc<Mutex<Vec<Seen>>>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    resource: &'static str,
    alive: Instant,
    shown: Timestamp,
}

/// Records the signs of life of one watch.
#[derive(Clone, Debug)]
pub struct Sign {
    all: Signs,
    watch: usize,
}

impl Signs {
    /// Adds a watch of that resource.
    #[must_use]
    pub fn begin(&self, resource: &'static str, now: Instant, at: Timestamp) -> Sign {
        let mut seen = lock(&self.0);
        seen.push(Seen { resource, alive: now, shown: at });
        Sign { all: self.clone(), watch: seen.len() - 1 }
    }

    /// Describes the fault if a watch has shown no sign of life for longer than the limit.
    #[must_use]
    pub fn failure(&self, now: Instant, limit: Duration) -> Option<String> {
        let seen = lock(&self.0);
        let oldest = seen.iter().min_by_key(|it| it.alive)?;
        let silent = now.saturating_duration_since(oldest.alive);
        (silent > limit).then(|| {
            let (resource, seconds) = (oldest.resource, silent.as_secs());
            format!(
                "a watch of {resource} has shown and tried nothing for {seconds} s: it is stuck\n"
            )
        })
    }

    /// When each resource was last shown. Of several watches, the most silent one counts.
    #[must_use]
    pub fn shown(&self) -> BTreeMap<&'static str, Timestamp> {
        let mut all = BTreeMap::new();
        for Seen { resource, shown, .. } in lock(&self.0).iter() {
            let oldest = all.entry(*resource).or_insert(*shown);
            *oldest = (*oldest).min(*shown);
        }
        all
    }
}

impl Sign {
    /// Records an attempt of the watch, whether it succeeds or fails.
    pub fn tries(&self, now: Instant) {
        self.leave(|seen| seen.alive = now);
    }

    /// Records that the API server has shown something.
    pub fn shows(&self, now: Instant, at: Timestamp) {
        self.leave(|seen| (seen.alive, seen.shown) = (now, at));
    }

    fn leave(&self, change: impl FnOnce(&mut Seen)) {
        if let Some(seen) = lock(&self.all.0).get_mut(self.watch) {
            change(seen);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_executor_that_does_not_tick_is_dead() {
        let now = Instant::now();
        let pulse = Pulse::new(now);
        assert_eq!(pulse.failure(now + 30 * SECOND, 30 * SECOND), None);
        let told = pulse.failure(now + 31 * SECOND, 30 * SECOND).unwrap();
        assert_eq!(told, "the executor has run nothing for 31 s: it is stuck\n");
        pulse.ticked(now + 31 * SECOND);
        assert_eq!(pulse.failure(now + 32 * SECOND, 30 * SECOND), None);
    }

    #[test]
    fn without_watches_none_is_stale() {
        assert_eq!(Signs::default().failure(Instant::now() + 3600 * SECOND, SECOND), None);
    }

    #[test]
    fn a_watch_that_neither_shows_nor_tries_anything_is_dead() {
        let (signs, now) = (Signs::default(), Instant::now());
        let namespaces = signs.begin("namespaces", now, at(0));
        let secrets = signs.begin("secrets", now, at(0));
        let other = signs.begin("secrets", now, at(0));
        // Failed attempts are signs of life, but show nothing.
        namespaces.tries(now + 500 * SECOND);
        secrets.shows(now + 599 * SECOND, at(599));
        other.shows(now, at(1));
        assert_eq!(signs.failure(now + 600 * SECOND, 600 * SECOND), None);
        let told = signs.failure(now + 601 * SECOND, 600 * SECOND).unwrap();
        assert!(told.starts_with("a watch of secrets has shown and tried nothing for 601 s"));
        other.tries(now + 601 * SECOND);
        assert_eq!(signs.failure(now + 1100 * SECOND, 600 * SECOND), None);
        assert!(signs.failure(now + 1101 * SECOND, 600 * SECOND).unwrap().contains("namespaces"));
        assert_eq!(signs.shown(), BTreeMap::from([("namespaces", at(0)), ("secrets", at(1))]));
    }
}

//! The permits for calls to Azure Resource Manager, and the queue of callers that found none free.
//!
//! A caller never waits for a permit inside a reconcile: the holder may be waiting for a call that
//! hangs. When a permit is free, the next caller in the queue is notified.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

/// The shortest wait of a caller. A notification can go unused, because the notified caller may
/// not need the permit any more.
const MIN_WAIT: Duration = Duration::from_secs(1);
/// How long each place in the queue takes: eight reconciles, each with four calls of 50 ms.
const WAIT_PER_PLACE: Duration = Duration::from_millis(25);

/// A fixed number of permits.
#[derive(Debug)]
pub(super) struct Permits {
    state: Mutex<State>,
    notify: mpsc::UnboundedSender<String>,
}

#[derive(Debug)]
struct State {
    free: usize,
    queue: VecDeque<String>,
}

/// One permit. Dropping it frees it.
#[derive(Debug)]
pub(super) struct Permit(Arc<Permits>);

impl Permits {
    /// So many free permits, and the names of notified callers.
    pub(super) fn new(count: usize) -> (Arc<Self>, mpsc::UnboundedReceiver<String>) {
        let (notify, notified) = mpsc::unbounded_channel();
        let state = State { free: count, queue: VecDeque::new() };
        (Arc::new(Self { state: Mutex::new(state), notify }), notified)
    }

    /// Takes a free permit. Without one, a caller with a name joins the queue.
    ///
    /// # Errors
    /// How long to wait when no permit is free. A queued caller is notified earlier if one becomes
    /// free.
    pub(super) fn try_acquire(self: &Arc<Self>, name: Option<&str>) -> Result<Permit, Duration> {
        let mut state = self.state();
        let position = name.and_then(|name| state.queue.iter().position(|it| it == name));
        if state.free > 0 {
            position.and_then(|it| state.queue.remove(it));
            state.free -= 1;
            // An earlier notification went unused, so the next caller is notified.
            self.notify_next(&mut state);
            return Ok(Permit(Arc::clone(self)));
        }
        let before = position.unwrap_or(state.queue.len());
        if position.is_none() {
            state.queue.extend(name.map(str::to_owned));
        }
        let before = u32::try_from(before).unwrap_or(u32::MAX);
        Err(MIN_WAIT.saturating_add(WAIT_PER_PLACE.saturating_mul(before)))
    }

    fn notify_next(&self, state: &mut State) {
        if state.free > 0
            && let Some(name) = state.queue.pop_front()
        {
            // The receiver is gone when the operator shuts down.
            let _ = self.notify.send(name);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.free += 1;
        self.0.notify_next(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queued_callers_are_notified_in_order() {
        let (permits, mut notified) = Permits::new(2);
        let mut taken: Vec<_> = (0..2).map(|_| permits.try_acquire(None).unwrap()).collect();
        let wait = |name| permits.try_acquire(Some(name)).unwrap_err().as_millis();
        assert_eq!([wait("a"), wait("b"), wait("c"), wait("a")], [1000, 1025, 1050, 1000]);
        assert!(permits.try_acquire(None).is_err(), "a caller without a name is not queued");
        notified.try_recv().unwrap_err();
        taken.pop();
        assert_eq!(notified.try_recv().unwrap(), "a");
        let a = permits.try_acquire(Some("a")).unwrap();
        notified.try_recv().unwrap_err();
        drop(a);
        assert_eq!(notified.try_recv().unwrap(), "b");
    }

    #[test]
    fn the_next_caller_is_notified_of_a_permit_that_goes_unused() {
        let (permits, mut notified) = Permits::new(2);
        let taken: Vec<_> = (0..2).map(|_| permits.try_acquire(None).unwrap()).collect();
        for name in ["a", "b", "c", "d"] {
            permits.try_acquire(Some(name)).unwrap_err();
        }
        drop(taken);
        assert_eq!([notified.try_recv().unwrap(), notified.try_recv().unwrap()], ["a", "b"]);
        // Neither `a` nor `b` takes its permit; `d` comes back when its own wait is over.
        let _d = permits.try_acquire(Some("d")).unwrap();
        assert_eq!(notified.try_recv().unwrap(), "c");
    }
}

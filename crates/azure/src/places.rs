//! The places at Azure Resource Manager, and the line of those who found none.
//!
//! Nobody waits for a place inside a pass, since whoever has it may be waiting for an Azure that
//! hangs. Who found none is called when one is free.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

/// In case that nobody calls: who was called may not want the place any more.
const AT_LEAST: Duration = Duration::from_secs(1);
/// How soon one more place is free, if many wait for one: eight passes, each of four calls of
/// 50 ms.
const EACH: Duration = Duration::from_millis(25);

/// All of them.
#[derive(Debug)]
pub(super) struct Places {
    state: Mutex<State>,
    call: mpsc::UnboundedSender<String>,
}

#[derive(Debug)]
struct State {
    free: usize,
    line: VecDeque<String>,
}

/// One of them, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Places>);

impl Places {
    /// So many, and the names of those who are called.
    pub(super) fn new(count: usize) -> (Arc<Self>, mpsc::UnboundedReceiver<String>) {
        let (call, called) = mpsc::unbounded_channel();
        let state = State { free: count, line: VecDeque::new() };
        (Arc::new(Self { state: Mutex::new(state), call }), called)
    }

    /// Takes one.
    ///
    /// # Errors
    /// How long to wait at most, when none is free. Whoever has a name is called before.
    pub(super) fn take(self: &Arc<Self>, name: Option<&str>) -> Result<Place, Duration> {
        let mut state = self.state();
        let position = name.and_then(|name| state.line.iter().position(|it| it == name));
        if state.free > 0 {
            position.and_then(|it| state.line.remove(it));
            state.free -= 1;
            // What was free before had called somebody who did not come.
            self.call_next(&mut state);
            return Ok(Place(Arc::clone(self)));
        }
        let before = position.unwrap_or(state.line.len());
        if position.is_none() {
            state.line.extend(name.map(str::to_owned));
        }
        let before = u32::try_from(before).unwrap_or(u32::MAX);
        Err(AT_LEAST.saturating_add(EACH.saturating_mul(before)))
    }

    fn call_next(&self, state: &mut State) {
        if state.free > 0
            && let Some(name) = state.line.pop_front()
        {
            // Nobody listens any more when the operator ends.
            let _ = self.call.send(name);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.free += 1;
        self.0.call_next(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_found_none_is_called_in_the_order_of_coming() {
        let (places, mut called) = Places::new(2);
        let mut taken: Vec<_> = (0..2).map(|_| places.take(None).unwrap()).collect();
        let wait = |name| places.take(Some(name)).unwrap_err().as_millis();
        assert_eq!([wait("a"), wait("b"), wait("c"), wait("a")], [1000, 1025, 1050, 1000]);
        assert!(places.take(None).is_err(), "who has no name is not called");
        called.try_recv().unwrap_err();
        taken.pop();
        assert_eq!(called.try_recv().unwrap(), "a");
        let a = places.take(Some("a")).unwrap();
        called.try_recv().unwrap_err();
        drop(a);
        assert_eq!(called.try_recv().unwrap(), "b");
    }

    #[test]
    fn somebody_else_is_called_for_what_nobody_comes_to_take() {
        let (places, mut called) = Places::new(2);
        let taken: Vec<_> = (0..2).map(|_| places.take(None).unwrap()).collect();
        for name in ["a", "b", "c", "d"] {
            places.take(Some(name)).unwrap_err();
        }
        drop(taken);
        assert_eq!([called.try_recv().unwrap(), called.try_recv().unwrap()], ["a", "b"]);
        // Neither comes, but somebody by the time that it was told.
        let _d = places.take(Some("d")).unwrap();
        assert_eq!(called.try_recv().unwrap(), "c");
    }
}

//! The fence: lets only the leader write, and only while it knows that it leads.

use std::sync::{Arc, Mutex, PoisonError};

use acr_attach_core::lease::NotLeading;

use crate::leader::boot_time::BootTime;

/// A check before every write. Clones share one state.
///
/// The fence is open until a time on a clock that goes on while the process is stopped and while the
/// machine is suspended: a leader that was away for too long finds the fence closed.
#[derive(Clone, Debug)]
pub struct Fence(Arc<Mutex<Opening>>);

#[derive(Clone, Copy, Debug)]
enum Opening {
    Always,
    Until(BootTime),
    Never,
}

impl Fence {
    /// Creates a fence that never closes, for the election itself and for an operator without one.
    #[must_use]
    pub fn open() -> Self {
        Self(Arc::new(Mutex::new(Opening::Always)))
    }

    /// Creates a fence that closes at that time unless it is extended.
    #[must_use]
    pub fn until(time: BootTime) -> Self {
        Self(Arc::new(Mutex::new(Opening::Until(time))))
    }

    /// Keeps the fence open until that time, unless it was closed for good.
    pub fn extend(&self, time: BootTime) {
        let mut opening = self.lock();
        if let Opening::Until(until) = &mut *opening {
            *until = time;
        }
    }

    /// Closes the fence for good.
    pub fn close(&self) {
        *self.lock() = Opening::Never;
    }

    /// Whether a write may begin now.
    ///
    /// # Errors
    /// When the fence is closed.
    pub fn check(&self) -> Result<(), NotLeading> {
        match *self.lock() {
            Opening::Always => Ok(()),
            Opening::Until(time) if BootTime::now() < time => Ok(()),
            Opening::Until(_) | Opening::Never => Err(NotLeading),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Opening> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl acr_attach_azure::Fence for Fence {
    fn check(&self) -> Result<(), NotLeading> {
        Self::check(self)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_closes_by_itself_and_can_be_extended_until_it_is_closed() {
        let now = BootTime::now();
        let fence = Fence::until(now);
        assert_eq!(fence.check(), Err(NotLeading));
        fence.extend(now + Duration::from_secs(60));
        let clone = fence.clone();
        assert_eq!(clone.check(), Ok(()));
        fence.close();
        fence.extend(now + Duration::from_secs(60));
        assert_eq!(clone.check(), Err(NotLeading));
    }

    #[test]
    fn alone_one_always_leads() {
        assert_eq!(Fence::open().check(), Ok(()));
    }
}

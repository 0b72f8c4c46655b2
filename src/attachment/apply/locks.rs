//! Locks on role assignments: one change at a time, since Azure has no `ETag` for them. The locks also record
//! which assignments this process has written, since a list that was read before does not show these.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use acr_attach_core::ids::AssignmentId;
use acr_attach_core::problem::{Cause, Problem};
use uuid::Uuid;

/// The locks of all reconciles, by the name of the assignment. Names are unique in Azure.
#[derive(Clone, Debug, Default)]
pub struct Locks(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    taken: HashSet<Uuid>,
    written: HashSet<Uuid>,
}

/// The lock on one assignment. Dropping it releases the lock.
#[derive(Debug)]
pub struct Lock {
    locks: Locks,
    name: Uuid,
}

impl Locks {
    /// Locks an assignment.
    ///
    /// # Errors
    /// `Busy` when another reconcile holds the lock. The caller does not wait, since that reconcile may be
    /// waiting for Azure.
    pub fn take(&self, id: &AssignmentId) -> Result<Lock, Problem> {
        let name = id.name();
        if self.state().taken.insert(name) {
            return Ok(Lock { locks: self.clone(), name });
        }
        Err(Problem::new(
            Cause::Busy,
            format!("role assignment {id} is being changed by another attachment"),
        ))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lock {
    /// Whether this process may have created the assignment, and has not deleted it since.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.locks.state().written.contains(&self.name)
    }

    /// Records that the assignment exists or is about to be created (`true`), or that it was deleted (`false`).
    pub fn note(&self, written: bool) {
        let mut state = self.locks.state();
        if written {
            state.written.insert(self.name);
        } else {
            state.written.remove(&self.name);
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.locks.state().taken.remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_change_at_a_time() {
        let id: AssignmentId =
            "/x/providers/Microsoft.Authorization/roleAssignments/2f826ae1-1728-4c63-bbb7-a8a150a5a52d"
                .parse()
                .unwrap();
        let locks = Locks::default();
        let first = locks.take(&id).unwrap();
        assert_eq!(locks.take(&id).unwrap_err().cause, Cause::Busy);
        assert!(!first.is_written());
        first.note(true);
        drop(first);
        let second = locks.take(&id).unwrap();
        assert!(second.is_written());
        second.note(false);
        assert!(!second.is_written());
    }
}

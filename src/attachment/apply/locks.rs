//! Which role assignments are being changed: one change at a time, since Azure has no `ETag` here.
//! And which ones this process has made, since a list that was read before does not show them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use acr_attach_core::ids::AssignmentId;
use acr_attach_core::problem::{Cause, Problem};
use uuid::Uuid;

/// The assignments that a reconcile is changing, by name: names are unique in Azure.
#[derive(Clone, Debug, Default)]
pub struct Locks(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    taken: HashSet<Uuid>,
    written: HashSet<Uuid>,
}

/// The right to change one assignment, given back when it is dropped.
#[derive(Debug)]
pub struct Lock {
    locks: Locks,
    name: Uuid,
}

impl Locks {
    /// Takes the right to change an assignment.
    ///
    /// # Errors
    /// `Busy` when another reconcile has it. Nobody waits: that reconcile may be waiting for Azure.
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
    /// Whether this process may have made the assignment, and has not deleted it since.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.locks.state().written.contains(&self.name)
    }

    /// The assignment is about to be made, or was deleted.
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

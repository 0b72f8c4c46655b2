//! Which role assignments are being changed: one change at a time, since Azure has no `ETag` here.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use crate::domain::names::AssignmentId;
use crate::domain::problem::{Cause, Problem};

/// The assignments that a pass is changing, by name: names are unique in Azure.
#[derive(Clone, Debug, Default)]
pub struct Locks(Arc<Mutex<HashSet<Uuid>>>);

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
    /// `Busy` when another pass has it. Nobody waits: that pass may be waiting for Azure.
    pub fn take(&self, id: &AssignmentId) -> Result<Lock, Problem> {
        let name = id.name();
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name) {
            return Ok(Lock { locks: self.clone(), name });
        }
        Err(Problem::new(
            Cause::Busy,
            format!("role assignment {id} is being changed by another attachment"),
        ))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.locks.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
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
        drop(first);
        locks.take(&id).unwrap();
    }
}

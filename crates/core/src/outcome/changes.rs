//! The changes that a reconcile has made.

use crate::ids::AssignmentId;
use crate::plan::{Finalizer, SecretTarget};
use crate::snapshot::azure::RoleAssignment;
use crate::snapshot::cluster::{ServiceAccount, StoredSecret};

/// A change of the attachment controller: in Azure, or of the object.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A finalizer of acr-attach was added (`true`) or removed (`false`).
    Finalizer(Finalizer, bool),
    /// A role assignment was created.
    Assigned(RoleAssignment),
    /// The claim of this attachment was added to a role assignment of other attachments.
    Joined(RoleAssignment),
    /// The condition of a role assignment with the claim of this attachment was set to the desired one.
    Amended(RoleAssignment),
    /// A former claim was replaced by the current one.
    Reclaimed(RoleAssignment),
    /// A role assignment bears the claim of this attachment already, and the list of Azure lagged behind.
    Held(RoleAssignment),
    /// The claim of this attachment was removed from a role assignment that other attachments still use.
    Left(AssignmentId),
    /// A role assignment was deleted.
    Unassigned(AssignmentId),
    /// The finalizer for entries was removed although entries are left.
    Abandoned(Abandoned),
    /// A credential was made and accepted.
    NewCredential,
}

/// Entries that are left in service accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// The number of accounts, where a user asked to leave the entries; `None` if the number is unknown.
    Asked(Option<usize>),
    /// The number of accounts, where another writer puts the entries back after each removal.
    PutBack(usize),
}

impl Change {
    /// Returns the role assignment that may have blocked another attachment and may not block it any more.
    #[must_use]
    pub fn frees(&self) -> Option<&AssignmentId> {
        match self {
            Self::Left(id) | Self::Unassigned(id) => Some(id),
            Self::Amended(it) => Some(&it.id),
            _ => None,
        }
    }

    /// Returns the role assignment that does not bear the claim of this attachment any more.
    #[must_use]
    pub fn releases(&self) -> Option<&AssignmentId> {
        match self {
            Self::Left(id) | Self::Unassigned(id) => Some(id),
            _ => None,
        }
    }

    /// Returns the role assignment that was created, or that has got the claim of this attachment.
    #[must_use]
    pub fn writes(&self) -> Option<&AssignmentId> {
        match self {
            Self::Assigned(it) | Self::Joined(it) => Some(&it.id),
            _ => None,
        }
    }

    /// Whether a role assignment was changed.
    #[must_use]
    pub fn is_in_azure(&self) -> bool {
        matches!(
            self,
            Self::Assigned(_)
                | Self::Joined(_)
                | Self::Amended(_)
                | Self::Reclaimed(_)
                | Self::Left(_)
                | Self::Unassigned(_)
        )
    }
}

/// Updates the assignments that were found by the changes that were made since.
#[must_use]
pub fn with_changes(mut found: Vec<RoleAssignment>, changes: &[Change]) -> Vec<RoleAssignment> {
    for change in changes {
        match change {
            Change::Assigned(it)
            | Change::Joined(it)
            | Change::Amended(it)
            | Change::Reclaimed(it)
            | Change::Held(it) => {
                found.retain(|old| old.id != it.id);
                found.push(it.clone());
            }
            Change::Left(id) | Change::Unassigned(id) => found.retain(|old| old.id != *id),
            _ => {}
        }
    }
    found
}

/// A change of the delivery controller in a namespace.
#[derive(Clone, Debug, PartialEq)]
pub enum NamespaceChange {
    /// A pull secret was written.
    WroteSecret {
        /// The Secret.
        target: SecretTarget,
        /// Whether another writer had changed or deleted the Secret.
        restored: bool,
    },
    /// A pull secret was deleted.
    DeletedSecret(Box<StoredSecret>),
    /// A service account got the name of the pull secret.
    AddedEntry,
    /// A service account lost the name of that pull secret.
    RemovedEntry(ServiceAccount, String),
}

impl NamespaceChange {
    /// Whether the change removed something.
    #[must_use]
    pub fn is_removal(&self) -> bool {
        matches!(self, Self::DeletedSecret(_) | Self::RemovedEntry(..))
    }
}

//! What is worth telling a user of a pass: the changes that were made, and Ready when it turns.

use super::act::Deed;
use super::events::News;
use crate::api::{Ownership, Reason, RegistryAttachmentStatus};
use crate::domain::names::AssignmentId;
use crate::domain::verdict::ready;

/// What to tell of a change that was made; `before` is the status until then.
#[must_use]
pub fn of_deed(deed: &Deed, before: Option<&RegistryAttachmentStatus>) -> Option<News> {
    let (warning, reason, action, note) = match deed {
        Deed::Finalizer(_) | Deed::Held(_) => return None,
        Deed::Assigned(it) if was_ours(&it.id, before) => (
            true,
            "RoleAssignmentRestored",
            "Assign",
            format!("role assignment {} was gone and was made again", it.id),
        ),
        Deed::Assigned(it) => {
            let note = format!("made role assignment {}", it.id);
            (false, "RoleAssignmentCreated", "Assign", note)
        }
        Deed::Joined(it) => {
            let note = format!("holds role assignment {} together with other attachments", it.id);
            (false, "RoleAssignmentShared", "Assign", note)
        }
        Deed::Amended(it) => {
            let note = format!("set the condition of role assignment {} right", it.id);
            (true, "RoleAssignmentRestored", "Assign", note)
        }
        Deed::Left(id) => {
            let note = format!("left role assignment {id} to the other attachments that hold it");
            (false, "RoleAssignmentReleased", "Unassign", note)
        }
        Deed::Unassigned(id) => {
            let note = format!("deleted role assignment {id}");
            (false, "RoleAssignmentDeleted", "Unassign", note)
        }
    };
    Some(News { warning, reason: reason.to_owned(), action, note })
}

/// Whether an assignment that was made now was there before, and so was taken away by somebody.
#[must_use]
pub fn was_ours(id: &AssignmentId, before: Option<&RegistryAttachmentStatus>) -> bool {
    let known = before.and_then(|it| it.role_assignments.as_ref());
    known
        .into_iter()
        .flatten()
        .any(|it| it.ownership == Ownership::Managed && it.id.eq_ignore_ascii_case(&id.to_string()))
}

/// What to tell when Ready changed its status or its reason; nothing at each further try.
#[must_use]
pub fn of_readiness(
    before: Option<&RegistryAttachmentStatus>,
    after: &RegistryAttachmentStatus,
) -> Option<News> {
    let new = ready(Some(after))?;
    let old = ready(before);
    let same = old.is_some_and(|old| old.status == new.status && old.reason == new.reason);
    (!same).then(|| News {
        warning: new.status == "False" && new.reason != Reason::Detaching.as_str(),
        reason: new.reason.clone(),
        action: "Attach",
        note: new.message.clone(),
    })
}

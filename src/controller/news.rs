//! What is worth telling a user of a pass: the changes that were made, and Ready when it turns.

use std::collections::BTreeSet;

use super::act::Deed;
use super::events::News;
use crate::api::{Ownership, Reason, RegistryAttachmentStatus};
use crate::domain::names::AssignmentId;
use crate::domain::plan::Target;
use crate::domain::verdict::ready;

/// What to tell of a change that was made; `before` is the status until then.
#[must_use]
pub fn of_deed(deed: &Deed, before: Option<&RegistryAttachmentStatus>) -> Option<News> {
    let (warning, reason, action, note) = match deed {
        Deed::Finalizer(..)
        | Deed::Held(_)
        | Deed::Minted { .. }
        | Deed::Provided(..)
        | Deed::EntryAdded(..) => return None,
        Deed::Withdrawn(it) => {
            let note = format!("deleted Secret {} in namespace {}", it.name, it.namespace);
            (false, "PullSecretDeleted", "Withdraw", note)
        }
        Deed::EntryRemoved(account, secret) => {
            let note = format!(
                "took {secret} out of imagePullSecrets of service account {} in namespace {}",
                account.name, account.namespace
            );
            (false, "ServiceAccountDetached", "Withdraw", note)
        }
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

/// What to tell of pull secrets that were written: one thing for all of them, since they hold the
/// same. `served` are the namespaces that were served until then.
#[must_use]
pub fn of_secrets(deeds: &[Deed], served: &BTreeSet<String>) -> Option<News> {
    let written: Vec<_> = deeds
        .iter()
        .filter_map(|deed| match deed {
            Deed::Provided(target, _) => Some(target),
            _ => None,
        })
        .collect();
    let first = written.first()?;
    let lost = |it: &&Target| it.edited || (it.uid.is_none() && served.contains(&it.namespace));
    let restored = written.iter().copied().filter(lost).count();
    let renewed = written.iter().all(|it| it.uid.is_some());
    let (warning, reason, verb) = match (restored, renewed) {
        (0, true) => (false, "PullSecretRotated", "renewed"),
        (0, false) => (false, "PullSecretCreated", "wrote"),
        _ => (true, "PullSecretRestored", "wrote again, after somebody changed or deleted it,"),
    };
    let more = match written.len() {
        1 => String::new(),
        n => format!(" and {} more", n - 1),
    };
    let note = format!("{verb} Secret {} in namespace {}{more}", first.name, first.namespace);
    Some(News { warning, reason: reason.to_owned(), action: "Provide", note })
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

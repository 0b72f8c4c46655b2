//! Builds the events of a reconcile: on changes that were made, and on conditions that changed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::changes::{Abandoned, Change, NamespaceChange};
use super::verdict::condition;
use crate::api::{ABANDON_ENTRIES, ConditionType, Ownership, Reason, RegistryAttachmentStatus};
use crate::ids::{AssignmentId, eq_ignore_case};
use crate::plan::SecretTarget;
use crate::snapshot::azure::RoleAssignment;

/// An event to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// Whether the event is a warning.
    pub warning: bool,
    /// The reason, in `PascalCase`.
    pub reason: String,
    /// The action that was taken or tried.
    pub action: &'static str,
    /// The text, in one line.
    pub note: String,
}

/// Returns the event on a change; `None` for a change without one. `before` is the status before the change,
/// and `generation` that of the spec.
#[must_use]
pub fn of_change(
    change: &Change,
    before: Option<&RegistryAttachmentStatus>,
    generation: Option<i64>,
) -> Option<EventRecord> {
    let (reason, note) = match change {
        Change::Finalizer(..) | Change::Held(_) | Change::NewCredential => return None,
        Change::Assigned(it) if was_ours(&it.id, before) => {
            let note = format!("role assignment {} was gone and was made again", it.id);
            ("RoleAssignmentRestored", note)
        }
        Change::Assigned(it) => {
            ("RoleAssignmentCreated", format!("made role assignment {}", it.id))
        }
        Change::Joined(it) => {
            let note = format!("holds role assignment {} together with other attachments", it.id);
            ("RoleAssignmentShared", note)
        }
        Change::Amended(it) if is_new(before, generation) => {
            let note = format!("changed the condition of role assignment {}", it.id);
            ("RoleAssignmentUpdated", note)
        }
        Change::Amended(it) => {
            let note = format!("set the condition of role assignment {} right", it.id);
            ("RoleAssignmentRestored", note)
        }
        Change::Reclaimed(it) => {
            let note = format!("replaced this attachment's claim on role assignment {}", it.id);
            ("RoleAssignmentUpdated", note)
        }
        Change::Left(id) => {
            let note = format!("left role assignment {id} to the other attachments that hold it");
            ("RoleAssignmentReleased", note)
        }
        Change::Unassigned(id) => {
            ("RoleAssignmentDeleted", format!("deleted role assignment {id}"))
        }
        Change::Abandoned(entries) => ("ServiceAccountsAbandoned", abandoned(*entries)),
    };
    let action = match change {
        Change::Left(_) | Change::Unassigned(_) => "Unassign",
        Change::Abandoned(_) => "Withdraw",
        _ => "Assign",
    };
    // Somebody else has changed what is made again, or keeps what is left.
    let warning = ["RoleAssignmentRestored", "ServiceAccountsAbandoned"].contains(&reason);
    Some(EventRecord { warning, reason: reason.to_owned(), action, note })
}

fn abandoned(entries: Abandoned) -> String {
    let (count, why) = match entries {
        Abandoned::Asked(count) => (count, format!("as annotation {ABANDON_ENTRIES} asks")),
        Abandoned::PutBack(count) => {
            (Some(count), "since another writer puts them back after each removal".to_owned())
        }
    };
    let count = count.map_or_else(String::new, |it| format!("{it} "));
    format!("left entries in imagePullSecrets of {count}service accounts, {why}")
}

/// Whether the spec has changed since status `before`, so that a change now follows the spec and corrects no
/// drift.
#[must_use]
pub fn is_new(before: Option<&RegistryAttachmentStatus>, generation: Option<i64>) -> bool {
    before.is_none_or(|it| it.observed_generation != generation)
}

/// Returns the events on pull secrets and service accounts: one for all objects with the same change.
#[must_use]
pub fn of_namespace_changes(changes: &[NamespaceChange]) -> Vec<EventRecord> {
    let deleted = changes.iter().filter_map(|change| match change {
        NamespaceChange::DeletedSecret(it) => {
            Some(format!("Secret {} in namespace {}", it.name, it.namespace))
        }
        _ => None,
    });
    let removed = changes.iter().filter_map(|change| match change {
        NamespaceChange::RemovedEntry(account, secret) => Some(format!(
            "{secret} out of imagePullSecrets of service account {} in namespace {}",
            account.name, account.namespace
        )),
        _ => None,
    });
    let told = |reason: &str, verb, what: Vec<String>| {
        let note = format!("{verb} {}", and_more(&what)?);
        Some(EventRecord { warning: false, reason: reason.to_owned(), action: "Withdraw", note })
    };
    let gone = [
        told("PullSecretDeleted", "deleted", deleted.collect()),
        told("ServiceAccountDetached", "took", removed.collect()),
    ];
    of_written(changes).into_iter().chain(gone.into_iter().flatten()).collect()
}

fn of_written(changes: &[NamespaceChange]) -> Option<EventRecord> {
    let written: Vec<_> = changes
        .iter()
        .filter_map(|change| match change {
            NamespaceChange::WroteSecret { target, restored } => Some((target, *restored)),
            _ => None,
        })
        .collect();
    let any_restored = written.iter().any(|(_, restored)| *restored);
    let all_renewed = written.iter().all(|(it, _)| it.uid.is_some());
    let (warning, reason, verb) = match (any_restored, all_renewed) {
        (false, true) => (false, "PullSecretRotated", "renewed"),
        (false, false) => (false, "PullSecretCreated", "wrote"),
        _ => (true, "PullSecretRestored", "wrote again, after somebody changed or deleted it,"),
    };
    let secret = |(it, _): &(&SecretTarget, bool)| {
        format!("Secret {} in namespace {}", it.name, it.namespace)
    };
    let note = format!("{verb} {}", and_more(&written.iter().map(secret).collect::<Vec<_>>())?);
    Some(EventRecord { warning, reason: reason.to_owned(), action: "Provide", note })
}

/// Returns the first item with the number of further items; `None` for an empty list.
fn and_more(what: &[String]) -> Option<String> {
    let first = what.first()?;
    Some(match what.len() {
        1 => first.clone(),
        n => format!("{first} and {} more", n - 1),
    })
}

/// Whether status `before` lists the assignment as managed by acr-attach. If acr-attach creates it now, another
/// writer has deleted it.
#[must_use]
pub fn was_ours(id: &AssignmentId, before: Option<&RegistryAttachmentStatus>) -> bool {
    let shown = before.and_then(|it| it.role_assignments.as_ref());
    shown
        .into_iter()
        .flatten()
        .any(|it| it.ownership == Ownership::Managed && eq_ignore_case(&it.id, &id.to_string()))
}

/// Returns the events on assignments that status `before` lists as managed by acr-attach and that bear no
/// claims any more. Another tool has taken them over, so acr-attach does not delete them.
#[must_use]
pub fn of_taken_over(
    found: &[RoleAssignment],
    before: Option<&RegistryAttachmentStatus>,
) -> Vec<EventRecord> {
    let lost = found.iter().filter(|it| it.claims().is_none() && was_ours(&it.id, before));
    lost.map(|it| EventRecord {
        warning: true,
        reason: "RoleAssignmentTakenOver".to_owned(),
        action: "Assign",
        note: format!(
            "role assignment {} bears no claims of acr-attach any more: somebody has changed its description, and it is theirs from now on; it is used while it gives the role, and not deleted with this attachment",
            it.id
        ),
    })
    .collect()
}

/// Returns the events on conditions that changed their status or reason: on Ready; on Obsolete, unless its
/// reason is Progressing; on `PullSecretsReady` and `CredentialFresh` where they turn False and Ready does not
/// say the same. A retry with the same result has no event.
#[must_use]
pub fn of_conditions(
    before: Option<&RegistryAttachmentStatus>,
    after: &RegistryAttachmentStatus,
) -> Vec<EventRecord> {
    let Some(ready) = condition(Some(after), ConditionType::Ready) else { return Vec::new() };
    let mut all = Vec::new();
    if has_turned(ready, condition(before, ConditionType::Ready)) {
        let warning = ready.status == "False" && ready.reason != Reason::Detaching.as_str();
        all.push(turned(ready, warning, "Attach"));
    }
    if let Some(obsolete) = condition(Some(after), ConditionType::Obsolete)
        && obsolete.reason != Reason::Progressing.as_str()
        && has_turned(obsolete, condition(before, ConditionType::Obsolete))
    {
        all.push(turned(obsolete, true, "Remove"));
    }
    let parts =
        [(ConditionType::PullSecretsReady, "Provide"), (ConditionType::CredentialFresh, "Renew")];
    for (type_, action) in parts {
        let Some(part) = condition(Some(after), type_) else { continue };
        let says_more = ready.status == "True" || ready.reason != part.reason;
        if part.status == "False" && says_more && has_turned(part, condition(before, type_)) {
            all.push(turned(part, true, action));
        }
    }
    all
}

fn has_turned(new: &Condition, old: Option<&Condition>) -> bool {
    old.is_none_or(|old| old.status != new.status || old.reason != new.reason)
}

fn turned(condition: &Condition, warning: bool, action: &'static str) -> EventRecord {
    EventRecord {
        warning,
        reason: condition.reason.clone(),
        action,
        note: condition.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(conditions: &[(&str, &str, &str)]) -> RegistryAttachmentStatus {
        let one = |(type_, status, reason): &(&str, &str, &str)| {
            json!({
                "type": type_, "status": status, "reason": reason, "message": "why",
                "lastTransitionTime": "2026-11-22T12:00:00Z",
            })
        };
        let all: Vec<_> = conditions.iter().map(one).collect();
        serde_json::from_value(json!({"conditions": all})).unwrap()
    }

    fn told(before: &[(&str, &str, &str)], after: &[(&str, &str, &str)]) -> Vec<String> {
        let all = of_conditions(Some(&status(before)), &status(after));
        all.into_iter().map(|it| format!("{} {} {}", it.warning, it.action, it.reason)).collect()
    }

    #[test]
    fn a_condition_is_told_when_it_turns_and_once() {
        let attached = ("Ready", "True", "Attached");
        let fresh = ("CredentialFresh", "True", "Attached");
        let overdue = ("CredentialFresh", "False", "AuthenticationFailed");
        assert_eq!(told(&[], &[attached, fresh]), ["false Attach Attached"]);
        let expected = ["true Renew AuthenticationFailed"];
        assert_eq!(told(&[attached, fresh], &[attached, overdue]), expected);
        assert!(told(&[attached, overdue], &[attached, overdue]).is_empty());
        assert!(told(&[attached, overdue], &[attached, fresh]).is_empty());
    }

    #[test]
    fn what_ready_says_is_not_told_twice() {
        let attached = [("Ready", "True", "Attached"), ("PullSecretsReady", "True", "Attached")];
        let failed = [("Ready", "False", "NotOurs"), ("PullSecretsReady", "False", "NotOurs")];
        assert_eq!(told(&attached, &failed), ["true Attach NotOurs"]);
        let partly = [("Ready", "True", "Attached"), ("PullSecretsReady", "False", "NotOurs")];
        assert_eq!(told(&attached, &partly), ["true Provide NotOurs"]);
    }

    #[test]
    fn entries_that_stay_are_told_with_the_reason() {
        let note = |it| of_change(&Change::Abandoned(it), None, None).unwrap().note;
        let asked = note(Abandoned::Asked(None));
        assert!(asked.contains("of service accounts, as annotation"), "{asked}");
        let put_back = note(Abandoned::PutBack(2));
        assert!(put_back.contains("of 2 service accounts, since another writer"), "{put_back}");
    }
}

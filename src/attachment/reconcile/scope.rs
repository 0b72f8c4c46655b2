//! Decides the scope of a reconcile, and how new the answers of Azure must be.

use acr_attach_azure::MAX_READ_AGE;
use acr_attach_core::api::{MethodChoice, MethodInUse, REQUESTED_AT, RegistryAttachment};
use acr_attach_core::outcome::last_check::Scope;
use acr_attach_core::outcome::verdict::ready;
use acr_attach_core::plan::Finalizer;
use acr_attach_core::problem::Cause;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::attachment::report::Invocation;
use crate::attachment::snapshot::platform::{is_asked_for, is_changed};
use crate::attachment::state::{AttachmentState, Revision, Trigger};

/// Decides the scope of a reconcile.
pub fn scope(
    object: &RegistryAttachment,
    by: Invocation<'_>,
    trigger: Option<Trigger>,
    now: Timestamp,
) -> Scope {
    let Invocation { revision, before, .. } = by;
    match before {
        _ if trigger == Some(Trigger::Permit) => Scope::Azure,
        Some(it) if it.has_to_wait(revision, now) => Scope::Cluster,
        _ if trigger == Some(Trigger::Credential) => Scope::Azure,
        Some(it) if trigger >= Some(Trigger::Role) && is_blocked(it) => Scope::Azure,
        None if is_answered(object, revision) => Scope::Cluster,
        Some(it) if it.findings.check.too_early => Scope::Azure,
        Some(it) if it.revision == *revision && now < it.next.check => Scope::Cluster,
        _ => Scope::Azure,
    }
}

/// Whether other attachments kept the last check of Azure from assigning a role, or may have: by their claims
/// on an assignment, or by the number of role assignments.
fn is_blocked(before: &AttachmentState) -> bool {
    let undone = before.findings.check.undone.as_ref();
    undone.is_some_and(|it| matches!(it.cause, Cause::NotOurs | Cause::QuotaExceeded))
}

/// Returns the time of the oldest read of Azure that serves a check. A request by a user, a new or changed spec
/// and a failure need a newer read. Any other check uses answers of the last 5 s.
pub fn since(
    object: &RegistryAttachment,
    revision: &Revision,
    before: Option<&AttachmentState>,
    now: Timestamp,
) -> Timestamp {
    let a_moment_ago = now - MAX_READ_AGE;
    match before {
        Some(it) if it.revision != *revision => now,
        _ if is_asked_for(object) => now,
        Some(it) if it.history.streak.is_some() => it.next.decided.max(a_moment_ago),
        Some(_) => a_moment_ago,
        None if is_changed(object) => now,
        None => created(object).unwrap_or(now).clamp(a_moment_ago, now),
    }
}

/// Returns the end of the second in which the API server created the object, by the API server's clock. If that
/// clock is ahead of this process's clock, a check uses only answers that are newer than its own start. If it
/// is behind, a check may use answers that are older than the object by the difference, but not older than 5 s.
fn created(object: &RegistryAttachment) -> Option<Timestamp> {
    object.creation_timestamp()?.0.checked_add(SignedDuration::from_secs(1)).ok()
}

/// Whether status says that the desired state is in place, and the cluster alone can confirm that: the
/// attachment has pull secrets and no role, which would have to be read in Azure.
fn is_answered(object: &RegistryAttachment, revision: &Revision) -> bool {
    let status = object.status.as_ref();
    let requested = object.annotations().get(REQUESTED_AT);
    let handled = status.and_then(|it| it.last_handled_reconcile_at.as_ref());
    let holds = ready(status).is_some_and(|it| {
        it.status == "True" && it.observed_generation == object.metadata.generation
    });
    let method = status.and_then(|it| it.method);
    let by_secret = match object.spec.method {
        MethodChoice::PullSecret => true,
        MethodChoice::Auto => method == Some(MethodInUse::PullSecret),
        _ => false,
    };
    let by_role = revision.finalizers().contains(&Finalizer::RoleAssignments);
    by_secret
        && !by_role
        && holds
        && requested == handled
        && object.metadata.deletion_timestamp.is_none()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::attachment::state::Findings;
    use acr_attach_core::outcome::requeue::Schedule;
    use acr_attach_core::outcome::verdict::History;
    use acr_attach_core::outcome::waits::Streak;
    use acr_attach_core::problem::Problem;

    /// An attachment with that generation and request, created long ago.
    fn object(generation: i64, requested: Option<&str>) -> RegistryAttachment {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "acr-attach.dev/v1alpha1", "kind": "RegistryAttachment",
            "metadata": {
                "name": "a",
                "generation": generation,
                "creationTimestamp": "2020-01-01T00:00:00Z",
                "annotations": requested.map(|it| serde_json::json!({REQUESTED_AT: it})),
            },
            "spec": {"registry": {}},
        }))
        .unwrap()
    }

    fn seen(decided: Timestamp, check: Timestamp, problem: Option<Cause>) -> AttachmentState {
        AttachmentState {
            revision: Revision::of(&object(1, None)),
            next: Schedule { check, reread: None, reconcile: check, not_before: decided, decided },
            history: History {
                streak: problem.map(|it| Streak::after(None, it, 1, decided)),
                ..History::default()
            },
            written: None,
            findings: Findings::default(),
        }
    }

    #[test]
    fn what_others_let_go_concerns_those_that_they_were_in_the_way_of() {
        let (now, first) = (Timestamp::now(), object(1, None));
        let later = now + SignedDuration::from_mins(5);
        let of = |undone: Option<Cause>, trigger| {
            let mut before = seen(now, later, undone);
            before.findings.check.undone = undone.map(|it| Problem::new(it, "x"));
            let revision = &Revision::of(&first);
            let by = Invocation { revision, before: Some(&before), due: false, salvaged: None };
            scope(&first, by, Some(trigger), now)
        };
        for cause in [Cause::NotOurs, Cause::QuotaExceeded] {
            assert_eq!(of(Some(cause), Trigger::Role), Scope::Azure);
            assert_eq!(of(Some(cause), Trigger::Report), Scope::Cluster);
        }
        assert_eq!(of(Some(Cause::Locked), Trigger::Role), Scope::Cluster);
        assert_eq!(of(None, Trigger::Role), Scope::Cluster);
    }

    #[test]
    fn the_first_look_takes_nothing_older_than_the_object_or_its_spec() {
        let now = Timestamp::now();
        let of = |object: &RegistryAttachment| {
            since(object, &Revision::of(object), None, now).duration_since(now)
        };
        let created = |seconds| {
            let mut object = object(1, None);
            let at = now - SignedDuration::from_secs(seconds);
            object.metadata.creation_timestamp = Some(Time(at));
            of(&object)
        };
        let ago = |seconds: i64| SignedDuration::from_secs(-seconds);
        // The time of creation is in whole seconds: what counts is the end of its second.
        let waits = [3600, 9, 4, 1, 0, -3600].map(created);
        assert_eq!(waits, [5, 5, 3, 0, 0, 0].map(ago));
        let mut changed = object(2, None);
        changed.status =
            serde_json::from_value(serde_json::json!({"observedGeneration": 1})).unwrap();
        assert_eq!(of(&changed), ago(0));
        changed.metadata.generation = Some(1);
        assert_eq!(of(&changed), ago(5));
    }

    #[test]
    fn what_somebody_asks_for_and_what_failed_takes_nothing_older() {
        let now = Timestamp::now();
        let ago = |seconds| now - SignedDuration::from_secs(seconds);
        let first = object(1, None);
        let of = |object: &RegistryAttachment, before: Option<&AttachmentState>| {
            since(object, &Revision::of(object), before, now).duration_since(now).as_secs()
        };
        let calm = seen(ago(60), now, None);
        assert_eq!([of(&first, None), of(&first, Some(&calm))], [-5, -5]);
        assert_eq!(of(&object(1, Some("x")), Some(&calm)), 0);
        assert_eq!(of(&object(2, None), Some(&calm)), 0);
        assert_eq!(of(&first, Some(&seen(ago(3), now, Some(Cause::Unavailable)))), -3);
        assert_eq!(of(&first, Some(&seen(ago(60), now, Some(Cause::Unavailable)))), -5);
    }
}

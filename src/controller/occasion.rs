//! How closely a pass looks, and how new what it reads has to be.

use jiff::Timestamp;
use kube::ResourceExt;

use super::memory::{Recollection, Trigger, Wake};
use super::observe::Occasion;
use super::platform::is_asked_for;
use super::report::Brought;
use crate::api::{MethodChoice, MethodInUse, REQUESTED_AT, RegistryAttachment};
use crate::azure::AS_GOOD_AS_NEW;
use crate::domain::plan::Finalizer;
use crate::domain::verdict::ready;

/// How closely a pass looks at an attachment.
pub(super) fn occasion(
    object: &RegistryAttachment,
    by: Brought<'_>,
    wake: Option<Wake>,
    now: Timestamp,
) -> Occasion {
    let Brought { trigger, before, .. } = by;
    match before {
        _ if wake == Some(Wake::Place) => Occasion::Look,
        Some(it) if it.is_to_wait(trigger, now) => Occasion::Glance,
        _ if wake == Some(Wake::Credential) => Occasion::Look,
        None if is_answered(object, trigger) => Occasion::Glance,
        Some(it) if it.known.look.too_early => Occasion::Look,
        Some(it) if it.trigger == *trigger && now < it.next.look => Occasion::Glance,
        _ => Occasion::Look,
    }
}

/// Before which time no answer of Azure serves a look. A request, a changed spec and a failure ask for
/// what is newer than they are; at any other time, what was read a moment ago is as good as new.
pub(super) fn since(
    object: &RegistryAttachment,
    trigger: &Trigger,
    before: Option<&Recollection>,
    now: Timestamp,
) -> Timestamp {
    let a_moment_ago = now - AS_GOOD_AS_NEW;
    match before {
        Some(it) if it.trigger != *trigger => now,
        _ if is_asked_for(object) => now,
        Some(it) if it.history.streak.is_some() => it.next.decided.max(a_moment_ago),
        _ => a_moment_ago,
    }
}

/// Whether status says that what is asked for holds, and the cluster alone can tell whether it
/// does: a role has to be looked up.
fn is_answered(object: &RegistryAttachment, trigger: &Trigger) -> bool {
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
    let by_role = trigger.finalizers().contains(&Finalizer::RoleAssignments);
    by_secret
        && !by_role
        && holds
        && requested == handled
        && object.metadata.deletion_timestamp.is_none()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::super::memory::{Known, Next};
    use super::*;
    use crate::domain::problem::Cause;
    use crate::domain::schedule::Streak;
    use crate::domain::verdict::History;

    /// Of an attachment with that generation and request.
    fn object(generation: i64, requested: Option<&str>) -> RegistryAttachment {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "acr-attach.dev/v1alpha1", "kind": "RegistryAttachment",
            "metadata": {
                "name": "a",
                "generation": generation,
                "annotations": requested.map(|it| serde_json::json!({REQUESTED_AT: it})),
            },
            "spec": {"registry": {}},
        }))
        .unwrap()
    }

    #[test]
    fn what_somebody_asks_for_and_what_failed_takes_nothing_older() {
        let now = Timestamp::now();
        let ago = |seconds| now - SignedDuration::from_secs(seconds);
        let first = object(1, None);
        let seen = |decided, problem: Option<Cause>| Recollection {
            trigger: Trigger::of(&first),
            next: Next { look: now, reread: None, pass: now, not_before: now, decided },
            history: History {
                streak: problem.map(|it| Streak::after(None, it, 1, decided)),
                ..History::default()
            },
            written: None,
            known: Known::default(),
        };
        let of = |object: &RegistryAttachment, before: Option<&Recollection>| {
            since(object, &Trigger::of(object), before, now).duration_since(now).as_secs()
        };
        let calm = seen(ago(60), None);
        assert_eq!([of(&first, None), of(&first, Some(&calm))], [-5, -5]);
        assert_eq!(of(&object(1, Some("x")), Some(&calm)), 0);
        assert_eq!(of(&object(2, None), Some(&calm)), 0);
        assert_eq!(of(&first, Some(&seen(ago(3), Some(Cause::Unavailable)))), -3);
        assert_eq!(of(&first, Some(&seen(ago(60), Some(Cause::Unavailable)))), -5);
    }
}

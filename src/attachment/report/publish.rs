//! Publishes the changes of a reconcile, as events and in metrics.

use acr_attach_core::api::{RegistryAttachment, RegistryAttachmentStatus};
use acr_attach_core::outcome::changes::{Change, NamespaceChange};
use acr_attach_core::outcome::events;

use crate::attachment::context::Context;
use crate::attachment::report::outcome::Outcome;

/// Publishes the changes in Azure and of the object. A change that puts right what somebody else has changed counts
/// as corrected.
pub async fn publish_changes(
    object: &RegistryAttachment,
    outcome: &Outcome,
    shown: Option<&RegistryAttachmentStatus>,
    ctx: &Context,
) {
    for change in &outcome.changes {
        let generation = object.metadata.generation;
        let drift = match change {
            Change::Assigned(it) => events::was_ours(&it.id, shown),
            Change::Amended(_) => !events::is_new(shown, generation),
            _ => false,
        };
        if drift {
            ctx.metrics.attachments.corrected("role_assignment");
        }
        if let Some(record) = events::of_change(change, shown, generation) {
            ctx.events.publish(object, record).await;
        }
    }
}

/// Publishes the changes in namespaces.
pub async fn publish_namespace_changes(
    object: &RegistryAttachment,
    namespace_changes: &[NamespaceChange],
    ctx: &Context,
) {
    for change in namespace_changes {
        if matches!(change, NamespaceChange::WroteSecret { target, .. } if target.edited) {
            ctx.metrics.attachments.corrected("secret");
        }
    }
    for record in events::of_namespace_changes(namespace_changes) {
        ctx.events.publish(object, record).await;
    }
}

/// Publishes events on assignments that another tool has taken over. Each is published once, because the status
/// that was just written does not list the assignment as managed any more.
pub async fn publish_taken_over(
    object: &RegistryAttachment,
    outcome: &Outcome,
    shown: Option<&RegistryAttachmentStatus>,
    ctx: &Context,
) {
    let Some(holdings) = &outcome.observed.roles else { return };
    for record in events::of_taken_over(&holdings.found, shown) {
        ctx.events.publish(object, record).await;
    }
}

//! Writes status, with the events on its conditions.

use acr_attach_core::api::{REQUESTED_AT, RegistryAttachment, RegistryAttachmentStatus};
use acr_attach_core::outcome::events;
use acr_attach_core::outcome::status::{self, Report};
use acr_attach_core::outcome::verdict::Verdict;
use acr_attach_core::problem::Problem;
use jiff::Timestamp;
use kube::ResourceExt;

use crate::attachment::context::Context;
use crate::attachment::report::outcome::Outcome;
use crate::attachment::snapshot::salvaged::Salvaged;
use crate::attachment::state::Revision;
use crate::cluster::cache::version;

/// Builds the status after a reconcile.
pub fn status_after(
    object: &RegistryAttachment,
    outcome: &Outcome,
    verdict: &Verdict,
    shown: Option<&RegistryAttachmentStatus>,
    now: Timestamp,
) -> RegistryAttachmentStatus {
    let revision = Revision::of(object);
    let name = object.name_any();
    let report = Report {
        name: &name,
        generation: object.metadata.generation.unwrap_or_default(),
        requested_at: object.annotations().get(REQUESTED_AT).map(String::as_str),
        deleting: object.metadata.deletion_timestamp.is_some(),
        finalizers: revision.finalizers(),
        read_azure: outcome.read_azure,
        knows_obsolete: outcome.findings.check.knows_obsolete,
        observed: &outcome.observed,
        verdict,
    };
    status::status(shown, &report, now)
}

/// Writes status, and publishes the events on its conditions. Returns status and the object version that holds
/// it.
pub async fn write(
    object: &RegistryAttachment,
    shown: Option<&RegistryAttachmentStatus>,
    status: RegistryAttachmentStatus,
    ctx: &Context,
) -> Result<(u64, RegistryAttachmentStatus), Problem> {
    let written = ctx.kubernetes.set_status(object, &status).await;
    let written = written.inspect_err(|problem| {
        tracing::warn!(%problem, "status was not written");
    })?;
    for record in events::of_conditions(shown, &status) {
        ctx.events.publish(object, record).await;
    }
    Ok((version(Some(&written)), status))
}

/// Does the same for an object that this version cannot read. Publishes events first, since the API server may
/// always refuse the status of such an object. Does not write status where that would wipe the parts that
/// cannot be read.
pub async fn write_salvaged(
    salvaged: &Salvaged,
    published: Option<&RegistryAttachmentStatus>,
    status: RegistryAttachmentStatus,
    ctx: &Context,
) -> (u64, RegistryAttachmentStatus) {
    let object = &salvaged.object;
    for record in events::of_conditions(published, &status) {
        ctx.events.publish(object, record).await;
    }
    if salvaged.has_status
        && let Err(problem) = ctx.kubernetes.set_status(object, &status).await
    {
        tracing::warn!(%problem, "status was refused");
    }
    // The highest version: this status counts as the newest one, whatever the API server shows.
    (u64::MAX, status)
}

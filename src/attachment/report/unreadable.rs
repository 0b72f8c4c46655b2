//! Reports objects that the API server stores and that this version cannot read. They affect no other
//! attachment.

use std::collections::BTreeSet;
use std::marker::PhantomData;

use acr_attach_core::api::{RegistryAttachment, RegistryAttachmentStatus};
use acr_attach_core::outcome::events;
use acr_attach_core::outcome::requeue::Schedule;
use acr_attach_core::outcome::status::{self, Observed, Report};
use acr_attach_core::outcome::verdict::{History, Verdict};
use acr_attach_core::outcome::waits::retry;
use acr_attach_core::plan::Finalizer;
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::roles::claims::Claim;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::core::error_boundary::InvalidObject;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use serde::Deserialize;

use crate::attachment::context::Context;
use crate::attachment::snapshot::salvaged::Salvaged;
use crate::attachment::state::{AttachmentState, Findings, Revision};

type Unreadable = PartialObjectMeta<RegistryAttachment>;

/// Reports an object that this version cannot read, and returns how long to wait until the next reconcile. An
/// object is reported once, and again only after a change.
pub async fn report_unreadable(
    invalid: &InvalidObject,
    before: Option<&AttachmentState>,
    ctx: &Context,
) -> SignedDuration {
    let metadata = invalid.metadata.clone();
    let object = Unreadable { types: None, metadata, _phantom: PhantomData };
    let revision = Revision::of_guarded(&DeserializeGuard(Err(invalid.clone())));
    let (name, now) = (object.name_any(), Timestamp::now());
    let problem = problem(&name, &invalid.error);
    let is_told = before.is_some_and(|it| it.revision == revision);
    let told = if is_told { Ok(()) } else { publish(&object, &problem, now, ctx).await };
    let reason = told.as_ref().err().unwrap_or(&problem);
    let wait = retry(reason.cause, 1, &ctx.intervals, fastrand::f64());
    if told.is_ok() {
        let then = now.checked_add(wait).unwrap_or(now);
        let next =
            Schedule { check: then, reread: None, reconcile: then, not_before: now, decided: now };
        let history = History::default();
        let findings = Findings::default();
        ctx.states.put(&name, AttachmentState { revision, next, history, written: None, findings });
    }
    wait
}

fn problem(name: &str, error: &str) -> Problem {
    let advice = format!(
        "correct it (kubectl edit registryattachment {name}), or delete it, which detaches it"
    );
    Problem::advised(Cause::InvalidSpec, &advice, &[format!("reading attachment {name}: {error}")])
}

/// Reads what detaching needs of a deleted attachment. Also returns a problem if the object does not show where
/// its role assignments are.
///
/// # Errors
/// `Unavailable` when the object is not the one that the watch has shown; when the API server does not answer
/// or refuses; when the claims of the attachment cannot be found out.
pub async fn salvaged(
    name: &str,
    revision: &Revision,
    ctx: &Context,
) -> Result<(Salvaged, Option<Problem>), Problem> {
    let stored = ctx.kubernetes.stored(name).await?;
    let outrun = || {
        let text = format!("reading attachment {name}: it has changed, which is yet to be seen");
        Problem::new(Cause::Unavailable, text)
    };
    let now = Revision::of(&stored);
    let is_same = now.is_deleting() && now.is_of(revision);
    let salvaged = Salvaged::of(&stored).filter(|_| is_same).ok_or_else(outrun)?;
    let holds = revision.finalizers().contains(&Finalizer::RoleAssignments);
    let lost = if holds && !salvaged.tells_where {
        let own = ctx.claims(&salvaged.object, None).await?;
        let status = salvaged.object.status.as_ref();
        let shown = status.and_then(|it| it.claim.as_ref()?.parse().ok());
        Some(by_hand(name, shown.as_ref().unwrap_or(own.current())))
    } else {
        None
    };
    Ok((salvaged, lost))
}

/// Returns the problem with the advice how a user detaches by hand.
fn by_hand(name: &str, claim: &Claim) -> Problem {
    let finalizer = Finalizer::RoleAssignments.name();
    let advice = format!(
        "delete the role assignments that bear claim {claim} alone and take it out of the description of others (az role assignment list --all --query \"[?contains(description || '', '{claim}')].[id, description]\" --output tsv), then remove finalizer {finalizer} (kubectl edit registryattachment {name})"
    );
    let why = [
        "this version cannot read where its role assignments are (spec.registry, status.roleAssignments), or whether they are to stay (spec.deletionPolicy)",
        "this version cannot read where its role assignments are",
    ];
    let accounts = why.map(|why| format!("detaching attachment {name}: {why}"));
    Problem::advised(Cause::InvalidSpec, &advice, &accounts)
}

/// Publishes the problem in an event and in status. Extends the stored status, because detaching needs its
/// claims and assignments. The API server may refuse to apply anything to such an object, and then only the
/// event shows the problem.
async fn publish(
    object: &Unreadable,
    problem: &Problem,
    now: Timestamp,
    ctx: &Context,
) -> Result<(), Problem> {
    let name = object.name_any();
    tracing::warn!(%problem, "an attachment cannot be read");
    let stored = ctx.kubernetes.stored(&name).await?;
    let before = Option::<RegistryAttachmentStatus>::deserialize(&stored.data["status"]);
    let verdict = Verdict::Stalled(problem.clone());
    let report = Report {
        name: &name,
        generation: object.metadata.generation.unwrap_or_default(),
        requested_at: None,
        deleting: false,
        finalizers: &BTreeSet::new(),
        read_azure: false,
        knows_obsolete: false,
        observed: &Observed::default(),
        verdict: &verdict,
    };
    let shown = before.as_ref().ok().and_then(Option::as_ref);
    let status = status::status(shown, &report, now);
    if shown == Some(&status) {
        return Ok(());
    }
    for news in events::of_conditions(shown, &status) {
        ctx.events.publish(object, news).await;
    }
    if let Err(error) = before {
        // Writing status would wipe the parts that cannot be read.
        tracing::warn!(%error, "its status cannot be read either");
        return Ok(());
    }
    // The API server answered a moment ago, so this is a refusal: 422, or 500 where applying to an object that
    // violates the definition fails inside the API server.
    if let Err(problem) = ctx.kubernetes.set_status(object, &status).await {
        tracing::warn!(%problem, "status was refused");
    }
    Ok(())
}

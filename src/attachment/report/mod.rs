//! Report: the only place that writes status, and that tells events, metrics and the log how a
//! reconcile ended.

pub mod events;
pub mod outcome;
pub mod requeue;
pub mod unreadable;

use std::time::Duration;

use acr_attach_core::api::{
    FINALIZERS, REQUESTED_AT, RegistryAttachment, RegistryAttachmentStatus,
};
use acr_attach_core::outcome::status::{self, Report};
use acr_attach_core::outcome::verdict::{self, Attempt, History, Verdict, judge};
use acr_attach_core::problem::{Problem, Stalls};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::attachment::apply::Change;
use crate::attachment::context::Context;
use crate::attachment::report::outcome::Outcome;
use crate::attachment::report::requeue::Requeue;
use crate::attachment::snapshot::Scope;
use crate::attachment::snapshot::salvaged::Salvaged;
use crate::attachment::state::{AttachmentState, Findings, Revision};
use crate::cluster::cache::version;
use crate::delivery::NamespaceChange;
use crate::metrics::ResultLabel;

/// What brought a reconcile on, and what was known before.
#[derive(Clone, Copy)]
pub struct Invocation<'a> {
    /// What the reconcile is about.
    pub revision: &'a Revision,
    /// What was known before.
    pub before: Option<&'a AttachmentState>,
    /// Whether the time for it had come, or something of the attachment was new.
    pub due: bool,
    /// What the object was made from, if this version cannot read it as it is stored.
    pub salvaged: Option<&'a Salvaged>,
}

/// Tells how a reconcile ended, and returns how long to wait until the next one.
pub async fn report(
    object: &RegistryAttachment,
    outcome: &Outcome,
    by: Invocation<'_>,
    took: Duration,
    ctx: &Context,
) -> SignedDuration {
    let now = Timestamp::now();
    let Invocation { revision, before, due, salvaged } = by;
    let shown = before.map_or_else(|| object.status.clone(), |it| it.newest_status(object));
    let history = before.map_or_else(History::default, |it| it.history);
    let ended = judged(object, outcome, due);
    let (verdict, mut history) =
        judge(&ended, &history, shown.as_ref(), now, ctx.intervals.patience);
    let uid = object.uid().unwrap_or_default();
    let namespace_changes =
        [ctx.delivery.take_changes(&uid), outcome.namespace_changes.clone()].concat();
    log_and_count(outcome, namespace_changes.len(), &verdict, took, ctx);
    publish_changes(object, outcome, shown.as_ref(), ctx).await;
    publish_namespace_changes(object, &namespace_changes, ctx).await;

    let is_new = before.is_none_or(|it| it.revision != *revision);
    let revision = revision_after(revision, outcome);
    let kept_by_others = object.finalizers().iter().any(|it| !FINALIZERS.contains(&it.as_str()));
    let is_going = ended.deleting && revision.finalizers().is_empty() && !kept_by_others;
    let status = status_after(object, outcome, &verdict, shown.as_ref(), now);
    let status = ctx.kubernetes.declared(status);
    let written = if is_going || shown.as_ref() == Some(&status) {
        Ok(None)
    } else if let Some(salvaged) = salvaged {
        let told = shown.as_ref().filter(|_| !is_new);
        Ok(Some(publish(salvaged, told, status, ctx).await))
    } else {
        write(object, shown.as_ref(), status, ctx).await.map(Some)
    };
    if written.is_ok() {
        publish_taken_over(object, outcome, shown.as_ref(), ctx).await;
    }
    history.failed_status_writes =
        if written.is_err() { history.failed_status_writes.saturating_add(1) } else { 0 };
    if let Some(made) = rotated(outcome, before) {
        ctx.metrics.attachments.rotated(made);
    }
    let unreported = written.as_ref().err();
    let ended = Requeue { outcome, history: &history, unreported, before, due };
    let next = ended.next(&ctx.intervals, now);
    let written = written.ok().flatten().or(before.and_then(|it| it.written.clone()));
    let findings = remember(outcome);
    ctx.states
        .put(&object.name_any(), AttachmentState { revision, next, history, written, findings });
    next.reconcile.duration_since(Timestamp::now()).max(SignedDuration::ZERO)
}

fn judged<'a>(
    object: &RegistryAttachment,
    outcome: &'a Outcome,
    due: bool,
) -> verdict::ReconcileResult<'a> {
    verdict::ReconcileResult {
        problem: outcome.problem.as_ref(),
        other_problem: outcome.other_problem.as_ref(),
        suspended: outcome.suspended,
        holds: outcome.holds,
        generation: object.metadata.generation.unwrap_or_default(),
        deleting: object.metadata.deletion_timestamp.is_some(),
        attempt: match (outcome.scope, due) {
            (Scope::Azure, _) => Attempt::ReadAzure,
            (Scope::Cluster, true) => Attempt::Retry,
            (Scope::Cluster, false) => Attempt::Event,
        },
    }
}

/// What is known from now on.
fn remember(outcome: &Outcome) -> Findings {
    let mut findings = outcome.findings.clone();
    findings.since = findings.since.filter(|_| outcome.waits_for_azure());
    findings
}

/// Whether a credential was made, or could not be; `None` if that was not tried. What Azure
/// refused before is remembered at a glance, and not tried again.
fn rotated(outcome: &Outcome, before: Option<&AttachmentState>) -> Option<bool> {
    if outcome.changes.iter().any(|it| matches!(it, Change::NewCredential)) {
        return Some(true);
    }
    let refusal = outcome.findings.check.refusal.as_ref().filter(|it| !it.cause.is_waiting())?;
    let former = before.and_then(|it| it.findings.check.refusal.as_ref());
    let tried = outcome.has_checked_azure() || former != Some(refusal);
    tried.then_some(false)
}

fn status_after(
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

/// Writes status, and tells what turned. Returns it with the version that holds it.
async fn write(
    object: &RegistryAttachment,
    shown: Option<&RegistryAttachmentStatus>,
    status: RegistryAttachmentStatus,
    ctx: &Context,
) -> Result<(u64, RegistryAttachmentStatus), Problem> {
    let written = ctx.kubernetes.set_status(object, &status).await;
    let written = written.inspect_err(|problem| {
        tracing::warn!(%problem, "status was not written");
    })?;
    for news in events::of_conditions(shown, &status) {
        ctx.events.publish(object, news).await;
    }
    Ok((version(Some(&written)), status))
}

/// The same for an object that this version cannot read. Events come first, since the API server
/// may refuse status for good. It is not written where that would wipe what cannot be read of it.
async fn publish(
    salvaged: &Salvaged,
    told: Option<&RegistryAttachmentStatus>,
    status: RegistryAttachmentStatus,
    ctx: &Context,
) -> (u64, RegistryAttachmentStatus) {
    let object = &salvaged.object;
    for news in events::of_conditions(told, &status) {
        ctx.events.publish(object, news).await;
    }
    if salvaged.has_status
        && let Err(problem) = ctx.kubernetes.set_status(object, &status).await
    {
        tracing::warn!(%problem, "status was refused");
    }
    // Whatever the API server shows: it is what was told.
    (u64::MAX, status)
}

/// What the object will check like once the watch has shown what we did to it.
fn revision_after(revision: &Revision, outcome: &Outcome) -> Revision {
    outcome.changes.iter().fold(revision.clone(), |revision, change| match change {
        Change::Finalizer(finalizer, present) => revision.with_finalizer(*finalizer, *present),
        _ => revision,
    })
}

async fn publish_changes(
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
        if let Some(news) = events::of_change(change, shown, generation) {
            ctx.events.publish(object, news).await;
        }
    }
}

async fn publish_namespace_changes(
    object: &RegistryAttachment,
    namespace_changes: &[NamespaceChange],
    ctx: &Context,
) {
    for change in namespace_changes {
        if matches!(change, NamespaceChange::WroteSecret { target, .. } if target.edited) {
            ctx.metrics.attachments.corrected("secret");
        }
    }
    for news in events::of_namespace_changes(namespace_changes) {
        ctx.events.publish(object, news).await;
    }
}

/// Told once: the status that calls them ours is not there any more.
async fn publish_taken_over(
    object: &RegistryAttachment,
    outcome: &Outcome,
    shown: Option<&RegistryAttachmentStatus>,
    ctx: &Context,
) {
    let Some(holdings) = &outcome.observed.roles else { return };
    for news in events::of_taken_over(&holdings.found, shown) {
        ctx.events.publish(object, news).await;
    }
}

fn log_and_count(
    outcome: &Outcome,
    delivered: usize,
    verdict: &Verdict,
    took: Duration,
    ctx: &Context,
) {
    let changes = outcome.changes.len() + delivered;
    let milliseconds = took.as_millis();
    let result = match (outcome.problem.as_ref().or(outcome.other_problem.as_ref()), verdict) {
        (None, _) => {
            tracing::info!(changes, milliseconds, "reconciled");
            ResultLabel::Success
        }
        (Some(problem), _) if problem.cause.is_waiting() => ResultLabel::RequeueAfter,
        (Some(problem), verdict) => {
            if *verdict == Verdict::Unchanged {
                ctx.metrics.attachments.missed();
            }
            let cause = problem.cause.reason().as_str();
            tracing::warn!(
                changes, milliseconds, cause, %problem,
                "reconcile failed"
            );
            match problem.cause.stalls() {
                Stalls::AtOnce => ResultLabel::TerminalError,
                Stalls::After(_) | Stalls::Never => ResultLabel::Error,
            }
        }
    };
    ctx.metrics.reconciles.ended(result, took);
}

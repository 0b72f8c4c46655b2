//! Report: the only place that writes status, and that tells events, metrics and the log how a
//! pass ended.

use std::time::Duration;

use acr_attach_core::api::{
    FINALIZERS, REQUESTED_AT, RegistryAttachment, RegistryAttachmentStatus,
};
use acr_attach_core::outcome::status::{self, Report};
use acr_attach_core::outcome::verdict::{self, Attempt, History, Verdict, judge};
use acr_attach_core::problem::{Problem, Stalls};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::act::Deed;
use super::context::Context;
use super::memory::{Known, Recollection, Trigger};
use super::news;
use super::next::Ended;
use super::observe::Occasion;
use super::outcome::Outcome;
use super::remains::Remains;
use crate::cluster::mirror::version;
use crate::delivery::Change;
use crate::metrics::PassResult;

/// What brought a pass on, and what was known before.
#[derive(Clone, Copy)]
pub struct Brought<'a> {
    /// What the pass is about.
    pub trigger: &'a Trigger,
    /// What was known before.
    pub before: Option<&'a Recollection>,
    /// Whether the time for it had come, or something of the attachment was new.
    pub due: bool,
    /// What the object was made from, if this version cannot read it as it is stored.
    pub remains: Option<&'a Remains>,
}

/// Tells how a pass ended, and returns how long to wait until the next one.
pub async fn report(
    object: &RegistryAttachment,
    outcome: &Outcome,
    by: Brought<'_>,
    took: Duration,
    ctx: &Context,
) -> SignedDuration {
    let now = Timestamp::now();
    let Brought { trigger, before, due, remains } = by;
    let shown = before.map_or_else(|| object.status.clone(), |it| it.newest_status(object));
    let history = before.map_or_else(History::default, |it| it.history);
    let ended = judged(object, outcome, due);
    let (verdict, mut history) =
        judge(&ended, &history, shown.as_ref(), now, ctx.intervals.patience);
    let uid = object.uid().unwrap_or_default();
    let changes = [ctx.delivery.take_changes(&uid), outcome.changes.clone()].concat();
    log_and_count(outcome, changes.len(), &verdict, took, ctx);
    tell_deeds(object, outcome, shown.as_ref(), ctx).await;
    tell_changes(object, &changes, ctx).await;

    let is_new = before.is_none_or(|it| it.trigger != *trigger);
    let trigger = trigger_after(trigger, outcome);
    let kept_by_others = object.finalizers().iter().any(|it| !FINALIZERS.contains(&it.as_str()));
    let is_going = ended.deleting && trigger.finalizers().is_empty() && !kept_by_others;
    let status = status_after(object, outcome, &verdict, shown.as_ref(), now);
    let status = ctx.kubernetes.declared(status);
    let written = if is_going || shown.as_ref() == Some(&status) {
        Ok(None)
    } else if let Some(remains) = remains {
        let told = shown.as_ref().filter(|_| !is_new);
        Ok(Some(tell(remains, told, status, ctx).await))
    } else {
        write(object, shown.as_ref(), status, ctx).await.map(Some)
    };
    if written.is_ok() {
        tell_taken_over(object, outcome, shown.as_ref(), ctx).await;
    }
    history.failed_status_writes =
        if written.is_err() { history.failed_status_writes.saturating_add(1) } else { 0 };
    if let Some(made) = rotated(outcome, before) {
        ctx.metrics.attachments.rotated(made);
    }
    let unreported = written.as_ref().err();
    let ended = Ended { outcome, history: &history, unreported, before, due };
    let next = ended.next(&ctx.intervals, now);
    let written = written.ok().flatten().or(before.and_then(|it| it.written.clone()));
    let known = remember(outcome);
    ctx.memory.keep(&object.name_any(), Recollection { trigger, next, history, written, known });
    next.pass.duration_since(Timestamp::now()).max(SignedDuration::ZERO)
}

fn judged<'a>(
    object: &RegistryAttachment,
    outcome: &'a Outcome,
    due: bool,
) -> verdict::ReconcileResult<'a> {
    verdict::ReconcileResult {
        problem: outcome.problem.as_ref(),
        other_problem: outcome.beside.as_ref(),
        suspended: outcome.suspended,
        holds: outcome.holds,
        generation: object.metadata.generation.unwrap_or_default(),
        deleting: object.metadata.deletion_timestamp.is_some(),
        attempt: match (outcome.occasion, due) {
            (Occasion::Look, _) => Attempt::ReadAzure,
            (Occasion::Glance, true) => Attempt::Retry,
            (Occasion::Glance, false) => Attempt::Event,
        },
    }
}

/// What is known from now on.
fn remember(outcome: &Outcome) -> Known {
    let mut known = outcome.known.clone();
    known.since = known.since.filter(|_| outcome.waits_for_azure());
    known
}

/// Whether a credential was made, or could not be; `None` if that was not tried. What Azure
/// refused before is remembered at a glance, and not tried again.
fn rotated(outcome: &Outcome, before: Option<&Recollection>) -> Option<bool> {
    if outcome.deeds.iter().any(|it| matches!(it, Deed::Minted)) {
        return Some(true);
    }
    let refusal = outcome.known.look.refusal.as_ref().filter(|it| !it.cause.is_waiting())?;
    let known = before.and_then(|it| it.known.look.refusal.as_ref());
    let tried = outcome.has_looked() || known != Some(refusal);
    tried.then_some(false)
}

fn status_after(
    object: &RegistryAttachment,
    outcome: &Outcome,
    verdict: &Verdict,
    shown: Option<&RegistryAttachmentStatus>,
    now: Timestamp,
) -> RegistryAttachmentStatus {
    let trigger = Trigger::of(object);
    let name = object.name_any();
    let report = Report {
        name: &name,
        generation: object.metadata.generation.unwrap_or_default(),
        requested_at: object.annotations().get(REQUESTED_AT).map(String::as_str),
        deleting: object.metadata.deletion_timestamp.is_some(),
        finalizers: trigger.finalizers(),
        read_azure: outcome.read_azure,
        knows_obsolete: outcome.known.look.knows_obsolete,
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
    for news in news::of_conditions(shown, &status) {
        ctx.events.tell(object, news).await;
    }
    Ok((version(Some(&written)), status))
}

/// The same for an object that this version cannot read. Events come first, since the API server
/// may refuse status for good. It is not written where that would wipe what cannot be read of it.
async fn tell(
    remains: &Remains,
    told: Option<&RegistryAttachmentStatus>,
    status: RegistryAttachmentStatus,
    ctx: &Context,
) -> (u64, RegistryAttachmentStatus) {
    let object = &remains.object;
    for news in news::of_conditions(told, &status) {
        ctx.events.tell(object, news).await;
    }
    if remains.has_status
        && let Err(problem) = ctx.kubernetes.set_status(object, &status).await
    {
        tracing::warn!(%problem, "status was refused");
    }
    // Whatever the API server shows: it is what was told.
    (u64::MAX, status)
}

/// What the object will look like once the watch has shown what we did to it.
fn trigger_after(trigger: &Trigger, outcome: &Outcome) -> Trigger {
    outcome.deeds.iter().fold(trigger.clone(), |trigger, deed| match deed {
        Deed::Finalizer(finalizer, present) => trigger.with_finalizer(*finalizer, *present),
        _ => trigger,
    })
}

async fn tell_deeds(
    object: &RegistryAttachment,
    outcome: &Outcome,
    shown: Option<&RegistryAttachmentStatus>,
    ctx: &Context,
) {
    for deed in &outcome.deeds {
        let generation = object.metadata.generation;
        let drift = match deed {
            Deed::Assigned(it) => news::was_ours(&it.id, shown),
            Deed::Amended(_) => !news::is_new(shown, generation),
            _ => false,
        };
        if drift {
            ctx.metrics.attachments.corrected("role_assignment");
        }
        if let Some(news) = news::of_deed(deed, shown, generation) {
            ctx.events.tell(object, news).await;
        }
    }
}

async fn tell_changes(object: &RegistryAttachment, changes: &[Change], ctx: &Context) {
    for change in changes {
        if matches!(change, Change::WroteSecret { target, .. } if target.edited) {
            ctx.metrics.attachments.corrected("secret");
        }
    }
    for news in news::of_changes(changes) {
        ctx.events.tell(object, news).await;
    }
}

/// Told once: the status that calls them ours is not there any more.
async fn tell_taken_over(
    object: &RegistryAttachment,
    outcome: &Outcome,
    shown: Option<&RegistryAttachmentStatus>,
    ctx: &Context,
) {
    let Some(holdings) = &outcome.observed.roles else { return };
    for news in news::of_taken_over(&holdings.found, shown) {
        ctx.events.tell(object, news).await;
    }
}

fn log_and_count(
    outcome: &Outcome,
    delivered: usize,
    verdict: &Verdict,
    took: Duration,
    ctx: &Context,
) {
    let changes = outcome.deeds.len() + delivered;
    let milliseconds = took.as_millis();
    let result = match (outcome.problem.as_ref().or(outcome.beside.as_ref()), verdict) {
        (None, _) => {
            tracing::info!(changes, milliseconds, "reconciled");
            PassResult::Success
        }
        (Some(problem), _) if problem.cause.is_waiting() => PassResult::RequeueAfter,
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
                Stalls::AtOnce => PassResult::TerminalError,
                Stalls::After(_) | Stalls::Never => PassResult::Error,
            }
        }
    };
    ctx.metrics.passes.ended(result, took);
}

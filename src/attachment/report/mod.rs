//! Reports how a reconcile ended: in status, events, metrics and the log. No code outside this module writes
//! status.

pub mod outcome;
mod publish;
mod status;
pub mod unreadable;

use std::time::Duration;

use acr_attach_core::api::{FINALIZERS, RegistryAttachment};
use acr_attach_core::outcome::changes::Change;
use acr_attach_core::outcome::last_check::Scope;
use acr_attach_core::outcome::requeue::Requeue;
use acr_attach_core::outcome::verdict::{self, Attempt, History, Verdict, judge};
use acr_attach_core::problem::{Problem, Stalls};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use crate::attachment::context::Context;
use crate::attachment::report::outcome::Outcome;
use crate::attachment::report::publish::{
    publish_changes, publish_namespace_changes, publish_taken_over,
};
use crate::attachment::report::status::{status_after, write, write_salvaged};
use crate::attachment::snapshot::salvaged::Salvaged;
use crate::attachment::state::{AttachmentState, Findings, Revision};
use crate::metrics::ResultLabel;

/// What caused a reconcile, and the state before it.
#[derive(Clone, Copy)]
pub struct Invocation<'a> {
    /// The revision of the object that is reconciled.
    pub revision: &'a Revision,
    /// The state after the last reconcile; `None` if there is none.
    pub before: Option<&'a AttachmentState>,
    /// Whether the reconcile was due: its time had come, or the object had changed.
    pub due: bool,
    /// What could be read of the object, if this version cannot read it as a whole.
    pub salvaged: Option<&'a Salvaged>,
}

/// Reports how a reconcile ended, and returns how long to wait until the next one.
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
    let written = match salvaged {
        _ if is_going || shown.as_ref() == Some(&status) => Ok(None),
        Some(salvaged) => {
            let published = shown.as_ref().filter(|_| !is_new);
            Ok(Some(write_salvaged(salvaged, published, status, ctx).await))
        }
        None => write(object, shown.as_ref(), status, ctx).await.map(Some),
    };
    if written.is_ok() {
        publish_taken_over(object, outcome, shown.as_ref(), ctx).await;
    }
    history.failed_status_writes =
        if written.is_err() { history.failed_status_writes.saturating_add(1) } else { 0 };
    if let Some(made) = rotated(outcome, before) {
        ctx.metrics.attachments.rotated(made);
    }
    let requeue = requeue(outcome, &history, written.as_ref().err(), before, due);
    let next = requeue.schedule(&ctx.intervals, now, fastrand::f64());
    let written = written.ok().flatten().or(before.and_then(|it| it.written.clone()));
    let findings = remember(outcome);
    ctx.states
        .put(&object.name_any(), AttachmentState { revision, next, history, written, findings });
    next.reconcile.duration_since(Timestamp::now()).max(SignedDuration::ZERO)
}

fn requeue<'a>(
    outcome: &'a Outcome,
    history: &'a History,
    unreported: Option<&'a Problem>,
    before: Option<&'a AttachmentState>,
    due: bool,
) -> Requeue<'a> {
    Requeue {
        scope: outcome.scope,
        failures: &outcome.failures.all,
        removals: &outcome.removals,
        decided: outcome.decided,
        may_have_written: outcome.may_have_written(),
        transition_since: outcome.findings.transition_since,
        history,
        unreported,
        before: before.map(|it| (it.next, &it.findings.check)),
        due,
    }
}

fn judged<'a>(
    object: &RegistryAttachment,
    outcome: &'a Outcome,
    due: bool,
) -> verdict::ReconcileResult<'a> {
    verdict::ReconcileResult {
        problem: outcome.failures.problem.as_ref(),
        other_problem: outcome.failures.other_problem.as_ref(),
        suspended: outcome.suspended,
        holds: outcome.failures.holds,
        generation: object.metadata.generation.unwrap_or_default(),
        deleting: object.metadata.deletion_timestamp.is_some(),
        attempt: match (outcome.scope, due) {
            (Scope::Azure, _) => Attempt::ReadAzure,
            (Scope::Cluster, true) => Attempt::Retry,
            (Scope::Cluster, false) => Attempt::Event,
        },
    }
}

/// Returns the findings to keep. The time `since` is kept only while a check of Azure still has to wait.
fn remember(outcome: &Outcome) -> Findings {
    let mut findings = outcome.findings.clone();
    findings.since = findings.since.filter(|_| outcome.waits_for_azure());
    findings
}

/// Whether a credential was made (`true`) or could not be made; `None` if none was requested. A reconcile with
/// scope Cluster keeps the problem of an earlier request, and does not repeat the request.
fn rotated(outcome: &Outcome, before: Option<&AttachmentState>) -> Option<bool> {
    if outcome.changes.iter().any(|it| matches!(it, Change::NewCredential)) {
        return Some(true);
    }
    let refusal = outcome.findings.check.refusal.as_ref().filter(|it| !it.cause.is_waiting())?;
    let former = before.and_then(|it| it.findings.check.refusal.as_ref());
    let tried = outcome.scope == Scope::Azure || former != Some(refusal);
    tried.then_some(false)
}

/// Returns the revision that the watch will show after the changes to the object's finalizers.
fn revision_after(revision: &Revision, outcome: &Outcome) -> Revision {
    outcome.changes.iter().fold(revision.clone(), |revision, change| match change {
        Change::Finalizer(finalizer, present) => revision.with_finalizer(*finalizer, *present),
        _ => revision,
    })
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
    let failures = &outcome.failures;
    let problem = failures.problem.as_ref().or(failures.other_problem.as_ref());
    let result = match (problem, verdict) {
        (None, _) => {
            tracing::info!(changes, milliseconds, "reconciled");
            ResultLabel::Success
        }
        (Some(problem), _) if problem.cause.is_waiting() => ResultLabel::RequeueAfter,
        (Some(problem), verdict) => {
            if *verdict == Verdict::Unchanged {
                ctx.metrics.attachments.count_failed_azure_check();
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

//! One reconcile: reads a snapshot, decides, applies the plan, and reports.

mod input;
pub mod scope;
pub mod steps;

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use acr_attach_core::api::{MethodInUse, RegistryAttachment};
use acr_attach_core::outcome::last_check::Scope;
use acr_attach_core::outcome::status::CredentialEnd;
use acr_attach_core::outcome::waits::retry;
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::spec::{self, Intent, Task};
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use tracing::Instrument;

use crate::attachment::context::Context;
use crate::attachment::reconcile::scope::{scope, since};
use crate::attachment::reconcile::steps::{by_secret, run};
use crate::attachment::report::outcome::Outcome;
use crate::attachment::report::unreadable::{report_unreadable, salvaged};
use crate::attachment::report::{Invocation, report};
use crate::attachment::snapshot::method::{Choice, choose};
use crate::attachment::state::{Findings, Revision, Trigger};
use crate::metrics::Metrics;
use crate::telemetry;

pub use input::Reconcile;

/// The wait until the next reconcile where the report of a reconcile has panicked, or where neither an outcome
/// nor an earlier schedule gives a time.
const AFTER_A_PANIC: SignedDuration = SignedDuration::from_mins(10);

/// Reconciles one attachment: brings about what its spec asks for, reports the state, and requeues the
/// attachment.
///
/// A problem is never an error: status reports it, and the schedule retries it. All log lines of a reconcile
/// bear the same id.
///
/// # Errors
/// None.
pub async fn reconcile(
    object: Arc<DeserializeGuard<RegistryAttachment>>,
    ctx: Arc<Context>,
) -> Result<Action, Infallible> {
    let _worker = ctx.metrics.reconciles.worker();
    let span = telemetry::reconcile(&object.name_any(), object.meta().generation);
    let wait = Box::pin(taken_up(&object, &ctx).instrument(span)).await;
    Ok(Action::requeue(wait.unsigned_abs()))
}

/// Reconciles an attachment if that is due, and returns how long to wait until the next reconcile.
async fn taken_up(object: &DeserializeGuard<RegistryAttachment>, ctx: &Context) -> SignedDuration {
    let name = object.name_any();
    let revision = Revision::of_guarded(object);
    let before = ctx.states.get(&name, &revision);
    let waits = before.as_ref().is_some_and(|it| it.findings.since.is_some());
    let trigger = ctx.states.take_trigger(&name).map(|it| it.for_waiting(waits));
    let wait = before.as_ref().and_then(|it| it.wait(&revision, Timestamp::now()));
    let due = wait.is_none();
    let by = Invocation { revision: &revision, before: before.as_ref(), due, salvaged: None };
    if let Some(wait) = wait
        && let Some(rest) = ctx.states.is_too_soon(&name, trigger, before.as_ref(), ctx)
    {
        return wait.min(rest);
    }
    match (&object.0, wait, trigger) {
        (_, Some(wait), None) => wait,
        (Ok(object), ..) => Box::pin(work(object, by, trigger, None, ctx)).await,
        (Err(_), ..) if revision.is_deleting() => detach(&name, by, ctx).boxed().await,
        (Err(invalid), ..) => {
            let report = report_unreadable(invalid, before.as_ref(), ctx);
            Box::pin(survive_report(report, ctx)).await
        }
    }
}

/// Detaches an attachment that this version cannot read as a whole, by what can be read of it. Returns how long
/// to wait until the next reconcile.
async fn detach(name: &str, by: Invocation<'_>, ctx: &Context) -> SignedDuration {
    match salvaged(name, by.revision, ctx).await {
        Ok((salvaged, lost)) => {
            ctx.delivery.remove(&Arc::new(salvaged.object.clone()), ctx);
            let by = Invocation { salvaged: Some(&salvaged), ..by };
            Box::pin(work(&salvaged.object, by, None, lost.as_ref(), ctx)).await
        }
        Err(problem) => {
            tracing::warn!(%problem, "an attachment cannot be read");
            retry(problem.cause, 1, &ctx.intervals, fastrand::f64())
        }
    }
}

/// Reconciles one attachment and reports the outcome. Returns how long to wait until the next reconcile.
async fn work(
    object: &RegistryAttachment,
    by: Invocation<'_>,
    trigger: Option<Trigger>,
    lost: Option<&Problem>,
    ctx: &Context,
) -> SignedDuration {
    let now = Timestamp::now();
    let Invocation { revision, before, .. } = by;
    let scope = scope(object, by, trigger, now);
    let start = Instant::now();
    let mut findings = before.map(|it| it.findings.clone()).unwrap_or_default();
    let same = before.is_some_and(|it| it.revision == *revision);
    findings.since =
        findings.since.filter(|_| same).or_else(|| Some(since(object, revision, before, now)));
    let work = Box::pin(attach(object, scope, &findings, lost, ctx));
    let work = survive(work, &findings, &ctx.metrics);
    let name = object.name_any();
    let outcome = tokio::select! {
        outcome = work => outcome,
        // A user may change the spec of a deleted attachment because Azure does not answer, such as to deletion
        // policy Orphan. The new spec does not wait for Azure. Steps may be cut short, since each can be
        // repeated.
        () = ctx.latest.another_spec(&name, revision), if revision.is_deleting() => {
            return SignedDuration::ZERO;
        }
    };
    let Some(outcome) = outcome else {
        let check = before.map(|it| it.next.check.duration_since(now));
        return check.unwrap_or(AFTER_A_PANIC);
    };
    survive_report(report(object, &outcome, by, start.elapsed(), ctx), ctx).await
}

/// Brings about what the spec of one attachment asks for, and returns the outcome. Returns `None` if scope
/// Cluster does not suffice: a check of Azure has yet to decide the method, or to read the roles.
pub async fn attach(
    object: &RegistryAttachment,
    scope: Scope,
    findings: &Findings,
    lost: Option<&Problem>,
    ctx: &Context,
) -> Option<Outcome> {
    let deleting = object.metadata.deletion_timestamp.is_some();
    if deleting && Revision::of(object).finalizers().is_empty() {
        // acr-attach is done with the object. If it still exists, it bears finalizers of other controllers.
        return Some(Outcome::idle(findings));
    }
    let suspended = object.spec.suspend && !deleting;
    let choice = choice(object, scope, findings, ctx).await;
    let (intent, remark) = match choice {
        Ok(Choice { intent, remark }) => (intent, remark),
        Err(_) if suspended => return Some(Outcome::paused(findings)),
        Err(problem) => return Some(Outcome::failed(problem, findings)),
    };
    let (task, spec_problem) = match task(object, intent, ctx)? {
        Ok(task) => task,
        Err(_) if suspended => return Some(Outcome::paused(findings)),
        Err(problem) => {
            return Some(Outcome::refused(problem, pull_secrets_end(object, ctx), findings));
        }
    };
    let findings = &Findings { remark, ..findings.clone() };
    let spec_problem = spec_problem.as_ref();
    let this = Reconcile { object, task: &task, scope, findings, lost, spec_problem, ctx };
    match is_by_role(&task) {
        true if suspended => Some(Box::pin(renew_former(this)).await),
        // No check of Azure has read the roles yet, so there is nothing to report on them.
        true if scope == Scope::Cluster && findings.observed.roles.is_none() => None,
        _ => Some(run(this).await),
    }
}

/// Renews the pull secrets of a suspended attachment that a role has yet to replace. Roles need no renewal, so
/// nothing about them is read.
async fn renew_former(this: Reconcile<'_>) -> Outcome {
    if !waits_for_credential(this.object, this.ctx) {
        return Outcome::paused(this.findings);
    }
    let mut findings = this.findings.clone();
    if this.scope == Scope::Azure {
        // A check of Azure is due, and so a request for a credential that was refused is repeated.
        findings.check.refusal = None;
    }
    let renewal = Reconcile { scope: Scope::Cluster, findings: &findings, ..this };
    let outcome = run(renewal).await;
    Outcome { scope: this.scope, ..outcome }
}

/// Whether a namespace waits for a credential.
fn waits_for_credential(object: &RegistryAttachment, ctx: &Context) -> bool {
    let uid = object.uid().unwrap_or_default();
    ctx.delivery.ask(&uid, |it| !it.waiting().is_empty()).unwrap_or_default()
}

/// Returns the task of a reconcile; `None` while the method is not decided. Where the spec is invalid or not
/// allowed but pull secrets can still be served, returns the task for them with the problem.
///
/// # Errors
/// When the spec is invalid or not allowed, and nothing of it can be followed.
fn task(
    object: &RegistryAttachment,
    intent: Intent,
    ctx: &Context,
) -> Option<Result<(Task, Option<Problem>), Problem>> {
    let method = match intent {
        Intent::Undecided => return None,
        Intent::Detach => return Some(Ok((Task::detach(&object.spec), None))),
        Intent::Attach(method) => method,
    };
    Some(Task::attach(&object.spec, method, &ctx.policy).map(|it| (it, None)).or_else(|problem| {
        let by_secret = method == MethodInUse::PullSecret;
        match Task::keep_serving(&object.spec, &ctx.policy).filter(|_| by_secret) {
            Some(task) => Ok((task, Some(problem))),
            None => Err(problem),
        }
    }))
}

/// Returns when the first pull secret expires, where a spec that cannot be followed stops the renewal; `None`
/// without pull secrets.
fn pull_secrets_end(object: &RegistryAttachment, ctx: &Context) -> Option<CredentialEnd> {
    let uid = object.uid()?;
    let all = ctx.watches.secrets.select(|it| it.is_owned_by(&uid)).ok()?;
    (!all.is_empty()).then(|| CredentialEnd(all.iter().filter_map(|it| it.expires).min()))
}

/// Returns what to do with the attachment, by the method that the spec names or, with method Auto, by the one
/// that is chosen.
async fn choice(
    object: &RegistryAttachment,
    scope: Scope,
    findings: &Findings,
    ctx: &Context,
) -> Result<Choice, Problem> {
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(Choice { intent: Intent::Detach, remark: None });
    }
    match spec::method(&object.spec)? {
        None => choose(object, scope, findings, ctx).await,
        Some(method) => Ok(Choice { intent: Intent::Attach(method), remark: None }),
    }
}

fn is_by_role(task: &Task) -> bool {
    matches!(task, Task::Attach(_)) && by_secret(task).is_none()
}

async fn survive_report(
    report: impl Future<Output = SignedDuration>,
    ctx: &Context,
) -> SignedDuration {
    AssertUnwindSafe(report).catch_unwind().await.unwrap_or_else(|_| {
        ctx.metrics.reconciles.panicked();
        AFTER_A_PANIC
    })
}

/// Turns a panic into a problem, since it would end the controller and so the reconciles of all attachments.
async fn survive(
    reconcile: impl Future<Output = Option<Outcome>>,
    findings: &Findings,
    metrics: &Metrics,
) -> Option<Outcome> {
    let outcome = AssertUnwindSafe(reconcile).catch_unwind().await;
    outcome.unwrap_or_else(|_| {
        metrics.reconciles.panicked();
        let text = "working on the attachment: acr-attach has a fault and panicked; please report it with the operator's log";
        Some(Outcome::failed(Problem::new(Cause::Internal, text), findings))
    })
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_like_any_other() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let outcome = survive(async { panic!("on purpose") }, &Findings::default(), &metrics).await;
        assert_eq!(outcome.unwrap().failures.problem.unwrap().cause, Cause::Internal);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(text.contains("reconcile_panics_total{controller=\"registryattachment\"} 1"));
    }
}

//! One reconcile: observe, decide, act, report.

pub mod scope;
pub mod steps;

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use acr_attach_core::api::{MethodInUse, RegistryAttachment};
use acr_attach_core::outcome::schedule::retry;
use acr_attach_core::outcome::status::CredentialEnd;
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
use crate::attachment::snapshot::{Reconcile, Scope};
use crate::attachment::state::{Findings, Revision, Trigger};
use crate::metrics::Metrics;
use crate::telemetry;

/// When to check again if even telling how a reconcile ended has panicked.
const AFTER_A_PANIC: SignedDuration = SignedDuration::from_mins(10);

/// Brings one attachment to what it asks for, tells how it stands, and says when to check again.
///
/// It never fails: what goes wrong is told in status and tried again by the schedule. Every line of
/// the log that comes of it bears the same id.
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

/// Works on an attachment if that is due, and returns how long to wait until the next reconcile.
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

/// Detaches an object that this version cannot read, by what it can read of it.
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

/// Works on one attachment, and returns how long to wait until the next reconcile.
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
        // Who takes the way out of an Azure that does not answer does not wait for it. Steps may be
        // cut short: each can be repeated.
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

/// What came of a reconcile.
pub async fn attach(
    object: &RegistryAttachment,
    scope: Scope,
    findings: &Findings,
    lost: Option<&Problem>,
    ctx: &Context,
) -> Option<Outcome> {
    let deleting = object.metadata.deletion_timestamp.is_some();
    if deleting && Revision::of(object).finalizers().is_empty() {
        // Ours is done; if the object is still there, others hold it.
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
        true if suspended => Some(renew_former(this).await),
        // Nothing is known yet that could be told of a role.
        true if scope == Scope::Cluster && findings.observed.roles.is_none() => None,
        _ => Some(run(this, suspended).await),
    }
}

/// Renews the pull secrets that a role is yet to replace, while the attachment is suspended. Roles need no
/// renewal, and so nothing of them is read.
async fn renew_former(this: Reconcile<'_>) -> Outcome {
    if !waits_for_credential(this.object, this.ctx) {
        return Outcome::paused(this.findings);
    }
    let mut findings = this.findings.clone();
    if this.scope == Scope::Azure {
        // The time of the next try has come.
        findings.check.refusal = None;
    }
    let renewal = Reconcile { scope: Scope::Cluster, findings: &findings, ..this };
    let outcome = run(renewal, true).await;
    Outcome { scope: this.scope, ..outcome }
}

/// Whether a namespace waits for a credential.
fn waits_for_credential(object: &RegistryAttachment, ctx: &Context) -> bool {
    let uid = object.uid().unwrap_or_default();
    ctx.delivery.ask(&uid, |it| !it.waiting().is_empty()).unwrap_or_default()
}

/// The task of a reconcile, with what is wrong with the rest of the spec where pull secrets serve on; `None` while
/// the method is not decided.
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

/// When the first pull secret ends that is not renewed; `None` where there is none.
fn pull_secrets_end(object: &RegistryAttachment, ctx: &Context) -> Option<CredentialEnd> {
    let uid = object.uid()?;
    let all = ctx.watches.secrets.select(|it| it.is_owned_by(&uid)).ok()?;
    (!all.is_empty()).then(|| CredentialEnd(all.iter().filter_map(|it| it.expires).min()))
}

/// What is to become of the attachment: by the method that the spec names, or that is decided.
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

/// Turns a panic into a problem: it must not end the controller, and with it all others.
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
        assert_eq!(outcome.unwrap().problem.unwrap().cause, Cause::Internal);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(text.contains("reconcile_panics_total{controller=\"registryattachment\"} 1"));
    }
}

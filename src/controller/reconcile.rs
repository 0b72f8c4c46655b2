//! One pass: observe, decide, act, report.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;

use super::act::{Actor, Deed, act};
use super::context::Context;
use super::memory::Trigger;
use super::observe::observe;
use super::outcome::Outcome;
use super::report::report;
use super::unreadable::report_unreadable;
use crate::api::{Ownership, RegistryAttachment};
use crate::domain::attachment::Task;
use crate::domain::names::AssignmentId;
use crate::domain::plan::{Owned, plan};
use crate::domain::problem::{Cause, Problem};
use crate::metrics::Metrics;

/// When to look again if even telling how a pass ended has panicked.
const AFTER_A_PANIC: SignedDuration = SignedDuration::from_mins(10);

/// Brings one attachment to what it asks for, tells how it stands, and says when to look again.
///
/// It never fails: what goes wrong is told in status and tried again by the schedule.
///
/// # Errors
/// None.
pub async fn reconcile(
    object: Arc<DeserializeGuard<RegistryAttachment>>,
    ctx: Arc<Context>,
) -> Result<Action, Infallible> {
    let name = object.name_any();
    let trigger = Trigger::of_guarded(&object);
    let now = Timestamp::now();
    let before = ctx.memory.recall(&name, &trigger);
    if let Some(wait) = before.as_ref().and_then(|it| it.wait(&trigger, now)) {
        return Ok(Action::requeue(wait.unsigned_abs()));
    }
    let object = match &object.0 {
        Ok(object) => object,
        Err(invalid) => {
            let wait = told_or_panicked(report_unreadable(invalid, before.as_ref(), &ctx), &ctx);
            return Ok(Action::requeue(wait.await.unsigned_abs()));
        }
    };
    let start = Instant::now();
    let _active = ctx.metrics.pass();
    let outcome = survive(attach(object, &ctx), &ctx.metrics).await;
    let report = report(object, &outcome, before.as_ref(), start.elapsed(), &ctx);
    Ok(Action::requeue(told_or_panicked(report, &ctx).await.unsigned_abs()))
}

async fn attach(object: &RegistryAttachment, ctx: &Context) -> Outcome {
    let deleting = object.metadata.deletion_timestamp.is_some();
    if object.spec.suspend && !deleting {
        return Outcome { suspended: true, ..Outcome::default() };
    }
    if deleting && !Trigger::of(object).has_finalizer() {
        // Ours is done; if the object is still there, others hold it.
        return Outcome::default();
    }
    let outcome = pass(object, ctx).await;
    outcome.unwrap_or_else(Outcome::from)
}

async fn pass(object: &RegistryAttachment, ctx: &Context) -> Result<Outcome, Problem> {
    let deleting = object.metadata.deletion_timestamp.is_some();
    let task = Task::of(&object.spec, deleting, &ctx.allowed_registries)?;
    let Some(task) = task else { return let_go(object, ctx).await };
    let claim = ctx.claim(&object.name_any()).await?;
    let owned = Owned {
        assignments: None,
        registry: task.registry().clone(),
        claim: claim.clone(),
        finalizer: Trigger::of(object).has_finalizer(),
    };
    let azure = ctx.azure.session()?;
    let seen = observe(&task, owned, &told(object), &azure.reader).await;
    let now = Timestamp::now();
    let plan = plan(&seen.desired, &seen.owned, now, ctx.intervals.removal_delay);
    let by = Actor {
        object,
        claim: &claim,
        kubernetes: &ctx.kubernetes,
        azure: &azure.writer,
        locks: &ctx.locks,
    };
    let acted = act(&plan.steps, &by).await;
    Ok(Outcome::of(seen, plan, acted))
}

/// The role assignments that status calls ours, for when Azure's lists lag behind.
fn told(object: &RegistryAttachment) -> Vec<AssignmentId> {
    let list = object.status.iter().flat_map(|it| it.role_assignments.iter().flatten());
    list.filter(|it| it.ownership == Ownership::Managed)
        .filter_map(|it| it.id.parse().ok())
        .collect()
}

/// Lets a deleted object go without asking Azure anything.
async fn let_go(object: &RegistryAttachment, ctx: &Context) -> Result<Outcome, Problem> {
    ctx.kubernetes.remove_finalizer(object).await?;
    Ok(Outcome { deeds: vec![Deed::Finalizer(false)], ..Outcome::default() })
}

async fn told_or_panicked(
    report: impl Future<Output = SignedDuration>,
    ctx: &Context,
) -> SignedDuration {
    AssertUnwindSafe(report).catch_unwind().await.unwrap_or_else(|_| {
        ctx.metrics.panicked();
        AFTER_A_PANIC
    })
}

/// Turns a panic into a problem: it must not end the controller, and with it all others.
async fn survive(pass: impl Future<Output = Outcome>, metrics: &Metrics) -> Outcome {
    let outcome = AssertUnwindSafe(pass).catch_unwind().await;
    outcome.unwrap_or_else(|_| {
        metrics.panicked();
        let text = "working on the attachment: acr-attach has a fault and panicked; please report it with the operator's log";
        Outcome::from(Problem::new(Cause::Internal, text))
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
        let outcome = survive(async { panic!("on purpose") }, &metrics).await;
        assert_eq!(outcome.problem.unwrap().cause, Cause::Internal);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(text.contains("reconcile_panics_total{controller=\"registryattachment\"} 1"));
    }
}

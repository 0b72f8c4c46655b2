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

use super::act::{Acted, Actor, act};
use super::context::Context;
use super::memory::{Secrets, Trigger, Wake};
use super::observe::{Observation, Occasion, Pass};
use super::outcome::Outcome;
use super::pull_secrets::Making;
use super::report::report;
use super::unreadable::report_unreadable;
use crate::api::{MethodChoice, REQUESTED_AT, RegistryAttachment};
use crate::domain::attachment::{Method, Task};
use crate::domain::plan;
use crate::domain::problem::{Cause, Problem};
use crate::domain::verdict::ready;
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
    let wake = ctx.memory.wake_of(&name);
    let wait = before.as_ref().and_then(|it| it.wait(&trigger, now));
    let occasion = match (wait, wake, &object.0) {
        (Some(wait), None, _) => return Ok(Action::requeue(wait.unsigned_abs())),
        (Some(_), Some(Wake::Cluster), _) => Occasion::Glance,
        (None, None | Some(Wake::Cluster), Ok(object)) => match &before {
            None if is_answered(object) => Occasion::Glance,
            Some(before) if before.trigger == trigger => before.next,
            _ => Occasion::Look,
        },
        _ => Occasion::Look,
    };
    let object = match &object.0 {
        Ok(object) => object,
        Err(invalid) => {
            let wait = told_or_panicked(report_unreadable(invalid, before.as_ref(), &ctx), &ctx);
            return Ok(Action::requeue(wait.await.unsigned_abs()));
        }
    };
    let start = Instant::now();
    let _active = ctx.metrics.pass();
    let known = before.as_ref().map(|it| it.secrets.clone()).unwrap_or_default();
    let outcome = survive(attach(object, occasion, &known, &ctx), &ctx.metrics).await;
    let Some(outcome) = outcome else {
        let wait = wait.unwrap_or(AFTER_A_PANIC);
        return Ok(Action::requeue(wait.unsigned_abs()));
    };
    let report = report(object, &outcome, before.as_ref(), start.elapsed(), &ctx);
    Ok(Action::requeue(told_or_panicked(report, &ctx).await.unsigned_abs()))
}

/// Whether status says that what is asked for holds, and the cluster alone can tell whether it
/// does: a role has to be looked up.
fn is_answered(object: &RegistryAttachment) -> bool {
    let status = object.status.as_ref();
    let requested = object.annotations().get(REQUESTED_AT);
    let handled = status.and_then(|it| it.last_handled_reconcile_at.as_ref());
    let holds = ready(status).is_some_and(|it| {
        it.status == "True" && it.observed_generation == object.metadata.generation
    });
    let by_secret = object.spec.method == MethodChoice::PullSecret;
    by_secret && holds && requested == handled && object.metadata.deletion_timestamp.is_none()
}

/// What came of a pass; `None` if there was nothing to do.
async fn attach(
    object: &RegistryAttachment,
    occasion: Occasion,
    known: &Secrets,
    ctx: &Context,
) -> Option<Outcome> {
    let deleting = object.metadata.deletion_timestamp.is_some();
    if deleting && Trigger::of(object).finalizers().is_empty() {
        // Ours is done; if the object is still there, others hold it.
        return Some(Outcome::default());
    }
    let task = Task::of(&object.spec, deleting, &ctx.policy);
    let suspended = object.spec.suspend && !deleting;
    let by_role = |it: &Task| matches!(it, Task::Attach(it) if matches!(it.method, Method::KubeletIdentity(..)));
    let outcome = match task {
        // Roles need no renewal.
        Ok(task) if suspended && by_role(&task) => {
            Outcome { suspended, secrets: known.clone(), ..Outcome::default() }
        }
        Ok(task) => {
            let about = Pass { object, task: &task, occasion, known, ctx };
            pass(about, suspended).await?
        }
        Err(_) if suspended => Outcome { suspended, secrets: known.clone(), ..Outcome::default() },
        Err(problem) => {
            Outcome { secrets: known.clone(), has_looked: true, ..Outcome::from(problem) }
        }
    };
    Some(outcome)
}

async fn pass(pass: Pass<'_>, suspended: bool) -> Option<Outcome> {
    let Pass { object, task, occasion, known, ctx } = pass;
    let now = Timestamp::now();
    let mut seen = Observation::new(object, known, now);
    let mut by_role = false;
    if let Task::Attach(attachment) = task {
        seen.observed.method = Some(attachment.method.in_use());
        by_role = matches!(attachment.method, Method::KubeletIdentity(..));
    }
    seen.cluster(task, ctx).await;
    if by_role && occasion == Occasion::Glance && !seen.has_leftovers() {
        // What changed in the cluster does not concern a role.
        return None;
    }
    let mut acted = Acted::default();
    if !suspended {
        let first = plan::first(&seen.desired, &seen.owned);
        acted = act(&first, &actor(pass, &seen, None)).await;
        seen.failing = first.failing;
    }
    seen.look(pass).await;
    let mut plan = decide(&seen, now, ctx);
    if occasion == Occasion::Look && !plan.mints() {
        seen.prove(now, ctx).await;
        plan = decide(&seen, now, ctx);
    }
    if suspended {
        plan = plan.only_renewals(&seen.owned);
    }
    acted.extend(act(&plan, &actor(pass, &seen, seen.making(pass))).await);
    plan.failing.append(&mut seen.failing);
    let outcome = Outcome::of(seen, plan, acted, (known, occasion), now);
    Some(if suspended { outcome.suspended() } else { outcome })
}

fn decide(seen: &Observation, now: Timestamp, ctx: &Context) -> plan::Plan {
    plan::plan(&seen.desired, &seen.owned, now, ctx.intervals.removal_delay)
}

fn actor<'a>(
    Pass { object, ctx, .. }: Pass<'a>,
    seen: &'a Observation,
    making: Option<Making<'a>>,
) -> Actor<'a> {
    Actor {
        object,
        claim: seen.claim.as_ref(),
        kubernetes: &ctx.kubernetes,
        watches: &ctx.watches,
        namespace: &ctx.namespace,
        azure: &ctx.azure,
        session: seen.session.as_ref(),
        locks: &ctx.locks,
        making,
    }
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
async fn survive(
    pass: impl Future<Output = Option<Outcome>>,
    metrics: &Metrics,
) -> Option<Outcome> {
    let outcome = AssertUnwindSafe(pass).catch_unwind().await;
    outcome.unwrap_or_else(|_| {
        metrics.panicked();
        let text = "working on the attachment: acr-attach has a fault and panicked; please report it with the operator's log";
        Some(Outcome::from(Problem::new(Cause::Internal, text)))
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
        assert_eq!(outcome.unwrap().problem.unwrap().cause, Cause::Internal);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(text.contains("reconcile_panics_total{controller=\"registryattachment\"} 1"));
    }
}

//! One pass: observe, decide, act, report.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;

use super::act::{Deed, act};
use super::context::Context;
use super::memory::Trigger;
use super::observe::{Observation, observe};
use super::report::{report, report_unreadable};
use crate::api::RegistryAttachment;
use crate::domain::plan::{Plan, plan};
use crate::domain::problem::{Cause, Problem};
use crate::domain::status::{Holdings, Observed};

/// What a pass came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was found out, with what was changed.
    pub observed: Observed,
    /// What was changed.
    pub deeds: Vec<Deed>,
    /// When the next removal is due.
    pub due: Option<Timestamp>,
    /// What stands in the way.
    pub problem: Option<Problem>,
    /// Whether the object asks for nothing at the moment.
    pub suspended: bool,
}

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
    let trigger = Trigger::of(&*object);
    let now = Timestamp::now();
    let before = ctx.memory.recall(&name, &trigger);
    if let Some(wait) = before.as_ref().and_then(|it| it.wait(&trigger, now)) {
        return Ok(Action::requeue(wait.unsigned_abs()));
    }
    let object = match &object.0 {
        Ok(object) => object,
        Err(invalid) => {
            let wait = report_unreadable(invalid, before.as_ref(), &ctx).await;
            return Ok(Action::requeue(wait.unsigned_abs()));
        }
    };
    if object.metadata.deletion_timestamp.is_some() && !trigger.has_finalizer() {
        return Ok(Action::await_change());
    }
    let start = Instant::now();
    let _active = ctx.metrics.pass();
    let outcome = AssertUnwindSafe(attach(object, &ctx)).catch_unwind().await;
    let outcome = outcome.unwrap_or_else(|_| panicked(&ctx));
    let next_look = report(object, &outcome, before.as_ref(), start.elapsed(), &ctx).await;
    Ok(Action::requeue(next_look.unsigned_abs()))
}

async fn attach(object: &RegistryAttachment, ctx: &Context) -> Outcome {
    if object.spec.suspend && object.metadata.deletion_timestamp.is_none() {
        return Outcome { suspended: true, ..Outcome::default() };
    }
    let claim = match ctx.claim(&object.name_any()).await {
        Ok(claim) => claim,
        Err(problem) => return Outcome { problem: Some(problem), ..Outcome::default() },
    };
    let seen = observe(object, claim.clone(), ctx).await;
    let now = Timestamp::now();
    let plan = plan(&seen.desired, &seen.owned, now, ctx.intervals.removal_delay);
    let acted = act(&plan.steps, object, &claim, ctx).await;
    let problem = seen.problem.clone().or(plan.blocked.clone()).or(acted.problem);
    outcome(seen, plan, acted.deeds, problem)
}

/// What was found, as the deeds have left it.
fn outcome(seen: Observation, plan: Plan, deeds: Vec<Deed>, problem: Option<Problem>) -> Outcome {
    let due = plan.waiting.values().flatten().min().copied();
    let mut observed = seen.observed;
    if let (Some(grants), Some(mut found)) = (seen.desired.grants, seen.owned.assignments) {
        for deed in &deeds {
            match deed {
                Deed::Assigned(it) | Deed::Joined(it) | Deed::Held(it) => {
                    found.retain(|old| old.id != it.id);
                    found.push(it.clone());
                }
                Deed::Left(id) | Deed::Unassigned(id) => found.retain(|old| old.id != *id),
                Deed::Finalizer(_) => {}
            }
        }
        observed.holdings = Some(Holdings { grants, found, waiting: plan.waiting });
    }
    Outcome { observed, deeds, due, problem, suspended: false }
}

fn panicked(ctx: &Context) -> Outcome {
    ctx.metrics.panicked();
    let text =
        "a pass panicked; this is a fault of acr-attach: please report it with the operator's log";
    Outcome { problem: Some(Problem::new(Cause::Internal, text)), ..Outcome::default() }
}

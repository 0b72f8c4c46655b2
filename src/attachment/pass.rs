//! One pass over an attachment: roles in Azure, its credential, and what namespaces report.

use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::plan;
use acr_attach_core::problem::{Cause, Problem, check_again_step};
use acr_attach_core::pull_secrets::PullSecret;
use acr_attach_core::spec::{Method, Task};
use jiff::Timestamp;
use kube::ResourceExt;

use super::act::{Acted, Actor, Deed, act};
use super::credential::Making;
use super::delivered::watched_names;
use super::observe::{Observation, Occasion, Pass};
use super::outcome::Outcome;
use super::release::release_entries;
use super::unwatched::Left;
use crate::delivery::{Change, remove_unwatched};

/// Observes, decides, acts, and says what came of it.
pub(super) async fn pass(pass: Pass<'_>, suspended: bool) -> Outcome {
    let Pass { object, task, occasion, ctx, .. } = pass;
    let now = Timestamp::now();
    let mut seen = Observation::new(pass);
    let (left, unread) = Left::of(pass).await;
    if occasion == Occasion::Look || matches!(task, Task::Detach(_)) {
        seen.look.unread = unread;
    }
    seen.look(pass).await;
    seen.publish(pass);
    seen.reports(pass).await;
    if let Some(secret) = by_secret(task)
        && occasion == Occasion::Look
    {
        seen.prove(&secret.repositories, pass).await;
        ctx.delivery.refuse(&pass.uid(), &seen.look.refused);
        seen.reports(pass).await;
    }
    let mut acted = Acted::default();
    let mut plan = seen.plan(pass, now);
    if suspended {
        plan.roles.clear();
        plan.prepared.clear();
        plan.claims.clear();
    }
    acted.extend(act(&plan, &actor(pass, &seen, None)).await);
    let hidden = seen.owned.assignments.as_ref().and_then(|it| it.hidden.clone());
    acted.obsolete = acted.obsolete.take().or(hidden);
    seen.take(&acted.deeds);
    seen.publish_replacement(pass, now);
    acted.extend(get_credential(&mut seen, pass, now).await);
    let removed = remove_left(&mut seen, &left, suspended, pass).await;
    acted.extend(release_entries(&mut seen, &left, pass).await);
    if matches!(task, Task::Detach(_)) {
        acted.hold(seen.look.unread.as_ref());
    }
    seen.observed.names = watched_names(pass).map(|it| left.used_names(it, &removed));
    ctx.touches.tell_roles(acted.deeds.iter().filter_map(Deed::frees));
    advise_to_look_again(object, [&mut plan.blocked, &mut acted.undone]);
    let mut outcome = Outcome::of(seen, plan, acted, pass, now);
    outcome.changes = removed;
    if suspended { outcome.suspended() } else { outcome }
}

/// Gets a credential where a namespace waits for one or, to prove it, where there is no namespace.
async fn get_credential(seen: &mut Observation, pass: Pass<'_>, now: Timestamp) -> Acted {
    let mut acted = Acted::default();
    let (uid, ctx) = (pass.uid(), pass.ctx);
    let Some(inputs) = seen.desired.inputs.clone() else { return acted };
    let proves =
        by_secret(pass.task).is_some() && seen.unseen.is_none() && !pass.object.spec.suspend;
    let is_needed = ctx
        .delivery
        .ask(&uid, |it| !it.waiting().is_empty() || proves && !it.are_desired())
        .unwrap_or_default();
    if !plan::credential_is_due(&inputs, &seen.owned, is_needed, now) {
        return acted;
    }
    match actor(pass, seen, seen.making(pass)).credential().await {
        Ok(credential) => {
            acted.deeds.push(Deed::Minted);
            ctx.delivery.accept(&uid, credential);
            seen.reports(pass).await;
        }
        Err(problem) => acted.mint = Some(problem),
    }
    acted
}

/// Removes what is left under names that the settings no longer allow.
async fn remove_left(
    seen: &mut Observation,
    left: &Left,
    suspended: bool,
    pass: Pass<'_>,
) -> Vec<Change> {
    if suspended {
        return Vec::new();
    }
    match remove_unwatched(&pass.uid(), left.clone().into_objects(), pass.ctx).await {
        Ok(applied) => {
            seen.unremoved = applied.unremoved;
            applied.changes
        }
        Err(problem) => {
            seen.unseen = seen.unseen.take().or(Some(problem));
            Vec::new()
        }
    }
}

/// Says how a user asks for the next look, once the user has removed what is in the way.
fn advise_to_look_again(object: &RegistryAttachment, problems: [&mut Option<Problem>; 2]) {
    for problem in problems.into_iter().flatten() {
        if problem.cause == Cause::NotOurs {
            *problem = problem.clone().with_last_step(&check_again_step(&object.name_any()));
        }
    }
}

pub(super) fn by_secret(task: &Task) -> Option<&PullSecret> {
    let Task::Attach(attachment) = task else { return None };
    match &attachment.method {
        Method::PullSecret(secret) => Some(secret),
        Method::KubeletIdentity(_) => None,
    }
}

fn actor<'a>(
    Pass { object, ctx, .. }: Pass<'a>,
    seen: &'a Observation,
    making: Option<Making<'a>>,
) -> Actor<'a> {
    Actor {
        object,
        claims: seen.claims.as_ref(),
        kubernetes: &ctx.kubernetes,
        principals: &ctx.principals,
        azure: &ctx.azure,
        session: seen.session.as_ref(),
        locks: &ctx.locks,
        making,
    }
}

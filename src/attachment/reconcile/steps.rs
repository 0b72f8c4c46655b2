//! The steps of one reconcile: roles in Azure, the credential, and the reports of namespaces.

use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::outcome::changes::{Change, NamespaceChange};
use acr_attach_core::outcome::last_check::Scope;
use acr_attach_core::plan::{Plan, credential_is_due};
use acr_attach_core::problem::{Cause, Problem, check_again_step};
use acr_attach_core::pull_secrets::PullSecret;
use acr_attach_core::spec::{Method, Task};
use jiff::Timestamp;
use kube::ResourceExt;

use crate::attachment::apply::credential::CredentialRequest;
use crate::attachment::apply::finalizer::release_entries;
use crate::attachment::apply::{Applied, Applier, apply};
use crate::attachment::reconcile::Reconcile;
use crate::attachment::report::outcome::Outcome;
use crate::attachment::snapshot::Snapshot;
use crate::attachment::snapshot::reports::watched_names;
use crate::attachment::snapshot::unwatched::Left;
use crate::delivery::remove_unwatched;

/// Reads a snapshot, decides, applies the plan, and returns the outcome.
pub async fn run(this: Reconcile<'_>) -> Outcome {
    let now = Timestamp::now();
    let (mut seen, left) = Box::pin(read(this)).await;
    let mut plan = plan(&seen, this, now);
    let mut applied = apply_roles(&plan, &mut seen, this).await;
    seen.publish_replacement(this, now);
    applied.extend(get_credential(&mut seen, this, now).await);
    let removed = remove_left(&mut seen, &left, this).await;
    applied.extend(release_entries(&mut seen, &left, this).await);
    if matches!(this.task, Task::Detach(_)) {
        applied.hold(seen.check.unread.as_ref());
    }
    seen.observed.names = watched_names(this).map(|it| left.used_names(it, &removed));
    this.ctx.signals.send_roles(applied.changes.iter().filter_map(Change::frees));
    advise_to_check_again(this.object, [&mut plan.blocked, &mut applied.undone]);
    let outcome = Outcome::of(seen, &plan, applied, this, now);
    Outcome { namespace_changes: removed, ..outcome }
}

/// Reads the snapshot, and what is left under names that the settings no longer allow. Publishes what delivery
/// needs of it as soon as that is known.
async fn read(this: Reconcile<'_>) -> (Snapshot, Left) {
    let mut seen = Snapshot::new(this);
    let (left, unread) = Left::of(this).await;
    if this.scope == Scope::Azure || matches!(this.task, Task::Detach(_)) {
        seen.check.unread = unread;
    }
    seen.check(this).await;
    seen.publish(this);
    seen.reports(this).await;
    if let Some(secret) = by_secret(this.task)
        && this.scope == Scope::Azure
    {
        seen.prove(&secret.repositories, this).await;
        this.ctx.delivery.refuse(&this.uid(), &seen.check.refused);
        seen.reports(this).await;
    }
    (seen, left)
}

/// Plans the steps for roles. A suspended attachment takes none.
fn plan(seen: &Snapshot, this: Reconcile<'_>, now: Timestamp) -> Plan {
    let plan = seen.plan(this, now);
    if this.is_suspended() {
        return Plan { roles: Vec::new(), prepared: Vec::new(), claims: Vec::new(), ..plan };
    }
    plan
}

/// Takes the steps for roles, and brings the snapshot up to date.
async fn apply_roles(plan: &Plan, seen: &mut Snapshot, this: Reconcile<'_>) -> Applied {
    let mut applied = apply(plan, &applier(this, seen, None)).await;
    let hidden = seen.owned.assignments.as_ref().and_then(|it| it.hidden.clone());
    applied.obsolete = applied.obsolete.take().or(hidden);
    seen.take(&applied.changes);
    applied
}

/// Gets a credential if a namespace waits for one or, to prove the credential, if no namespace is chosen.
async fn get_credential(seen: &mut Snapshot, this: Reconcile<'_>, now: Timestamp) -> Applied {
    let mut applied = Applied::default();
    let (uid, ctx) = (this.uid(), this.ctx);
    let Some(inputs) = seen.desired.inputs.clone() else { return applied };
    let proves =
        by_secret(this.task).is_some() && seen.unseen.is_none() && !this.object.spec.suspend;
    let is_needed = ctx
        .delivery
        .ask(&uid, |it| !it.waiting().is_empty() || proves && !it.are_desired())
        .unwrap_or_default();
    if !credential_is_due(&inputs, &seen.owned, is_needed, now) {
        return applied;
    }
    match applier(this, seen, seen.request(this)).credential().await {
        Ok(credential) => {
            applied.changes.push(Change::NewCredential);
            ctx.delivery.accept(&uid, credential);
            seen.reports(this).await;
        }
        Err(problem) => applied.credential_problem = Some(problem),
    }
    applied
}

/// Removes what is left under names that the settings no longer allow.
async fn remove_left(
    seen: &mut Snapshot,
    left: &Left,
    this: Reconcile<'_>,
) -> Vec<NamespaceChange> {
    if this.is_suspended() {
        return Vec::new();
    }
    match remove_unwatched(&this.uid(), left.clone().into_objects(), this.ctx).await {
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

/// Adds to the advice how a user requests a check of Azure after removing what blocks the role.
fn advise_to_check_again(object: &RegistryAttachment, problems: [&mut Option<Problem>; 2]) {
    for problem in problems.into_iter().flatten() {
        if problem.cause == Cause::NotOurs {
            *problem = problem.clone().with_last_step(&check_again_step(&object.name_any()));
        }
    }
}

pub fn by_secret(task: &Task) -> Option<&PullSecret> {
    let Task::Attach(attachment) = task else { return None };
    match &attachment.method {
        Method::PullSecret(secret) => Some(secret),
        Method::KubeletIdentity(_) => None,
    }
}

fn applier<'a>(
    Reconcile { object, ctx, .. }: Reconcile<'a>,
    seen: &'a Snapshot,
    request: Option<CredentialRequest<'a>>,
) -> Applier<'a> {
    Applier {
        object,
        claims: seen.claims.as_ref(),
        kubernetes: &ctx.kubernetes,
        principals: &ctx.principals,
        azure: &ctx.azure,
        session: seen.session.as_ref(),
        locks: &ctx.locks,
        request,
    }
}

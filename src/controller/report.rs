//! Report: the only place that writes status, and that tells events, metrics and the log how a
//! pass ended.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::act::Deed;
use super::context::Context;
use super::memory::{Recollection, Secrets, Trigger, version};
use super::news;
use super::observe::Occasion;
use super::outcome::Outcome;
use crate::api::{
    FINALIZERS, MethodInUse, REQUESTED_AT, RegistryAttachment, RegistryAttachmentStatus,
};
use crate::domain::problem::{Cause, Problem};
use crate::domain::schedule::{Ending, next_look};
use crate::domain::status::{self, Report};
use crate::domain::verdict::{Ended, History, Verdict, judge};
use crate::metrics::PassResult;

/// No wait is shorter.
const SOON: SignedDuration = SignedDuration::from_millis(100);

/// Tells how a pass ended, and returns how long to wait until the next look.
pub async fn report(
    object: &RegistryAttachment,
    outcome: &Outcome,
    before: Option<&Recollection>,
    took: Duration,
    ctx: &Context,
) -> SignedDuration {
    let now = Timestamp::now();
    let shown = before.map_or_else(|| object.status.clone(), |it| it.newest_status(object));
    let ended = Ended {
        problem: outcome.problem.as_ref(),
        beside: outcome.beside.as_ref(),
        suspended: outcome.suspended,
        holds: outcome.holds(),
        generation: object.metadata.generation.unwrap_or_default(),
        deleting: object.metadata.deletion_timestamp.is_some(),
    };
    let history = before.map_or_else(History::default, |it| it.history);
    let (verdict, mut history) =
        judge(&ended, &history, shown.as_ref(), now, ctx.intervals.patience);
    let still_fails = outcome.problem.is_some() || outcome.beside.is_some();
    let glanced = before.filter(|it| !outcome.has_looked && it.history.streak.is_some());
    if let Some(before) = glanced.filter(|_| still_fails) {
        // Azure was not asked again, so it has not failed again.
        history = before.history;
    }
    log_and_count(object, outcome, &verdict, took, ctx);
    tell_deeds(object, outcome, shown.as_ref(), ctx).await;
    let served = before.map(|it| it.secrets.served.clone()).unwrap_or_default();
    if let Some(news) = news::of_secrets(&outcome.deeds, &served) {
        ctx.events.tell(object, news).await;
    }

    let trigger = trigger_after(object, outcome);
    let kept_by_others = object.finalizers().iter().any(|it| !FINALIZERS.contains(&it.as_str()));
    let is_going = ended.deleting && trigger.finalizers().is_empty() && !kept_by_others;
    let status = status_after(object, outcome, &verdict, shown.as_ref(), now);
    let written = if is_going || shown.as_ref() == Some(&status) {
        Ok(None)
    } else {
        write(object, shown.as_ref(), status, ctx).await.map(Some)
    };
    history.unreported = if written.is_err() { history.unreported.saturating_add(1) } else { 0 };
    let secrets = remember(outcome, before, now, ctx);
    let wait = wait(outcome, &history, written.as_ref().err(), now, ctx);
    let failed = still_fails || written.is_err();
    let until_resync = secrets.resync.duration_since(now).max(SOON);
    // A failure has a time of its own, which may be what Azure asked for.
    let wait = if failed { wait } else { wait.min(until_resync) };
    // Events of the cluster neither put off what is due nor make waits longer.
    let wait = match before.filter(|_| !outcome.has_looked) {
        Some(before) => wait.min(before.next_look.duration_since(now)),
        None => wait,
    };
    let known = before.and_then(|it| it.written.clone());
    ctx.memory.keep(
        &object.name_any(),
        Recollection {
            trigger,
            next_look: now.checked_add(wait).unwrap_or(now),
            next: next_occasion(outcome),
            history,
            written: written.ok().flatten().or(known),
            secrets,
        },
    );
    wait.max(SignedDuration::ZERO)
}

/// A pull secret that could only not be glanced at, as after a start before the watches have
/// been read, still gives no reason to ask Azure.
fn next_occasion(outcome: &Outcome) -> Occasion {
    let busy = outcome.problem.as_ref().is_some_and(|it| it.cause == Cause::Busy);
    let by_secret = outcome.observed.method == Some(MethodInUse::PullSecret);
    if busy && by_secret && !outcome.has_looked { Occasion::Glance } else { Occasion::Look }
}

/// What is known from now on. The time of the next look at Azure moves only when it was asked;
/// after a start it is spread over the interval.
fn remember(
    outcome: &Outcome,
    before: Option<&Recollection>,
    now: Timestamp,
    ctx: &Context,
) -> Secrets {
    let mut secrets = outcome.secrets.clone();
    let resync = ctx.intervals.resync;
    let in_part = |part: f64| now.checked_add(resync.mul_f64(part)).unwrap_or(now);
    if outcome.has_looked || outcome.suspended {
        secrets.resync = in_part(0.9 + 0.2 * fastrand::f64());
    } else if before.is_none() {
        secrets.resync = in_part(0.1 + 0.9 * fastrand::f64());
    }
    for deed in &outcome.deeds {
        if let Deed::EntryAdded(account, secret) = deed
            && account.marks.contains_key(secret)
        {
            secrets.restored((account.namespace.clone(), account.name.clone()), now);
        }
    }
    secrets
}

fn status_after(
    object: &RegistryAttachment,
    outcome: &Outcome,
    verdict: &Verdict,
    shown: Option<&RegistryAttachmentStatus>,
    now: Timestamp,
) -> RegistryAttachmentStatus {
    let report = Report {
        generation: object.metadata.generation.unwrap_or_default(),
        requested_at: object.annotations().get(REQUESTED_AT).map(String::as_str),
        deleting: object.metadata.deletion_timestamp.is_some(),
        observed: &outcome.observed,
        verdict,
    };
    status::status(shown, &report, now)
}

/// Writes status, and tells when Ready turned. Returns it with the version that holds it.
async fn write(
    object: &RegistryAttachment,
    shown: Option<&RegistryAttachmentStatus>,
    status: RegistryAttachmentStatus,
    ctx: &Context,
) -> Result<(u64, RegistryAttachmentStatus), Problem> {
    let written = ctx.kubernetes.set_status(object, &status).await;
    let written = written.inspect_err(|problem| {
        tracing::warn!(attachment.name = object.name_any(), %problem, "status was not written");
    })?;
    if let Some(news) = news::of_readiness(shown, &status) {
        ctx.events.tell(object, news).await;
    }
    Ok((version(Some(&written)), status))
}

/// How long to wait. A status that could not be written is a failure like any other.
fn wait(
    outcome: &Outcome,
    history: &History,
    unreported: Option<&Problem>,
    now: Timestamp,
    ctx: &Context,
) -> SignedDuration {
    let wrote = outcome.deeds.iter().any(Deed::is_in_azure);
    let ending = match outcome.problem.as_ref().or(outcome.beside.as_ref()) {
        Some(busy) if busy.cause == Cause::Busy => Ending::Failed(busy, history.busy),
        Some(problem) => Ending::Failed(problem, history.streak.map_or(1, |it| it.failures)),
        None => Ending::Done { wrote, due: outcome.due },
    };
    let look = |ending| next_look(ending, &ctx.intervals, now, fastrand::f64());
    let wait = look(ending);
    // Whatever failed, a renewal or a removal of something else is not overslept.
    let due = outcome.due.map(|it| it.duration_since(now)).filter(SignedDuration::is_positive);
    let wait = due.map_or(wait, |it| wait.min(it.max(SOON)));
    unreported.map_or(wait, |it| wait.min(look(Ending::Failed(it, history.unreported))))
}

/// What the object will look like once the watch has shown what we did to it.
fn trigger_after(object: &RegistryAttachment, outcome: &Outcome) -> Trigger {
    let trigger = Trigger::of(object);
    outcome.deeds.iter().fold(trigger, |trigger, deed| match deed {
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
        let restored = matches!(deed, Deed::Assigned(it) if news::was_ours(&it.id, shown));
        if restored || matches!(deed, Deed::Amended(_)) {
            ctx.metrics.corrected("role_assignment");
        }
        if matches!(deed, Deed::Provided(target, _) if target.edited) {
            ctx.metrics.corrected("secret");
        }
        if let Some(news) = news::of_deed(deed, shown) {
            ctx.events.tell(object, news).await;
        }
    }
}

fn log_and_count(
    object: &RegistryAttachment,
    outcome: &Outcome,
    verdict: &Verdict,
    took: Duration,
    ctx: &Context,
) {
    let name = object.name_any();
    let generation = object.metadata.generation;
    let changes = outcome.deeds.len();
    let milliseconds = took.as_millis();
    let result = match (outcome.problem.as_ref().or(outcome.beside.as_ref()), verdict) {
        (None, _) => {
            tracing::info!(attachment.name = name, generation, changes, milliseconds, "pass done");
            PassResult::Success
        }
        (Some(problem), _) if problem.cause == Cause::Busy => PassResult::Requeue,
        (Some(problem), verdict) => {
            if *verdict == Verdict::Missed {
                ctx.metrics.missed();
            }
            let cause = problem.cause.reason().as_str();
            tracing::warn!(
                attachment.name = name, generation, changes, milliseconds, cause, %problem,
                "pass failed"
            );
            PassResult::Error
        }
    };
    ctx.metrics.passed(result, took);
}

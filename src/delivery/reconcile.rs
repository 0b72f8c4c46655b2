//! Reconciles one namespace with the attachments that concern it.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use acr_attach_core::delivery::contest::Contests;
use acr_attach_core::delivery::{EntryReport, SecretReport, renewals};
use acr_attach_core::outcome::waits::retry;
use acr_attach_core::plan::{Desired, NamespaceProblem, Owned, Plan};
use acr_attach_core::problem::Problem;
use acr_attach_core::snapshot::cluster::Namespace;
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};

use super::apply::{Applied, Applier};
use super::attachment::{Report, Subject};
use super::lane::Lane;
use super::reports::Found;
use super::snapshot::Contents;
use crate::attachment::Context;
use crate::metrics::ResultLabel;

/// The wait after a panic.
const AFTER_A_PANIC: SignedDuration = SignedDuration::from_mins(10);
/// The wait while detaching drains the writers.
const DRAINING: SignedDuration = SignedDuration::from_millis(200);

/// Reconciles one namespace, and returns the wait until the next reconcile; `None` if nothing is due.
/// Catches panics, which must not end the controller.
pub async fn reconcile(lane: Lane, namespace: &str, ctx: &Context) -> Option<SignedDuration> {
    let metrics = &ctx.metrics.delivery[lane as usize];
    let _worker = metrics.worker();
    let start = Instant::now();
    let work = AssertUnwindSafe(visit_all(lane, namespace, ctx)).catch_unwind();
    let Ok(visited) = work.await else {
        metrics.panicked();
        return Some(AFTER_A_PANIC);
    };
    let result = if visited.failed { ResultLabel::Error } else { ResultLabel::Success };
    metrics.ended(result, start.elapsed());
    visited.next
}

/// The result of a reconcile.
#[derive(Clone, Copy, Debug, Default)]
struct Visited {
    /// The wait until the next reconcile.
    next: Option<SignedDuration>,
    /// Whether something failed.
    failed: bool,
}

/// Reconciles the attachments that concern the namespace. While a cache has not been read it does
/// nothing: after the first list every namespace is enqueued.
async fn visit_all(lane: Lane, namespace: &str, ctx: &Context) -> Visited {
    let mut all = Visited::default();
    let Ok(Some(namespace)) = ctx.watches.namespaces.get("", namespace) else { return all };
    let Ok(contents) = Contents::of(&namespace.name, &ctx.watches) else { return all };
    if lane == Lane::Entries && contents.accounts.is_err() {
        return all;
    }
    for uid in ctx.delivery.concerned(&namespace, &contents.owners()) {
        let visit = Visit { lane, uid: &uid, namespace: &namespace, ctx };
        let visited = visit.run().await.unwrap_or_default();
        all.next = [all.next, visited.next].into_iter().flatten().min();
        all.failed |= visited.failed;
    }
    all
}

/// The inputs of the plan for one attachment.
#[derive(Clone, Copy)]
struct Case<'a> {
    /// What the namespace should have.
    desired: &'a Desired,
    /// The state of the attachment.
    subject: &'a Subject,
    /// The attachments whose Secrets and entries may be taken over.
    gone: &'a BTreeSet<String>,
    /// When the plan was made.
    planned: Timestamp,
}

/// The work for one attachment in one namespace.
#[derive(Clone, Copy)]
struct Visit<'a> {
    lane: Lane,
    uid: &'a str,
    namespace: &'a Namespace,
    ctx: &'a Context,
}

impl Visit<'_> {
    /// Plans, applies and reports for the attachment; `None` if nothing is to be done for it.
    async fn run(self) -> Option<Visited> {
        let Self { lane, uid, namespace, ctx } = self;
        let writers = ctx.delivery.writers(uid)?;
        let Ok(_writes) = writers.try_read() else {
            return Some(Visited { next: Some(DRAINING), failed: false });
        };
        let subject = ctx.delivery.subject(uid, lane, &namespace.name)?;
        let desired = subject.directive.desired(namespace)?;
        let now = Timestamp::now();
        let (gone, unread) = match self.gone(&desired).await {
            Ok(gone) => (gone, None),
            Err(problem) => (BTreeSet::new(), Some(problem)),
        };
        let case = Case { desired: &desired, subject: &subject, gone: &gone, planned: now };
        let mut owned = self.owned(case)?;
        owned.observe_contests(&desired, now);
        let mut plan = self.plan(case, &owned, now);
        plan.unwritten.extend(
            unread.map(|problem| NamespaceProblem { namespace: namespace.name.clone(), problem }),
        );
        let by = Applier { object: &subject.object, was_served: subject.was_served, ctx };
        let mut applied = by.apply(&plan, subject.accepted.as_ref()).await;
        for (object, failed) in applied.writes.drain(..) {
            match failed {
                None => owned.contests.record_write(object, now),
                Some(problem) => {
                    owned.contests.record_refusal(object, problem, &ctx.intervals, now);
                }
            }
        }
        self.report(case, owned.contests, plan, applied)
    }

    /// Plans the steps. For a suspended attachment these are only renewals.
    fn plan(self, case: Case<'_>, owned: &Owned, now: Timestamp) -> Plan {
        let served = case.subject.directive.served();
        let timing = case.subject.timing(now, self.ctx.intervals.removal_delay);
        let plan = self.lane.plan(case.desired, owned, timing);
        if served.is_some_and(|it| it.only_renewals) { plan.only_renewals(owned) } else { plan }
    }

    fn owned(self, case: Case<'_>) -> Option<Owned> {
        let contents = Contents::of(&self.namespace.name, &self.ctx.watches).ok()?;
        Some(contents.owned(case.desired, case.subject, case.gone))
    }

    /// Returns the attachments whose Secrets and entries may be taken over: those that are gone and,
    /// where this one serves the namespace, those that are being deleted.
    async fn gone(self, desired: &Desired) -> Result<BTreeSet<String>, Problem> {
        let Self { uid, namespace, ctx, .. } = self;
        let contents = Contents::of(&namespace.name, &ctx.watches)?;
        let mut others = contents.owners();
        others.remove(uid);
        if others.is_empty() {
            return Ok(others);
        }
        let (alive, leaving) = ctx.delivery.known();
        let is_served = desired.secrets.as_ref().is_some_and(|it| !it.is_empty());
        let mut free: BTreeSet<_> = others.intersection(&leaving).cloned().collect();
        others.retain(|it| !alive.contains(it) && !leaving.contains(it));
        if !is_served {
            free.clear();
        }
        free.extend(ctx.owners.gone(&others, &ctx.kubernetes).await?);
        Ok(free)
    }

    /// Reports what the namespace holds now, and returns when to reconcile again.
    fn report(
        self,
        case: Case<'_>,
        contests: Contests,
        mut plan: Plan,
        applied: Applied,
    ) -> Option<Visited> {
        let Self { lane, uid, namespace, ctx } = self;
        let now = Timestamp::now();
        let Applied { failing, unwritten, unremoved, waits, changes, .. } = applied;
        plan.failing.extend(failing);
        plan.unwritten.extend(unwritten);
        plan.unremoved = plan.unremoved.take().or(unremoved);
        let problems: Vec<Problem> = plan
            .failing
            .iter()
            .chain(&plan.unwritten)
            .map(|it| &it.problem)
            .chain(&plan.unremoved)
            .cloned()
            .collect();
        // A date before the plan brings no reconcile: its step was taken, or waits for something else.
        let dates = [plan.due, contests.due()].map(|it| it.filter(|it| *it > case.planned));
        let owned = Owned { contests: contests.clone(), ..self.owned(case)? };
        let desired = case.desired;
        let report = match lane {
            Lane::Entries => Report::Entries(Box::new(EntryReport::of(desired, &owned, plan))),
            Lane::Secrets => {
                let report = SecretReport::of(desired, &owned, plan, now);
                Report::Secret(Box::new(SecretReport { waits, ..report }))
            }
        };
        let found = Found { report, contests, changes, directive: &case.subject.directive };
        ctx.delivery.report((uid, &namespace.name), found, &ctx.watches);
        let renewals = renewals(&owned, &namespace.name, now).filter(|_| lane == Lane::Secrets);
        let due = dates.into_iter().flatten().chain(renewals).min();
        let due = due.map(|it| it.duration_since(now).max(SignedDuration::from_millis(50)));
        let next = [due, self.retry(&problems)].into_iter().flatten().min();
        Some(Visited { next, failed: !problems.is_empty() })
    }

    /// Counts the failure, and returns the wait before the retry; `None` without problems.
    fn retry(self, problems: &[Problem]) -> Option<SignedDuration> {
        let Self { lane, uid, namespace, ctx } = self;
        let failures = ctx.delivery.failed(uid, lane, &namespace.name, !problems.is_empty());
        let waits =
            problems.iter().map(|it| retry(it.cause, failures, &ctx.intervals, fastrand::f64()));
        waits.min()
    }
}

//! What a reconcile came to.

use acr_attach_core::outcome::changes::{Change, NamespaceChange};
use acr_attach_core::outcome::failures::{Encounters, Failures};
use acr_attach_core::outcome::last_check::{LastCheck, Scope};
use acr_attach_core::outcome::status::{CredentialEnd, Observed, RoleState};
use acr_attach_core::plan::{Assignments, Desired, Plan};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::pull_secrets::PullSecretState;
use jiff::{SignedDuration, Timestamp};

use crate::attachment::apply::Applied;
use crate::attachment::reconcile::Reconcile;
use crate::attachment::snapshot::Snapshot;
use crate::attachment::state::Findings;

/// What a reconcile came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was found out, as the changes have left it.
    pub observed: Observed,
    /// The changes in Azure and of the object.
    pub changes: Vec<Change>,
    /// The changes in the cluster under names that the settings no longer allow.
    pub namespace_changes: Vec<NamespaceChange>,
    /// What went wrong.
    pub failures: Failures,
    /// When role assignments are to be removed (UTC).
    pub removals: Vec<Timestamp>,
    /// Whether a change of role assignments was tried, and no answer tells whether it took effect.
    pub unanswered: bool,
    /// Whether the spec asks for nothing at the moment.
    pub suspended: bool,
    /// What the reconcile was to read.
    pub scope: Scope,
    /// Whether it read Azure, as far as Azure answered.
    pub read_azure: bool,
    /// When the plan was made (UTC).
    pub decided: Timestamp,
    /// What is known from now on.
    pub findings: Findings,
}

impl Outcome {
    /// The outcome of a reconcile that did nothing.
    pub fn idle(findings: &Findings) -> Self {
        Self { findings: findings.clone(), ..Self::default() }
    }

    /// The outcome of a reconcile of a suspended attachment that had nothing to do.
    pub fn paused(findings: &Findings) -> Self {
        Self { suspended: true, ..Self::idle(findings) }
    }

    /// The outcome of a reconcile that failed before it read anything.
    pub fn failed(problem: Problem, findings: &Findings) -> Self {
        Self { failures: Failures::only(problem), ..Self::idle(findings) }
    }

    /// The outcome of a reconcile that may not follow the spec. `end` is that of the pull secrets, which are
    /// left alone.
    pub fn refused(problem: Problem, end: Option<CredentialEnd>, findings: &Findings) -> Self {
        let mut outcome = Self::failed(problem.clone(), findings);
        outcome.observed.unrenewed = end.map(|it| (it, problem));
        outcome
    }

    /// The outcome of a reconcile that read, planned and applied.
    pub fn of(
        seen: Snapshot,
        plan: &Plan,
        applied: Applied,
        this: Reconcile<'_>,
        now: Timestamp,
    ) -> Self {
        let ctx = this.ctx;
        let served = seen.served(this, applied.credential_problem.as_ref());
        let unremoved = seen.unremoved.clone();
        let unremoved = unremoved.or_else(|| ctx.delivery.unremoved(&this.uid()));
        let Snapshot { mut observed, desired, owned, unseen, unread, check, .. } = seen;
        let removals = plan.pending_removals.values().flatten().copied().chain(plan.due);
        let knows_desired = desired.grants.is_some();
        let roles = owned.assignments.and_then(|it| role_state(desired, it, plan));
        observed.roles = roles.or(observed.roles);
        let mut outcome = Self {
            observed,
            removals: removals.collect(),
            unanswered: applied.undone.as_ref().is_some_and(|it| it.cause == Cause::Unavailable),
            suspended: this.is_suspended(),
            scope: this.scope,
            read_azure: this.scope == Scope::Azure,
            decided: now,
            findings: Findings { check, ..this.findings.clone() },
            ..Self::default()
        };
        outcome.note_roles(plan, &applied, knows_desired);
        outcome.observed.obsolete = outcome.findings.check.left(unremoved.as_ref()).cloned();
        outcome.findings.note_credential(&applied);
        outcome.findings.note_writes(&applied, ctx.intervals.visibility);
        outcome.note_check(plan, &applied, unread);
        outcome.note_served(served);
        outcome.fail(this, &applied, unremoved.as_ref(), unseen.as_ref());
        Self { changes: applied.changes, ..outcome }
    }

    /// Notes why roles are not prepared or not removed, where a check of Azure knows which are desired.
    fn note_roles(&mut self, plan: &Plan, applied: &Applied, knows_desired: bool) {
        let check = &mut self.findings.check;
        if self.read_azure && self.observed.roles.is_some() {
            check.unprepared = plan.unprepared.clone().or(applied.unprepared.clone());
            if knows_desired {
                check.obsolete.clone_from(&applied.obsolete);
                check.knows_obsolete = true;
            }
        }
        self.observed.unprepared.clone_from(&check.unprepared);
    }

    /// Notes what else a check of Azure has found.
    fn note_check(&mut self, plan: &Plan, applied: &Applied, unread: bool) {
        let Self { findings, observed, decided, .. } = self;
        findings.method = observed.method.or(findings.method);
        if !self.read_azure {
            return;
        }
        findings.check.too_early = unread;
        findings.check.undone = plan.blocked.clone().or(applied.undone.clone());
        // In a cloud that does not tell the mode, roles never settle. A suspended attachment changes none.
        let tells_mode = observed.registry.as_ref().is_some_and(|it| it.mode.is_some());
        if let Some(roles) = &observed.roles {
            let is_new = applied.changes.iter().any(Change::is_in_azure);
            let since = findings.transition_since.filter(|_| !is_new).unwrap_or(*decided);
            let is_watched = tells_mode && !self.suspended && roles.is_in_transition(*decided);
            findings.transition_since = is_watched.then_some(since);
        }
    }

    /// Notes the pull secrets, with the registry's last answer to the credential in use.
    fn note_served(&mut self, served: Option<PullSecretState>) {
        let LastCheck { proof, doubt, .. } = &self.findings.check;
        if let Some(served) = served {
            let recheck_problem = doubt.clone().filter(|it| !it.cause.is_waiting());
            let served = PullSecretState { proof: *proof, recheck_problem, ..served };
            self.observed.pull_secrets = Some(served);
        }
        if self.read_azure {
            self.findings.observed = self.observed.clone();
        }
    }

    fn fail(
        &mut self,
        this: Reconcile<'_>,
        applied: &Applied,
        unremoved: Option<&Problem>,
        unseen: Option<&Problem>,
    ) {
        let met = Encounters {
            scope: self.scope,
            check: Some(&self.findings.check),
            finalizer: applied.problem.as_ref(),
            unremoved,
            credential: applied.credential_problem.as_ref(),
            unseen,
            served: self.observed.pull_secrets.as_ref(),
            roles: self.observed.roles.as_ref(),
        };
        let failures = Failures::of(&met);
        let failures = match this.spec_problem {
            Some(problem) => failures.with_problem(problem.clone()),
            None => failures,
        };
        self.failures = if self.suspended { failures.suspended(&met) } else { failures };
    }

    /// Whether role assignments were changed, or may have been.
    pub fn may_have_written(&self) -> bool {
        self.unanswered || self.changes.iter().any(Change::is_in_azure)
    }

    /// Whether the next check of Azure is the one that this reconcile could not make.
    pub fn waits_for_azure(&self) -> bool {
        let mut failures = self.failures.all.iter();
        failures.any(|it| it.needs == Scope::Azure && it.problem.cause.is_waiting())
    }
}

/// The roles as they are after the steps; `None` while it is not known which are desired.
fn role_state(desired: Desired, assignments: Assignments, plan: &Plan) -> Option<RoleState> {
    let is_known = desired.grants.is_some() || desired.prepared.is_some();
    is_known.then(|| RoleState {
        grants: desired.grants.unwrap_or_default(),
        for_nodes: desired.grants_are_for_nodes,
        prepared: desired.prepared,
        unsettled: !desired.settled,
        found: assignments.found,
        waiting: plan.pending_removals.clone(),
        awaiting_release: plan.awaiting_release.clone(),
    })
}

impl Findings {
    /// Notes the role assignments that Azure may not show yet.
    fn note_writes(&mut self, applied: &Applied, visibility: SignedDuration) {
        let now = Timestamp::now();
        self.written.extend(applied.written.iter().map(|id| (id.clone(), now)));
        let released: Vec<_> = applied.changes.iter().filter_map(Change::releases).collect();
        self.written
            .retain(|id, at| now.duration_since(*at) < visibility && !released.contains(&id));
    }

    /// Notes a new credential, or why there is none. A new one answers what was unknown of the former, and
    /// leaves the former refused: a namespace may still hold it.
    fn note_credential(&mut self, applied: &Applied) {
        let check = &mut self.check;
        if applied.changes.iter().any(|it| matches!(it, Change::NewCredential)) {
            check.doubt = None;
            check.proof = None;
            check.refusal = None;
            check.too_early = false;
        } else if applied.credential_problem.is_some() {
            check.refusal.clone_from(&applied.credential_problem);
        }
    }
}

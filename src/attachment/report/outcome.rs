//! What a reconcile came to: the part that acting and reporting share.

use acr_attach_core::outcome::status::{CredentialEnd, Observed, RoleState};
use acr_attach_core::plan::{Assignments, Desired, Plan};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::pull_secrets::PullSecretState;
use jiff::{SignedDuration, Timestamp};

use crate::attachment::apply::{Applied, Change};
use crate::attachment::snapshot::{Reconcile, Scope, Snapshot};
use crate::attachment::state::Findings;
use crate::attachment::state::last_check::LastCheck;
use crate::delivery::NamespaceChange;

/// What a reconcile came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was found out, with what was changed.
    pub observed: Observed,
    /// What was changed in Azure, and on the object.
    pub changes: Vec<Change>,
    /// What was changed in the cluster under names that the settings no longer allow.
    pub namespace_changes: Vec<NamespaceChange>,
    /// What keeps the attachment from being Ready.
    pub problem: Option<Problem>,
    /// What else went wrong, and is tried again.
    pub other_problem: Option<Problem>,
    /// Everything that went wrong.
    pub failures: Vec<Failure>,
    /// When something is due, and what it takes: removals, renewals, ends of credentials.
    pub dates: Vec<(Timestamp, Scope)>,
    /// Whether a change of role assignments was tried, and no answer tells what came of it.
    pub unanswered: bool,
    /// Whether what should hold does, if that is known.
    pub holds: Option<bool>,
    /// Whether the object asks for nothing at the moment.
    pub suspended: bool,
    /// How closely the reconcile looked.
    pub scope: Scope,
    /// Whether the reconcile read Azure, as far as Azure answered.
    pub read_azure: bool,
    /// When it decided what to do.
    pub decided: Timestamp,
    /// Why something in the cluster is not known.
    pub unseen: Option<Problem>,
    /// What is known from now on.
    pub findings: Findings,
}

/// Something that went wrong.
#[derive(Debug)]
pub struct Failure {
    /// What.
    pub problem: Problem,
    /// What it takes to try again.
    pub needs: Scope,
}

impl Outcome {
    /// Of a reconcile that did nothing.
    pub fn idle(findings: &Findings) -> Self {
        Self { findings: findings.clone(), ..Self::default() }
    }

    /// Of a reconcile that has nothing to do because the object asks for nothing at the moment.
    pub fn paused(findings: &Findings) -> Self {
        Self { suspended: true, ..Self::idle(findings) }
    }

    /// Of a reconcile that failed before it looked at anything.
    pub fn failed(problem: Problem, findings: &Findings) -> Self {
        let failure = Failure { problem: problem.clone(), needs: Scope::Azure };
        Self { problem: Some(problem), failures: vec![failure], ..Self::idle(findings) }
    }

    /// Of a reconcile that may not follow the spec. `end` is that of the pull secrets, which are left alone.
    pub fn refused(problem: Problem, end: Option<CredentialEnd>, findings: &Findings) -> Self {
        let mut outcome = Self::failed(problem.clone(), findings);
        outcome.observed.unrenewed = end.map(|it| (it, problem));
        outcome
    }

    /// What was found, as the changes have left it.
    pub fn of(
        seen: Snapshot,
        plan: Plan,
        mut applied: Applied,
        this: Reconcile<'_>,
        now: Timestamp,
    ) -> Self {
        let Reconcile { findings, scope, ctx, .. } = this;
        let served = seen.served(this, applied.credential_problem.as_ref());
        let unremoved = seen.unremoved.clone();
        let unremoved = unremoved.or_else(|| ctx.delivery.unremoved(&this.uid()));
        let Snapshot { mut observed, desired, mut owned, unseen, unread, .. } = seen;
        let mut check = seen.check;
        let read_azure = scope == Scope::Azure;
        let mut outcome = Self { scope, read_azure, decided: now, unseen, ..Self::idle(findings) };
        let knows_desired = desired.grants.is_some();
        let removals = plan.pending_removals.values().flatten().copied().chain(plan.due);
        outcome.dates.extend(removals.map(|it| (it, Scope::Azure)));
        let tells_mode = observed.registry.as_ref().is_some_and(|it| it.mode.is_some());
        let roles = owned.assignments.take().and_then(|it| role_state(desired, it, &plan));
        let roles = roles.map(|it| RoleState { unsettled: it.unsettled && tells_mode, ..it });
        observed.roles = roles.or(observed.roles);
        if read_azure && observed.roles.is_some() {
            check.unprepared = plan.unprepared.or(applied.unprepared.take());
        }
        if read_azure && observed.roles.is_some() && knows_desired {
            check.obsolete = applied.obsolete.take();
            check.knows_obsolete = true;
        }
        observed.obsolete = check.left(unremoved.as_ref()).cloned();
        observed.unprepared.clone_from(&check.unprepared);
        outcome.unanswered =
            applied.undone.as_ref().is_some_and(|it| it.cause == Cause::Unavailable);
        outcome.findings.remember(check, &applied);
        outcome.findings.remember_writes(&applied, ctx.intervals.visibility);
        if scope == Scope::Azure {
            outcome.findings.check.too_early = unread;
            outcome.findings.check.undone = plan.blocked.or(applied.undone);
        }
        if let Some(roles) = observed.roles.as_ref().filter(|_| read_azure) {
            let since = outcome.findings.transition_since.unwrap_or(now);
            outcome.findings.transition_since = roles.is_in_transition(now).then_some(since);
        }
        outcome.findings.method = observed.method.or(outcome.findings.method);
        if let Some(mut served) = served {
            let LastCheck { proof, doubt, .. } = outcome.findings.check.clone();
            (served.proof, served.recheck_problem) =
                (proof, doubt.filter(|it| !it.cause.is_waiting()));
            observed.pull_secrets = Some(served);
        }
        if scope == Scope::Azure {
            outcome.findings.observed = observed.clone();
        }
        outcome.observed = observed;
        outcome.changes = applied.changes;
        outcome.classify(applied.problem, unremoved.as_ref(), applied.credential_problem);
        if let Some(problem) = this.spec_problem.cloned() {
            outcome.failures.push(Failure { problem: problem.clone(), needs: Scope::Azure });
            outcome.problem = Some(problem);
        }
        outcome
    }

    /// Sorts what went wrong by what it means. What was not seen of the cluster takes the same
    /// kind of reconcile again.
    fn classify(
        &mut self,
        not_done: Option<Problem>,
        unremoved: Option<&Problem>,
        credential_problem: Option<Problem>,
    ) {
        let LastCheck { problem, undone, unprepared, obsolete, unread, doubt, .. } =
            self.findings.check.clone();
        let unread = unread.filter(|it| it.cause.is_transient());
        let left = unremoved.cloned().or(obsolete.clone());
        let served = self.observed.pull_secrets.as_ref();
        // Without a namespace nothing else says that there is no credential to be had.
        let untried = served.filter(|it| it.existing == 0).and(credential_problem.clone());
        let is_transient = |it: &Problem| it.cause.is_transient();
        let asking = [
            &problem,
            &undone,
            &unprepared,
            &obsolete,
            &unread,
            &not_done,
            &credential_problem,
            &doubt,
        ];
        let asking = asking.into_iter().flatten().chain(unremoved);
        let asking = asking.map(|it| Failure { problem: it.clone(), needs: Scope::Azure });
        let failing = served.into_iter().flat_map(PullSecretState::problems);
        let failing = failing.filter(|it| credential_problem.as_ref() != Some(*it));
        let failing = failing.map(|it| Failure { problem: it.clone(), needs: Scope::Cluster });
        let unseen = self.unseen.clone();
        // Reports that are yet to come need no check.
        let needs = if self.findings.check.too_early { self.scope } else { Scope::Cluster };
        let missing = unseen.iter().map(|it| Failure { problem: it.clone(), needs });
        self.failures = asking.chain(failing).chain(missing).collect();

        // Azure Resource Manager is not asked for leave to pull.
        let can_pull = served.is_some_and(PullSecretState::holds);
        let problem = problem.map(|it| after_preparation(it, unprepared.as_ref()));
        let (passing, unknown) = match problem {
            Some(it) if can_pull && it.cause.is_transient() => (Some(it), None),
            problem => (None, problem),
        };
        // A credential that the registry has accepted serves until it ends, whatever else answers now.
        let (unproven, doubt) = match doubt {
            Some(it) if can_pull && !it.cause.is_waiting() => (Some(it), None),
            doubt => (None, doubt),
        };
        let in_doubt = doubt.is_some() || untried.as_ref().is_some_and(is_transient);
        let roles = self.observed.roles.as_ref().map(RoleState::all_assigned);
        self.holds = match served {
            Some(served) if in_doubt && served.holds() => None,
            Some(served) => Some(served.holds() && roles != Some(false)),
            None => roles,
        };
        let failure = served.and_then(PullSecretState::first_failure);
        let overdue = served.and_then(|it| it.renewal_problem.clone());
        let failing = served.and_then(PullSecretState::problem);
        let of_parts = unseen.or(unknown).or(undone).or(not_done).or(failing);
        self.problem = of_parts.or(doubt).or(untried);
        self.other_problem = failure
            .or(overdue)
            .or(passing)
            .or(unproven)
            .or(credential_problem)
            .or(left)
            .or(unprepared);
    }

    /// The same for an attachment that asks for nothing but renewals at the moment.
    pub fn suspended(mut self) -> Self {
        let served = self.observed.pull_secrets.as_ref();
        let overdue = served.and_then(|it| it.renewal_problem.clone());
        let renewing = overdue.or(self.findings.check.refusal.clone());
        let unseen = self.unseen.clone();
        self.failures.retain(|it| {
            let renews = renewing.as_ref() == Some(&it.problem);
            it.needs == Scope::Azure || renews || unseen.as_ref() == Some(&it.problem)
        });
        let other_problem = renewing.or(unseen).or(self.findings.check.problem.clone());
        Self { suspended: true, problem: None, other_problem, ..self }
    }

    /// Whether role assignments were changed, or may have been.
    pub fn may_have_written(&self) -> bool {
        self.unanswered || self.changes.iter().any(Change::is_in_azure)
    }

    /// Whether the next check is the one that this reconcile could not make.
    pub fn waits_for_azure(&self) -> bool {
        let is_waiting = |it: &Failure| it.problem.cause.is_waiting();
        self.failures.iter().any(|it| it.needs == Scope::Azure && is_waiting(it))
    }

    /// Whether Azure was asked anew.
    pub fn has_checked_azure(&self) -> bool {
        self.scope == Scope::Azure
    }
}

/// The advice on an invalid spec may end in a switch of the registry's mode. Without the role that is
/// prepared for it, the switch takes the right to pull.
fn after_preparation(problem: Problem, unprepared: Option<&Problem>) -> Problem {
    let Some(unprepared) = unprepared.filter(|_| problem.cause == Cause::InvalidSpec) else {
        return problem;
    };
    let text = format!("{unprepared}; do not switch the registry before; {}", problem.message);
    Problem::new(Cause::InvalidSpec, text)
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
    /// Keeps the role assignments that Azure may not show yet.
    fn remember_writes(&mut self, applied: &Applied, visibility: SignedDuration) {
        let now = Timestamp::now();
        self.written.extend(applied.written.iter().map(|id| (id.clone(), now)));
        let released: Vec<_> = applied.changes.iter().filter_map(Change::releases).collect();
        self.written
            .retain(|id, at| now.duration_since(*at) < visibility && !released.contains(&id));
    }

    /// What is known after a reconcile. A new credential answers what was known of the former, but
    /// does not make one good that the registry has refused: it may still be somewhere.
    fn remember(&mut self, check: LastCheck, applied: &Applied) {
        self.check = check;
        if applied.changes.iter().any(|it| matches!(it, Change::NewCredential)) {
            self.check.doubt = None;
            self.check.proof = None;
            self.check.refusal = None;
            self.check.too_early = false;
        } else if applied.credential_problem.is_some() {
            self.check.refusal.clone_from(&applied.credential_problem);
        }
    }
}

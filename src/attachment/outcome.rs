//! What a pass came to: the part that acting and reporting share.

use acr_attach_core::outcome::status::{CredentialEnd, Observed, RoleState};
use acr_attach_core::plan::{Assignments, Desired, Plan};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::pull_secrets::PullSecretState;
use jiff::{SignedDuration, Timestamp};

use super::act::{Acted, Deed};
use super::look::Look;
use super::memory::Known;
use super::observe::{Observation, Occasion, Pass};
use crate::delivery::Change;

/// What a pass came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was found out, with what was changed.
    pub observed: Observed,
    /// What was changed in Azure, and on the object.
    pub deeds: Vec<Deed>,
    /// What was changed in the cluster under names that the settings no longer allow.
    pub changes: Vec<Change>,
    /// What keeps the attachment from being Ready.
    pub problem: Option<Problem>,
    /// What else went wrong, and is tried again.
    pub beside: Option<Problem>,
    /// Everything that went wrong.
    pub troubles: Vec<Trouble>,
    /// When something is due, and what it takes: removals, renewals, ends of credentials.
    pub dates: Vec<(Timestamp, Occasion)>,
    /// Whether a change of role assignments was tried, and no answer tells what came of it.
    pub unanswered: bool,
    /// Whether what should hold does, if that is known.
    pub holds: Option<bool>,
    /// Whether the object asks for nothing at the moment.
    pub suspended: bool,
    /// How closely the pass looked.
    pub occasion: Occasion,
    /// Whether the pass read Azure, as far as Azure answered.
    pub read_azure: bool,
    /// When it decided what to do.
    pub decided: Timestamp,
    /// Why something in the cluster is not known.
    pub unseen: Option<Problem>,
    /// What is known from now on.
    pub known: Known,
}

/// Something that went wrong.
#[derive(Debug)]
pub struct Trouble {
    /// What.
    pub problem: Problem,
    /// What it takes to try again.
    pub needs: Occasion,
}

impl Outcome {
    /// Of a pass that did nothing.
    pub fn idle(known: &Known) -> Self {
        Self { known: known.clone(), ..Self::default() }
    }

    /// Of a pass that has nothing to do because the object asks for nothing at the moment.
    pub fn paused(known: &Known) -> Self {
        Self { suspended: true, ..Self::idle(known) }
    }

    /// Of a pass that failed before it looked at anything.
    pub fn failed(problem: Problem, known: &Known) -> Self {
        let trouble = Trouble { problem: problem.clone(), needs: Occasion::Look };
        Self { problem: Some(problem), troubles: vec![trouble], ..Self::idle(known) }
    }

    /// Of a pass that may not follow the spec. `end` is that of the pull secrets, which are left alone.
    pub fn refused(problem: Problem, end: Option<CredentialEnd>, known: &Known) -> Self {
        let mut outcome = Self::failed(problem.clone(), known);
        outcome.observed.unrenewed = end.map(|it| (it, problem));
        outcome
    }

    /// What was found, as the deeds have left it.
    pub fn of(
        seen: Observation,
        plan: Plan,
        mut acted: Acted,
        pass: Pass<'_>,
        now: Timestamp,
    ) -> Self {
        let Pass { known, occasion, ctx, .. } = pass;
        let served = seen.served(pass, acted.mint.as_ref());
        let unremoved = seen.unremoved.clone();
        let unremoved = unremoved.or_else(|| ctx.delivery.unremoved(&pass.uid()));
        let Observation { mut observed, desired, mut owned, unseen, unread, .. } = seen;
        let mut look = seen.look;
        let read_azure = occasion == Occasion::Look;
        let mut outcome = Self { occasion, read_azure, decided: now, unseen, ..Self::idle(known) };
        let knows_desired = desired.grants.is_some();
        let removals = plan.pending_removals.values().flatten().copied().chain(plan.due);
        outcome.dates.extend(removals.map(|it| (it, Occasion::Look)));
        let tells_mode = observed.registry.as_ref().is_some_and(|it| it.mode.is_some());
        let roles = owned.assignments.take().and_then(|it| role_state(desired, it, &plan));
        let roles = roles.map(|it| RoleState { unsettled: it.unsettled && tells_mode, ..it });
        observed.roles = roles.or(observed.roles);
        if read_azure && observed.roles.is_some() {
            look.unprepared = plan.unprepared.or(acted.unprepared.take());
        }
        if read_azure && observed.roles.is_some() && knows_desired {
            look.obsolete = acted.obsolete.take();
            look.knows_obsolete = true;
        }
        observed.obsolete = look.left(unremoved.as_ref()).cloned();
        observed.unprepared.clone_from(&look.unprepared);
        outcome.unanswered = acted.undone.as_ref().is_some_and(|it| it.cause == Cause::Unavailable);
        outcome.known.remember(look, &acted);
        outcome.known.remember_writes(&acted, ctx.intervals.visibility);
        if occasion == Occasion::Look {
            outcome.known.look.too_early = unread;
            outcome.known.look.undone = plan.blocked.or(acted.undone);
        }
        if let Some(roles) = observed.roles.as_ref().filter(|_| read_azure) {
            let since = outcome.known.transition_since.unwrap_or(now);
            outcome.known.transition_since = roles.is_in_transition(now).then_some(since);
        }
        outcome.known.method = observed.method.or(outcome.known.method);
        if let Some(mut served) = served {
            let Look { proof, doubt, .. } = outcome.known.look.clone();
            (served.proof, served.recheck_problem) =
                (proof, doubt.filter(|it| !it.cause.is_waiting()));
            observed.pull_secrets = Some(served);
        }
        if occasion == Occasion::Look {
            outcome.known.observed = observed.clone();
        }
        outcome.observed = observed;
        outcome.deeds = acted.deeds;
        outcome.weigh(acted.problem, unremoved.as_ref(), acted.mint);
        if let Some(problem) = pass.spec_problem.cloned() {
            outcome.troubles.push(Trouble { problem: problem.clone(), needs: Occasion::Look });
            outcome.problem = Some(problem);
        }
        outcome
    }

    /// Sorts what went wrong by what it means. What was not seen of the cluster takes the same
    /// kind of pass again.
    fn weigh(
        &mut self,
        not_done: Option<Problem>,
        unremoved: Option<&Problem>,
        mint: Option<Problem>,
    ) {
        let Look { problem, undone, unprepared, obsolete, unread, doubt, .. } =
            self.known.look.clone();
        let unread = unread.filter(|it| it.cause.is_transient());
        let left = unremoved.cloned().or(obsolete.clone());
        let served = self.observed.pull_secrets.as_ref();
        // Without a namespace nothing else says that there is no credential to be had.
        let untried = served.filter(|it| it.existing == 0).and(mint.clone());
        let is_transient = |it: &Problem| it.cause.is_transient();
        let asking = [&problem, &undone, &unprepared, &obsolete, &unread, &not_done, &mint, &doubt];
        let asking = asking.into_iter().flatten().chain(unremoved);
        let asking = asking.map(|it| Trouble { problem: it.clone(), needs: Occasion::Look });
        let failing = served.into_iter().flat_map(PullSecretState::problems);
        let failing = failing.filter(|it| mint.as_ref() != Some(*it));
        let failing = failing.map(|it| Trouble { problem: it.clone(), needs: Occasion::Glance });
        let unseen = self.unseen.clone();
        // Reports that are yet to come need no look.
        let needs = if self.known.look.too_early { self.occasion } else { Occasion::Glance };
        let missing = unseen.iter().map(|it| Trouble { problem: it.clone(), needs });
        self.troubles = asking.chain(failing).chain(missing).collect();

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
        let trouble = served.and_then(PullSecretState::first_failure);
        let overdue = served.and_then(|it| it.renewal_problem.clone());
        let failing = served.and_then(PullSecretState::problem);
        let of_parts = unseen.or(unknown).or(undone).or(not_done).or(failing);
        self.problem = of_parts.or(doubt).or(untried);
        self.beside = trouble.or(overdue).or(passing).or(unproven).or(mint).or(left).or(unprepared);
    }

    /// The same for an attachment that asks for nothing but renewals at the moment.
    pub fn suspended(mut self) -> Self {
        let served = self.observed.pull_secrets.as_ref();
        let overdue = served.and_then(|it| it.renewal_problem.clone());
        let renewing = overdue.or(self.known.look.refusal.clone());
        let unseen = self.unseen.clone();
        self.troubles.retain(|it| {
            let renews = renewing.as_ref() == Some(&it.problem);
            it.needs == Occasion::Look || renews || unseen.as_ref() == Some(&it.problem)
        });
        let beside = renewing.or(unseen).or(self.known.look.problem.clone());
        Self { suspended: true, problem: None, beside, ..self }
    }

    /// Whether role assignments were changed, or may have been.
    pub fn may_have_written(&self) -> bool {
        self.unanswered || self.deeds.iter().any(Deed::is_in_azure)
    }

    /// Whether the next look is the one that this pass could not make.
    pub fn waits_for_azure(&self) -> bool {
        let is_waiting = |it: &Trouble| it.problem.cause.is_waiting();
        self.troubles.iter().any(|it| it.needs == Occasion::Look && is_waiting(it))
    }

    /// Whether Azure was asked anew.
    pub fn has_looked(&self) -> bool {
        self.occasion == Occasion::Look
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

impl Known {
    /// Keeps the role assignments that Azure may not show yet.
    fn remember_writes(&mut self, acted: &Acted, visibility: SignedDuration) {
        let now = Timestamp::now();
        self.written.extend(acted.written.iter().map(|id| (id.clone(), now)));
        let released: Vec<_> = acted.deeds.iter().filter_map(Deed::releases).collect();
        self.written
            .retain(|id, at| now.duration_since(*at) < visibility && !released.contains(&id));
    }

    /// What is known after a pass. A new credential answers what was known of the former, but
    /// does not make one good that the registry has refused: it may still be somewhere.
    fn remember(&mut self, look: Look, acted: &Acted) {
        self.look = look;
        if acted.deeds.iter().any(|it| matches!(it, Deed::Minted)) {
            self.look.doubt = None;
            self.look.proof = None;
            self.look.refusal = None;
            self.look.too_early = false;
        } else if acted.mint.is_some() {
            self.look.refusal.clone_from(&acted.mint);
        }
    }
}

//! The part of the plan that is about role assignments.

use jiff::Timestamp;

use super::secrets::RemovalTiming;
use super::{Assignments, Desired, Finalizer, Owned, Plan, Step};
use crate::ids::{AssignmentId, PrincipalId, RegistryId};
use crate::problem::{Cause, Problem};
use crate::roles::claims::{self, Claim, Claims};
use crate::roles::role::{Role, assignment_name};
use crate::snapshot::azure::RoleAssignment;

/// One role on one registry for one identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The registry.
    pub registry: RegistryId,
    /// Who gets the role.
    pub principal: PrincipalId,
    /// The role.
    pub role: Role,
    /// What narrows it; absent: the whole registry.
    pub condition: Option<String>,
}

impl Grant {
    /// The id that its assignment gets when we make it.
    #[must_use]
    pub fn assignment_id(&self) -> AssignmentId {
        let name = assignment_name(&self.registry, self.principal, self.role);
        AssignmentId::on(&self.registry, name)
    }

    /// Whether that assignment gives what is asked for, at the registry or from above it.
    #[must_use]
    pub fn is_given_by(&self, found: &RoleAssignment) -> bool {
        self.is_of(found) && (found.condition.is_none() || found.condition == self.condition)
    }

    fn is_of(&self, found: &RoleAssignment) -> bool {
        found.principal == self.principal && found.role == self.role.definition()
    }
}

/// Lists the steps from the roles that are held to those that should be.
///
/// | desired | found at the registry | step |
/// |---|---|---|
/// | yes | nothing that gives the role | `AddFinalizer`, `CreateAssignment` |
/// | yes | one with our claim | – |
/// | yes | one with claims of other attachments | `AddFinalizer`, `ShareAssignment` |
/// | yes | somebody else's, here or above, as wide as ours | – (it is used) |
/// | yes | one here that cannot be used or shared, and one above as wide as ours | – (the latter is used) |
/// | yes | somebody else's, here, with another condition, and nothing above that suffices | blocked, `NotOurs` |
/// | no, something else is | one with our claim | `ReleaseAssignment` when its replacement has counted long enough |
/// | nothing is | one with our claim | `ReleaseAssignment`, `RemoveFinalizer` |
/// | no | somebody else's | – |
pub(super) fn plan(desired: &Desired, owned: &Owned, timing: RemovalTiming, plan: &mut Plan) {
    let (Some(grants), Some(assignments)) = (&desired.grants, &owned.assignments) else { return };
    let mut steps = Vec::new();
    for grant in grants {
        match grant_state(grant, assignments) {
            Ok(GrantState::Held(_)) => {}
            Ok(GrantState::Missing) => steps.push(Step::CreateAssignment(grant.clone())),
            Ok(GrantState::Shareable(id)) => steps.push(Step::ShareAssignment(id, grant.clone())),
            Err(problem) => plan.blocked = plan.blocked.take().or(Some(problem)),
        }
    }
    let mine: Vec<_> = assignments.found.iter().filter(|it| bears_claim(it, assignments)).collect();
    let (kept, surplus): (Vec<&RoleAssignment>, Vec<&RoleAssignment>) =
        mine.into_iter().partition(|it| grants.iter().any(|grant| grant.is_of(it)));
    for assignment in surplus {
        match timing.replaced_at {
            Some(due) if due <= timing.now => {
                steps.push(Step::ReleaseAssignment(assignment.id.clone()))
            }
            due => {
                plan.pending_removals.insert(assignment.id.clone(), due);
                plan.note_due(due);
            }
        }
    }
    let remains = !kept.is_empty() || !plan.pending_removals.is_empty();
    plan.roles = with_finalizer(steps, remains, owned);
}

/// The finalizer is there while there is something to undo, and before there is.
fn with_finalizer(mut steps: Vec<Step>, remains: bool, owned: &Owned) -> Vec<Step> {
    const OURS: Finalizer = Finalizer::RoleAssignments;
    let makes_some =
        steps.iter().any(|it| matches!(it, Step::CreateAssignment(_) | Step::ShareAssignment(..)));
    let (needed, present) = (makes_some || remains, owned.finalizers.contains(&OURS));
    if needed && !present {
        steps.insert(0, Step::AddFinalizer(OURS));
    } else if !needed && present {
        steps.push(Step::RemoveFinalizer(OURS));
    }
    steps
}

/// Since when a role is held; `None` if it is not, or if that is not known.
#[must_use]
pub fn held_since(grant: &Grant, owned: &Owned) -> Option<Timestamp> {
    match grant_state(grant, owned.assignments.as_ref()?) {
        Ok(GrantState::Held(since)) => since,
        _ => None,
    }
}

/// How a desired grant stands.
enum GrantState {
    /// It is in force since then, as far as known.
    Held(Option<Timestamp>),
    /// An assignment of other attachments gives it.
    Shareable(AssignmentId),
    Missing,
}

/// What keeps a desired role from being assigned or shared; `None` if nothing does.
#[must_use]
pub fn blocking_assignment<'a>(
    grant: &Grant,
    assignments: &'a Assignments,
) -> Option<&'a AssignmentId> {
    grant_state(grant, assignments).err()?;
    assignment_at_registry(grant, assignments).map(|it| &it.id)
}

/// The assignment of the role at the registry itself. Azure keeps one per scope, principal and role; a
/// list that lags behind may show two.
fn assignment_at_registry<'a>(
    grant: &Grant,
    assignments: &'a Assignments,
) -> Option<&'a RoleAssignment> {
    let here =
        assignments.found.iter().filter(|it| grant.is_of(it) && it.id.is_at(&grant.registry));
    here.min_by_key(|it| it.claims().is_none())
}

fn grant_state(grant: &Grant, assignments: &Assignments) -> Result<GrantState, Problem> {
    let here = assignment_at_registry(grant, assignments);
    let holding =
        here.map_or(Ok(GrantState::Missing), |here| state_at_registry(here, grant, assignments));
    let suffices = |it: &&RoleAssignment| grant.is_given_by(it) && !it.id.is_at(&grant.registry);
    match (holding, assignments.found.iter().find(suffices)) {
        (Err(_) | Ok(GrantState::Missing), Some(above)) => Ok(GrantState::Held(above.updated_on)),
        (holding, _) => holding,
    }
}

/// What the assignment of the role at the registry itself means for a grant.
fn state_at_registry(
    here: &RoleAssignment,
    grant: &Grant,
    assignments: &Assignments,
) -> Result<GrantState, Problem> {
    if here.claims().is_none() {
        let given = grant.is_given_by(here);
        return if given {
            Ok(GrantState::Held(here.updated_on))
        } else {
            Err(foreign_assignment(here, grant))
        };
    }
    let claim = assignments.registry_and_claim.as_ref().map(|(_, claim)| claim);
    let changes = claim.map(|it| share(here, grant, it)).transpose()?.flatten();
    Ok(match changes {
        None => GrantState::Held(here.updated_on),
        Some(_) => GrantState::Shareable(here.id.clone()),
    })
}

fn foreign_assignment(found: &RoleAssignment, grant: &Grant) -> Problem {
    let advice = format!(
        "delete the role assignment that is in the way (az role assignment delete --ids {})",
        found.id
    );
    let doing = format!(
        "assigning {} on {} to {}",
        grant.role.name(),
        grant.registry.name(),
        grant.principal
    );
    let accounts = [
        format!(
            "{doing}: acr-attach did not make that one, which gives the role with another condition, and Azure keeps one per scope, principal and role"
        ),
        format!("{doing}: acr-attach did not make that one"),
    ];
    Problem::advised(Cause::NotOurs, &advice, &accounts)
}

/// Whether the assignment bears our claim, at the registry itself.
fn bears_claim(found: &RoleAssignment, assignments: &Assignments) -> bool {
    assignments.registry_and_claim.as_ref().is_some_and(|(registry, claim)| {
        found.id.is_at(registry) && found.claims().is_some_and(|it| it.contains(claim))
    })
}

/// What changes on an assignment of ours that others may share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignmentUpdate {
    /// The claims to bear.
    pub claims: Claims,
    /// The condition to have.
    pub condition: Option<String>,
}

/// What an assignment that bears claims becomes when this attachment holds it too; `None` when
/// nothing changes. The oldest claim decides the condition.
///
/// # Errors
/// `NotOurs` when it is not of ours, or its condition is another and the oldest claim is not
/// ours; `QuotaExceeded` when there is no room for one more claim.
pub fn share(
    found: &RoleAssignment,
    grant: &Grant,
    claim: &Claim,
) -> Result<Option<AssignmentUpdate>, Problem> {
    let Some(before) = found.claims() else { return Err(foreign_assignment(found, grant)) };
    let Some(claims) = before.with(claim) else {
        let account = format!(
            "sharing role assignment {}: {} attachments use it already, and its description has room for no more",
            found.id,
            claims::MOST
        );
        let advice = "delete attachments that are not needed";
        return Err(Problem::advised(Cause::QuotaExceeded, advice, &[account]));
    };
    if found.condition != grant.condition && claims.first() != Some(claim) {
        let advice = "give both attachments the same repositories, or delete the other one";
        let account = format!(
            "sharing role assignment {}: another attachment holds it with another condition",
            found.id
        );
        return Err(Problem::advised(Cause::NotOurs, advice, &[account]));
    }
    let condition = grant.condition.clone();
    let changes = claims != before || condition != found.condition;
    Ok(changes.then_some(AssignmentUpdate { claims, condition }))
}

/// What letting go of an assignment means, judged by how it stands at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// Others hold it: only our claim goes.
    RemoveClaim(AssignmentUpdate),
    /// Ours was the last claim.
    DeleteAssignment,
    /// It does not bear our claim any more, and so is not ours to touch.
    NotClaimed,
}

/// How to let go of an assignment.
#[must_use]
pub fn release(found: &RoleAssignment, claim: &Claim) -> Release {
    let Some(claims) = found.claims().filter(|it| it.contains(claim)) else {
        return Release::NotClaimed;
    };
    claims.without(claim).map_or(Release::DeleteAssignment, |claims| {
        Release::RemoveClaim(AssignmentUpdate { claims, condition: found.condition.clone() })
    })
}

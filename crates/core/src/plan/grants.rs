//! The steps of the plan for role assignments.

use jiff::Timestamp;

use super::sharing::foreign_assignment;
use super::{
    Assignments, Desired, Finalizer, Owned, Plan, RemovalTiming, Step, replace_claim, share,
};
use crate::ids::{AssignmentId, PrincipalId, RegistryId};
use crate::problem::Problem;
use crate::roles::role::{Role, assignment_name};
use crate::snapshot::azure::RoleAssignment;

/// One role on one registry for one identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The registry.
    pub registry: RegistryId,
    /// The identity that gets the role.
    pub principal: PrincipalId,
    /// The role.
    pub role: Role,
    /// The condition that narrows the role; `None` for the whole registry.
    pub condition: Option<String>,
}

impl Grant {
    /// The id of the assignment, if acr-attach creates it.
    #[must_use]
    pub fn assignment_id(&self) -> AssignmentId {
        let name = assignment_name(&self.registry, self.principal, self.role);
        AssignmentId::on(&self.registry, name)
    }

    /// Whether an assignment, on the registry or on a scope above it, gives this grant.
    #[must_use]
    pub fn is_given_by(&self, found: &RoleAssignment) -> bool {
        self.is_of(found) && (found.condition.is_none() || found.condition == self.condition)
    }

    fn is_of(&self, found: &RoleAssignment) -> bool {
        found.principal == self.principal && found.role == self.role.definition()
    }
}

/// Adds the steps from the existing role assignments to the desired grants.
///
/// "Foreign" is an assignment without claims: acr-attach did not make it.
///
/// | desired | found | step |
/// |---|---|---|
/// | yes | no assignment that gives the role | `AddFinalizer`, `CreateAssignment` |
/// | yes | on the registry, with the claim of this attachment | – |
/// | any | with a claim of before of this attachment, and not released now | `ReplaceClaim`, apart from the others |
/// | yes | on the registry, with claims of other attachments only | `AddFinalizer`, `ShareAssignment` |
/// | yes | foreign, on the registry or above, that gives the grant | – (it is used) |
/// | yes | on the registry, unusable; and above, that gives the grant | – (the one above is used) |
/// | yes | foreign, on the registry, with another condition; and none above that gives the grant | blocked, `NotOurs` |
/// | no, another grant is | with the claim of this attachment | `ReleaseAssignment` once the replacement was in force for the delay |
/// | no, another identity's is | with the claim of this attachment, of an identity that is not releasable | – (it awaits its release) |
/// | no grant is | with the claim of this attachment | `ReleaseAssignment`, `RemoveFinalizer` |
/// | no | foreign | – |
///
/// The prepared grant is assigned alike, and waits for no other: `Plan::prepared`. While it is not known
/// which grants are desired, nothing else is changed.
pub(super) fn plan(desired: &Desired, owned: &Owned, timing: RemovalTiming, plan: &mut Plan) {
    let Some(assignments) = &owned.assignments else { return };
    if let Some(grant) = &desired.prepared {
        match missing(grant, assignments) {
            Ok(step) => plan.prepared.extend(step),
            Err(problem) => plan.unprepared = Some(problem),
        }
    }
    let Some(grants) = &desired.grants else {
        plan.roles = with_finalizer(Vec::new(), &plan.prepared, None, owned);
        return;
    };
    let mut steps = Vec::new();
    for grant in grants {
        match missing(grant, assignments) {
            Ok(step) => steps.extend(step),
            Err(problem) => plan.blocked = plan.blocked.take().or(Some(problem)),
        }
    }
    let mine = assignments.found.iter().filter(|it| assignments.are_claimed(it));
    let is_desired =
        |it: &&RoleAssignment| grants.iter().chain(&desired.prepared).any(|grant| grant.is_of(it));
    let (kept, surplus): (Vec<&RoleAssignment>, Vec<&RoleAssignment>) = mine.partition(is_desired);
    plan.claims.extend(kept.iter().filter_map(|it| replaced_claim(it, assignments)));
    for assignment in surplus {
        match timing.replaced_at {
            _ if awaits_release(assignment, grants, desired) => {
                plan.awaiting_release.insert(assignment.id.clone(), assignment.principal);
            }
            Some(due) if due <= timing.now => {
                steps.push(Step::ReleaseAssignment(assignment.id.clone()));
                continue;
            }
            due => {
                plan.pending_removals.insert(assignment.id.clone(), due);
                plan.note_due(due);
            }
        }
        plan.claims.extend(replaced_claim(assignment, assignments));
    }
    let waits = !plan.pending_removals.is_empty() || !plan.awaiting_release.is_empty();
    let remains = waits || !kept.is_empty() || assignments.hidden.is_some();
    plan.roles = with_finalizer(steps, &plan.prepared, Some(remains), owned);
}

/// Whether an assignment is of a former identity that nodes may still pull with.
fn awaits_release(found: &RoleAssignment, grants: &[Grant], desired: &Desired) -> bool {
    let is_former = grants.iter().all(|it| it.principal != found.principal);
    is_former && desired.releasable.as_ref().is_some_and(|it| !it.contains(&found.principal))
}

/// The step that gives a desired grant; `None` where an assignment does.
///
/// # Errors
/// Why the grant cannot be given.
fn missing(grant: &Grant, assignments: &Assignments) -> Result<Option<Step>, Problem> {
    Ok(match grant_state(grant, assignments)? {
        GrantState::Held(_) => None,
        GrantState::Missing => Some(Step::CreateAssignment(grant.clone())),
        GrantState::Shareable(id) => Some(Step::ShareAssignment(id, grant.clone())),
    })
}

/// Adds the finalizer before the first claim, and removes it after the last one. `remains` is whether a
/// claim is left without these steps; `None` while that is not known.
fn with_finalizer(
    mut steps: Vec<Step>,
    prepared: &[Step],
    remains: Option<bool>,
    owned: &Owned,
) -> Vec<Step> {
    const OURS: Finalizer = Finalizer::RoleAssignments;
    let claims = |it: &Step| matches!(it, Step::CreateAssignment(_) | Step::ShareAssignment(..));
    let adds_claim = steps.iter().chain(prepared).any(claims);
    let present = owned.finalizers.contains(&OURS);
    if (adds_claim || remains == Some(true)) && !present {
        steps.insert(0, Step::AddFinalizer(OURS));
    } else if !adds_claim && remains == Some(false) && present {
        steps.push(Step::RemoveFinalizer(OURS));
    }
    steps
}

/// Since when a grant is in force (UTC); `None` if it is not, or if the time is unknown.
#[must_use]
pub fn held_since(grant: &Grant, owned: &Owned) -> Option<Timestamp> {
    match grant_state(grant, owned.assignments.as_ref()?) {
        Ok(GrantState::Held(since)) => since,
        _ => None,
    }
}

/// The state of a desired grant.
enum GrantState {
    /// In force since that time, if Azure tells the time.
    Held(Option<Timestamp>),
    /// An assignment of other attachments can be shared.
    Shareable(AssignmentId),
    Missing,
}

/// The assignment that keeps a desired grant from being created or shared, if there is one.
#[must_use]
pub fn blocking_assignment<'a>(
    grant: &Grant,
    assignments: &'a Assignments,
) -> Option<&'a AssignmentId> {
    grant_state(grant, assignments).err()?;
    assignment_at_registry(grant, assignments).map(|it| &it.id)
}

/// The assignment of the role on the registry itself. Azure keeps one per scope, principal and role.
/// A list that lags behind may show two; the claimed one comes first.
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

/// The state of a grant by the assignment on the registry itself.
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
    let own = assignments.registry_and_claims.as_ref().map(|(_, own)| own);
    let changes = own.map(|it| share(here, grant, it)).transpose()?.flatten();
    // A claim of before is replaced apart from the roles: the assignment gives the role all the same.
    let holds = assignments.are_claimed(here) && here.condition == grant.condition;
    Ok(match changes.filter(|_| !holds) {
        None => GrantState::Held(here.updated_on),
        Some(_) => GrantState::Shareable(here.id.clone()),
    })
}

/// The step that replaces a claim of before; `None` where the assignment bears none.
fn replaced_claim(found: &RoleAssignment, assignments: &Assignments) -> Option<Step> {
    let (_, own) = assignments.registry_and_claims.as_ref()?;
    replace_claim(found, own).map(|_| Step::ReplaceClaim(found.id.clone()))
}

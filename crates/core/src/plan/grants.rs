//! The steps of the plan for role assignments.

use jiff::Timestamp;

use super::{Assignments, Desired, Finalizer, Owned, Plan, RemovalTiming, Step};
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
/// | yes | on the registry, with claims of other attachments only | `AddFinalizer`, `ShareAssignment` |
/// | yes | foreign, on the registry or above, that gives the grant | – (it is used) |
/// | yes | on the registry, unusable; and above, that gives the grant | – (the one above is used) |
/// | yes | foreign, on the registry, with another condition; and none above that gives the grant | blocked, `NotOurs` |
/// | no, another grant is | with the claim of this attachment | `ReleaseAssignment` once the replacement was in force for the delay |
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
    let mine = assignments.found.iter().filter(|it| bears_claim(it, assignments));
    let is_desired =
        |it: &&RoleAssignment| grants.iter().chain(&desired.prepared).any(|grant| grant.is_of(it));
    let (kept, surplus): (Vec<&RoleAssignment>, Vec<&RoleAssignment>) = mine.partition(is_desired);
    for assignment in surplus {
        match timing.replaced_at {
            Some(due) if due <= timing.now => {
                steps.push(Step::ReleaseAssignment(assignment.id.clone()));
            }
            due => {
                plan.pending_removals.insert(assignment.id.clone(), due);
                plan.note_due(due);
            }
        }
    }
    let remains = !kept.is_empty() || !plan.pending_removals.is_empty();
    plan.roles = with_finalizer(steps, &plan.prepared, Some(remains), owned);
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
            "{doing}: acr-attach did not make this assignment, which gives the role with another condition, and Azure keeps one per scope, principal and role"
        ),
        format!("{doing}: acr-attach did not make this assignment"),
    ];
    Problem::advised(Cause::NotOurs, &advice, &accounts)
}

/// Whether an assignment on the registry itself bears the claim of this attachment.
fn bears_claim(found: &RoleAssignment, assignments: &Assignments) -> bool {
    assignments.registry_and_claim.as_ref().is_some_and(|(registry, claim)| {
        found.id.is_at(registry) && found.claims().is_some_and(|it| it.contains(claim))
    })
}

/// New contents for an assignment that acr-attach made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignmentUpdate {
    /// The new claims.
    pub claims: Claims,
    /// The new condition.
    pub condition: Option<String>,
}

/// Adds a claim to an assignment that bears claims; `None` when nothing changes. The attachment
/// with the oldest claim decides the condition.
///
/// # Errors
/// `NotOurs` when the assignment bears no claims, or when its condition differs and the oldest
/// claim is another attachment's; `QuotaExceeded` when there is no room for one more claim.
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
            claims::MAX_CLAIMS
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

/// How to release an assignment, by its contents at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// Other attachments use the assignment: remove only the claim of this one.
    RemoveClaim(AssignmentUpdate),
    /// The claim of this attachment is the last one: delete the assignment.
    DeleteAssignment,
    /// The assignment does not bear the claim any more: change nothing.
    NotClaimed,
}

/// Decides how to release an assignment.
#[must_use]
pub fn release(found: &RoleAssignment, claim: &Claim) -> Release {
    let Some(claims) = found.claims().filter(|it| it.contains(claim)) else {
        return Release::NotClaimed;
    };
    claims.without(claim).map_or(Release::DeleteAssignment, |claims| {
        Release::RemoveClaim(AssignmentUpdate { claims, condition: found.condition.clone() })
    })
}

//! The decision: from what is desired and what is owned to the steps between them.
//!
//! It does not know which method an attachment uses. Deleting desires nothing; changing the
//! method, the role or the identity is an ordinary difference.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::claims::{self, Claim, Claims};
use super::facts::RoleAssignment;
use super::names::{AssignmentId, PrincipalId, RegistryId};
use super::problem::{Cause, Problem};
use super::role::{Role, assignment_name};

/// What should hold, part by part. A part whose facts are missing is `None` and stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// The roles to hold.
    pub grants: Option<Vec<Grant>>,
    /// Whether nothing uses a former identity any more.
    pub settled: bool,
}

impl Desired {
    /// What a deleted attachment desires.
    #[must_use]
    pub fn nothing() -> Self {
        Self { grants: Some(Vec::new()), settled: true }
    }
}

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

/// What there is, part by part. A part that could not be read is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Owned {
    /// All role assignments on the registry and above it, ours and others'.
    pub assignments: Option<Vec<RoleAssignment>>,
    /// The registry that they were listed on.
    pub registry: RegistryId,
    /// What marks ours.
    pub claim: Claim,
    /// Whether the object bears our finalizer.
    pub finalizer: bool,
}

/// One thing to do. Each can be repeated, and each survives being killed half-way.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Let the object wait for us when it is deleted.
    AddFinalizer,
    /// Make an assignment with our claim.
    Assign(Grant),
    /// Add our claim to an assignment that others of us hold, or set its condition right.
    Join(AssignmentId, Grant),
    /// Take our claim back, and delete the assignment if it was the last.
    Release(AssignmentId),
    /// Let the object go.
    RemoveFinalizer,
}

/// The steps in order, what is not due yet, and what cannot be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In the order in which they are taken. A failing step stops those after it.
    pub steps: Vec<Step>,
    /// Assignments that are no longer desired, and when they will be removed; `None` while
    /// that depends on something that has no date.
    pub waiting: BTreeMap<AssignmentId, Option<Timestamp>>,
    /// What stands in the way.
    pub blocked: Option<Problem>,
}

/// Lists the steps from what is owned to what is desired.
///
/// | desired | found at the registry | step |
/// |---|---|---|
/// | yes | nothing that gives the role | `AddFinalizer`, `Assign` |
/// | yes | one with our claim | – |
/// | yes | one with claims of other attachments | `AddFinalizer`, `Join` |
/// | yes | somebody else's, here or above, as wide as ours | – (it is used) |
/// | yes | somebody else's, here, with another condition | blocked, `NotOurs` |
/// | no, others are | one with our claim | `Release` when its replacement has counted long enough |
/// | nothing is | one with our claim | `Release`, `RemoveFinalizer` |
/// | no | somebody else's | – |
#[must_use]
pub fn plan(desired: &Desired, owned: &Owned, now: Timestamp, delay: SignedDuration) -> Plan {
    let mut plan = Plan::default();
    let (Some(grants), Some(found)) = (&desired.grants, &owned.assignments) else {
        return plan;
    };
    let mut replaced_since = Vec::new();
    for grant in grants {
        match holding(grant, found, owned) {
            Ok(Holding::Held(since)) => replaced_since.push(since),
            Ok(Holding::Missing) => plan.steps.push(Step::Assign(grant.clone())),
            Ok(Holding::Joinable(id)) => plan.steps.push(Step::Join(id, grant.clone())),
            Err(problem) => plan.blocked = plan.blocked.or(Some(problem)),
        }
    }
    let counts_from = counts_from(desired, grants, &replaced_since, now, delay);
    let mine: Vec<_> = found.iter().filter(|it| is_mine(it, owned)).collect();
    let (kept, surplus): (Vec<&RoleAssignment>, Vec<&RoleAssignment>) =
        mine.into_iter().partition(|it| grants.iter().any(|grant| grant.is_of(it)));
    for assignment in surplus {
        match counts_from {
            Some(due) if due <= now => plan.steps.push(Step::Release(assignment.id.clone())),
            due => drop(plan.waiting.insert(assignment.id.clone(), due)),
        }
    }
    finalizer(&mut plan, owned.finalizer, !kept.is_empty());
    plan
}

/// How a desired grant stands.
enum Holding {
    /// It is in force since then, as far as known.
    Held(Option<Timestamp>),
    /// An assignment of other attachments gives it.
    Joinable(AssignmentId),
    Missing,
}

fn holding(grant: &Grant, found: &[RoleAssignment], owned: &Owned) -> Result<Holding, Problem> {
    let at_registry = |it: &&RoleAssignment| it.id.is_at(&grant.registry);
    let same: Vec<_> = found.iter().filter(|it| grant.is_of(it)).collect();
    if let Some(ours) = same.iter().copied().filter(at_registry).find(|it| it.claims().is_some()) {
        return Ok(match join(ours, grant, &owned.claim)? {
            None => Holding::Held(ours.updated_on),
            Some(_) => Holding::Joinable(ours.id.clone()),
        });
    }
    let unsuited = |it: &&RoleAssignment| !grant.is_given_by(it);
    if let Some(stranger) = same.iter().copied().filter(at_registry).find(unsuited) {
        return Err(in_the_way(stranger, grant));
    }
    let suiting = same.iter().find(|it| grant.is_given_by(it));
    Ok(suiting.map_or(Holding::Missing, |it| Holding::Held(it.updated_on)))
}

fn in_the_way(found: &RoleAssignment, grant: &Grant) -> Problem {
    Problem::new(
        Cause::NotOurs,
        format!(
            "assigning {} on {} to {}: role assignment {}, which acr-attach did not make, gives it with another condition, and Azure keeps one per scope, principal and role; delete that one (az role assignment delete --ids {})",
            grant.role.name(),
            grant.registry,
            grant.principal,
            found.id,
            found.id
        ),
    )
}

/// Whether the assignment bears our claim, at the registry itself.
fn is_mine(found: &RoleAssignment, owned: &Owned) -> bool {
    found.id.is_at(&owned.registry) && found.claims().is_some_and(|it| it.contains(&owned.claim))
}

/// From when on the replacements count, so that what they replace may go.
///
/// Azure takes up to 10 minutes to honour a role (learn.microsoft.com, "Troubleshoot Azure
/// RBAC"), and nodes use a former identity until they are reimaged.
fn counts_from(
    desired: &Desired,
    grants: &[Grant],
    held_since: &[Option<Timestamp>],
    now: Timestamp,
    delay: SignedDuration,
) -> Option<Timestamp> {
    if grants.is_empty() {
        return Some(now);
    }
    if !desired.settled || held_since.len() < grants.len() {
        return None;
    }
    let latest = held_since.iter().copied().collect::<Option<Vec<_>>>()?.into_iter().max()?;
    latest.checked_add(delay).ok()
}

/// The finalizer is there while there is something to undo, and before there is.
fn finalizer(plan: &mut Plan, present: bool, keeps_some: bool) {
    let makes_some = plan.steps.iter().any(|it| matches!(it, Step::Assign(_) | Step::Join(..)));
    let needed = makes_some || keeps_some || !plan.waiting.is_empty();
    if needed && !present {
        plan.steps.insert(0, Step::AddFinalizer);
    } else if !needed && present {
        plan.steps.push(Step::RemoveFinalizer);
    }
}

/// What changes on an assignment of ours that others may share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amendment {
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
pub fn join(
    found: &RoleAssignment,
    grant: &Grant,
    claim: &Claim,
) -> Result<Option<Amendment>, Problem> {
    let Some(before) = found.claims() else { return Err(in_the_way(found, grant)) };
    let Some(claims) = before.with(claim) else {
        return Err(Problem::new(
            Cause::QuotaExceeded,
            format!(
                "sharing role assignment {}: {} attachments use it already, and its description has room for no more; delete attachments that are not needed",
                found.id,
                claims::MOST
            ),
        ));
    };
    if found.condition != grant.condition && claims.first() != Some(claim) {
        return Err(Problem::new(
            Cause::NotOurs,
            format!(
                "sharing role assignment {}: another attachment holds it with another condition; give both attachments the same repositories, or delete the other one",
                found.id
            ),
        ));
    }
    let condition = grant.condition.clone();
    let changes = claims != before || condition != found.condition;
    Ok(changes.then_some(Amendment { claims, condition }))
}

/// What letting go of an assignment means, judged by how it stands at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// Others hold it: only our claim goes.
    Keep(Amendment),
    /// Ours was the last claim.
    Delete,
    /// It does not bear our claim any more, and so is not ours to touch.
    Nothing,
}

/// How to let go of an assignment.
#[must_use]
pub fn release(found: &RoleAssignment, claim: &Claim) -> Release {
    let Some(claims) = found.claims().filter(|it| it.contains(claim)) else {
        return Release::Nothing;
    };
    claims.without(claim).map_or(Release::Delete, |claims| {
        Release::Keep(Amendment { claims, condition: found.condition.clone() })
    })
}

#[cfg(test)]
mod tests;

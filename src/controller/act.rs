//! Act: takes the steps of a plan. Writes, and decides nothing.

use super::kubernetes::Kubernetes;
use super::locks::Locks;
use crate::api::RegistryAttachment;
use crate::azure::{NewAssignment, Writer};
use crate::domain::claims::{Claim, Claims};
use crate::domain::facts::RoleAssignment;
use crate::domain::names::AssignmentId;
use crate::domain::plan::{Amendment, Grant, Release, Step, join, release};
use crate::domain::problem::{Cause, Problem};

/// What was done, and what kept the rest from being done.
#[derive(Debug, Default)]
pub struct Acted {
    /// In the order in which it happened.
    pub deeds: Vec<Deed>,
    /// Why the steps after that were not taken.
    pub problem: Option<Problem>,
}

/// One change that was made.
#[derive(Debug)]
pub enum Deed {
    /// Our finalizer was added or removed.
    Finalizer(bool),
    /// A role assignment was made.
    Assigned(RoleAssignment),
    /// A role assignment that others hold now bears our claim too.
    Joined(RoleAssignment),
    /// A role assignment of ours has its condition back.
    Amended(RoleAssignment),
    /// A role assignment bears our claim already: a list of Azure lags behind.
    Held(RoleAssignment),
    /// Our claim was taken back; others hold the assignment on.
    Left(AssignmentId),
    /// A role assignment was deleted.
    Unassigned(AssignmentId),
}

impl Deed {
    /// Whether it changed something in Azure.
    #[must_use]
    pub fn is_in_azure(&self) -> bool {
        !matches!(self, Self::Finalizer(_) | Self::Held(_))
    }
}

/// What a pass acts with.
pub struct Actor<'a> {
    /// The attachment.
    pub object: &'a RegistryAttachment,
    /// What marks its role assignments.
    pub claim: &'a Claim,
    /// The cluster.
    pub kubernetes: &'a Kubernetes,
    /// Azure.
    pub azure: &'a Writer,
    /// Which role assignments are being changed.
    pub locks: &'a Locks,
}

/// Takes the steps one after the other, and stops at the first that fails: a removal must not
/// overtake the grant that replaces it.
pub async fn act(steps: &[Step], by: &Actor<'_>) -> Acted {
    let mut acted = Acted::default();
    for step in steps {
        match by.take(step).await {
            Ok(deed) => acted.deeds.extend(deed),
            Err(problem) => {
                acted.problem = Some(problem);
                break;
            }
        }
    }
    acted
}

impl Actor<'_> {
    async fn take(&self, step: &Step) -> Result<Option<Deed>, Problem> {
        match step {
            Step::AddFinalizer => self.set_finalizer(true).await,
            Step::RemoveFinalizer => self.set_finalizer(false).await,
            Step::Assign(grant) => self.hold(&grant.assignment_id(), grant).await,
            Step::Join(id, grant) => self.hold(id, grant).await,
            Step::Release(id) => self.let_go(id).await,
        }
    }

    async fn set_finalizer(&self, present: bool) -> Result<Option<Deed>, Problem> {
        if present {
            self.kubernetes.add_finalizer(self.object).await?;
        } else {
            self.kubernetes.remove_finalizer(self.object).await?;
        }
        Ok(Some(Deed::Finalizer(present)))
    }

    /// Makes the assignment, or joins the one of that id. What stands there is read a moment
    /// before it is written: a PUT on it would overwrite somebody else's description.
    async fn hold(&self, id: &AssignmentId, grant: &Grant) -> Result<Option<Deed>, Problem> {
        let _lock = self.locks.take(id)?;
        let Some(found) = self.azure.role_assignment(id).await? else {
            self.assign(id, grant).await?;
            return Ok(Some(Deed::Assigned(self.read_back(id).await?)));
        };
        if found.claims().is_none() {
            return Err(Problem::new(
                Cause::Unavailable,
                format!(
                    "making role assignment {id}: another tool made it a moment ago; looking again"
                ),
            ));
        }
        let Some(to) = join(&found, grant, self.claim)? else {
            return Ok(Some(Deed::Held(found)));
        };
        self.azure.amend(&found, &to).await?;
        let after = self.read_back(id).await?;
        Ok(Some(if self.is_ours(&found) { Deed::Amended(after) } else { Deed::Joined(after) }))
    }

    async fn assign(&self, id: &AssignmentId, grant: &Grant) -> Result<(), Problem> {
        let new = NewAssignment {
            id,
            registry: &grant.registry,
            role: grant.role,
            principal: grant.principal,
            condition: grant.condition.as_deref(),
            description: Claims::of(self.claim.clone()).to_string(),
        };
        Ok(self.azure.assign(&new).await?)
    }

    /// Another cluster may have written at the same moment; what counts is what is there now.
    async fn read_back(&self, id: &AssignmentId) -> Result<RoleAssignment, Problem> {
        let found = self.azure.role_assignment(id).await?;
        let ours = found.filter(|it| self.is_ours(it));
        ours.ok_or_else(|| {
            Problem::new(
                Cause::Unavailable,
                format!(
                    "reading role assignment {id} after writing it: it does not bear claim {}; it is written again",
                    self.claim
                ),
            )
        })
    }

    async fn let_go(&self, id: &AssignmentId) -> Result<Option<Deed>, Problem> {
        let _lock = self.locks.take(id)?;
        let Some(found) = self.azure.role_assignment(id).await? else { return Ok(None) };
        match release(&found, self.claim) {
            Release::Nothing => Ok(None),
            Release::Delete => {
                self.azure.unassign(id).await?;
                Ok(Some(Deed::Unassigned(id.clone())))
            }
            Release::Keep(to) => self.leave(&found, &to).await.map(Some),
        }
    }

    async fn leave(&self, found: &RoleAssignment, to: &Amendment) -> Result<Deed, Problem> {
        let id = &found.id;
        self.azure.amend(found, to).await?;
        let left = self.azure.role_assignment(id).await?;
        if left.is_some_and(|it| self.is_ours(&it)) {
            return Err(Problem::new(
                Cause::Unavailable,
                format!(
                    "reading role assignment {id} after writing it: it still bears claim {}; it is written again",
                    self.claim
                ),
            ));
        }
        Ok(Deed::Left(id.clone()))
    }

    fn is_ours(&self, found: &RoleAssignment) -> bool {
        found.claims().is_some_and(|it| it.contains(self.claim))
    }
}

//! Act: takes the steps of a plan. Writes, and decides nothing.

use acr_attach_azure::{Azure, Session};
use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::ids::AssignmentId;
use acr_attach_core::plan::{Finalizer, Plan, Step};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::roles::claims::OwnClaims;
use acr_attach_core::snapshot::azure::RoleAssignment;

use super::credential::Making;
use super::locks::Locks;
use super::principals::Principals;
use crate::cluster::kubernetes::Kubernetes;

/// What was done, and what kept the rest from being done.
#[derive(Debug, Default)]
pub struct Acted {
    /// What was changed.
    pub deeds: Vec<Deed>,
    /// Why something was not done in Azure.
    pub undone: Option<Problem>,
    /// Why the role that is prepared was not assigned.
    pub unprepared: Option<Problem>,
    /// Why a role assignment that is no longer desired was not removed.
    pub obsolete: Option<Problem>,
    /// Role assignments that were written, or asked for without an answer.
    pub written: Vec<AssignmentId>,
    /// Why a finalizer was not added or removed.
    pub problem: Option<Problem>,
    /// Why there is no new credential.
    pub mint: Option<Problem>,
}

impl Acted {
    /// Adds what was done elsewhere.
    pub fn extend(&mut self, other: Self) {
        self.deeds.extend(other.deeds);
        self.written.extend(other.written);
        self.undone = self.undone.take().or(other.undone);
        self.unprepared = self.unprepared.take().or(other.unprepared);
        self.obsolete = self.obsolete.take().or(other.obsolete);
        self.problem = self.problem.take().or(other.problem);
        self.mint = self.mint.take().or(other.mint);
    }

    /// Takes what is not removed as what holds the object: to remove is all that there is to do. What is
    /// `unread` may be there still.
    pub fn hold(&mut self, unread: Option<&Problem>) {
        self.undone = self.undone.take().or(self.obsolete.take());
        self.problem = self.problem.take().or(unread.cloned());
    }

    fn fail(&mut self, step: &Step, problem: Problem) {
        match step {
            Step::ReleaseAssignment(_) | Step::ReplaceClaim(_) => {
                self.obsolete = self.obsolete.take().or(Some(problem));
            }
            Step::CreateAssignment(_) | Step::ShareAssignment(..) => {
                if problem.cause == Cause::Unavailable {
                    self.written.extend(step.claimed_assignment());
                }
                self.undone = self.undone.take().or(Some(problem));
            }
            _ => self.problem = self.problem.take().or(Some(problem)),
        }
    }
}

/// One change that was made.
#[derive(Debug)]
pub enum Deed {
    /// One of our finalizers was added or removed.
    Finalizer(Finalizer, bool),
    /// A role assignment was made.
    Assigned(RoleAssignment),
    /// A role assignment that others hold now bears our claim too.
    Joined(RoleAssignment),
    /// A role assignment of ours has its condition back.
    Amended(RoleAssignment),
    /// A claim of before was replaced by the current one.
    Reclaimed(RoleAssignment),
    /// A role assignment bears our claim already: a list of Azure lags behind.
    Held(RoleAssignment),
    /// Our claim was taken back; others hold the assignment on.
    Left(AssignmentId),
    /// A role assignment was deleted.
    Unassigned(AssignmentId),
    /// The finalizer for entries was removed although entries are left.
    Abandoned(Abandoned),
    /// A credential was made and accepted.
    Minted,
}

/// Entries that are left in service accounts.
#[derive(Clone, Copy, Debug)]
pub enum Abandoned {
    /// In so many accounts, since a user asked for that; `None` where the number is unknown.
    Asked(Option<usize>),
    /// In so many accounts, since another writer puts them back after each removal.
    PutBack(usize),
}

impl Deed {
    /// The role assignment that may stand in nobody's way any more.
    #[must_use]
    pub fn frees(&self) -> Option<&AssignmentId> {
        match self {
            Self::Left(id) | Self::Unassigned(id) => Some(id),
            Self::Amended(it) => Some(&it.id),
            _ => None,
        }
    }

    /// The role assignment that bears the claim no more.
    #[must_use]
    pub fn releases(&self) -> Option<&AssignmentId> {
        match self {
            Self::Left(id) | Self::Unassigned(id) => Some(id),
            _ => None,
        }
    }

    /// The role assignment that was made, or that bears the claim since.
    fn writes(&self) -> Option<&AssignmentId> {
        match self {
            Self::Assigned(it) | Self::Joined(it) => Some(&it.id),
            _ => None,
        }
    }

    /// Whether it changed a role assignment.
    #[must_use]
    pub fn is_in_azure(&self) -> bool {
        matches!(
            self,
            Self::Assigned(_)
                | Self::Joined(_)
                | Self::Amended(_)
                | Self::Reclaimed(_)
                | Self::Left(_)
                | Self::Unassigned(_)
        )
    }
}

/// The assignments that were found, as the deeds have left them.
#[must_use]
pub fn with_deeds(mut found: Vec<RoleAssignment>, deeds: &[Deed]) -> Vec<RoleAssignment> {
    for deed in deeds {
        match deed {
            Deed::Assigned(it)
            | Deed::Joined(it)
            | Deed::Amended(it)
            | Deed::Reclaimed(it)
            | Deed::Held(it) => {
                found.retain(|old| old.id != it.id);
                found.push(it.clone());
            }
            Deed::Left(id) | Deed::Unassigned(id) => found.retain(|old| old.id != *id),
            _ => {}
        }
    }
    found
}

/// What a pass acts with.
pub struct Actor<'a> {
    /// The attachment.
    pub object: &'a RegistryAttachment,
    /// The claims on its role assignments; without them there are none to change.
    pub claims: Option<&'a OwnClaims>,
    /// The cluster.
    pub kubernetes: &'a Kubernetes,
    /// The service principals of pull secrets.
    pub principals: &'a Principals,
    /// Azure.
    pub azure: &'a Azure,
    /// The place that the pass has at Azure Resource Manager.
    pub session: Option<&'a Session>,
    /// Which role assignments are being changed.
    pub locks: &'a Locks,
    /// What pull secrets are made from.
    pub making: Option<Making<'a>>,
}

/// Takes the steps of a plan. The first that fails ends its list: a removal must not overtake the grant
/// that replaces it. Nothing waits for the role that is prepared.
pub async fn act(plan: &Plan, by: &Actor<'_>) -> Acted {
    let mut acted = by.act(&plan.roles).await;
    // Without the finalizer nothing may be assigned.
    if acted.problem.is_none() {
        let prepared = by.act(&plan.prepared).await;
        acted.extend(Acted { unprepared: prepared.undone, undone: None, ..prepared });
        acted.extend(by.act(&plan.claims).await);
    }
    acted
}

impl Actor<'_> {
    async fn act(&self, part: &[Step]) -> Acted {
        let mut acted = Acted::default();
        for step in part {
            if let Err(problem) = self.take(step, &mut acted).await {
                acted.fail(step, problem);
                break;
            }
        }
        acted
    }

    async fn take(&self, step: &Step, acted: &mut Acted) -> Result<(), Problem> {
        let deed = match step {
            Step::AddFinalizer(it) => self.set_finalizer(*it, true).await?,
            Step::RemoveFinalizer(it) => self.set_finalizer(*it, false).await?,
            Step::CreateAssignment(grant) => self.assign(grant).await?,
            Step::ShareAssignment(id, grant) => self.join(id, grant).await?,
            Step::ReleaseAssignment(id) => self.let_go(id).await?,
            Step::ReplaceClaim(id) => self.reclaim(id).await?,
            // Secrets and entries are delivered by namespace.
            _ => None,
        };
        acted.written.extend(deed.as_ref().and_then(Deed::writes).cloned());
        acted.deeds.extend(deed);
        Ok(())
    }

    async fn set_finalizer(
        &self,
        finalizer: Finalizer,
        present: bool,
    ) -> Result<Option<Deed>, Problem> {
        if present {
            self.kubernetes.add_finalizer(self.object, finalizer).await?;
        } else {
            self.kubernetes.remove_finalizer(self.object, finalizer).await?;
        }
        Ok(Some(Deed::Finalizer(finalizer, present)))
    }
}

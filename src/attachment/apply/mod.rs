//! Act: takes the steps of a plan. Writes, and decides nothing.

pub mod assignments;
pub mod credential;
pub mod finalizer;
pub mod locks;
pub mod principals;

use acr_attach_azure::{Azure, Session};
use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::ids::AssignmentId;
use acr_attach_core::plan::{Finalizer, Plan, Step};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::roles::claims::OwnClaims;
use acr_attach_core::snapshot::azure::RoleAssignment;

use crate::attachment::apply::credential::CredentialRequest;
use crate::attachment::apply::locks::Locks;
use crate::attachment::apply::principals::Principals;
use crate::cluster::kubernetes::Kubernetes;

/// What was done, and what kept the rest from being done.
#[derive(Debug, Default)]
pub struct Applied {
    /// What was changed.
    pub changes: Vec<Change>,
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
    pub credential_problem: Option<Problem>,
}

impl Applied {
    /// Adds what was done elsewhere.
    pub fn extend(&mut self, other: Self) {
        self.changes.extend(other.changes);
        self.written.extend(other.written);
        self.undone = self.undone.take().or(other.undone);
        self.unprepared = self.unprepared.take().or(other.unprepared);
        self.obsolete = self.obsolete.take().or(other.obsolete);
        self.problem = self.problem.take().or(other.problem);
        self.credential_problem = self.credential_problem.take().or(other.credential_problem);
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
pub enum Change {
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
    NewCredential,
}

/// Entries that are left in service accounts.
#[derive(Clone, Copy, Debug)]
pub enum Abandoned {
    /// In so many accounts, since a user asked for that; `None` where the number is unknown.
    Asked(Option<usize>),
    /// In so many accounts, since another writer puts them back after each removal.
    PutBack(usize),
}

impl Change {
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

/// The assignments that were found, as the changes have left them.
#[must_use]
pub fn with_changes(mut found: Vec<RoleAssignment>, changes: &[Change]) -> Vec<RoleAssignment> {
    for change in changes {
        match change {
            Change::Assigned(it)
            | Change::Joined(it)
            | Change::Amended(it)
            | Change::Reclaimed(it)
            | Change::Held(it) => {
                found.retain(|old| old.id != it.id);
                found.push(it.clone());
            }
            Change::Left(id) | Change::Unassigned(id) => found.retain(|old| old.id != *id),
            _ => {}
        }
    }
    found
}

/// What a reconcile acts with.
pub struct Applier<'a> {
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
    /// The place that the reconcile has at Azure Resource Manager.
    pub session: Option<&'a Session>,
    /// Which role assignments are being changed.
    pub locks: &'a Locks,
    /// What pull secrets are made from.
    pub request: Option<CredentialRequest<'a>>,
}

/// Takes the steps of a plan. The first that fails ends its list: a removal must not overtake the grant
/// that replaces it. Nothing waits for the role that is prepared.
pub async fn apply(plan: &Plan, by: &Applier<'_>) -> Applied {
    let mut applied = by.apply(&plan.roles).await;
    // Without the finalizer nothing may be assigned.
    if applied.problem.is_none() {
        let prepared = by.apply(&plan.prepared).await;
        applied.extend(Applied { unprepared: prepared.undone, undone: None, ..prepared });
        applied.extend(by.apply(&plan.claims).await);
    }
    applied
}

impl Applier<'_> {
    async fn apply(&self, part: &[Step]) -> Applied {
        let mut applied = Applied::default();
        for step in part {
            if let Err(problem) = self.take(step, &mut applied).await {
                applied.fail(step, problem);
                break;
            }
        }
        applied
    }

    async fn take(&self, step: &Step, applied: &mut Applied) -> Result<(), Problem> {
        let change = match step {
            Step::AddFinalizer(it) => self.set_finalizer(*it, true).await?,
            Step::RemoveFinalizer(it) => self.set_finalizer(*it, false).await?,
            Step::CreateAssignment(grant) => self.assign(grant).await?,
            Step::ShareAssignment(id, grant) => self.join(id, grant).await?,
            Step::ReleaseAssignment(id) => self.let_go(id).await?,
            Step::ReplaceClaim(id) => self.reclaim(id).await?,
            // Secrets and entries are delivered by namespace.
            _ => None,
        };
        applied.written.extend(change.as_ref().and_then(Change::writes).cloned());
        applied.changes.extend(change);
        Ok(())
    }

    async fn set_finalizer(
        &self,
        finalizer: Finalizer,
        present: bool,
    ) -> Result<Option<Change>, Problem> {
        if present {
            self.kubernetes.add_finalizer(self.object, finalizer).await?;
        } else {
            self.kubernetes.remove_finalizer(self.object, finalizer).await?;
        }
        Ok(Some(Change::Finalizer(finalizer, present)))
    }
}

//! Applies the steps of a plan. This module writes, and decides nothing.

pub mod assignments;
pub mod credential;
pub mod finalizer;
pub mod locks;
pub mod principals;

use acr_attach_azure::{Azure, Session};
use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::ids::AssignmentId;
use acr_attach_core::outcome::changes::Change;
use acr_attach_core::plan::{Finalizer, Plan, Step};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::roles::claims::OwnClaims;

use crate::attachment::apply::credential::CredentialRequest;
use crate::attachment::apply::locks::Locks;
use crate::attachment::apply::principals::Principals;
use crate::cluster::kubernetes::Kubernetes;

/// The result of applying a plan: what was changed, and why the rest was not.
#[derive(Debug, Default)]
pub struct Applied {
    /// What was changed.
    pub changes: Vec<Change>,
    /// Why a desired role was not assigned. For a deleted attachment, why a role was not removed.
    pub undone: Option<Problem>,
    /// Why the role that is prepared was not assigned.
    pub unprepared: Option<Problem>,
    /// Why a role assignment that is no longer desired was not removed, or a former claim was not replaced.
    pub obsolete: Option<Problem>,
    /// The role assignments that were written, or requested without an answer.
    pub written: Vec<AssignmentId>,
    /// Why a finalizer was not added or removed.
    pub problem: Option<Problem>,
    /// Why there is no new credential.
    pub credential_problem: Option<Problem>,
}

impl Applied {
    /// Adds the result of further steps. Where both have a problem of the same kind, the first one stays.
    pub fn extend(&mut self, other: Self) {
        self.changes.extend(other.changes);
        self.written.extend(other.written);
        self.undone = self.undone.take().or(other.undone);
        self.unprepared = self.unprepared.take().or(other.unprepared);
        self.obsolete = self.obsolete.take().or(other.obsolete);
        self.problem = self.problem.take().or(other.problem);
        self.credential_problem = self.credential_problem.take().or(other.credential_problem);
    }

    /// Takes why something was not removed as the problem of a deleted attachment, since removal is its whole
    /// task. What could not be read (`unread`) may still exist, and counts as not removed.
    pub fn hold(&mut self, unread: Option<&Problem>) {
        self.undone = self.undone.take().or(self.obsolete.take());
        self.problem = self.problem.take().or(unread.cloned());
    }

    fn fail(&mut self, step: &Step, problem: Problem) {
        match step {
            // Another attachment writes the assignment at the moment, and the next check tries again.
            Step::ReplaceClaim(_) if problem.cause.is_waiting() => {}
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

/// What a reconcile applies its plan with.
pub struct Applier<'a> {
    /// The attachment.
    pub object: &'a RegistryAttachment,
    /// The claims of the attachment; `None` where no step changes a role assignment.
    pub claims: Option<&'a OwnClaims>,
    /// The cluster.
    pub kubernetes: &'a Kubernetes,
    /// The service principals of pull secrets.
    pub principals: &'a Principals,
    /// Azure.
    pub azure: &'a Azure,
    /// The session with Azure Resource Manager; `None` where no step changes a role assignment.
    pub session: Option<&'a Session>,
    /// The locks on role assignments.
    pub locks: &'a Locks,
    /// The inputs of a request for a credential; `None` where none is requested.
    pub request: Option<CredentialRequest<'a>>,
}

/// Takes the steps of a plan. The first step that fails ends its list, since a removal must not come before the
/// grant that replaces it. No other list waits for the steps of the prepared role.
pub async fn apply(plan: &Plan, by: &Applier<'_>) -> Applied {
    let mut applied = by.apply(&plan.roles).await;
    // A failed step for the finalizer ends the plan: without the finalizer no role may be assigned.
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
            // The delivery controller writes Secrets and entries.
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

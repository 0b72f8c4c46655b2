//! Act: takes the steps of a plan. Writes, and decides nothing.

use std::sync::Arc;

use acr_attach_azure::{Azure, Session};
use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::delivery::contest::ManagedObject;
use acr_attach_core::ids::AssignmentId;
use acr_attach_core::plan::{self, Finalizer, NamespaceProblem, Plan, SecretTarget, Step};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::roles::claims::Claim;
use acr_attach_core::snapshot::azure::RoleAssignment;
use acr_attach_core::snapshot::cluster::{ServiceAccount, StoredSecret};
use futures::{FutureExt, StreamExt};

use super::locks::Locks;
use super::principals::Principals;
use super::pull_secrets::Making;
use crate::cluster::kubernetes::Kubernetes;
use crate::cluster::secrets::Written;
use crate::cluster::watches::Watches;

/// What was done, and what kept the rest from being done.
#[derive(Debug, Default)]
pub struct Acted {
    /// What was changed.
    pub deeds: Vec<Deed>,
    /// Why something was not done in Azure.
    pub undone: Option<Problem>,
    /// Why a role assignment that is no longer desired was not removed.
    pub obsolete: Option<Problem>,
    /// Role assignments that were asked for, where no answer tells what came of it.
    pub unanswered: Vec<AssignmentId>,
    /// Why something was not done in the cluster.
    pub problem: Option<Problem>,
    /// Why something in the cluster that is no longer desired was not removed.
    pub unremoved: Option<Problem>,
    /// Why single namespaces are not served.
    pub failing: Vec<NamespaceProblem>,
    /// Why single Secrets were not written.
    pub unwritten: Vec<NamespaceProblem>,
    /// Why there is no new credential.
    pub mint: Option<Problem>,
    /// What became of writes to single objects; a problem where somebody else decides that.
    pub writes: Vec<(ManagedObject, Option<Problem>)>,
}

impl Acted {
    /// Adds what was done elsewhere.
    pub fn extend(&mut self, other: Self) {
        self.deeds.extend(other.deeds);
        self.failing.extend(other.failing);
        self.unwritten.extend(other.unwritten);
        self.unanswered.extend(other.unanswered);
        self.undone = self.undone.take().or(other.undone);
        self.obsolete = self.obsolete.take().or(other.obsolete);
        self.problem = self.problem.take().or(other.problem);
        self.unremoved = self.unremoved.take().or(other.unremoved);
        self.mint = self.mint.take().or(other.mint);
        self.writes.extend(other.writes);
    }

    /// Takes what became of a write to an object.
    pub(super) fn wrote(&mut self, object: ManagedObject, failed: Option<&Problem>) {
        if failed.is_none_or(|it| it.cause.is_decided_by_others()) {
            self.writes.push((object, failed.cloned()));
        }
    }

    /// Takes what is not removed as what holds the object: to remove is all that there is to do. What is
    /// `unread` may be there still.
    pub fn hold(&mut self, unread: Option<&Problem>) {
        self.undone = self.undone.take().or(self.obsolete.take());
        let unremoved = self.unremoved.take().or(unread.cloned());
        self.problem = self.problem.take().or(unremoved);
    }

    fn fail(&mut self, step: &Step, problem: Problem) {
        match step {
            Step::AddEntry(account, _) => {
                self.failing
                    .push(NamespaceProblem { namespace: account.namespace.clone(), problem });
            }
            Step::ReleaseAssignment(_) => self.obsolete = self.obsolete.take().or(Some(problem)),
            Step::DeleteSecret(_) | Step::RemoveEntries(_) => {
                self.unremoved = self.unremoved.take().or(Some(problem));
            }
            Step::CreateAssignment(_) | Step::ShareAssignment(..) => {
                if problem.cause == Cause::Unavailable {
                    self.unanswered.extend(step.claimed_assignment());
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
    /// A role assignment bears our claim already: a list of Azure lags behind.
    Held(RoleAssignment),
    /// Our claim was taken back; others hold the assignment on.
    Left(AssignmentId),
    /// A role assignment was deleted.
    Unassigned(AssignmentId),
    /// A credential was made and accepted.
    Minted(Arc<Written>),
    /// A pull secret was written.
    Provided(SecretTarget, Box<StoredSecret>),
    /// A pull secret was deleted.
    Withdrawn(Box<StoredSecret>),
    /// A service account names the pull secret now.
    EntryAdded,
    /// It does not any more.
    EntryRemoved(ServiceAccount, String),
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

    /// Whether it changed a role assignment.
    #[must_use]
    pub fn is_in_azure(&self) -> bool {
        matches!(
            self,
            Self::Assigned(_)
                | Self::Joined(_)
                | Self::Amended(_)
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
            Deed::Assigned(it) | Deed::Joined(it) | Deed::Amended(it) | Deed::Held(it) => {
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
    /// What marks its role assignments; without it there are none to change.
    pub claim: Option<&'a Claim>,
    /// The cluster.
    pub kubernetes: &'a Kubernetes,
    /// What was seen of the cluster, and what was written into it.
    pub watches: &'a Watches,
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
    /// The credential that was accepted last.
    pub accepted: Option<&'a Arc<Written>>,
}

/// How many parts are worked on at once.
const PARTS: usize = 16;

/// Takes the steps of a plan that are about roles. The first that fails ends them: a removal must
/// not overtake the grant that replaces it.
pub async fn act_on_roles(plan: &Plan, by: &Actor<'_>) -> Acted {
    by.act(&plan.roles).await
}

/// Takes the other steps of a plan. Parts do not wait for each other; within one, the first step
/// that fails ends it.
pub async fn act(plan: &Plan, by: &Actor<'_>) -> Acted {
    let mut acted = Acted::default();
    if let Some(lead) = &plan.prerequisite
        && let Err(problem) = by.take(lead, &mut acted).await
    {
        acted.problem = Some(problem);
        return acted;
    }
    let parts: Vec<_> = plan.parts.iter().map(|part| by.act(part).boxed()).collect();
    let mut parts = futures::stream::iter(parts).buffer_unordered(PARTS);
    while let Some(part) = parts.next().await {
        acted.extend(part);
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
            Step::WriteSecrets(targets, origin) => {
                self.provide(targets, origin, acted).await;
                None
            }
            Step::DeleteSecret(secret) => {
                let withdrawn = self.withdraw(secret).await;
                let StoredSecret { namespace, name, .. } = secret.clone();
                let removal =
                    ManagedObject::Removal(Box::new(ManagedObject::Secret { namespace, name }));
                acted.wrote(removal, withdrawn.as_ref().err());
                withdrawn?;
                Some(Deed::Withdrawn(Box::new(secret.clone())))
            }
            Step::AddEntry(account, secret) => {
                let added = self.set_entry(account, secret, true).await;
                acted.wrote(plan::entry(account, secret), added.as_ref().err());
                added?;
                Some(Deed::EntryAdded)
            }
            Step::RemoveEntries(entries) => {
                self.remove_entries(entries, acted).await?;
                None
            }
        };
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

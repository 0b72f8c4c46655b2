//! The plan: compares what is desired with what is owned, and lists the steps between them.
//!
//! The plan does not depend on the method of an attachment. A deleted attachment desires nothing.
//! A changed method, role, identity or secret is an ordinary difference.

mod desired;
mod entries;
mod grants;
mod owned;
mod secrets;
mod sharing;
mod timing;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::api::FINALIZERS;
use crate::ids::{AssignmentId, PrincipalId};
use crate::problem::Problem;
use crate::pull_secrets::{Accounts, Inputs};
use crate::snapshot::cluster::{ServiceAccount, StoredSecret};

pub use desired::{AzureSnapshot, Puller, desired};
pub use entries::{all_accounts_name, entry};
pub use grants::{Grant, blocking_assignment, held_since};
pub use owned::{AcceptedCredential, Assignments, Owned};
pub use secrets::{CredentialOrigin, SecretTarget, credential_is_due, foreign_secret};
pub use sharing::{AssignmentUpdate, Release, release, replace_claim, share};
pub use timing::{RemovalTiming, Serving, replaced_at};

/// The desired state of an attachment. A field is `None` while its facts are unknown, and the plan
/// then leaves that part unchanged.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The roles to keep assigned.
    pub grants: Option<Vec<Grant>>,
    /// A role to keep assigned that counts only after a switch of the registry's mode.
    pub prepared: Option<Grant>,
    /// Whether nodes pull with `grants`. Otherwise the service principal of the pull secrets does.
    pub grants_are_for_nodes: bool,
    /// The former identities whose roles may be removed; `None`: all of them.
    pub releasable: Option<BTreeSet<PrincipalId>>,
    /// Whether nothing uses the replaced roles and Secrets any more.
    pub settled: bool,
    /// Since when the registry is known to honour `grants` (UTC); `None` where the age of the assignments
    /// alone counts.
    pub honoured_since: Option<Timestamp>,
    /// The pull secrets to keep, by namespace.
    pub secrets: Option<DesiredSecrets>,
    /// The inputs of the credential in the pull secrets.
    pub inputs: Option<Inputs>,
    /// The service accounts whose pods pull with the pull secrets.
    pub accounts: Accounts,
}

impl Desired {
    /// The desired state of a deleted attachment.
    #[must_use]
    pub fn nothing() -> Self {
        Self { grants: Some(Vec::new()), secrets: Some(DesiredSecrets::new()), ..Self::unknown() }
    }

    /// The desired state before anything was read.
    #[must_use]
    pub fn unknown() -> Self {
        let accounts = Accounts::Named(BTreeSet::new());
        Self {
            grants: None,
            prepared: None,
            grants_are_for_nodes: false,
            releasable: None,
            settled: true,
            honoured_since: None,
            secrets: None,
            inputs: None,
            accounts,
        }
    }

    fn secret(&self, namespace: &str) -> Option<&DesiredSecret> {
        self.secrets.as_ref()?.get(namespace)
    }

    fn wants_secret(&self, namespace: &str, name: &str) -> bool {
        self.secret(namespace).is_some_and(|it| it.name == name)
    }
}

/// Pull secrets to keep, by namespace.
pub type DesiredSecrets = BTreeMap<String, DesiredSecret>;

/// The pull secret that a namespace should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredSecret {
    /// The namespace.
    pub namespace: String,
    /// The name of the Secret.
    pub name: String,
    /// When the namespace was created.
    pub since: Timestamp,
    /// Whether the spec names the namespace. Otherwise the selector matches its labels.
    pub named: bool,
}

/// A finalizer of acr-attach. The object bears it before the first change of its kind is written,
/// and as long as such a change is left: garbage collection cannot undo them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finalizer {
    /// For claims on role assignments.
    RoleAssignments,
    /// For entries in service accounts.
    ServiceAccounts,
}

impl Finalizer {
    /// Both finalizers.
    pub const ALL: [Self; 2] = [Self::RoleAssignments, Self::ServiceAccounts];

    /// The name in `metadata.finalizers`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RoleAssignments => FINALIZERS[0],
            Self::ServiceAccounts => FINALIZERS[1],
        }
    }
}

/// One change to make. Each step can be repeated, also after the process was killed during it.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Add a finalizer to the attachment.
    AddFinalizer(Finalizer),
    /// Create a role assignment with the claim of this attachment.
    CreateAssignment(Grant),
    /// Add the claim of this attachment to an assignment of other attachments, or correct the
    /// assignment's condition.
    ShareAssignment(AssignmentId, Grant),
    /// Replace a claim of before by the current one.
    ReplaceClaim(AssignmentId),
    /// Remove the claim of this attachment, and delete the assignment if no claim is left.
    ReleaseAssignment(AssignmentId),
    /// Create or update pull secrets, all with the same credential.
    WriteSecrets(Vec<SecretTarget>, CredentialOrigin),
    /// Delete a pull secret of this attachment.
    DeleteSecret(StoredSecret),
    /// Add the pull secret of that name to `imagePullSecrets` of a service account.
    AddEntry(ServiceAccount, String),
    /// Remove the pull secrets of those names from `imagePullSecrets` of service accounts.
    RemoveEntries(Vec<(ServiceAccount, String)>),
    /// Remove a finalizer from the attachment.
    RemoveFinalizer(Finalizer),
}

impl Step {
    /// The role assignment that bears the claim of this attachment after the step, where the step
    /// adds that claim.
    #[must_use]
    pub fn claimed_assignment(&self) -> Option<AssignmentId> {
        match self {
            Self::CreateAssignment(grant) => Some(grant.assignment_id()),
            Self::ShareAssignment(id, _) => Some(id.clone()),
            _ => None,
        }
    }
}

/// The steps to take now, the removals that are not due yet, and the problems.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The step before `roles` and `parts`. If the step fails, nothing else is done.
    pub prerequisite: Option<Step>,
    /// The steps for roles, in their order, before `parts`: credentials need the roles. A step that
    /// fails stops only the role steps after it.
    pub roles: Vec<Step>,
    /// The steps for the role that is prepared, after `roles`.
    pub prepared: Vec<Step>,
    /// The steps that replace claims of before, after `prepared`. Nothing depends on them.
    pub claims: Vec<Step>,
    /// Independent lists of steps, each in its order. A step that fails stops only the steps after it
    /// in the same list.
    pub parts: Vec<Vec<Step>>,
    /// Assignments that are no longer desired, with the time (UTC) of their removal. The time is
    /// `None` while the replacement is not in force.
    pub pending_removals: BTreeMap<AssignmentId, Option<Timestamp>>,
    /// Assignments of former identities that a user has to release first.
    pub awaiting_release: BTreeMap<AssignmentId, PrincipalId>,
    /// The time (UTC) of the next removal.
    pub due: Option<Timestamp>,
    /// Why a desired role cannot be assigned.
    pub blocked: Option<Problem>,
    /// Why the role that is prepared cannot be assigned.
    pub unprepared: Option<Problem>,
    /// Why single namespaces are not served.
    pub failing: Vec<NamespaceProblem>,
    /// Why single Secrets are not written now. An existing Secret may still serve.
    pub unwritten: Vec<NamespaceProblem>,
    /// Why a Secret or an entry that is no longer desired is not removed now.
    pub unremoved: Option<Problem>,
}

/// A problem in one namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct NamespaceProblem {
    /// The namespace.
    pub namespace: String,
    /// The problem.
    pub problem: Problem,
}

impl Plan {
    fn note_due(&mut self, at: Option<Timestamp>) {
        self.due = [self.due, at].into_iter().flatten().min();
    }

    /// Reduces the plan to renewals of existing Secrets, for a suspended attachment.
    #[must_use]
    pub fn only_renewals(mut self, owned: &Owned) -> Self {
        let is_there = |it: &SecretTarget| {
            let found = owned.secret(&it.namespace, &it.name);
            found.is_some_and(|it| it.is_owned_by(&owned.uid))
        };
        for part in &mut self.parts {
            part.retain_mut(|step| match step {
                Step::WriteSecrets(targets, _) => {
                    targets.retain(is_there);
                    !targets.is_empty()
                }
                _ => false,
            });
        }
        Self { prerequisite: None, roles: Vec::new(), unremoved: None, ..self }
    }
}

/// Lists the steps from the existing role assignments to the desired ones.
#[must_use]
pub fn roles(desired: &Desired, owned: &Owned, timing: RemovalTiming) -> Plan {
    let mut plan = Plan::default();
    grants::plan(desired, owned, timing, &mut plan);
    plan
}

/// Lists the steps from the existing pull secrets to the desired ones.
#[must_use]
pub fn secrets(desired: &Desired, owned: &Owned, timing: RemovalTiming) -> Plan {
    let mut plan = Plan::default();
    secrets::plan(desired, owned, timing, &mut plan);
    plan
}

/// Lists the steps from the existing entries in service accounts to the desired ones. They come before
/// those for Secrets: a pod gets the names once, when it is admitted, while the kubelet waits for a
/// Secret that does not exist yet.
#[must_use]
pub fn entries(desired: &Desired, owned: &Owned, timing: RemovalTiming) -> Plan {
    let mut plan = entries::add(desired, owned, timing.now);
    entries::remove(desired, owned, timing, &mut plan);
    plan
}

#[cfg(test)]
mod tests;

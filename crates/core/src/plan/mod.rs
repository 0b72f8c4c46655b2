//! The decision: from what is desired and what is owned to the steps between them.
//!
//! It does not know which method an attachment uses. Deleting desires nothing; changing the
//! method, the role, the identity or the secret is an ordinary difference.

mod entries;
mod grants;
mod owned;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::api::FINALIZERS;
use crate::ids::AssignmentId;
use crate::problem::Problem;
use crate::pull_secrets::{Accounts, Inputs};
use crate::snapshot::cluster::{ServiceAccount, StoredSecret};

pub use entries::{add_entries, entry};
pub use grants::{
    AssignmentUpdate, Grant, Release, blocking_assignment, held_since, release, share,
};
pub use owned::{AcceptedCredential, Assignments, Owned};
use secrets::RemovalTiming;
pub use secrets::{CredentialOrigin, SecretTarget, foreign_secret};

/// What should hold, part by part. A part whose facts are missing is `None` and stays as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The roles to hold.
    pub grants: Option<Vec<Grant>>,
    /// Whether nodes pull with these, so that they replace pull secrets; else they let the pull
    /// secrets pull.
    pub grants_are_for_nodes: bool,
    /// Whether nothing uses what these replace any more.
    pub settled: bool,
    /// The pull secrets to hold.
    pub secrets: Option<DesiredSecrets>,
    /// What they are made from.
    pub inputs: Option<Inputs>,
    /// The service accounts whose pods pull with them.
    pub accounts: Accounts,
}

impl Desired {
    /// What a deleted attachment desires.
    #[must_use]
    pub fn nothing() -> Self {
        Self { grants: Some(Vec::new()), secrets: Some(DesiredSecrets::new()), ..Self::unknown() }
    }

    /// What is desired before anything is known.
    #[must_use]
    pub fn unknown() -> Self {
        let accounts = Accounts::Named(BTreeSet::new());
        Self {
            grants: None,
            grants_are_for_nodes: false,
            settled: true,
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

/// The pull secrets to hold, by namespace.
pub type DesiredSecrets = BTreeMap<String, DesiredSecret>;

/// The pull secret of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredSecret {
    /// The namespace.
    pub namespace: String,
    /// The name of the Secret.
    pub name: String,
    /// Since when the namespace is there.
    pub since: Timestamp,
    /// Whether the spec names the namespace; else its labels chose it.
    pub named: bool,
}

/// What lets the object wait for us when it is deleted. Each is there only while something is
/// that garbage collection cannot undo, and before it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finalizer {
    /// A claim on a role assignment.
    RoleAssignments,
    /// An entry in a service account.
    ServiceAccounts,
}

impl Finalizer {
    /// Both.
    pub const ALL: [Self; 2] = [Self::RoleAssignments, Self::ServiceAccounts];

    /// As it stands in `metadata.finalizers`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RoleAssignments => FINALIZERS[0],
            Self::ServiceAccounts => FINALIZERS[1],
        }
    }
}

/// One thing to do. Each can be repeated, and each survives being killed half-way.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Let the object wait for us when it is deleted.
    AddFinalizer(Finalizer),
    /// Make an assignment with our claim.
    CreateAssignment(Grant),
    /// Add our claim to an assignment that others of us hold, or set its condition right.
    ShareAssignment(AssignmentId, Grant),
    /// Take our claim back, and delete the assignment if it was the last.
    ReleaseAssignment(AssignmentId),
    /// Write pull secrets.
    WriteSecrets(Vec<SecretTarget>, CredentialOrigin),
    /// Delete a Secret of ours.
    DeleteSecret(StoredSecret),
    /// Let the pods of a service account pull with that Secret.
    AddEntry(ServiceAccount, String),
    /// Take that back, from all of them.
    RemoveEntries(Vec<(ServiceAccount, String)>),
    /// Let the object go.
    RemoveFinalizer(Finalizer),
}

impl Step {
    /// The role assignment that bears our claim when the step is taken.
    #[must_use]
    pub fn claimed_assignment(&self) -> Option<AssignmentId> {
        match self {
            Self::CreateAssignment(grant) => Some(grant.assignment_id()),
            Self::ShareAssignment(id, _) => Some(id.clone()),
            _ => None,
        }
    }
}

/// The steps, what is not due yet, and what cannot be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What comes before all parts, and stops them if it fails.
    pub prerequisite: Option<Step>,
    /// The steps about roles, in the order in which they are taken. They come before the parts,
    /// whose credentials need the roles, and one that fails stops those after it alone.
    pub roles: Vec<Step>,
    /// In each part, in the order in which they are taken. A step that fails stops those of its
    /// part alone.
    pub parts: Vec<Vec<Step>>,
    /// Assignments that are no longer desired, and when they will be removed; `None` while
    /// that depends on something that has no date.
    pub pending_removals: BTreeMap<AssignmentId, Option<Timestamp>>,
    /// When the next thing that has a date is due: a removal, or a renewal.
    pub due: Option<Timestamp>,
    /// What stands in the way of a role.
    pub blocked: Option<Problem>,
    /// What stands in the way in single namespaces.
    pub failing: Vec<NamespaceProblem>,
    /// Why single Secrets are not written now. One that is there may serve on.
    pub unwritten: Vec<NamespaceProblem>,
    /// Why something in the cluster that is no longer desired is not removed now.
    pub unremoved: Option<Problem>,
}

/// Why a namespace is not served.
#[derive(Clone, Debug, PartialEq)]
pub struct NamespaceProblem {
    /// The namespace.
    pub namespace: String,
    /// What is the matter.
    pub problem: Problem,
}

impl Plan {
    fn note_due(&mut self, at: Option<Timestamp>) {
        self.due = [self.due, at].into_iter().flatten().min();
    }

    /// The same without anything but renewals of what is there: what a suspended attachment
    /// still gets.
    #[must_use]
    pub fn only_renewals(mut self, owned: &Owned) -> Self {
        let is_there = |it: &SecretTarget| {
            let found = owned.secret(&it.namespace, &it.name);
            found.is_some_and(|it| it.is_of(&owned.uid))
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

/// Lists the steps from what is owned to what is desired. Parts do not wait for each other, but
/// a removal waits for what replaces it.
#[must_use]
pub fn plan(desired: &Desired, owned: &Owned, now: Timestamp, delay: SignedDuration) -> Plan {
    let mut plan = Plan::default();
    let replaced_at = replaced_at(desired, owned, now, delay);
    let timing = RemovalTiming { now, replaced_at, delay };
    grants::plan(desired, owned, timing, &mut plan);
    secrets::plan(desired, owned, timing, &mut plan);
    entries::remove(desired, owned, timing, &mut plan);
    plan
}

/// From when on what is desired counts, so that what it replaces may go: `None` while that is
/// not known. What nothing replaces goes at once.
///
/// Azure takes up to 10 minutes to honour a role (learn.microsoft.com, "Troubleshoot Azure
/// RBAC"), and nodes use a former identity until they are reimaged.
fn replaced_at(
    desired: &Desired,
    owned: &Owned,
    now: Timestamp,
    delay: SignedDuration,
) -> Option<Timestamp> {
    let (grants, secrets) = (desired.grants.as_ref()?, desired.secrets.as_ref()?);
    if !desired.settled {
        return None;
    }
    if grants.is_empty() && secrets.is_empty() {
        return Some(now);
    }
    let mut since: Vec<_> = grants.iter().map(|it| grants::held_since(it, owned)).collect();
    if !secrets.is_empty() {
        since.push(secrets::all_serving_since(desired, owned, now));
    }
    let latest = since.into_iter().collect::<Option<Vec<_>>>()?.into_iter().max()?;
    latest.checked_add(delay).ok()
}

#[cfg(test)]
mod tests;

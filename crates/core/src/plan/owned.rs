//! What exists before a plan is made.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Desired, Finalizer};
use crate::delivery::contest::{Contests, ManagedObject, ObjectState};
use crate::ids::RegistryId;
use crate::problem::Problem;
use crate::pull_secrets::Inputs;
use crate::roles::claims::OwnClaims;
use crate::snapshot::azure::RoleAssignment;
use crate::snapshot::by_namespace::ByNamespace;
use crate::snapshot::cluster::{ServiceAccount, StoredSecret};

/// What exists, part by part. A part that could not be read is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Owned {
    /// The uid of the attachment.
    pub uid: String,
    /// The finalizers of acr-attach that the attachment bears.
    pub finalizers: BTreeSet<Finalizer>,
    /// The role assignments.
    pub assignments: Option<Assignments>,
    /// The Secrets of the attachment, and Secrets of other owners that bear the desired name.
    pub secrets: Option<ByNamespace<StoredSecret>>,
    /// Uids of deleted attachments, whose Secrets and entries may be taken over.
    pub gone_uids: BTreeSet<String>,
    /// The last accepted credential, if this process still holds it.
    pub accepted: Option<AcceptedCredential>,
    /// The digests of credentials that the registry has refused.
    pub refused_digests: BTreeSet<String>,
    /// The service accounts.
    pub accounts: Option<ByNamespace<ServiceAccount>>,
    /// The writes to Secrets and service accounts that others refuse or undo.
    pub contests: Contests,
}

/// A credential that Entra and the registry have accepted, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedCredential {
    /// The digest of the Secrets that hold it.
    pub digest: String,
    /// The inputs that it was made from.
    pub inputs: Inputs,
    /// When it expires (UTC); `None` if the credential does not tell.
    pub expires: Option<Timestamp>,
    /// When it is to be renewed (UTC).
    pub renew: Option<Timestamp>,
}

impl AcceptedCredential {
    /// Whether the credential was made from exactly these inputs, and is not due for renewal.
    #[must_use]
    pub fn is_fresh(&self, inputs: &Inputs, now: Timestamp) -> bool {
        let later = |it: Option<Timestamp>| it.is_none_or(|it| now < it);
        self.inputs == *inputs && later(self.expires) && later(self.renew)
    }
}

/// The role assignments on a registry and above it, with any or no claims.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignments {
    /// The registry that was listed, and the claims of this attachment.
    pub registry_and_claims: Option<(RegistryId, OwnClaims)>,
    /// All assignments that were found.
    pub found: Vec<RoleAssignment>,
    /// Why one that this attachment wrote may exist although Azure does not show it.
    pub hidden: Option<Problem>,
}

impl Assignments {
    /// The assignments that were listed for a registry.
    #[must_use]
    pub fn on(registry: &RegistryId, own: OwnClaims, found: Vec<RoleAssignment>) -> Self {
        Self { registry_and_claims: Some((registry.clone(), own)), found, hidden: None }
    }

    /// No assignments, so that the plan changes none.
    #[must_use]
    pub fn none() -> Self {
        Self { registry_and_claims: None, found: Vec::new(), hidden: None }
    }
}

impl Assignments {
    /// Whether an assignment on the registry itself bears a claim of this attachment.
    #[must_use]
    pub fn are_claimed(&self, found: &RoleAssignment) -> bool {
        self.registry_and_claims.as_ref().is_some_and(|(registry, own)| {
            found.id.is_at(registry) && found.claims().is_some_and(|it| it.contain_any(own))
        })
    }
}

impl Owned {
    /// The Secret of that namespace and name, if it exists.
    #[must_use]
    pub fn secret(&self, namespace: &str, name: &str) -> Option<&StoredSecret> {
        self.secrets.as_ref()?.get(namespace, name)
    }

    /// The service account of that namespace and name, if it exists.
    #[must_use]
    pub fn account(&self, namespace: &str, name: &str) -> Option<&ServiceAccount> {
        self.accounts.as_ref()?.get(namespace, name)
    }

    /// Whether this attachment owns a Secret, or may take it over because its owners are deleted.
    pub(super) fn may_write(&self, secret: &StoredSecret) -> bool {
        let free = |uid: &String| self.is_own_or_gone(uid);
        let labelled = secret.label.as_ref().is_some_and(free);
        secret.is_owned_by(&self.uid) || labelled && secret.owners.iter().all(|it| free(&it.uid))
    }

    /// Whether a uid is that of this attachment or of a deleted one.
    fn is_own_or_gone(&self, uid: &String) -> bool {
        *uid == self.uid || self.gone_uids.contains(uid)
    }

    /// Whether this attachment owns a Secret with a valid credential for the inputs' subject, which
    /// the registry has not refused.
    #[must_use]
    pub fn serves(&self, secret: &StoredSecret, inputs: &Inputs, now: Timestamp) -> bool {
        secret.is_owned_by(&self.uid)
            && secret.serves(inputs, now)
            && !self.refused_digests.contains(&secret.digest)
    }

    /// Like [`serves`](Self::serves), and the Secret is not due for renewal.
    #[must_use]
    pub fn is_fresh(&self, secret: &StoredSecret, inputs: &Inputs, now: Timestamp) -> bool {
        self.serves(secret, inputs, now) && secret.is_fresh(inputs, now)
    }

    /// Updates the contests by what the cluster shows now.
    pub fn observe_contests(&mut self, desired: &Desired, now: Timestamp) {
        let mut contests = std::mem::take(&mut self.contests);
        let shown = ClusterView { owned: self, desired };
        contests.observe(|it| shown.state(it), now);
        self.contests = contests;
    }
}

/// The state of objects in the cluster, compared with what is desired.
struct ClusterView<'a> {
    owned: &'a Owned,
    desired: &'a Desired,
}

impl ClusterView<'_> {
    fn state(&self, object: &ManagedObject) -> ObjectState {
        if self.desired.secrets.is_none() {
            return ObjectState::Unknown;
        }
        match object {
            ManagedObject::Secret { namespace, name } => self.secret(namespace, name),
            ManagedObject::Entry { namespace, account, secret } => {
                self.entry(namespace, account, secret)
            }
            ManagedObject::Removal(object) if self.is_left_over(object) => {
                ObjectState::Undone(None)
            }
            ManagedObject::Removal(_) => ObjectState::NotDesired,
        }
    }

    /// Whether an object exists that the attachment made and does not desire any more.
    fn is_left_over(&self, object: &ManagedObject) -> bool {
        let uid = &self.owned.uid;
        match object {
            ManagedObject::Secret { namespace, name } => {
                let found = self.owned.secret(namespace, name);
                let asked = self.desired.secret(namespace);
                found.is_some_and(|it| it.is_owned_by(uid))
                    && asked.is_none_or(|it| it.name != *name)
            }
            ManagedObject::Entry { namespace, account, secret } => {
                let found = self.owned.account(namespace, account);
                found.is_some_and(|it| it.is_marked(secret, uid))
                    && self.entry(namespace, account, secret) == ObjectState::NotDesired
            }
            ManagedObject::Removal(_) => false,
        }
    }

    fn secret(&self, namespace: &str, name: &str) -> ObjectState {
        let Some(secrets) = &self.owned.secrets else { return ObjectState::Unknown };
        let asked = self.desired.wants_secret(namespace, name);
        match secrets.get(namespace, name) {
            None if asked => ObjectState::Undone(None),
            None => ObjectState::NotDesired,
            Some(it) if !self.owned.may_write(it) => ObjectState::NotDesired,
            Some(it) if it.is_owned_by(&self.owned.uid) && it.intact => ObjectState::AsWritten,
            Some(it) => ObjectState::Undone(it.written_by.clone()),
        }
    }

    fn entry(&self, namespace: &str, name: &str, secret: &str) -> ObjectState {
        let Some(accounts) = &self.owned.accounts else { return ObjectState::Unknown };
        let asked =
            self.desired.accounts.include(name) && self.desired.wants_secret(namespace, secret);
        match accounts.get(namespace, name) {
            Some(it) if asked && it.names(secret) => ObjectState::AsWritten,
            Some(it) if asked => ObjectState::Undone(it.written_by.clone()),
            _ => ObjectState::NotDesired,
        }
    }
}

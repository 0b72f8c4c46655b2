//! What there is before a plan is made.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Finalizer;
use crate::domain::claims::Claim;
use crate::domain::cluster::{ServiceAccount, StoredSecret};
use crate::domain::facts::RoleAssignment;
use crate::domain::names::RegistryId;
use crate::domain::pull_secret::Inputs;

/// What there is, part by part. A part that could not be read is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Owned {
    /// The uid of the attachment.
    pub uid: String,
    /// Which of our finalizers the object bears.
    pub finalizers: BTreeSet<Finalizer>,
    /// The role assignments.
    pub assignments: Option<Assignments>,
    /// The Secrets of the names that matter, ours and others'.
    pub secrets: Option<Vec<StoredSecret>>,
    /// Uids of attachments that are gone, and whose Secrets nobody claims any more.
    pub gone: BTreeSet<String>,
    /// The digest of the credential that this process last had accepted.
    pub accepted: Option<String>,
    /// What a credential was made from that was proven and written nowhere.
    pub tried: Option<Inputs>,
    /// The digests of credentials that the registry has refused.
    pub refused: BTreeSet<String>,
    /// The service accounts.
    pub accounts: Option<Vec<ServiceAccount>>,
    /// Service accounts, by namespace and name, from which our entry was taken too often.
    pub contested: BTreeSet<(String, String)>,
}

/// The role assignments on a registry and above it, ours and others'.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignments {
    /// The registry that they were listed on, and what marks ours.
    pub claimed: Option<(RegistryId, Claim)>,
    /// All of them.
    pub found: Vec<RoleAssignment>,
}

impl Assignments {
    /// Those on a registry.
    #[must_use]
    pub fn on(registry: &RegistryId, claim: Claim, found: Vec<RoleAssignment>) -> Self {
        Self { claimed: Some((registry.clone(), claim)), found }
    }

    /// None: they are to stay as they are, whatever they are.
    #[must_use]
    pub fn none() -> Self {
        Self { claimed: None, found: Vec::new() }
    }
}

impl Owned {
    /// The Secret of that namespace and name, if it is there.
    #[must_use]
    pub fn secret(&self, namespace: &str, name: &str) -> Option<&StoredSecret> {
        let mut all = self.secrets.iter().flatten();
        all.find(|it| it.namespace == namespace && it.name == name)
    }

    /// Whether that Secret is ours, or may become ours: its owners are gone.
    pub(super) fn may_write(&self, secret: &StoredSecret) -> bool {
        let free = |uid: &String| self.is_free(uid);
        let labelled = secret.label.as_ref().is_some_and(free);
        secret.is_of(&self.uid) || labelled && secret.owners.iter().all(|it| free(&it.uid))
    }

    /// Whether what bears that uid may be ours: it is our own, or nobody's any more.
    fn is_free(&self, uid: &String) -> bool {
        *uid == self.uid || self.gone.contains(uid)
    }

    /// Whether a Secret is ours, and holds a credential for that which the registry takes.
    #[must_use]
    pub fn serves(&self, secret: &StoredSecret, inputs: &Inputs, now: Timestamp) -> bool {
        secret.is_of(&self.uid)
            && secret.serves(inputs, now)
            && !self.refused.contains(&secret.digest)
    }

    /// The same, if it need not be renewed yet.
    #[must_use]
    pub fn is_fresh(&self, secret: &StoredSecret, inputs: &Inputs, now: Timestamp) -> bool {
        self.serves(secret, inputs, now) && secret.is_fresh(inputs, now)
    }
}

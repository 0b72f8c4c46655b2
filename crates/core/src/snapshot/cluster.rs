//! What was seen in the cluster: namespaces, Secrets and service accounts, each reduced to what
//! decisions need. No secret value is among it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::pull_secrets::Inputs;
use crate::pull_secrets::proof::Proof;

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Whether the attachment's selector chooses it.
    pub selected: bool,
    /// Whether it is being deleted. Nothing new can be made in it.
    pub terminating: bool,
    /// Since when it is there.
    pub created: Timestamp,
}

/// A Secret of a name that pull secrets may have.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSecret {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The attachments in its owner references. More than one while garbage collection has not
    /// yet removed one that is gone. None for a Secret of another type than pull secrets have:
    /// acr-attach cannot have made it, and the type of a Secret never changes.
    pub owners: Vec<Owner>,
    /// The uid in its label `acr-attach.dev/attachment`. It marks what garbage collection has
    /// left without an owner. None for a Secret of another type.
    pub label: Option<String>,
    /// Whether the API server refuses each change of it (`immutable: true`).
    pub immutable: bool,
    /// Whether it is as it was written: content, labels and our annotations.
    pub intact: bool,
    /// The field manager that wrote it last.
    pub written_by: Option<String>,
    /// SHA-256 of its content, in hex.
    pub digest: String,
    /// What it was made from.
    pub inputs: Option<Inputs>,
    /// Since when it is there. Renewing does not change that.
    pub created: Timestamp,
    /// When its credential ends; absent: the credential does not tell.
    pub expires: Option<Timestamp>,
    /// When its credential is to be renewed.
    pub renew: Option<Timestamp>,
    /// What the registry said of its credential before it was written.
    pub proof: Option<Proof>,
    /// Whether the tenant did not know the audience of registries when it was made.
    pub by_arm_audience: bool,
}

/// An attachment as an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its uid.
    pub uid: String,
    /// Its name.
    pub name: String,
}

impl StoredSecret {
    /// The uids of the attachments that it belongs or belonged to.
    #[must_use]
    pub fn uids(&self) -> Vec<String> {
        let owners = self.owners.iter().map(|it| it.uid.clone());
        self.label.iter().cloned().chain(owners).collect()
    }

    /// Whether it belongs to the attachment of that uid.
    #[must_use]
    pub fn is_of(&self, attachment: &str) -> bool {
        self.owners.iter().any(|it| it.uid == attachment)
    }

    /// Whether it holds a credential for that subject that has not ended.
    #[must_use]
    pub fn serves(&self, inputs: &Inputs, now: Timestamp) -> bool {
        self.intact
            && self.inputs.as_ref().is_some_and(|it| it.subject == inputs.subject)
            && self.expires.is_none_or(|it| now < it)
    }

    /// Whether it was made from exactly that, and is not to be renewed yet.
    #[must_use]
    pub fn is_fresh(&self, inputs: &Inputs, now: Timestamp) -> bool {
        let same = inputs.version.is_none() || self.inputs.as_ref() == Some(inputs);
        self.serves(inputs, now) && same && self.renew.is_none_or(|it| now < it)
    }
}

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The names in its `imagePullSecrets` as stored, an entry without a name as empty text;
    /// absent: there is no such list.
    pub pull_secrets: Option<Vec<String>>,
    /// Our marks on entries of that list: the name of the pull secret, and the uid of the
    /// attachment that added it.
    pub marks: BTreeMap<String, String>,
    /// Whether it has annotations at all, ours or others'.
    pub is_annotated: bool,
    /// The tool that applies the list from a manifest, and would take our entry out again.
    pub applied_by: Option<String>,
    /// The field manager that wrote the list last.
    pub written_by: Option<String>,
}

impl ServiceAccount {
    /// The uids of the attachments that have entries in it.
    #[must_use]
    pub fn uids(&self) -> Vec<String> {
        self.marks.values().cloned().collect()
    }

    /// Whether its pods get that pull secret.
    #[must_use]
    pub fn names(&self, secret: &str) -> bool {
        self.pull_secrets.iter().flatten().any(|it| it == secret)
    }

    /// Whether the attachment of that uid added that entry.
    #[must_use]
    pub fn is_marked(&self, secret: &str, attachment: &str) -> bool {
        self.marks.get(secret).is_some_and(|it| it == attachment)
    }
}

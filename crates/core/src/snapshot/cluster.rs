//! Namespaces, Secrets and service accounts of the cluster, reduced to what decisions need. They hold
//! no secret value.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::pull_secrets::Inputs;
use crate::pull_secrets::proof::Proof;

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it is being deleted. Then no object can be created in it.
    pub terminating: bool,
    /// When it was created (UTC).
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
    /// The attachments in its owner references. A deleted owner stays until garbage collection
    /// removes it. Empty for a Secret of another type than pull secrets have: acr-attach cannot have
    /// made it, since the type of a Secret never changes.
    pub owners: Vec<Owner>,
    /// The uid in label `acr-attach.dev/attachment`. Garbage collection may remove the owner reference, and
    /// leaves the label. `None` for a Secret of another type.
    pub label: Option<String>,
    /// Whether the API server refuses each change of it (`immutable: true`).
    pub immutable: bool,
    /// Whether content, labels and acr-attach's annotations are as they were written.
    pub intact: bool,
    /// The field manager that wrote it last.
    pub written_by: Option<String>,
    /// SHA-256 of its content, in hex.
    pub digest: String,
    /// The inputs that it was made from.
    pub inputs: Option<Inputs>,
    /// When it was created (UTC). A renewal does not change that.
    pub created: Timestamp,
    /// When the credential expires (UTC); `None` if the credential does not tell.
    pub expires: Option<Timestamp>,
    /// When the credential is to be renewed (UTC).
    pub renew: Option<Timestamp>,
    /// The registry's answer to the credential before it was written.
    pub proof: Option<Proof>,
    /// Whether the credential was made with the audience of Azure Resource Manager, since the tenant
    /// did not know that of registries.
    pub by_arm_audience: bool,
}

/// An attachment in an owner reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its uid.
    pub uid: String,
    /// Its name.
    pub name: String,
}

impl StoredSecret {
    /// The uids of the attachments that own or owned the Secret.
    #[must_use]
    pub fn uids(&self) -> Vec<String> {
        let owners = self.owners.iter().map(|it| it.uid.clone());
        self.label.iter().cloned().chain(owners).collect()
    }

    /// Whether the attachment of that uid owns the Secret.
    #[must_use]
    pub fn is_owned_by(&self, attachment: &str) -> bool {
        self.owners.iter().any(|it| it.uid == attachment)
    }

    /// Whether the Secret is intact, with a credential for that subject that has not expired.
    #[must_use]
    pub fn serves(&self, inputs: &Inputs, now: Timestamp) -> bool {
        self.intact
            && self.inputs.as_ref().is_some_and(|it| it.subject == inputs.subject)
            && self.expires.is_none_or(|it| now < it)
    }

    /// Whether the Secret serves, was made from exactly these inputs, and is not due for renewal.
    /// Inputs without a version, with no client secret to be had, match any version.
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
    /// The names in `imagePullSecrets` as stored, an entry without a name as empty text; `None` without
    /// that list.
    pub pull_secrets: Option<Vec<String>>,
    /// acr-attach's annotations on entries of that list: from the name of the pull secret to the uid
    /// of the attachment that added the entry.
    pub marks: BTreeMap<String, String>,
    /// Whether it has any annotations.
    pub is_annotated: bool,
    /// The tool that applies the list from a manifest, and would remove an added entry.
    pub applied_by: Option<String>,
    /// The field manager that wrote the list last.
    pub written_by: Option<String>,
}

impl ServiceAccount {
    /// The uids of the attachments that added entries.
    #[must_use]
    pub fn uids(&self) -> Vec<String> {
        self.marks.values().cloned().collect()
    }

    /// Whether the list names that pull secret, so that new pods get it.
    #[must_use]
    pub fn names(&self, secret: &str) -> bool {
        self.pull_secrets.iter().flatten().any(|it| it == secret)
    }

    /// Whether the attachment of that uid added the entry.
    #[must_use]
    pub fn is_marked(&self, secret: &str, attachment: &str) -> bool {
        self.marks.get(secret).is_some_and(|it| it == attachment)
    }
}

//! The state that the delivery controller keeps of one attachment.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use acr_attach_core::api::{REQUESTED_AT, RegistryAttachment};
use acr_attach_core::delivery::contest::Contests;
use acr_attach_core::delivery::{
    Deliveries, Directive, EntryReport, Facts, SecretReport, directive,
};
use acr_attach_core::outcome::changes::NamespaceChange;
use acr_attach_core::plan::{Finalizer, RemovalTiming};
use acr_attach_core::spec::policy::Policy;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use tokio::sync::{Notify, RwLock};

use super::Lane;
use crate::cluster::cache::version;
use crate::cluster::secrets::Written;

/// The state of one attachment.
#[derive(Debug)]
pub(super) struct Attachment {
    pub object: Arc<RegistryAttachment>,
    /// Whether this version can read the current object. If not, `object` is an older one.
    pub is_readable: bool,
    pub facts: Facts,
    pub directive: Arc<Directive>,
    pub deliveries: Deliveries,
    pub complete: Arc<Notify>,
    /// The writes that others refuse or undo, by lane and namespace.
    pub contests: HashMap<(Lane, String), Contests>,
    /// The failures in a row, by lane and namespace.
    pub failures: HashMap<(Lane, String), u32>,
    pub accepted: Option<Arc<Written>>,
    pub refused: BTreeSet<String>,
    pub changes: Vec<NamespaceChange>,
    /// Writers for the attachment hold a read lock. Detaching takes the write lock, and so waits.
    pub writers: Arc<RwLock<()>>,
    pub finalizer: Arc<tokio::sync::Mutex<()>>,
    /// Whether the object vanished before it was detached, and what it left is being removed.
    pub is_let_go: bool,
    /// The version of the object after its finalizer was added.
    pub finalizer_since: Option<u64>,
}

/// What a reconcile of a namespace needs of an attachment.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The object as it was last seen.
    pub object: Arc<RegistryAttachment>,
    /// What to do for the attachment.
    pub directive: Arc<Directive>,
    /// The writes of this lane in the namespace that others refuse or undo.
    pub contests: Contests,
    /// The credential that was accepted last.
    pub accepted: Option<Arc<Written>>,
    /// The digests of credentials that the registry has refused.
    pub refused: BTreeSet<String>,
    /// Whether the namespace was served according to its last report.
    pub was_served: bool,
    /// Whether the object bears the finalizer for entries.
    pub has_finalizer: bool,
}

/// What a reconcile of a namespace reports on an attachment.
#[derive(Clone, Debug)]
pub enum Report {
    /// The entries in service accounts.
    Entries(Box<EntryReport>),
    /// The pull secret.
    Secret(Box<SecretReport>),
}

impl Attachment {
    /// Creates the state of an attachment that was seen for the first time.
    pub fn new(object: Arc<RegistryAttachment>) -> Self {
        Self {
            object,
            is_readable: true,
            facts: Facts::default(),
            directive: Arc::new(Directive::Leave),
            deliveries: Deliveries::default(),
            complete: Arc::default(),
            contests: HashMap::new(),
            failures: HashMap::new(),
            accepted: None,
            refused: BTreeSet::new(),
            changes: Vec::new(),
            writers: Arc::default(),
            finalizer: Arc::default(),
            is_let_go: false,
            finalizer_since: None,
        }
    }

    /// Decides what to do for the attachment: nothing, while this version cannot read its object.
    pub fn directive_under(&self, policy: &Policy) -> Directive {
        if self.is_readable {
            directive(&self.object, &self.facts, policy)
        } else {
            Directive::Leave
        }
    }

    /// Whether the object bears the finalizer for entries, or has got it since the watch showed it.
    pub fn has_finalizer(&self) -> bool {
        let name = Finalizer::ServiceAccounts.name();
        let seen = version(self.object.resource_version().as_deref());
        self.object.finalizers().iter().any(|it| it == name)
            || self.finalizer_since.is_some_and(|since| seen < since)
    }
}

/// Whether a user has changed the spec between the two objects, or has requested a reconcile.
pub(super) fn asks_more(before: &RegistryAttachment, now: &RegistryAttachment) -> bool {
    let requested = |it: &RegistryAttachment| it.annotations().get(REQUESTED_AT).cloned();
    before.metadata.generation != now.metadata.generation || requested(before) != requested(now)
}

impl Subject {
    /// The times that removals depend on.
    #[must_use]
    pub fn timing(&self, now: Timestamp, delay: SignedDuration) -> RemovalTiming {
        let replaced_at = match *self.directive {
            Directive::Remove => Some(now),
            _ => self.directive.served().and_then(|it| it.replaced_at),
        };
        RemovalTiming { now, replaced_at, delay }
    }
}

impl Report {
    /// The lane of the report.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self {
            Self::Entries(_) => Lane::Entries,
            Self::Secret(_) => Lane::Secrets,
        }
    }
}

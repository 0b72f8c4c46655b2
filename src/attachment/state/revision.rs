//! The parts of an object that a reconcile depends on.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use acr_attach_core::api::{ABANDON_ENTRIES, RELEASE, REQUESTED_AT};
use acr_attach_core::plan::Finalizer;
use kube::ResourceExt;

use crate::attachment::Guarded;

/// The parts of an object that a reconcile depends on. Another value makes a reconcile due.
#[derive(Clone, Debug)]
pub struct Revision {
    uid: Option<String>,
    generation: Option<i64>,
    requested_at: Option<String>,
    released: Option<String>,
    abandons_entries: Option<String>,
    deleting: bool,
    finalizers: BTreeSet<Finalizer>,
    readable: bool,
}

/// Ignores the finalizer for entries, since the delivery controller adds it.
impl PartialEq for Revision {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Revision {}

impl Hash for Revision {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Revision {
    fn key(&self) -> impl Eq + Hash + use<'_> {
        let Self { uid, generation, requested_at, deleting, finalizers, readable, .. } = self;
        let holds_roles = finalizers.contains(&Finalizer::RoleAssignments);
        let consents = (&self.released, &self.abandons_entries);
        (uid, generation, requested_at, consents, deleting, holds_roles, readable)
    }

    /// The revision of an object that this version may not be able to read.
    #[must_use]
    pub fn of_guarded(object: &Guarded) -> Self {
        Self { readable: object.0.is_ok(), ..Self::of(object) }
    }

    /// The revision of an object, taken as readable.
    #[must_use]
    pub fn of(object: &impl ResourceExt) -> Self {
        let annotation = |name: &str| object.annotations().get(name).cloned();
        Self {
            uid: object.uid(),
            generation: object.meta().generation,
            requested_at: annotation(REQUESTED_AT),
            released: annotation(RELEASE),
            abandons_entries: annotation(ABANDON_ENTRIES),
            deleting: object.meta().deletion_timestamp.is_some(),
            finalizers: Finalizer::ALL
                .into_iter()
                .filter(|ours| object.finalizers().iter().any(|it| it == ours.name()))
                .collect(),
            readable: true,
        }
    }

    /// The uid of the object.
    #[must_use]
    pub fn uid(&self) -> Option<&str> {
        self.uid.as_deref()
    }

    /// Whether this version can read the object.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.readable
    }

    /// Whether the object is being deleted.
    #[must_use]
    pub fn is_deleting(&self) -> bool {
        self.deleting
    }

    /// Whether both are of the same object, and not of two objects with the same name.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        self.uid == other.uid
    }

    /// Whether both have the same spec, by `metadata.generation`.
    #[must_use]
    pub fn has_spec_of(&self, other: &Self) -> bool {
        self.generation == other.generation
    }

    /// The finalizers of acr-attach that the object bears.
    #[must_use]
    pub fn finalizers(&self) -> &BTreeSet<Finalizer> {
        &self.finalizers
    }

    /// The revision after a finalizer of acr-attach was added or removed.
    #[must_use]
    pub fn with_finalizer(mut self, finalizer: Finalizer, present: bool) -> Self {
        if present {
            self.finalizers.insert(finalizer);
        } else {
            self.finalizers.remove(&finalizer);
        }
        self
    }
}

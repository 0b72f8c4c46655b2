//! The two kinds of work in a namespace. Each has its own queue.

use acr_attach_core::plan::{self, Desired, Owned, Plan, RemovalTiming};

/// A kind of work in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Entries in service accounts. They come first: a pod gets the pull secrets when it is admitted.
    Entries,
    /// Pull secrets.
    Secrets,
}

impl Lane {
    /// Both lanes.
    pub const ALL: [Self; 2] = [Self::Entries, Self::Secrets];

    /// The other lane.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Entries => Self::Secrets,
            Self::Secrets => Self::Entries,
        }
    }

    /// How many namespaces are reconciled at once.
    #[must_use]
    pub fn concurrency(self) -> u16 {
        match self {
            Self::Entries => 8,
            Self::Secrets => 16,
        }
    }

    /// Plans the steps of the lane in a namespace.
    #[must_use]
    pub fn plan(self, desired: &Desired, owned: &Owned, timing: RemovalTiming) -> Plan {
        match self {
            Self::Entries => plan::entries(desired, owned, timing),
            Self::Secrets => plan::secrets(desired, owned, timing),
        }
    }
}

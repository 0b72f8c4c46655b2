//! The two kinds of work in a namespace. Each has a queue of its own.

use acr_attach_core::plan::{self, Desired, Owned, Plan, RemovalTiming};

/// A kind of work in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Entries in service accounts. A pod gets them when it is admitted, so they come first.
    Entries,
    /// Pull secrets.
    Secrets,
}

impl Lane {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Entries, Self::Secrets];

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Entries => Self::Secrets,
            Self::Secrets => Self::Entries,
        }
    }

    /// How many namespaces are worked on at once.
    #[must_use]
    pub fn concurrency(self) -> u16 {
        match self {
            Self::Entries => 8,
            Self::Secrets => 16,
        }
    }

    /// The steps in a namespace.
    #[must_use]
    pub fn plan(self, desired: &Desired, owned: &Owned, timing: RemovalTiming) -> Plan {
        match self {
            Self::Entries => plan::entries(desired, owned, timing),
            Self::Secrets => plan::secrets(desired, owned, timing),
        }
    }
}

//! Names in the cluster: those that attachments may use, and those that an attachment has used.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// The names that an attachment has used in the cluster; `*` stands for any name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsedNames {
    /// The names of its Secrets.
    pub secrets: BTreeSet<String>,
    /// The names of service accounts with an entry that it added.
    pub accounts: BTreeSet<String>,
}

/// The names that attachments may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedNames {
    /// Any name.
    Any,
    /// The names of a list.
    Listed(BTreeSet<String>),
}

impl AllowedNames {
    /// The listed names; `None` if any name is allowed.
    #[must_use]
    pub fn listed(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::Any => None,
            Self::Listed(names) => Some(names),
        }
    }

    /// Whether the name is allowed.
    #[must_use]
    pub fn allow(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(names) => names.contains(name),
        }
    }
}

/// Parses a comma-separated list. `*` in it means any name.
impl FromStr for AllowedNames {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let names = text.split(',').map(str::trim).filter(|it| !it.is_empty());
        let names: BTreeSet<String> = names.map(str::to_owned).collect();
        Ok(if names.contains("*") { Self::Any } else { Self::Listed(names) })
    }
}

impl fmt::Display for AllowedNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Listed(names) if names.is_empty() => f.write_str("no name"),
            Self::Listed(names) => {
                f.write_str(&names.iter().map(String::as_str).collect::<Vec<_>>().join(","))
            }
        }
    }
}

//! Names that attachments may use in the cluster, and those that they use.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// Names under which an attachment has made something in the cluster; `*` for any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsedNames {
    /// Of its Secrets.
    pub secrets: BTreeSet<String>,
    /// Of the service accounts with an entry that it added.
    pub accounts: BTreeSet<String>,
}

/// Names that attachments may use: any, or those in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedNames {
    /// Any.
    Any,
    /// These.
    Listed(BTreeSet<String>),
}

impl AllowedNames {
    /// Those of them that are known beforehand; `None` for any.
    #[must_use]
    pub fn listed(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::Any => None,
            Self::Listed(names) => Some(names),
        }
    }

    /// Whether that name is one of them.
    #[must_use]
    pub fn allow(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(names) => names.contains(name),
        }
    }
}

/// Parses a comma-separated list, in which `*` means any.
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

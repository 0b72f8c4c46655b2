//! How sure it is that a credential lets pull.

use std::fmt;
use std::str::FromStr;

use crate::snapshot::azure::RoleAssignmentMode;
use crate::spec::repositories::Repositories;

/// What is asked of a registry to find out whether a credential lets pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A login: in legacy mode, whoever may log in may pull.
    Login,
    /// An access token for this repository, which need not exist.
    Repository(String),
}

impl Probe {
    /// For a registry in that mode, if it is known. With repository permissions a login succeeds
    /// without any right to pull (learn.microsoft.com, "Microsoft Entra attribute-based access
    /// control for repository permissions").
    #[must_use]
    pub fn of(mode: Option<RoleAssignmentMode>, repositories: &Repositories) -> Self {
        match mode {
            Some(RoleAssignmentMode::LegacyRegistryPermissions) => Self::Login,
            _ => Self::Repository(repositories.example()),
        }
    }
}

/// What the registry said of a credential that it did not refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It lets pull.
    Proven,
    /// It could not be found out.
    Unproven(UnprovenCredential),
}

/// Why it could not be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnprovenCredential {
    /// The registry's firewall does not admit the operator.
    Firewall,
    /// The answer holds no right for the repository, which is invented.
    Repository,
    /// Anybody may pull, so that it says nothing of the credential.
    Anonymous,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proven => "proven",
            Self::Unproven(UnprovenCredential::Firewall) => "unproven-firewall",
            Self::Unproven(UnprovenCredential::Repository) => "unproven-repository",
            Self::Unproven(UnprovenCredential::Anonymous) => "unproven-anonymous",
        })
    }
}

/// As it stands in an annotation.
impl FromStr for Proof {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let doubts = [
            UnprovenCredential::Firewall,
            UnprovenCredential::Repository,
            UnprovenCredential::Anonymous,
        ]
        .map(Self::Unproven);
        let mut all = doubts.into_iter().chain([Self::Proven]);
        all.find(|it| it.to_string() == text).ok_or(())
    }
}

impl Proof {
    /// For messages.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Proven => "the registry accepts the credential",
            Self::Unproven(UnprovenCredential::Firewall) => {
                "not proven from here: the registry's firewall does not admit the operator"
            }
            Self::Unproven(UnprovenCredential::Repository) => {
                "not proven: the registry accepts the credential, but it is not known which repositories it opens"
            }
            Self::Unproven(UnprovenCredential::Anonymous) => {
                "not proven: anybody may pull from the registry"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_can_be_written_down() {
        for doubt in [
            UnprovenCredential::Firewall,
            UnprovenCredential::Repository,
            UnprovenCredential::Anonymous,
        ] {
            let proof = Proof::Unproven(doubt);
            assert_eq!(proof.to_string().parse(), Ok(proof));
            assert!(proof.text().starts_with("not proven"));
        }
        assert_eq!(Proof::Proven.to_string().parse(), Ok(Proof::Proven));
        assert_eq!("else".parse::<Proof>(), Err(()));
    }
}

//! The proof that pods can pull with a credential.

use std::fmt;
use std::str::FromStr;

use crate::snapshot::azure::RoleAssignmentMode;
use crate::spec::repositories::Repositories;

/// The request to a registry that proves a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A login. In legacy mode every identity that may log in may pull.
    Login,
    /// An access token for this repository, which need not exist.
    Repository(String),
}

impl Probe {
    /// The probe for a registry in that mode. With repository permissions a login succeeds without any
    /// right to pull (learn.microsoft.com, "Microsoft Entra attribute-based access control for
    /// repository permissions"). For an unknown mode a repository is asked for too.
    #[must_use]
    pub fn of(mode: Option<RoleAssignmentMode>, repositories: &Repositories) -> Self {
        match mode {
            Some(RoleAssignmentMode::LegacyRegistryPermissions) => Self::Login,
            _ => Self::Repository(repositories.example()),
        }
    }
}

/// The result of a probe that the registry did not refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// The credential may pull.
    Proven,
    /// Whether the credential may pull is unknown.
    Unproven(UnprovenCredential),
}

/// Why a credential is unproven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnprovenCredential {
    /// The registry's firewall does not admit the operator.
    Firewall,
    /// The registry accepts the credential, without a right for the repository, which may not exist.
    Repository,
    /// The registry allows anonymous pulls, so its answer proves nothing.
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

/// Parses the value of an annotation.
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
    /// The text for messages.
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

//! The trial of one credential at the registry, and the advice if it fails.

use acr_attach_core::roles::credential_provider::Host;
use jiff::Timestamp;

use super::super::{Target, one_line};
use super::CredentialSource;
use super::user::{User, role};
use crate::docker_config::Flaw;
use crate::findings::challenge::Denied;

/// The trial of a credential at the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Where the credential comes from.
    pub source: CredentialSource,
    /// What the registry answered.
    pub outcome: Outcome,
}

/// The outcome of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The credential allows pulling the image.
    Pulls,
    /// The registry accepts the credential. The target has no image.
    Accepted,
    /// The registry accepts the credential, which does not allow pulling the image.
    NoRight,
    /// The registry refuses the credential.
    Refused {
        /// When the password expired, if it is a token that has expired.
        expired: Option<Timestamp>,
        /// Whether the registry says that the client id or its secret is wrong.
        wrong_secret: bool,
        /// The flaw in its characters, if there is one.
        flaw: Option<Flaw>,
    },
    /// The registry's firewall does not admit the pod, with any credential.
    Denied(Denied),
    /// The registry refuses to exchange the identity's token.
    NotExchanged,
    /// An answer with another HTTP status.
    Other(u16),
    /// No usable answer, and why.
    NoAnswer(String),
}

impl Outcome {
    /// Whether a pod can pull with the credential.
    #[must_use]
    pub fn works(&self) -> bool {
        matches!(self, Self::Pulls | Self::Accepted)
    }

    /// The text about the outcome for a credential from this source.
    pub(super) fn description(&self, source: &CredentialSource, target: &Target) -> String {
        let repository = target.repository().unwrap_or_default();
        match self {
            Self::Pulls => format!("may pull {repository}"),
            Self::Accepted => "accepted".to_owned(),
            Self::NoRight => format!("accepted, and may not pull {repository}"),
            Self::Refused { flaw: Some(flaw), .. } => {
                format!("refused (401): {}", flaw.description())
            }
            Self::Refused { expired: Some(time), .. } => {
                format!("refused (401): the token in it ended at {time:.0}")
            }
            Self::Refused { wrong_secret, .. } => {
                let user = source.user(target).unwrap_or(User::RegistryToken);
                user.refused(*wrong_secret).to_owned()
            }
            Self::Denied(_) => format!("the firewall of {} answers 403", target.registry),
            Self::NotExchanged => {
                "gets no token (401): it has no role there, or the registry is of another tenant"
                    .to_owned()
            }
            Self::Other(status) => format!("{} answers {status}", target.registry),
            Self::NoAnswer(reason) => one_line(reason),
        }
    }
}

impl Trial {
    /// The text for a credential that works.
    pub(super) fn accepted(&self, target: &Target) -> String {
        let (registry, source) = (&target.registry, &self.source);
        let text = match target.repository() {
            Some(repository) => format!("{source} may pull {repository}"),
            None => format!("{registry} accepts {source}; --image asks what it may pull"),
        };
        // A pod cannot check whether the kubelet's credential provider knows the host, so the text names what it needs.
        let needs = match source {
            CredentialSource::NodeIdentity { .. } => Host::of(registry).needs(),
            CredentialSource::PullSecret { .. } | CredentialSource::Anonymous => None,
        };
        match needs {
            Some(it) => format!(
                "{text}; {it}: where a node lacks that, upgrade its image, or use a pull secret"
            ),
            None => text,
        }
    }

    pub(super) fn advice(&self, target: &Target) -> Option<String> {
        let text = match (&self.outcome, &self.source) {
            (Outcome::Pulls | Outcome::Accepted | Outcome::Denied(_), _)
            | (_, CredentialSource::Anonymous) => {
                return None;
            }
            (Outcome::NoRight, source) => {
                let repository = target.repository().unwrap_or_default();
                format!(
                    "Give it the right to pull {repository}: {}; where a RegistryAttachment has `repositories`, add it there",
                    source.right(repository, target)
                )
            }
            (
                Outcome::Refused { flaw: Some(flaw), .. },
                CredentialSource::PullSecret { secret, .. },
            ) => flaw.advice(secret, target),
            (
                Outcome::Refused { wrong_secret, .. },
                CredentialSource::PullSecret { secret, user },
            ) => User::of(user, target).new_password(user, secret, *wrong_secret, target),
            (Outcome::NotExchanged | Outcome::Refused { .. }, source) => format!(
                "Give it a role: {}, or attach the registry by a RegistryAttachment of method KubeletIdentity; a new role takes up to 10 minutes",
                source.right(target.repository().unwrap_or_default(), target)
            ),
            (Outcome::Other(_) | Outcome::NoAnswer(_), _) => "Run the check again".to_owned(),
        };
        Some(text)
    }
}

impl CredentialSource {
    /// The kind of user, if the source has a user name.
    fn user(&self, target: &Target) -> Option<User> {
        match self {
            Self::PullSecret { user, .. } => Some(User::of(user, target)),
            _ => None,
        }
    }

    /// The command that allows pulling from the repository.
    fn right(&self, repository: &str, target: &Target) -> String {
        match self {
            Self::PullSecret { user, .. } => User::of(user, target).right(user, repository, target),
            Self::NodeIdentity { object_id } => role(&format!(
                "--assignee-object-id {object_id} --assignee-principal-type ServicePrincipal"
            )),
            Self::Anonymous => role("--assignee <its client id>"),
        }
    }
}

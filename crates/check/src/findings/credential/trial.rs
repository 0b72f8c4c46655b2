//! What the registry says of one credential, and what to do where it does not take it.

use acr_attach_core::roles::credential_provider::Host;
use jiff::Timestamp;

use super::super::{Target, told};
use super::Holder;
use super::user::{User, role};
use crate::docker_config::Flaw;
use crate::findings::challenge::Denied;

/// A credential that the registry was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Whose it is.
    pub holder: Holder,
    /// What came back.
    pub answer: Answer,
}

/// What the registry says of a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It lets pull the image.
    Pulls,
    /// It is good, and no image was asked for.
    Accepted,
    /// It is good, and does not let pull the image.
    NoRight,
    /// It is not accepted.
    Refused {
        /// When it ended, if it says so.
        ended: Option<Timestamp>,
        /// Whether the registry says that the secret is wrong.
        wrong_secret: bool,
        /// What is wrong with its characters, if something is.
        flaw: Option<Flaw>,
    },
    /// The registry's firewall does not admit the one that shows it, whatever it is.
    Denied(Denied),
    /// The registry gives the identity no token.
    NotExchanged,
    /// Something else.
    Other(u16),
    /// No answer that can be used.
    NoAnswer(String),
}

impl Answer {
    /// Whether a pod can go on with it.
    #[must_use]
    pub fn works(&self) -> bool {
        matches!(self, Self::Pulls | Self::Accepted)
    }

    /// What is said of it for that holder.
    pub(super) fn told(&self, holder: &Holder, target: &Target) -> String {
        let repository = target.repository().unwrap_or_default();
        match self {
            Self::Pulls => format!("may pull {repository}"),
            Self::Accepted => "accepted".to_owned(),
            Self::NoRight => format!("accepted, and may not pull {repository}"),
            Self::Refused { flaw: Some(flaw), .. } => format!("refused (401): {}", flaw.told()),
            Self::Refused { ended: Some(time), .. } => {
                format!("refused (401): the token in it ended at {time:.0}")
            }
            Self::Refused { wrong_secret, .. } => {
                let user = holder.user(target).unwrap_or(User::RegistryToken);
                user.refused(*wrong_secret).to_owned()
            }
            Self::Denied(_) => format!("the firewall of {} answers 403", target.registry),
            Self::NotExchanged => {
                "gets no token (401): it has no role there, or the registry is of another tenant"
                    .to_owned()
            }
            Self::Other(status) => format!("{} answers {status}", target.registry),
            Self::NoAnswer(reason) => told(reason),
        }
    }
}

impl Trial {
    /// Says that it works.
    pub(super) fn accepted(&self, target: &Target) -> String {
        let (registry, holder) = (&target.registry, &self.holder);
        let text = match target.repository() {
            Some(repository) => format!("{holder} may pull {repository}"),
            None => format!("{registry} accepts {holder}; --image asks what it may pull"),
        };
        // A pod can ask the registry, and not what the kubelet's provider makes of the host.
        let needs = match holder {
            Holder::NodeIdentity { .. } => Host::of(registry).needs(),
            Holder::PullSecret { .. } | Holder::Nobody => None,
        };
        match needs {
            Some(it) => format!(
                "{text}; {it}: where a node lacks that, upgrade its image, or use a pull secret"
            ),
            None => text,
        }
    }

    pub(super) fn advice(&self, target: &Target) -> Option<String> {
        let text = match (&self.answer, &self.holder) {
            (Answer::Pulls | Answer::Accepted | Answer::Denied(_), _) | (_, Holder::Nobody) => {
                return None;
            }
            (Answer::NoRight, holder) => {
                let repository = target.repository().unwrap_or_default();
                format!(
                    "Give it the right to pull {repository}: {}; where a RegistryAttachment has `repositories`, add it there",
                    holder.right(repository, target)
                )
            }
            (Answer::Refused { flaw: Some(flaw), .. }, Holder::PullSecret { secret, .. }) => {
                flaw.advice(secret, target)
            }
            (Answer::Refused { wrong_secret, .. }, Holder::PullSecret { secret, user }) => {
                User::of(user, target).new_password(user, secret, *wrong_secret, target)
            }
            (Answer::NotExchanged | Answer::Refused { .. }, holder) => format!(
                "Give it a role: {}, or attach the registry by a RegistryAttachment of method KubeletIdentity; a new role takes up to 10 minutes",
                holder.right(target.repository().unwrap_or_default(), target)
            ),
            (Answer::Other(_) | Answer::NoAnswer(_), _) => "Run the check again".to_owned(),
        };
        Some(text)
    }
}

impl Holder {
    /// Who the user name stands for, where there is one.
    fn user(&self, target: &Target) -> Option<User> {
        match self {
            Self::PullSecret { user, .. } => Some(User::of(user, target)),
            _ => None,
        }
    }

    /// What lets it pull from a repository.
    fn right(&self, repository: &str, target: &Target) -> String {
        match self {
            Self::PullSecret { user, .. } => User::of(user, target).right(user, repository, target),
            Self::NodeIdentity { object_id } => role(&format!(
                "--assignee-object-id {object_id} --assignee-principal-type ServicePrincipal"
            )),
            Self::Nobody => role("--assignee <its client id>"),
        }
    }
}

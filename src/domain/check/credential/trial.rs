//! What the registry says of one credential, and what to do where it does not take it.

use jiff::Timestamp;

use super::super::{Target, told};
use super::Holder;
use crate::domain::pull_secret::TOKEN_USER;

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
    },
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

    pub(super) fn told(&self, target: &Target) -> String {
        let repository = target.repository().unwrap_or_default();
        match self {
            Self::Pulls => format!("may pull {repository}"),
            Self::Accepted => "accepted".to_owned(),
            Self::NoRight => format!("accepted, and may not pull {repository}"),
            Self::Refused { ended: Some(time), .. } => {
                format!("refused (401): the token in it ended at {time:.0}")
            }
            Self::Refused { wrong_secret: true, .. } => {
                "refused (401): the client id or its secret is wrong, or the secret has expired"
                    .to_owned()
            }
            Self::Refused { .. } => {
                "refused (401): it is not valid any more, or has no role there".to_owned()
            }
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
        match target.repository() {
            Some(repository) => format!("{holder} may pull {repository}"),
            None => format!("{registry} accepts {holder}; --image asks what it may pull"),
        }
    }

    pub(super) fn advice(&self, target: &Target) -> Option<String> {
        let text = match (&self.answer, &self.holder) {
            (Answer::Pulls | Answer::Accepted, _) | (_, Holder::Nobody) => return None,
            (Answer::NoRight, holder) => format!(
                "Give it the right to pull {}: {}; where a RegistryAttachment has `repositories`, add it there",
                target.repository().unwrap_or_default(),
                role(holder)
            ),
            (Answer::Refused { .. }, Holder::PullSecret { secret, user }) if user == TOKEN_USER => {
                format!(
                    "Let it be renewed: the condition CredentialFresh of the RegistryAttachment that serves namespace {} tells why it was not (kubectl describe registryattachments); where none does, make Secret {secret} anew",
                    target.namespace
                )
            }
            (
                Answer::Refused { wrong_secret, .. },
                holder @ Holder::PullSecret { secret, user },
            ) => {
                let right = if *wrong_secret {
                    String::new()
                } else {
                    format!(", or give it a role: {}", role(holder))
                };
                format!(
                    "Put a valid client secret into Secret {secret} (az ad app credential reset --append --id {} makes one){right}; a RegistryAttachment does it by itself once the Secret of its clientSecretRef holds one",
                    told(user)
                )
            }
            (Answer::NotExchanged | Answer::Refused { .. }, holder) => format!(
                "Give it a role: {}, or attach the registry by a RegistryAttachment of method KubeletIdentity; a new role takes up to 10 minutes",
                role(holder)
            ),
            (Answer::Other(_) | Answer::NoAnswer(_), _) => "Run the check again".to_owned(),
        };
        Some(text)
    }
}

/// What assigns a role that lets pull.
fn role(holder: &Holder) -> String {
    let whom = match holder {
        Holder::NodeIdentity { object_id } => {
            format!("--assignee-object-id {object_id} --assignee-principal-type ServicePrincipal")
        }
        Holder::PullSecret { user, .. } if user != TOKEN_USER => {
            format!("--assignee {}", told(user))
        }
        _ => "--assignee <its client id>".to_owned(),
    };
    format!(
        "az role assignment create {whom} --role AcrPull --scope <registry id>, with role \"Container Registry Repository Reader\" where the registry is in ABAC mode"
    )
}

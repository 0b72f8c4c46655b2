//! The steps about the credentials of a pod, and the registry's answers to them. The order is the kubelet's: pull
//! secrets, then the node's identity, then anonymous access.

mod flaw;
mod missing;
mod trial;
mod user;

use acr_attach_core::pull_secrets::TOKEN_USER;
pub use missing::{Missing, NodeFault};
pub use trial::{Outcome, Trial};

use std::fmt;

use serde::Serialize;

use super::challenge::{Denied, firewall};
use super::{PullSecretSource, Step, StepName, Target, one_line};

/// Where a credential comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum CredentialSource {
    /// A user name and password in a pull secret.
    PullSecret {
        /// The name of the Secret.
        secret: String,
        /// The user name.
        user: String,
    },
    /// An identity of the node, with a token from instance metadata.
    NodeIdentity {
        /// Its object id.
        object_id: String,
    },
    /// No credential: anonymous access.
    #[serde(rename = "nobody")]
    Anonymous,
}

impl CredentialSource {
    /// The text with the service account whose list names the pull secret.
    fn text(&self, target: &Target) -> String {
        match (self, &target.pull_secrets) {
            (Self::PullSecret { secret, user }, PullSecretSource::ServiceAccount(account)) => {
                format!("pull secret {secret} of service account {account}, {}", login(user))
            }
            _ => self.to_string(),
        }
    }
}

/// The kind of login in a pull secret, by its user name.
fn login(user: &str) -> String {
    if user == TOKEN_USER {
        "a registry token".to_owned()
    } else {
        format!("user {}", one_line(user))
    }
}

impl fmt::Display for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PullSecret { secret, user } => {
                write!(f, "pull secret {secret} ({})", login(user))
            }
            Self::NodeIdentity { object_id } => write!(f, "the node's identity {object_id}"),
            Self::Anonymous => f.write_str("anybody"),
        }
    }
}

/// What the check has found about credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The credentials that a pod does not have, or could not use.
    pub missing: Vec<Missing>,
    /// The credentials that were tried, in their order. The first one that works is the last.
    pub trials: Vec<Trial>,
}

impl Findings {
    /// The source of the credential that works, if one does.
    #[must_use]
    pub fn working_source(&self) -> Option<&CredentialSource> {
        self.trials.iter().find(|it| it.outcome.works()).map(|it| &it.source)
    }

    /// The step about the credentials that a pod has.
    #[must_use]
    pub fn credential(&self, target: &Target) -> Step {
        let sources: Vec<_> = self.with_credential().map(|it| it.source.text(target)).collect();
        if sources.is_empty() {
            return self.no_credential(target);
        }
        let besides = self.worth_mentioning().map(|it| it.description(target));
        Step::ok(StepName::Credential, joined(sources.join(", then "), besides))
    }

    /// The same step for a pod without any credential. Anonymous access may be enough.
    fn no_credential(&self, target: &Target) -> Step {
        let registry = &target.registry;
        if let Some(denied) = self.denied() {
            return firewall(StepName::Credential, target, denied);
        }
        let missing = self.missing.iter().map(|it| it.description(target));
        if self.working_source().is_some() {
            let text = format!("nobody's: {registry} lets anybody pull");
            return Step::ok(StepName::Credential, joined(text, missing));
        }
        let anonymous = self.trials.iter().map(|it| match &it.outcome {
            Outcome::Refused { .. } | Outcome::NoRight => {
                format!("{registry} lets nobody pull without a credential")
            }
            other => {
                format!(
                    "asked without a credential, {}",
                    other.description(&CredentialSource::Anonymous, target)
                )
            }
        });
        let reasons: Vec<_> = missing.chain(anonymous).collect();
        let without_image = target.image.is_none().then(|| {
            format!(
                "Name an image with --image to find out whether {registry} lets anybody pull it"
            )
        });
        let advice = self.missing.iter().filter_map(|it| it.advice(target)).chain(without_image);
        let detail = format!("none: {}", reasons.join("; "));
        Step::failed(StepName::Credential, detail, advice.collect())
    }

    /// The step about the registry's answers to the credentials.
    #[must_use]
    pub fn token(&self, target: &Target) -> Step {
        let refused = |it: &&Trial| !it.outcome.works();
        let describe =
            |it: &Trial| format!("{}: {}", it.source, it.outcome.description(&it.source, target));
        if let Some(it) = self.trials.iter().find(|it| it.outcome.works()) {
            let before = self.trials.iter().filter(refused).map(describe);
            return Step::ok(StepName::Token, joined(it.accepted(target), before));
        }
        if let Some(denied) = self.denied() {
            return firewall(StepName::Token, target, denied);
        }
        let reasons: Vec<_> = self.with_credential().map(describe).collect();
        let advice = self.with_credential().filter_map(|it| it.advice(target));
        let besides = self.worth_mentioning().filter_map(|it| it.advice(target));
        let mut advice: Vec<_> = advice.chain(besides).collect();
        advice.dedup();
        Step::failed(StepName::Token, reasons.join("; "), advice)
    }

    /// The missing credentials to mention beside those that were tried. If none works, a missing one may be the one
    /// that should work, so all are mentioned.
    fn worth_mentioning(&self) -> impl Iterator<Item = &Missing> {
        let works = self.working_source().is_some();
        self.missing.iter().filter(move |it| it.is_unusual() || !works)
    }

    /// The refusal of the registry's firewall, which does not depend on the credential.
    fn denied(&self) -> Option<&Denied> {
        self.trials.iter().find_map(|it| match &it.outcome {
            Outcome::Denied(denied) => Some(denied),
            _ => None,
        })
    }

    /// The trials without the one of anonymous access.
    fn with_credential(&self) -> impl Iterator<Item = &Trial> {
        self.trials.iter().filter(|it| it.source != CredentialSource::Anonymous)
    }
}

fn joined(text: String, besides: impl Iterator<Item = String>) -> String {
    std::iter::once(text).chain(besides).collect::<Vec<_>>().join("; ")
}

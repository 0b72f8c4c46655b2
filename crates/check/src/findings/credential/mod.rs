//! What a pod could show to the registry, in the order in which a kubelet tries it, and what the registry makes
//! of it: pull secrets, then the node's identity, then nothing at all.

mod flaw;
mod missing;
mod trial;
mod user;

use acr_attach_core::pull_secrets::TOKEN_USER;
pub use missing::{Missing, NodeFault};
pub use trial::{Answer, Trial};

use std::fmt;

use serde::Serialize;

use super::challenge::{Denied, firewall};
use super::{PullSecretsOf, Step, StepName, Target, told};

/// Whose credential it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Holder {
    /// A user name and password in a pull secret.
    PullSecret {
        /// The name of the Secret.
        secret: String,
        /// The user name.
        user: String,
    },
    /// An identity of the node, which instance metadata speaks for.
    NodeIdentity {
        /// Its object id.
        object_id: String,
    },
    /// Nobody's: there is none, and none is needed.
    Nobody,
}

impl Holder {
    /// With where a pod has it from.
    fn from(&self, target: &Target) -> String {
        match (self, &target.pull_secrets) {
            (Self::PullSecret { secret, user }, PullSecretsOf::ServiceAccount(account)) => {
                format!("pull secret {secret} of service account {account}, {}", login(user))
            }
            _ => self.to_string(),
        }
    }
}

/// What a pull secret holds, by the user name in it.
fn login(user: &str) -> String {
    if user == TOKEN_USER { "a registry token".to_owned() } else { format!("user {}", told(user)) }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PullSecret { secret, user } => {
                write!(f, "pull secret {secret} ({})", login(user))
            }
            Self::NodeIdentity { object_id } => write!(f, "the node's identity {object_id}"),
            Self::Nobody => f.write_str("anybody"),
        }
    }
}

/// What was found of credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What a pod does not have, or could not use.
    pub missing: Vec<Missing>,
    /// What the registry was shown, in that order. The first that works is the last.
    pub trials: Vec<Trial>,
}

impl Found {
    /// Whose credential works.
    #[must_use]
    pub fn works(&self) -> Option<&Holder> {
        self.trials.iter().find(|it| it.answer.works()).map(|it| &it.holder)
    }

    /// The step that says what a pod has.
    #[must_use]
    pub fn credential(&self, target: &Target) -> Step {
        let had: Vec<_> = self.shown().map(|it| it.holder.from(target)).collect();
        if had.is_empty() {
            return self.nothing(target);
        }
        let besides = self.besides().map(|it| it.told(target));
        Step::ok(StepName::Credential, sentence(had.join(", then "), besides))
    }

    /// The same where it has nothing, which may be enough.
    fn nothing(&self, target: &Target) -> Step {
        let registry = &target.registry;
        if let Some(denied) = self.denied() {
            return firewall(StepName::Credential, target, denied);
        }
        let missing = self.missing.iter().map(|it| it.told(target));
        if self.works().is_some() {
            let text = format!("nobody's: {registry} lets anybody pull");
            return Step::ok(StepName::Credential, sentence(text, missing));
        }
        let anonymous = self.trials.iter().map(|it| match &it.answer {
            Answer::Refused { .. } | Answer::NoRight => {
                format!("{registry} lets nobody pull without a credential")
            }
            other => {
                format!("asked without a credential, {}", other.told(&Holder::Nobody, target))
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

    /// The step that says what the registry makes of it.
    #[must_use]
    pub fn token(&self, target: &Target) -> Step {
        let refused = |it: &&Trial| !it.answer.works();
        let told = |it: &Trial| format!("{}: {}", it.holder, it.answer.told(&it.holder, target));
        if let Some(it) = self.trials.iter().find(|it| it.answer.works()) {
            let before = self.trials.iter().filter(refused).map(told);
            return Step::ok(StepName::Token, sentence(it.accepted(target), before));
        }
        if let Some(denied) = self.denied() {
            return firewall(StepName::Token, target, denied);
        }
        let reasons: Vec<_> = self.shown().map(told).collect();
        let advice = self.shown().filter_map(|it| it.advice(target));
        let besides = self.besides().filter_map(|it| it.advice(target));
        let mut advice: Vec<_> = advice.chain(besides).collect();
        advice.dedup();
        Step::failed(StepName::Token, reasons.join("; "), advice)
    }

    /// What is missing, and worth saying beside a credential that there is. Where none works, what is missing
    /// may be what should have.
    fn besides(&self) -> impl Iterator<Item = &Missing> {
        let works = self.works().is_some();
        self.missing.iter().filter(move |it| it.is_odd() || !works)
    }

    /// The firewall's refusal, which says nothing of any credential.
    fn denied(&self) -> Option<&Denied> {
        self.trials.iter().find_map(|it| match &it.answer {
            Answer::Denied(denied) => Some(denied),
            _ => None,
        })
    }

    /// The credentials among what was tried.
    fn shown(&self) -> impl Iterator<Item = &Trial> {
        self.trials.iter().filter(|it| it.holder != Holder::Nobody)
    }
}

fn sentence(text: String, besides: impl Iterator<Item = String>) -> String {
    std::iter::once(text).chain(besides).collect::<Vec<_>>().join("; ")
}

//! Why Azure did not do what was asked.

use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error as ThisError;

pub(super) use super::attempt::{Attempt, Subject};
use super::entra::Identity;
use super::gate::{self, Shut};
pub(super) use super::refusal::Refusal;
use super::transport::{Fault, wait};
use super::versions::supported;

/// A request that failed.
#[derive(Clone, Debug, ThisError)]
#[error("{attempt}: {failure}")]
pub struct Error {
    pub(super) attempt: Box<Attempt>,
    pub(super) failure: Box<Failure>,
}

/// What came back, or did not.
#[derive(Clone, Debug, ThisError)]
pub(super) enum Failure {
    #[error("{status} {code}{}{}", for_whom(.object_id.as_deref()), and_to_wait(*.status, *.retry_after))]
    Refused {
        status: u16,
        code: String,
        /// What Azure says about it, for people.
        text: String,
        /// Who Azure says was refused.
        object_id: Option<String>,
        /// The address that a registry's firewall refused.
        address: Option<String>,
        /// The deny assignment that forbids it, as Azure names it.
        deny_assignment: Option<String>,
        retry_after: Option<Duration>,
        correlation_id: Option<String>,
        /// The api-versions that exist, where the one that was asked for does not.
        versions: Vec<String>,
    },
    #[error(
        "the operator has no Azure identity; set AZURE_CLIENT_ID and AZURE_TENANT_ID with AZURE_FEDERATED_TOKEN_FILE or AZURE_CLIENT_SECRET, or AZURE_CLIENT_ID alone for a managed identity, in the operator's environment"
    )]
    NoIdentity,
    #[error("signing in as {identity}: {text}")]
    SignIn {
        identity: String,
        text: String,
        /// What to do about it.
        advice: String,
        code: Option<String>,
        status: Option<u16>,
        retry_after: Option<Duration>,
    },
    #[error("{0}")]
    NoAnswer(String),
    #[error("waiting for one of {places} places there; tried again within seconds")]
    Busy {
        places: usize,
        /// How long until its turn, if it has one.
        wait: Option<Duration>,
    },
    #[error("waiting for its turn: calls to {place} are paced, so that Azure need not refuse any")]
    Queued { place: String, wait: Duration },
    #[error("not tried: Azure asked to make no call to {place} before {until:.0}")]
    Paused { place: String, wait: Duration, until: Timestamp },
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
}

fn for_whom(object_id: Option<&str>) -> String {
    object_id.map_or_else(String::new, |it| format!(" for object id {it}"))
}

fn and_to_wait(status: u16, retry_after: Option<Duration>) -> String {
    match retry_after {
        Some(it) if status == 429 => format!(", which asks to wait {} s", it.as_secs()),
        _ => String::new(),
    }
}

impl Error {
    /// An answer that refuses.
    pub(super) fn refused(attempt: &Attempt, refusal: Refusal) -> Self {
        let failure = Failure::Refused {
            text: if attempt.subject == Subject::LoginServer {
                String::new()
            } else {
                refusal.text()
            },
            object_id: refusal.object_id(),
            address: refusal.address(),
            deny_assignment: refusal.deny_assignment(),
            versions: supported(&refusal.code, &refusal.message),
            status: refusal.status,
            code: refusal.code,
            retry_after: refusal.retry_after,
            correlation_id: refusal.correlation_id,
        };
        Self { attempt: Box::new(attempt.clone()), failure: Box::new(failure) }
    }

    /// A call that was not made.
    pub(super) fn shut(attempt: &Attempt, gate: gate::Name, shut: Shut) -> Self {
        let place = gate.map_or_else(|| "Azure".to_owned(), |it| format!("subscription {it}"));
        let failure = match shut {
            Shut::Paused { wait, until } => Failure::Paused { place, wait, until },
            Shut::Queued { wait } => Failure::Queued { place, wait },
        };
        Self { attempt: Box::new(attempt.clone()), failure: Box::new(failure) }
    }

    pub(super) fn no_identity(attempt: &Attempt) -> Self {
        Self { attempt: Box::new(attempt.clone()), failure: Box::new(Failure::NoIdentity) }
    }

    pub(super) fn unreadable(attempt: &Attempt, detail: impl std::fmt::Display) -> Self {
        Self {
            attempt: Box::new(attempt.clone()),
            failure: Box::new(Failure::Unreadable(detail.to_string())),
        }
    }

    pub(super) fn timed_out(attempt: &Attempt, after: Duration) -> Self {
        let text = format!("no answer within {} s", after.as_secs());
        Self { attempt: Box::new(attempt.clone()), failure: Box::new(Failure::NoAnswer(text)) }
    }

    /// No place is free among that many, and there is a turn in so long, if there are turns.
    pub(super) fn busy(target: &str, places: usize, wait: Option<Duration>) -> Self {
        let attempt =
            Attempt { doing: "speaking to", target: target.to_owned(), ..Attempt::default() };
        Self { attempt: Box::new(attempt), failure: Box::new(Failure::Busy { places, wait }) }
    }

    /// A request that brought no answer: the sign-in before it failed, or the way there.
    pub(super) fn failed(
        attempt: &Attempt,
        identity: &Identity,
        error: &azure_core::Error,
    ) -> Self {
        let failure = match fault(error) {
            Some(Fault::SignIn { status, code, description, retry_after }) => Failure::SignIn {
                identity: identity.to_string(),
                text: format!(
                    "{}{}",
                    code.as_ref().map_or_else(String::new, |it| format!("{it} ")),
                    description.trim_end_matches('.'),
                ),
                advice: super::advice::of_sign_in(code.as_deref(), identity),
                code: code.clone(),
                status: Some(*status),
                retry_after: *retry_after,
            },
            Some(fault) => Failure::NoAnswer(fault.to_string()),
            None => Failure::SignIn {
                identity: identity.to_string(),
                text: chain(error),
                advice: String::new(),
                code: None,
                status: None,
                retry_after: None,
            },
        };
        Self { attempt: Box::new(attempt.clone()), failure: Box::new(failure) }
    }

    /// Whether Azure says that what was named does not exist. A bare 404 does not say so: it may
    /// come from something on the way.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        const CODES: [&str; 4] = [
            "ResourceNotFound",
            "ResourceGroupNotFound",
            "SubscriptionNotFound",
            "RoleAssignmentNotFound",
        ];
        matches!(&*self.failure, Failure::Refused { code, .. } if CODES.contains(&code.as_str()))
    }

    /// Whether a registry does not accept the credential.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(&*self.failure, Failure::Refused { status: 401, .. })
    }

    /// Whether a registry's firewall does not admit us.
    pub(super) fn is_firewall(&self) -> bool {
        matches!(
            &*self.failure,
            Failure::Refused { status: 403, code, address: Some(_), .. } if code == "DENIED"
        )
    }

    /// Whether the tenant does not know what a token was asked for
    /// (Entra error codes reference; azure-cli issue 33674).
    pub(super) fn is_unknown_audience(&self) -> bool {
        const CODES: [&str; 2] = ["AADSTS500011", "AADSTS50001"];
        matches!(&*self.failure, Failure::SignIn { code: Some(code), .. } if CODES.contains(&code.as_str()))
    }

    /// Whether Azure cannot take a role assignment of that name, and asks for another.
    #[must_use]
    pub fn is_hash_conflict(&self) -> bool {
        matches!(&*self.failure, Failure::Refused { code, .. } if code == "HashConflictOnDifferentRoleAssignmentIds")
    }

    /// Whether there is such a role assignment already, of this or of another name.
    #[must_use]
    pub fn is_existing(&self) -> bool {
        matches!(&*self.failure, Failure::Refused { code, .. } if code == "RoleAssignmentExists")
    }

    /// The api-versions that exist, where the one that was asked for does not.
    pub(super) fn versions(&self) -> &[String] {
        match &*self.failure {
            Failure::Refused { versions, .. } => versions,
            _ => &[],
        }
    }

    /// How long Azure asks to be left alone.
    pub(super) fn throttled(&self) -> Option<Duration> {
        match *self.failure {
            Failure::Refused { status: 429, retry_after, .. } => Some(wait(retry_after)),
            _ => None,
        }
    }

    /// Whether Azure does not accept the token any more.
    pub(super) fn is_token_refused(&self) -> bool {
        matches!(&*self.failure, Failure::Refused { status: 401, code, .. } if code != "InvalidAuthenticationTokenTenant")
    }
}

fn fault(error: &azure_core::Error) -> Option<&Fault> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return Some(fault);
        }
        next = error.source();
    }
    None
}

/// An error with its causes, each said once.
fn chain(error: &azure_core::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        next = error.source();
    }
    text
}

//! Failed requests to Azure.

use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error as ThisError;

pub(super) use super::attempt::{Attempt, Subject};
use super::entra::Identity;
use super::rate_limiter::{self, RateLimited};
pub(super) use super::refusal::Refusal;
use super::transport::{Fault, pause};
use super::versions::supported;

/// A failed request: what it attempted, and how it failed.
#[derive(Clone, Debug, ThisError)]
#[error("{attempt}: {failure}")]
pub struct Error {
    pub(super) attempt: Box<Attempt>,
    pub(super) failure: Box<Failure>,
}

/// How a request failed.
#[derive(Clone, Debug, ThisError)]
pub(super) enum Failure {
    #[error("{status} {code}{}{}", for_object_id(.object_id.as_deref()), retry_hint(*.status, *.retry_after))]
    Refused {
        status: u16,
        code: String,
        /// The message of Azure, as it may be shown. Empty for a registry.
        text: String,
        /// The object id of the refused identity.
        object_id: Option<String>,
        /// The client address that a registry's firewall refused.
        address: Option<String>,
        /// The deny assignment that forbids the request: `'name' (id …)`.
        deny_assignment: Option<String>,
        retry_after: Option<Duration>,
        correlation_id: Option<String>,
        /// The api-versions that Azure supports, if it does not support the requested one.
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
        /// The advice. Empty if there is none.
        advice: String,
        code: Option<String>,
        status: Option<u16>,
        retry_after: Option<Duration>,
    },
    #[error("{0}")]
    NoAnswer(String),
    #[error("waiting for one of {permits} places there; tried again within seconds")]
    Busy {
        permits: usize,
        /// How long to wait, if there is a queue.
        wait: Option<Duration>,
    },
    #[error("waiting for its turn: calls to {target} are paced, so that Azure need not refuse any")]
    Queued { target: String, wait: Duration },
    #[error("not tried: Azure asked to make no call to {target} before {until:.0}")]
    Paused { target: String, wait: Duration, until: Timestamp },
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
}

fn for_object_id(object_id: Option<&str>) -> String {
    object_id.map_or_else(String::new, |it| format!(" for object id {it}"))
}

fn retry_hint(status: u16, retry_after: Option<Duration>) -> String {
    match retry_after {
        Some(it) if status == 429 => format!(", which asks to wait {} s", it.as_secs()),
        _ => String::new(),
    }
}

impl Error {
    /// Azure, Graph or a registry answered with an error.
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

    /// The rate limiter rejected the call, so it was not sent.
    pub(super) fn rate_limited(
        attempt: &Attempt,
        key: rate_limiter::Key,
        limited: RateLimited,
    ) -> Self {
        let target = key.map_or_else(|| "Azure".to_owned(), |it| format!("subscription {it}"));
        let failure = match limited {
            RateLimited::Paused { wait, until } => Failure::Paused { target, wait, until },
            RateLimited::Queued { wait } => Failure::Queued { target, wait },
        };
        Self { attempt: Box::new(attempt.clone()), failure: Box::new(failure) }
    }

    /// No identity is configured.
    pub(super) fn no_identity(attempt: &Attempt) -> Self {
        Self { attempt: Box::new(attempt.clone()), failure: Box::new(Failure::NoIdentity) }
    }

    /// The answer does not have the expected form. The detail must hold no secret.
    pub(super) fn unreadable(attempt: &Attempt, detail: impl std::fmt::Display) -> Self {
        Self {
            attempt: Box::new(attempt.clone()),
            failure: Box::new(Failure::Unreadable(detail.to_string())),
        }
    }

    /// There was no answer within that time.
    pub(super) fn timed_out(attempt: &Attempt, after: Duration) -> Self {
        let text = format!("no answer within {} s", after.as_secs());
        Self { attempt: Box::new(attempt.clone()), failure: Box::new(Failure::NoAnswer(text)) }
    }

    /// None of so many permits is free. `wait` is the wait in the queue, if there is one.
    pub(super) fn busy(target: &str, permits: usize, wait: Option<Duration>) -> Self {
        let attempt =
            Attempt { operation: "speaking to", target: target.to_owned(), ..Attempt::default() };
        Self { attempt: Box::new(attempt), failure: Box::new(Failure::Busy { permits, wait }) }
    }

    /// A request without an answer: the sign-in before it or the connection failed.
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
                advice: super::advice::for_sign_in(code.as_deref(), identity),
                code: code.clone(),
                status: Some(*status),
                retry_after: *retry_after,
            },
            Some(fault) => Failure::NoAnswer(fault.to_string()),
            None => Failure::SignIn {
                identity: identity.to_string(),
                text: with_sources(error),
                advice: String::new(),
                code: None,
                status: None,
                retry_after: None,
            },
        };
        Self { attempt: Box::new(attempt.clone()), failure: Box::new(failure) }
    }

    /// Whether Azure says, by an error code, that the resource does not exist. A 404 without such a
    /// code may come from a proxy.
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

    /// Whether a registry refused the credential (401).
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(&*self.failure, Failure::Refused { status: 401, .. })
    }

    /// Whether a registry's firewall refused the operator's address.
    pub(super) fn is_firewall(&self) -> bool {
        matches!(
            &*self.failure,
            Failure::Refused { status: 403, code, address: Some(_), .. } if code == "DENIED"
        )
    }

    /// Whether the tenant does not know the audience of the requested token (Entra error codes
    /// reference; azure-cli issue 33674).
    pub(super) fn is_unknown_audience(&self) -> bool {
        const CODES: [&str; 2] = ["AADSTS500011", "AADSTS50001"];
        matches!(&*self.failure, Failure::SignIn { code: Some(code), .. } if CODES.contains(&code.as_str()))
    }

    /// Whether Azure asks for another name of the role assignment, because of a hash conflict.
    #[must_use]
    pub fn is_hash_conflict(&self) -> bool {
        matches!(&*self.failure, Failure::Refused { code, .. } if code == "HashConflictOnDifferentRoleAssignmentIds")
    }

    /// Whether the same role assignment exists already, with this or with another name.
    #[must_use]
    pub fn is_existing(&self) -> bool {
        matches!(&*self.failure, Failure::Refused { code, .. } if code == "RoleAssignmentExists")
    }

    /// The api-versions that Azure supports, if it does not support the requested one; else none.
    pub(super) fn versions(&self) -> &[String] {
        match &*self.failure {
            Failure::Refused { versions, .. } => versions,
            _ => &[],
        }
    }

    /// How long to pause, if Azure answered with 429.
    pub(super) fn pause(&self) -> Option<Duration> {
        match *self.failure {
            Failure::Refused { status: 429, retry_after, .. } => Some(pause(retry_after)),
            _ => None,
        }
    }

    /// Whether Azure refused the token. A token of another tenant does not count: a new token would
    /// be refused too.
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

/// The text of an error and of its sources, without repetitions.
fn with_sources(error: &azure_core::Error) -> String {
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

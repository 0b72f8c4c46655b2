//! Problems and their causes. The cause decides condition, event, metric and retry.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::api::{REQUESTED_AT, Reason};
use crate::message;

/// A failure, as a user reads it.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{message}{}", self.correlation_suffix())]
pub struct Problem {
    /// The kind of the failure: it tells who can help, and when to retry.
    pub cause: Cause,
    /// One line: what to do, what was tried, on what, and the answer. Never a secret.
    pub message: String,
    /// The id by which Azure finds the answer in its logs. It differs at each try, unlike the message.
    pub correlation_id: Option<String>,
    /// The parts of the message, where it begins with advice.
    advised: Option<Arc<Advised>>,
}

impl Problem {
    /// A problem with its message on one line and of bounded length.
    #[must_use]
    pub fn new(cause: Cause, message: impl AsRef<str>) -> Self {
        let message = message::bounded(message.as_ref());
        Self { cause, message, correlation_id: None, advised: None }
    }

    /// A problem whose message is the advice and the first description that fits. `descriptions` tell
    /// what happened, from the longest to the shortest.
    #[must_use]
    pub fn advised(cause: Cause, advice: &str, descriptions: &[String]) -> Self {
        let texts: Vec<_> = descriptions.iter().map(|it| format!("{advice}; {it}")).collect();
        let fitting = texts.iter().find(|it| message::is_bounded(it));
        let problem = Self::new(cause, fitting.or(texts.last()).map_or(advice, String::as_str));
        let advised = Advised { advice: advice.to_owned(), descriptions: descriptions.to_vec() };
        Self { advised: Some(Arc::new(advised)), ..problem }
    }

    /// Adds a last step to the advice, and takes a shorter description if the message gets too long. The
    /// step is left out where it fits with no description, or where the problem has no advice.
    #[must_use]
    pub fn with_last_step(self, step: &str) -> Self {
        let Some(Advised { advice, descriptions }) = self.advised.as_deref() else { return self };
        let longer = Self::advised(self.cause, &format!("{advice}, {step}"), descriptions);
        let fits = descriptions.iter().any(|it| longer.message.ends_with(it.as_str()));
        if fits { longer.with_correlation_id_of(&self) } else { self }
    }

    /// The same problem where it leaves open whether a change took effect.
    #[must_use]
    pub fn unconfirmed(self) -> Self {
        Self { cause: Cause::Unavailable, ..self }
    }

    /// The same problem with the correlation id of the problem that caused it.
    #[must_use]
    pub fn with_correlation_id_of(self, other: &Self) -> Self {
        Self { correlation_id: other.correlation_id.clone(), ..self }
    }

    /// The correlation id as the end of a message; empty without an id.
    #[must_use]
    pub fn correlation_suffix(&self) -> String {
        let id = self.correlation_id.as_ref();
        id.map_or_else(String::new, |it| format!("{REFERENCE}{})", message::bounded(it)))
    }

    /// The message for status: with the correlation id, where it fits.
    #[must_use]
    pub fn message_with_correlation_id(&self) -> String {
        message::with_room(&self.message, &self.correlation_suffix())
    }
}

/// The parts of a message with advice.
#[derive(Debug, PartialEq)]
struct Advised {
    advice: String,
    /// Descriptions of what happened, from the longest to the shortest.
    descriptions: Vec<String>,
}

/// The last step of an advice: how to request a reconcile once the cause is removed.
#[must_use]
pub fn check_again_step(attachment: &str) -> String {
    format!(
        "then have acr-attach look again at once (kubectl annotate --overwrite registryattachment {attachment} {REQUESTED_AT}=\"$(date)\")"
    )
}

/// The text before a correlation id.
const REFERENCE: &str = " (correlation id ";

/// A message without its correlation id. The id differs at each try, so messages are compared
/// without it.
#[must_use]
pub fn without_correlation_id(message: &str) -> &str {
    message.rsplit_once(REFERENCE).map_or(message, |(text, _)| text)
}

/// Why something failed. Each cause stands for one kind of help or wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The spec is wrong in a way that the schema does not detect.
    InvalidSpec,
    /// The configuration of Azure or of the cluster does not work with this method.
    Unsupported,
    /// The operator's settings do not allow what the spec asks for.
    NotAllowed,
    /// An object that acr-attach did not make blocks the change.
    NotOurs,
    /// Another tool manages what would have to be changed.
    ExternallyManaged,
    /// A quota, a policy or a webhook of the cluster refuses a write.
    AdmissionDenied,
    /// Method Auto cannot tell whether the cluster is AKS; or Azure refuses for an unknown reason.
    Undetermined,
    /// Entra does not accept the identity.
    AuthenticationFailed,
    /// The identity lacks a right.
    AccessDenied,
    /// The registry, the cluster or a credential does not exist.
    NotFound,
    /// Azure does not show yet what was just created.
    Propagating,
    /// Azure asks to wait.
    Throttled {
        /// The value of Retry-After, unchanged.
        retry_after: Duration,
    },
    /// No answer, or a failure of Azure or of the API server.
    Unavailable,
    /// A limit of Azure is reached.
    QuotaExceeded,
    /// A lock in Azure forbids the change.
    Locked,
    /// A defect of the operator itself.
    Internal,
    /// The limit of concurrent calls or reconciles is reached. Nothing is wrong.
    Busy,
    /// The rate limit for Azure is reached, and other reconciles come first. Nothing is wrong.
    Queued {
        /// How long to wait until the next try.
        wait: Duration,
    },
}

/// When condition Stalled turns True: a user has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stalls {
    /// At the first failure.
    AtOnce,
    /// Once failures with the same cause and generation have lasted for that many times the patience.
    After(u32),
    /// Never: the cause ends without a user.
    Never,
}

impl Cause {
    /// The reason in conditions.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::InvalidSpec => Reason::InvalidSpec,
            Self::Unsupported => Reason::Unsupported,
            Self::NotAllowed => Reason::NotAllowed,
            Self::NotOurs => Reason::NotOurs,
            Self::ExternallyManaged => Reason::ExternallyManaged,
            Self::AdmissionDenied => Reason::AdmissionDenied,
            Self::Undetermined => Reason::Undetermined,
            Self::AuthenticationFailed => Reason::AuthenticationFailed,
            Self::AccessDenied => Reason::AccessDenied,
            Self::NotFound => Reason::NotFound,
            Self::Propagating => Reason::Propagating,
            Self::Throttled { .. } => Reason::Throttled,
            Self::Unavailable => Reason::Unavailable,
            Self::QuotaExceeded => Reason::QuotaExceeded,
            Self::Locked => Reason::Locked,
            Self::Internal => Reason::Internal,
            Self::Busy | Self::Queued { .. } => Reason::Progressing,
        }
    }

    /// When a problem of this cause stalls.
    #[must_use]
    pub fn stalls(self) -> Stalls {
        match self {
            Self::InvalidSpec
            | Self::Unsupported
            | Self::NotAllowed
            | Self::NotOurs
            | Self::ExternallyManaged
            | Self::QuotaExceeded
            | Self::Locked => Stalls::AtOnce,
            Self::Undetermined
            | Self::AdmissionDenied
            | Self::AuthenticationFailed
            | Self::AccessDenied
            | Self::NotFound => Stalls::After(1),
            Self::Propagating => Stalls::After(2),
            Self::Throttled { .. }
            | Self::Unavailable
            | Self::Internal
            | Self::Busy
            | Self::Queued { .. } => Stalls::Never,
        }
    }

    /// Whether another writer or policy decides about the write, so that an immediate retry is useless.
    #[must_use]
    pub fn is_decided_by_others(self) -> bool {
        matches!(self, Self::NotOurs | Self::ExternallyManaged | Self::AdmissionDenied)
    }

    /// Whether nothing is wrong: the reconcile only waits for others.
    #[must_use]
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Busy | Self::Queued { .. })
    }

    /// Whether the cause tells only about this attempt, and nothing about the attachment.
    #[must_use]
    pub fn is_transient(self) -> bool {
        self.stalls() == Stalls::Never
    }
}

/// One cause of each kind, for tests.
#[cfg(test)]
pub(crate) const ALL: [Cause; 18] = [
    Cause::InvalidSpec,
    Cause::Unsupported,
    Cause::NotAllowed,
    Cause::NotOurs,
    Cause::ExternallyManaged,
    Cause::AdmissionDenied,
    Cause::Undetermined,
    Cause::AuthenticationFailed,
    Cause::AccessDenied,
    Cause::NotFound,
    Cause::Propagating,
    Cause::Throttled { retry_after: Duration::from_secs(20) },
    Cause::Unavailable,
    Cause::QuotaExceeded,
    Cause::Locked,
    Cause::Internal,
    Cause::Busy,
    Cause::Queued { wait: Duration::from_secs(20) },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_bounded_line() {
        let problem = Problem::new(Cause::Internal, format!("a\r\n  b {}", "ü".repeat(3000)));
        assert!(problem.message.starts_with("a b ü"));
        assert!(message::is_bounded(&problem.message));
    }

    #[test]
    fn advice_comes_first_and_what_happened_is_told_as_fully_as_it_fits() {
        let told = |advice: &str| {
            let descriptions = ["in full".repeat(20), "in short".to_owned()];
            Problem::advised(Cause::NotFound, advice, &descriptions).message
        };
        assert!(told("create it").starts_with("create it; in full"));
        assert!(told(&"x".repeat(500)).ends_with("x; in short"));
        assert!(told(&"word ".repeat(200)).ends_with("word…"));
    }

    #[test]
    fn a_last_step_of_the_advice_is_told_whole_or_not_at_all() {
        let step = check_again_step("contoso");
        let told = |advice: &str| {
            let descriptions = ["in full".repeat(60), "in short".to_owned()];
            Problem::advised(Cause::NotOurs, advice, &descriptions).with_last_step(&step).message
        };
        assert!(told("x").starts_with(&format!("x, {step}; in full")), "{}", told("x"));
        let advice = "x".repeat(430);
        assert_eq!(told(&advice), format!("{advice}, {step}; in short"));
        let advice = "x".repeat(470);
        assert_eq!(told(&advice), format!("{advice}; in short"));
        let untold = Problem::new(Cause::NotOurs, "assigning x");
        assert_eq!(untold.clone().with_last_step(&step), untold);
    }

    #[test]
    fn a_correlation_id_is_shown_and_says_nothing_new() {
        let mut problem = Problem::new(Cause::NotFound, "reading x: 404");
        problem.correlation_id = Some("c0ffee".into());
        assert_eq!(problem.to_string(), "reading x: 404 (correlation id c0ffee)");
        assert_eq!(without_correlation_id(&problem.to_string()), problem.message);
    }

    #[test]
    fn every_cause_has_a_reason_of_its_own_and_waiting_is_none() {
        let (waiting, wrong): (Vec<Cause>, Vec<Cause>) = ALL.iter().partition(|it| it.is_waiting());
        let mut reasons: Vec<_> = wrong.iter().map(|it| it.reason().as_str()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        assert_eq!(reasons.len(), wrong.len());
        assert!(waiting.iter().all(|it| it.reason() == Reason::Progressing), "{waiting:?}");
    }
}

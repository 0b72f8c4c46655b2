//! Classifies the failures of Azure: each error becomes a [`Problem`] with a [`Cause`].

use std::time::Duration;

use acr_attach_core::problem::{Cause, Problem};

use super::error::{Attempt, Error, Failure, Subject};
use super::transport::pause;
use super::versions;

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let descriptions = descriptions(&error);
        let mut problem = match &*error.advice() {
            "" => Self::new(error.cause(), &descriptions[0]),
            advice => Self::advised(error.cause(), advice, &descriptions),
        };
        if let Failure::Refused { correlation_id, .. } = *error.failure {
            problem.correlation_id = correlation_id;
        }
        problem
    }
}

/// Three descriptions of the failure, each shorter: with the full resource id, with the last segment
/// of it, and without it.
fn descriptions(error: &Error) -> [String; 3] {
    let Attempt { operation, target, .. } = &*error.attempt;
    let end = target.rsplit('/').next().unwrap_or_default();
    let (failure, detail) = (&error.failure, error.detail());
    [
        format!("{error}{detail}"),
        format!("{operation} {end}: {failure}{detail}"),
        format!("{operation}: {failure}"),
    ]
}

impl Error {
    fn cause(&self) -> Cause {
        match &*self.failure {
            Failure::Refused { status, code, retry_after, .. } => {
                let by_registry = self.attempt.subject == Subject::LoginServer;
                let by_status = || match by_status(*status, *retry_after) {
                    // Entra has accepted the principal before this call.
                    Cause::AuthenticationFailed if by_registry => Cause::AccessDenied,
                    // Credentials that the registry issued before are still valid.
                    Cause::Undetermined if by_registry => Cause::Unavailable,
                    cause => cause,
                };
                by_code(code).unwrap_or_else(by_status)
            }
            Failure::SignIn { status: Some(status), retry_after, .. } => {
                sign_in_status(*status, *retry_after)
            }
            Failure::SignIn { status: None, .. } | Failure::NoIdentity => {
                Cause::AuthenticationFailed
            }
            Failure::NoAnswer(_) | Failure::Unreadable(_) => Cause::Unavailable,
            Failure::Busy { wait: None, .. } => Cause::Busy,
            Failure::Busy { wait: Some(wait), .. } | Failure::Queued { wait, .. } => {
                Cause::Queued { wait: *wait }
            }
            Failure::Paused { wait, .. } => Cause::Throttled { retry_after: *wait },
        }
    }
}

/// The cause by the error code, which is more specific than the status.
fn by_code(code: &str) -> Option<Cause> {
    Some(match code {
        "AuthorizationFailed"
        | "LinkedAuthorizationFailed"
        | "DenyAssignmentAuthorizationFailed"
        | "Authorization_RequestDenied"
        | "RequestDisallowedByPolicy"
        | "UNAUTHORIZED"
        | "DENIED" => Cause::AccessDenied,
        "InvalidAuthenticationTokenTenant"
        | "MissingSubscriptionRegistration"
        | "SubscriptionNotRegistered" => Cause::Unsupported,
        code if versions::UNKNOWN_VERSION_CODES.contains(&code) => Cause::Unsupported,
        "AuthenticationFailed"
        | "ExpiredAuthenticationToken"
        | "InvalidAuthenticationToken"
        | "InvalidAuthenticationTokenAudience" => Cause::AuthenticationFailed,
        "ResourceNotFound"
        | "ResourceGroupNotFound"
        | "SubscriptionNotFound"
        | "Request_ResourceNotFound" => Cause::NotFound,
        // `RoleAssignmentExists` is here because a list may not show that assignment yet.
        "PrincipalNotFound" | "RoleDefinitionDoesNotExist" | "RoleAssignmentExists" => {
            Cause::Propagating
        }
        "AnotherOperationInProgress" | "RetryableError" => Cause::Unavailable,
        "RoleAssignmentUpdateNotPermitted" => Cause::NotOurs,
        "RoleAssignmentLimitExceeded" => Cause::QuotaExceeded,
        "ScopeLocked" | "ReadOnlyDisabledSubscription" => Cause::Locked,
        "InvalidPrincipalId" | "UnmatchedPrincipalType" | "PrincipalTypeNotSupported" => {
            Cause::InvalidSpec
        }
        // acr-attach has made this name, so a malformed one is its fault.
        "InvalidRoleAssignmentId" => Cause::Internal,
        _ => return None,
    })
}

fn by_status(status: u16, retry_after: Option<Duration>) -> Cause {
    match status {
        401 => Cause::AuthenticationFailed,
        403 => Cause::AccessDenied,
        404 => Cause::NotFound,
        429 => throttled(retry_after),
        // A time-out and a rejected replay are transient (RFC 9110 section 15.5.9, RFC 8470).
        408 | 425 => Cause::Unavailable,
        // The reason is unknown. A conflict or a lock may be transient or not: Azure also answers
        // 409 for a subscription that a user has to enable or register.
        400..=499 => Cause::Undetermined,
        _ => Cause::Unavailable,
    }
}

/// The cause of a failed sign-in. Instance metadata answers 400 when the node has no such identity.
/// A status that is not listed here is worth a retry.
fn sign_in_status(status: u16, retry_after: Option<Duration>) -> Cause {
    match status {
        429 => throttled(retry_after),
        400 | 401 | 403 => Cause::AuthenticationFailed,
        _ => Cause::Unavailable,
    }
}

fn throttled(retry_after: Option<Duration>) -> Cause {
    Cause::Throttled { retry_after: pause(retry_after) }
}

#[cfg(test)]
mod tests {
    use super::super::error::Refusal;
    use super::*;
    use acr_attach_core::problem::Stalls;

    fn problem_of(subject: Subject, status: u16, code: &str) -> Problem {
        let refusal = Refusal {
            status,
            code: code.into(),
            message: "Azure's own words.".into(),
            retry_after: (status == 429).then(|| Duration::from_secs(7)),
            correlation_id: Some("c0ffee".into()),
        };
        let attempt = Attempt {
            subject,
            operation: "reading registry",
            target: "/subscriptions/s/contoso".into(),
            action: "Microsoft.ContainerRegistry/registries/read",
            role: "Reader",
            ..Attempt::default()
        };
        Error::refused(&attempt, refusal).into()
    }

    fn problem(status: u16, code: &str) -> Problem {
        problem_of(Subject::Registry, status, code)
    }

    /// Each case ends with words of the advice; none if the failure is transient.
    #[rstest::rstest]
    #[case(403, "AuthorizationFailed", Cause::AccessDenied, "--role \"Reader\"")]
    #[case(403, "LinkedAuthorizationFailed", Cause::AccessDenied, "--role \"Reader\"")]
    #[case(403, "Authorization_RequestDenied", Cause::AccessDenied, "--role \"Reader\"")]
    #[case(403, "RequestDisallowedByPolicy", Cause::AccessDenied, "exempt this scope")]
    #[case(403, "SomethingElse", Cause::AccessDenied, "Azure says: Azure's own words")]
    #[case(403, "", Cause::AccessDenied, "check the operator's proxy")]
    #[case(401, "InvalidAuthenticationTokenTenant", Cause::Unsupported, "use method PullSecret")]
    #[case(401, "ExpiredAuthenticationToken", Cause::AuthenticationFailed, "the clock of its node")]
    #[case(
        401,
        "InvalidAuthenticationToken",
        Cause::AuthenticationFailed,
        "check the operator's --cloud"
    )]
    #[case(401, "InvalidAuthenticationTokenAudience", Cause::AuthenticationFailed, "--cloud")]
    #[case(
        401,
        "AuthenticationFailed",
        Cause::AuthenticationFailed,
        "check the operator's --cloud"
    )]
    #[case(401, "", Cause::AuthenticationFailed, "check the operator's --cloud")]
    #[case(404, "ResourceNotFound", Cause::NotFound, "check the spelling of the registry's id")]
    #[case(
        404,
        "ResourceGroupNotFound",
        Cause::NotFound,
        "check the spelling of the registry's id"
    )]
    #[case(404, "SubscriptionNotFound", Cause::NotFound, "check the spelling of the registry's id")]
    #[case(404, "", Cause::NotFound, "check the spelling of the registry's id")]
    #[case(400, "PrincipalNotFound", Cause::Propagating, "kubeletIdentity.principalId")]
    #[case(400, "RoleDefinitionDoesNotExist", Cause::Propagating, "switch the registry back")]
    #[case(409, "RoleAssignmentExists", Cause::Propagating, "az role assignment list --scope")]
    #[case(409, "ScopeLocked", Cause::Locked, "remove the lock")]
    #[case(409, "ReadOnlyDisabledSubscription", Cause::Locked, "enable subscription s again")]
    #[case(409, "MissingSubscriptionRegistration", Cause::Unsupported, "az provider register")]
    #[case(409, "SubscriptionNotRegistered", Cause::Unsupported, "az provider register")]
    #[case(403, "DenyAssignmentAuthorizationFailed", Cause::AccessDenied, "no role overrides it")]
    #[case(400, "RoleAssignmentUpdateNotPermitted", Cause::NotOurs, "delete it (az role")]
    #[case(400, "RoleAssignmentLimitExceeded", Cause::QuotaExceeded, "remove some")]
    #[case(409, "RoleAssignmentLimitExceeded", Cause::QuotaExceeded, "remove some")]
    #[case(400, "UnmatchedPrincipalType", Cause::InvalidSpec, "servicePrincipal.objectId")]
    #[case(400, "InvalidPrincipalId", Cause::InvalidSpec, "kubeletIdentity.principalId")]
    #[case(400, "PrincipalTypeNotSupported", Cause::InvalidSpec, "not the client id")]
    #[case(400, "InvalidRoleAssignmentId", Cause::Internal, "please report it")]
    #[case(400, "HashConflictOnDifferentRoleAssignmentIds", Cause::Undetermined, "own words")]
    #[case(400, "NoRegisteredProviderFound", Cause::Unsupported, "update acr-attach")]
    #[case(404, "InvalidResourceType", Cause::Unsupported, "update acr-attach")]
    #[case(400, "InvalidApiVersionParameter", Cause::Unsupported, "update acr-attach")]
    #[case(400, "SomethingElse", Cause::Undetermined, "Azure says: Azure's own words")]
    #[case(405, "", Cause::Undetermined, "Azure says: Azure's own words")]
    #[case(409, "AnotherOperationInProgress", Cause::Unavailable, "")]
    #[case(409, "SomethingElse", Cause::Undetermined, "Azure says: Azure's own words")]
    #[case(409, "", Cause::Undetermined, "Azure says: Azure's own words")]
    #[case(412, "", Cause::Undetermined, "Azure says: Azure's own words")]
    #[case(423, "", Cause::Undetermined, "Azure says: Azure's own words")]
    #[case(408, "", Cause::Unavailable, "")]
    #[case(429, "TooManyRequests", Cause::Throttled { retry_after: Duration::from_secs(7) }, "")]
    #[case(500, "", Cause::Unavailable, "")]
    #[case(503, "ServerTimeout", Cause::Unavailable, "")]
    fn each_code_has_one_cause_and_its_advice(
        #[case] status: u16,
        #[case] code: &str,
        #[case] cause: Cause,
        #[case] advice: &str,
    ) {
        let problem = problem(status, code);
        assert_eq!(problem.cause, cause);
        assert!(problem.message.contains(advice), "{}", problem.message);
        assert!(cause.stalls() == Stalls::Never || !advice.is_empty(), "no advice");
        if status >= 429 {
            assert!(!problem.message.contains("own words"), "the message differs each time");
        }
    }

    #[rstest::rstest]
    #[case(Subject::Cluster, 404, "ResourceNotFound", "kubeletIdentity.clusterResourceId")]
    #[case(Subject::Cluster, 401, "InvalidAuthenticationTokenTenant", "the cluster is in another")]
    #[case(Subject::ServicePrincipal, 404, "Request_ResourceNotFound", "az ad sp create --id")]
    fn the_advice_depends_on_the_subject(
        #[case] subject: Subject,
        #[case] status: u16,
        #[case] code: &str,
        #[case] advice: &str,
    ) {
        let text = problem_of(subject, status, code).message;
        assert!(text.contains(advice) && !text.contains("the registry's id"), "{text}");
    }

    #[rstest::rstest]
    #[case(400, "", Cause::Unavailable)]
    #[case(401, "UNAUTHORIZED", Cause::AccessDenied)]
    #[case(401, "", Cause::AccessDenied)]
    fn the_message_of_a_registry_is_not_repeated(
        #[case] status: u16,
        #[case] code: &str,
        #[case] cause: Cause,
    ) {
        let problem = problem_of(Subject::LoginServer, status, code);
        assert_eq!(problem.cause, cause);
        assert!(!problem.message.contains("own words"), "{}", problem.message);
    }

    #[rstest::rstest]
    #[case("RequestDisallowedByPolicy", "a policy of Azure")]
    #[case("", "on the way there")]
    #[case("DenyAssignmentAuthorizationFailed", "deny assignment")]
    fn a_role_is_not_advised_for_other_refusals(#[case] code: &str, #[case] word: &str) {
        let text = problem(403, code).message;
        assert!(text.contains(word) && !text.contains("az role"), "{text}");
        assert_eq!(text.contains("proxy"), code.is_empty(), "{text}");
    }
}

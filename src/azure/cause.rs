//! What a failure of Azure means, and what to do about it: the one place that classifies it.

use std::time::Duration;

use super::entra::{Identity, Proof, ServicePrincipal};
use super::error::{Error, Failure};
use super::permission;
use super::transport::wait;
use crate::domain::problem::{Cause, Problem};

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let mut problem = Self::new(error.cause(), format!("{error}{}", error.remedy()));
        if let Failure::Refused { correlation_id, .. } = *error.failure {
            problem.correlation_id = correlation_id;
        }
        problem
    }
}

impl Error {
    fn cause(&self) -> Cause {
        match &*self.failure {
            Failure::Refused { status, code, retry_after, .. } => {
                let by_status = || match status {
                    // Entra has accepted the principal before.
                    401 if self.attempt.at_registry => Cause::AccessDenied,
                    _ => by_status(*status, *retry_after),
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

    /// What to do about it, where the failure itself does not say.
    fn remedy(&self) -> String {
        if self.attempt.at_registry {
            return self.registry_remedy();
        }
        let Failure::Refused { status, code, object_id, .. } = &*self.failure else {
            return String::new();
        };
        let text = match (code.as_str(), status) {
            ("InvalidAuthenticationTokenTenant", _) => {
                "; it is in another tenant than the operator's identity, which a kubelet identity cannot reach; attach a registry of the cluster's own tenant"
            }
            ("ScopeLocked", _) => "; remove the lock from it, or from what contains it",
            ("RoleAssignmentLimitExceeded", _) => {
                "; remove role assignments that are not needed, or ask Azure for a higher limit"
            }
            ("NoRegisteredProviderFound", _) => {
                "; this cloud or region does not know the api-version that acr-attach asks for"
            }
            (
                "AuthorizationFailed" | "LinkedAuthorizationFailed" | "Authorization_RequestDenied",
                _,
            ) => {
                return permission::remedy(&self.attempt, object_id.as_deref());
            }
            ("RequestDisallowedByPolicy", _) => {
                "; a policy of Azure forbids it; exempt this scope from it, or change it"
            }
            (_, 403) => {
                return format!(
                    "; Azure, or something on the way there, forbids it; check the operator's proxy, and that its identity has {}",
                    self.attempt.action
                );
            }
            (_, 404) => {
                "; create it, or correct the id (a registry's id is immutable: delete this attachment and create one with the right id)"
            }
            _ => "",
        };
        text.to_owned()
    }
}

impl Error {
    /// The same for what a registry itself did not do.
    fn registry_remedy(&self) -> String {
        match &*self.failure {
            Failure::Refused { status: 401, .. } => {
                "; Entra accepts the service principal, so it has no role there that lets it pull, or the registry is of another tenant, or takes no tokens for Azure Resource Manager where the tenant knows no others; assign it AcrPull, or Container Registry Repository Reader where the registry is in ABAC mode (az role assignment create --assignee <client id> --role AcrPull --scope <registry id>); a new role takes up to 10 minutes".to_owned()
            }
            Failure::Refused { status: 403, address: Some(address), .. } => format!(
                "; its firewall does not admit the operator's address {address}; allow it there, give the cluster a private endpoint, or set pullSecret.credential to ClientSecret, which needs no exchange"
            ),
            Failure::Refused { status: 403, .. } => {
                "; it, or something on the way there, forbids the request; check its network rules and the operator's proxy".to_owned()
            }
            Failure::Refused { status: 404, .. } | Failure::NoAnswer(_) | Failure::Unreadable(_) => {
                "; check that this is the registry's login server (az acr show --name <name> --query loginServer) and that the operator can reach it".to_owned()
            }
            _ => String::new(),
        }
    }
}

/// Codes come before statuses: Azure uses one status for many things.
fn by_code(code: &str) -> Option<Cause> {
    Some(match code {
        "AuthorizationFailed"
        | "LinkedAuthorizationFailed"
        | "Authorization_RequestDenied"
        | "RequestDisallowedByPolicy"
        | "UNAUTHORIZED"
        | "DENIED" => Cause::AccessDenied,
        "InvalidAuthenticationTokenTenant" | "NoRegisteredProviderFound" => Cause::Unsupported,
        "AuthenticationFailed"
        | "ExpiredAuthenticationToken"
        | "InvalidAuthenticationToken"
        | "InvalidAuthenticationTokenAudience" => Cause::AuthenticationFailed,
        "ResourceNotFound" | "ResourceGroupNotFound" | "SubscriptionNotFound" => Cause::NotFound,
        "PrincipalNotFound" | "RoleDefinitionDoesNotExist" => Cause::Propagating,
        "RoleAssignmentExists" | "HashConflictOnDifferentRoleAssignmentIds" => Cause::Unavailable,
        "RoleAssignmentUpdateNotPermitted" => Cause::NotOurs,
        "RoleAssignmentLimitExceeded" => Cause::QuotaExceeded,
        "ScopeLocked" => Cause::Locked,
        "InvalidPrincipalId" | "UnmatchedPrincipalType" => Cause::InvalidSpec,
        // The name is ours alone.
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
        _ => Cause::Unavailable,
    }
}

/// Instance metadata answers 400 when no such identity is assigned to the node; every other
/// status but those is worth another try.
fn sign_in_status(status: u16, retry_after: Option<Duration>) -> Cause {
    match status {
        429 => throttled(retry_after),
        400 | 401 | 403 => Cause::AuthenticationFailed,
        _ => Cause::Unavailable,
    }
}

fn throttled(retry_after: Option<Duration>) -> Cause {
    Cause::Throttled { retry_after: wait(retry_after) }
}

/// What to do about a refusal of Entra.
pub(super) fn advice(code: Option<&str>, identity: &Identity) -> String {
    match (code.unwrap_or_default(), identity) {
        // 70021, and since 2024 700211, 700212, 700213 and their variants.
        (code, identity) if code.starts_with("AADSTS70021") => advice_for_token(identity),
        (code, Identity::ServicePrincipal(it)) => advice_for_principal(code, it),
        (code, _) => advice_for_operator(code),
    }
}

fn advice_for_token(identity: &Identity) -> String {
    let add = identity.federation().map_or_else(String::new, |it| {
        let client = identity.client().unwrap_or_default();
        format!(": {it} ({})", it.command(client))
    });
    format!(
        "; no federated credential of the application matches; add one{add}; Entra must be able to reach the issuer"
    )
}

fn advice_for_principal(code: &str, principal: &ServicePrincipal) -> String {
    let ServicePrincipal { client, proof, .. } = principal;
    match (code, proof) {
        ("AADSTS7000215", Proof::Secret { origin, .. }) => format!(
            "; put the value (not the id) of a valid client secret into {origin}; a new one may take a minute to be accepted"
        ),
        ("AADSTS7000222", Proof::Secret { origin, .. }) => format!(
            "; create another client secret (az ad app credential reset --append --id {client}) and put it into {origin}"
        ),
        ("AADSTS700016", _) => {
            "; check pullSecret.servicePrincipal.clientId and tenantId".to_owned()
        }
        ("AADSTS90002", _) => "; check pullSecret.servicePrincipal.tenantId".to_owned(),
        ("AADSTS500011" | "AADSTS50001", _) => "; check the operator's --acr-audience".to_owned(),
        _ => String::new(),
    }
}

fn advice_for_operator(code: &str) -> String {
    let text = match code {
        "AADSTS7000215" => "; set AZURE_CLIENT_SECRET to a valid secret's value",
        "AADSTS7000222" => "; the client secret has expired, create another",
        "AADSTS700016" => "; check AZURE_CLIENT_ID and AZURE_TENANT_ID",
        "AADSTS90002" => "; check AZURE_TENANT_ID",
        _ => "",
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::error::{Attempt, Refusal};
    use super::*;

    fn problem(status: u16, code: &str, message: &str) -> Problem {
        let refusal = Refusal {
            status,
            code: code.into(),
            message: message.into(),
            retry_after: (status == 429).then(|| Duration::from_secs(7)),
            correlation_id: Some("c0ffee".into()),
        };
        let attempt = Attempt {
            doing: "reading registry",
            target: "contoso".into(),
            action: "Microsoft.ContainerRegistry/registries/read",
            role: "Reader",
            ..Attempt::default()
        };
        Error::refused(&attempt, refusal).into()
    }

    #[rstest::rstest]
    #[case(403, "AuthorizationFailed", Cause::AccessDenied)]
    #[case(403, "LinkedAuthorizationFailed", Cause::AccessDenied)]
    #[case(403, "Authorization_RequestDenied", Cause::AccessDenied)]
    #[case(403, "RequestDisallowedByPolicy", Cause::AccessDenied)]
    #[case(403, "", Cause::AccessDenied)]
    #[case(401, "InvalidAuthenticationTokenTenant", Cause::Unsupported)]
    #[case(401, "ExpiredAuthenticationToken", Cause::AuthenticationFailed)]
    #[case(401, "", Cause::AuthenticationFailed)]
    #[case(404, "ResourceNotFound", Cause::NotFound)]
    #[case(404, "ResourceGroupNotFound", Cause::NotFound)]
    #[case(404, "SubscriptionNotFound", Cause::NotFound)]
    #[case(400, "PrincipalNotFound", Cause::Propagating)]
    #[case(400, "RoleDefinitionDoesNotExist", Cause::Propagating)]
    #[case(409, "RoleAssignmentExists", Cause::Unavailable)]
    #[case(409, "ScopeLocked", Cause::Locked)]
    #[case(400, "RoleAssignmentUpdateNotPermitted", Cause::NotOurs)]
    #[case(400, "RoleAssignmentLimitExceeded", Cause::QuotaExceeded)]
    #[case(409, "RoleAssignmentLimitExceeded", Cause::QuotaExceeded)]
    #[case(400, "UnmatchedPrincipalType", Cause::InvalidSpec)]
    #[case(400, "InvalidPrincipalId", Cause::InvalidSpec)]
    #[case(400, "InvalidRoleAssignmentId", Cause::Internal)]
    #[case(400, "HashConflictOnDifferentRoleAssignmentIds", Cause::Unavailable)]
    #[case(400, "NoRegisteredProviderFound", Cause::Unsupported)]
    #[case(429, "TooManyRequests", Cause::Throttled { retry_after: Duration::from_secs(7) })]
    #[case(500, "", Cause::Unavailable)]
    #[case(503, "ServerTimeout", Cause::Unavailable)]
    #[case(418, "", Cause::Unavailable)]
    fn a_code_has_one_cause(#[case] status: u16, #[case] code: &str, #[case] cause: Cause) {
        assert_eq!(problem(status, code, "").cause, cause);
    }
    #[rstest::rstest]
    #[case("RequestDisallowedByPolicy", "a policy of Azure")]
    #[case("", "on the way there")]
    fn a_role_is_no_cure_for_other_refusals(#[case] code: &str, #[case] word: &str) {
        let text = problem(403, code, "").message;
        assert!(text.contains(word) && !text.contains("az role"), "{text}");
    }
}

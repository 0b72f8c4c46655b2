//! Entra's errors: `error`, a description of several lines, and the AADSTS number
//! (Entra docs, `reference-error-codes`; texts as reported in azure-workload-identity issues 616
//! and 1200, Azure/login issues 482 and 517).

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::{azure::Failure, http::Reply, model::FederatedCredential};

const FEDERATION_DOCS: &str =
    "https://learn.microsoft.com/entra/workload-id/workload-identity-federation";

/// An error of the token endpoint.
#[derive(Debug, thiserror::Error)]
#[error("AADSTS{number}: {text}")]
pub(crate) struct EntraError {
    status: StatusCode,
    error: &'static str,
    number: u64,
    text: String,
}

impl EntraError {
    fn bad_request(error: &'static str, number: u64, text: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error, number, text }
    }

    fn invalid_client(number: u64, text: String) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, error: "invalid_client", number, text }
    }

    pub(super) fn unknown_endpoint() -> Self {
        let text = "Endpoint not found.".into();
        Self { status: StatusCode::NOT_FOUND, error: "invalid_request", number: 90_023, text }
    }

    pub(super) fn internal(cause: &str) -> Self {
        let text = format!("An unexpected error occurred: {cause}");
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            error: "server_error",
            number: 90_033,
            text,
        }
    }

    pub(super) fn unknown_tenant(tenant: &str) -> Self {
        let text = format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and \
             are signing into the correct cloud. Check with your subscription administrator, this \
             may happen if there are no active subscriptions for the tenant."
        );
        Self::bad_request("invalid_request", 90_002, text)
    }

    pub(super) fn missing_parameter(name: &str) -> Self {
        let text = format!("The request body must contain the following parameter: '{name}'.");
        Self::bad_request("invalid_request", 900_144, text)
    }

    pub(super) fn unsupported_grant(grant: &str) -> Self {
        let text = format!("The app requested an unsupported grant type '{grant}'.");
        Self::bad_request("unsupported_grant_type", 70_003, text)
    }

    pub(super) fn unknown_application(client_id: &str, tenant: &str) -> Self {
        let text = format!(
            "Application with identifier '{client_id}' was not found in the directory '{tenant}'. \
             This can happen if the application has not been installed by the administrator of \
             the tenant or consented to by any user in the tenant. You may have sent your \
             authentication request to the wrong tenant."
        );
        Self::bad_request("unauthorized_client", 700_016, text)
    }

    pub(super) fn invalid_scope(scope: &str) -> Self {
        let text = format!(
            "The provided value for scope {scope} is not valid. Client credential flows must have \
             a scope value with /.default suffixed to the resource identifier (application ID URI)."
        );
        Self::bad_request("invalid_scope", 1_002_012, text)
    }

    pub(super) fn unknown_resource(resource: &str, tenant: &str) -> Self {
        let text = format!(
            "The resource principal named {resource} was not found in the tenant named {tenant}. \
             This can happen if the application has not been installed by the administrator of \
             the tenant or consented to by any user in the tenant. You might have sent your \
             authentication request to the wrong tenant."
        );
        Self::bad_request("invalid_resource", 500_011, text)
    }

    pub(super) fn no_credential() -> Self {
        let text = "'client_assertion', 'client_secret' or 'request' is required for the \
                    'client_credentials' grant type.";
        Self::invalid_client(7_000_216, text.into())
    }

    pub(super) fn wrong_secret(app: &str) -> Self {
        let text = format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the \
             client secret value, not the client secret ID, for a secret added to app '{app}'."
        );
        Self::invalid_client(7_000_215, text)
    }

    pub(super) fn expired_secret(app: &str) -> Self {
        let text = format!(
            "The provided client secret keys for app '{app}' are expired. Visit the Azure portal \
             to create new keys for your app: https://aka.ms/NewClientSecret, or consider using \
             certificate credentials for added security: https://aka.ms/certCreds."
        );
        Self::invalid_client(7_000_222, text)
    }

    pub(super) fn malformed_assertion() -> Self {
        let text = "JWT token is invalid or malformed.".into();
        Self::bad_request("invalid_request", 50_027, text)
    }

    pub(super) fn no_federated_credential(issuer: &str, subject: &str, audience: &str) -> Self {
        let text = format!(
            "No matching federated identity record found for presented assertion. Assertion \
             Issuer: '{issuer}'. Assertion Subject: '{subject}'. Assertion Audience: '{audience}'. \
             {FEDERATION_DOCS}"
        );
        Self::bad_request("invalid_request", 70_021, text)
    }

    pub(super) fn wrong_issuer(issuer: &str) -> Self {
        Self::invalid_client(700_211, no_match("issuer", issuer))
    }

    pub(super) fn wrong_subject(subject: &str) -> Self {
        Self::invalid_client(700_213, no_match("subject", subject))
    }

    pub(super) fn wrong_audience(audience: &str) -> Self {
        Self::invalid_client(700_212, no_match("audience", audience))
    }

    pub(super) fn subject_in_other_case(subject: &str) -> Self {
        let text = format!(
            "No matching federated identity record found for presented assertion subject \
             '{subject}'. The subject matches with case-insensitive comparison, but not with \
             case-sensitive comparison. Check your federated identity credential Subject, Audience \
             and Issuer against the presented assertion. {FEDERATION_DOCS}"
        );
        Self::invalid_client(7_002_138, text)
    }

    pub(super) fn unreachable_issuer(credential: &FederatedCredential) -> Self {
        let text = format!("Request to External OIDC endpoint failed: {}.", credential.issuer);
        Self::bad_request("invalid_request", 90_061, text)
    }

    pub(super) fn wrong_signature() -> Self {
        let text = "Assertion failed signature validation. [Reason - The provided signature value \
                    did not match the expected signature value.]";
        Self::invalid_client(50_013, text.into())
    }

    pub(super) fn expired_assertion(now: Timestamp, from: Timestamp, until: Timestamp) -> Self {
        let text = format!(
            "Client assertion is not within its valid time range. Current time: {now}, assertion \
             valid from {from}, expiry time of assertion {until}. Review the documentation at \
             https://learn.microsoft.com/entra/identity-platform/certificate-credentials"
        );
        Self::invalid_client(700_024, text)
    }

    pub(crate) fn into_reply(self) -> Reply {
        let description = self.to_string();
        reply(self.status, self.error, &description, Some(self.number))
    }
}

fn no_match(part: &str, value: &str) -> String {
    format!(
        "No matching federated identity record found for presented assertion {part} '{value}'. \
         Check your federated identity credential Subject, Audience and Issuer against the \
         presented assertion. {FEDERATION_DOCS}"
    )
}

/// The answer to a fault.
pub(crate) fn error(failure: &Failure<'_>) -> Reply {
    let digits = failure.message.split("AADSTS").nth(1).unwrap_or_default();
    let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
    reply(failure.status, failure.code, failure.message, digits.parse().ok())
}

/// Every description ends with these three lines.
fn reply(status: StatusCode, error: &str, description: &str, number: Option<u64>) -> Reply {
    let (trace, correlation) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    let time = Timestamp::now().strftime("%Y-%m-%d %H:%M:%SZ").to_string();
    let mut body = json!({
        "error": error,
        "error_description": format!(
            "{description}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {time}"
        ),
        "error_codes": number.iter().collect::<Vec<_>>(),
        "timestamp": time,
        "trace_id": trace,
        "correlation_id": correlation,
    });
    if let Some(number) = number {
        body["error_uri"] = format!("https://login.microsoftonline.com/error?code={number}").into();
    }
    let code = number.map_or_else(|| error.to_owned(), |it| format!("AADSTS{it}"));
    with_headers(Reply::json(status, &body)).coded(&code)
}

/// The headers that all answers of the token endpoint have.
pub(super) fn with_headers(reply: Reply) -> Reply {
    reply
        .header("cache-control", "no-store, no-cache")
        .header("pragma", "no-cache")
        .header("expires", "-1")
        .header("strict-transport-security", "max-age=31536000; includeSubDomains")
        .header("x-content-type-options", "nosniff")
        .header("x-ms-request-id", Uuid::new_v4().to_string())
        .header("x-ms-ests-server", "2.1.0 - SIM ProdSlices")
}

//! Graph's errors: `{"error":{"code","message","innerError"}}`.

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::with_headers;
use crate::{
    azure::Failure,
    http::{Reply, Request},
};

/// An error of Graph.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub(super) struct GraphError {
    status: StatusCode,
    code: String,
    message: String,
}

impl GraphError {
    fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into() }
    }

    fn bad_request(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// A request that this simulator does not know; the journal marks it. Graph has this text
    /// for paths that it does not know (msgraph-beta-sdk-python issue 764).
    pub(super) fn unknown(request: &Request) -> Self {
        let segments = request.segments();
        let segment = segments.get(1).or(segments.first()).map_or("", String::as_str);
        let message = format!("Resource not found for the segment '{segment}'.");
        Self::bad_request("BadRequest", message)
    }

    pub(super) fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", message)
    }

    pub(super) fn denied() -> Self {
        let message = "Insufficient privileges to complete the operation.";
        Self::new(StatusCode::FORBIDDEN, "Authorization_RequestDenied", message)
    }

    /// The text is known with object ids (microsoft-graph-docs issue 6059); that it names an
    /// application id in the same place was not seen.
    pub(super) fn not_found(id: &str) -> Self {
        let message = format!(
            "Resource '{id}' does not exist or one of its queried reference-property objects are \
             not present."
        );
        Self::new(StatusCode::NOT_FOUND, "Request_ResourceNotFound", message)
    }

    /// microsoft-graph-docs issue 10989.
    pub(super) fn invalid_filter() -> Self {
        Self::bad_request("BadRequest", "Invalid filter clause")
    }

    /// microsoft-graph-docs issue 18795, and `Microsoft365DSC` issue 6382 for an `appId` that is
    /// none.
    pub(super) fn unsupported_filter(property: &str) -> Self {
        let message = format!(
            "Unsupported or invalid query filter clause specified for property '{property}' of \
             resource 'ServicePrincipal'."
        );
        Self::bad_request("Request_UnsupportedQuery", message)
    }

    /// mguessan/davmail issue 488.
    pub(super) fn unknown_property(property: &str) -> Self {
        let message = format!(
            "Parsing OData Select and Expand failed: Could not find a property named '{property}' \
             on type 'microsoft.graph.servicePrincipal'."
        );
        Self::bad_request("BadRequest", message)
    }

    pub(super) fn into_reply(self, request: &Request) -> Reply {
        let client_request_id = request.header("client-request-id");
        let reply = reply(self.status, &self.code, &self.message, client_request_id);
        if self.status != StatusCode::UNAUTHORIZED {
            return reply;
        }
        // microsofthackathons/tdi issue 24.
        let challenge = "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/\
                         common/oauth2/authorize\", \
                         client_id=\"00000003-0000-0000-c000-000000000000\"";
        reply.header("www-authenticate", challenge)
    }
}

/// The answer to a fault.
pub(crate) fn error(request: &Request, failure: &Failure<'_>) -> Reply {
    let client_request_id = request.header("client-request-id");
    reply(failure.status, failure.code, failure.message, client_request_id)
}

/// The ids are the same unless the client sends one of its own.
fn reply(status: StatusCode, code: &str, message: &str, client_request_id: Option<&str>) -> Reply {
    let id = Uuid::new_v4().to_string();
    let client_request_id = client_request_id.unwrap_or(&id);
    let body = json!({"error": {
        "code": code,
        "message": message,
        "innerError": {
            "date": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S").to_string(),
            "request-id": id,
            "client-request-id": client_request_id,
        },
    }});
    with_headers(Reply::text(status, "application/json", body.to_string()))
        .header("request-id", &id)
        .header("client-request-id", client_request_id)
        .coded(code)
}

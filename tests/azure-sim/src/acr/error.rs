//! A registry's errors: `{"errors":[{"code","message","detail"}]}`
//! (distribution, `docs/content/spec/api.md`), with the texts that were recorded.

use std::net::IpAddr;

use hyper::StatusCode;
use serde_json::{Value, json};

use super::scope::Access;
use crate::{azure::Failure, http::Reply};

const AUTHENTICATION_REQUIRED: &str =
    "authentication required, visit https://aka.ms/acr/authorization for more information.";

/// Why a registry does not do what it is asked.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub(super) struct Refusal {
    status: StatusCode,
    code: String,
    message: String,
    detail: Option<Value>,
    challenge: Option<String>,
    names_correlation: bool,
}

impl Refusal {
    fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            detail: None,
            challenge: None,
            names_correlation: false,
        }
    }

    pub(super) fn of(failure: &Failure<'_>) -> Self {
        Self::new(failure.status, failure.code, failure.message)
    }

    /// The firewall's answer.
    pub(super) fn denied(client: IpAddr) -> Self {
        let message = format!(
            "client with IP '{client}' is not allowed access. Refer https://aka.ms/acr/firewall to \
             grant access."
        );
        Self::new(StatusCode::FORBIDDEN, "DENIED", message)
    }

    /// 401 at `/oauth2/…`, as recorded at exchange for an identity without a role. That the text
    /// is the same for tokens which are not accepted at all was not seen.
    pub(super) fn unauthorized() -> Self {
        let refusal = Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", AUTHENTICATION_REQUIRED);
        Self { names_correlation: true, ..refusal }
    }

    /// A client secret that Entra does not accept, or a client id that it does not know
    /// (Azure/docker-login issue 46, azure-pipelines-tasks issue 15548).
    pub(super) fn wrong_secret() -> Self {
        let message = "Invalid clientid or client secret.";
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
    }

    /// A user name that is no client id (vscode-docker issue 3780).
    pub(super) fn not_a_client_id() -> Self {
        let message = "aad access token with sp failed client id must be guid";
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
    }

    /// 401 with the challenge that tells where to get which token. `error` is for tokens that
    /// came and were not enough.
    pub(super) fn challenge(
        host: &str,
        service: &str,
        wanted: Option<&Access>,
        error: Option<&str>,
    ) -> Self {
        let mut challenge =
            format!("Bearer realm=\"https://{host}/oauth2/token\",service=\"{service}\"");
        for (name, value) in
            [("scope", wanted.map(Access::to_string)), ("error", error.map(Into::into))]
        {
            if let Some(value) = value {
                challenge = format!("{challenge},{name}=\"{value}\"");
            }
        }
        let detail = wanted.map(|it| {
            let actions = it.actions.join(",");
            json!([{"Type": it.kind, "Name": it.name, "Action": actions}])
        });
        let refusal = Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", AUTHENTICATION_REQUIRED);
        Self { challenge: Some(challenge), detail, ..refusal }
    }

    /// 401 for a wrong user name or password on a path of the registry (Azure/acr issue 651).
    pub(super) fn wrong_basic() -> Self {
        let refusal = Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", AUTHENTICATION_REQUIRED);
        Self { challenge: Some("Basic realm=\"Azure Container Registry\"".into()), ..refusal }
    }

    /// A token request that is not understood. The body is empty, as recorded for the password
    /// grant (nerdctl issue 737).
    pub(super) fn bad_request(code: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, "")
    }

    /// A path that the registry does not have.
    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "the path is not known to the registry")
    }

    pub(super) fn name_unknown(name: &str) -> Self {
        let message = "repository name not known to registry";
        let refusal = Self::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", message);
        Self { detail: Some(json!({"name": name})), ..refusal }
    }

    /// The text for tags is that of azure-docs issue 90060.
    pub(super) fn manifest_unknown(reference: &str) -> Self {
        let (message, detail) = if reference.contains(':') {
            (format!("manifest {reference} is not found"), json!({"Digest": reference}))
        } else {
            (format!("manifest tagged by \"{reference}\" is not found"), json!({"Tag": reference}))
        };
        let refusal = Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", message);
        Self { detail: Some(detail), ..refusal }
    }

    /// As `distribution` has it; what the registry says was not seen.
    pub(super) fn blob_unknown(digest: &str) -> Self {
        let message = "blob unknown to registry";
        let refusal = Self::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", message);
        Self { detail: Some(json!(digest)), ..refusal }
    }

    pub(super) fn internal(cause: &str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", cause)
    }

    pub(super) fn into_reply(self, correlation: &str) -> Reply {
        let Self { status, code, mut message, detail, challenge, names_correlation } = self;
        if status == StatusCode::BAD_REQUEST && message.is_empty() {
            return Reply::empty(status).coded(&code);
        }
        if names_correlation {
            message = format!("{message} CorrelationId: {correlation}");
        }
        let mut error = json!({"code": code, "message": message});
        if let Some(detail) = detail {
            error["detail"] = detail;
        }
        let reply = Reply::json(status, &json!({"errors": [error]})).coded(&code);
        match challenge {
            Some(challenge) => reply.header("www-authenticate", challenge),
            None => reply,
        }
    }
}

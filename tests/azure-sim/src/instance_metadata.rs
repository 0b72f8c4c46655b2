//! Instance metadata's token endpoint
//! (Azure docs, `managed-identities-azure-resources/how-to-use-vm-token`).

use hyper::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::{
    Call,
    azure::{Azure, Failure},
    entra,
    http::{Reply, Request},
    model::{Model, Principal},
};

const TOKEN: &str = "/metadata/identity/oauth2/token";

pub(crate) fn call(request: &Request) -> Option<Call> {
    let path = request.path.trim_end_matches('/');
    (path.eq_ignore_ascii_case(TOKEN) && request.method == Method::GET)
        .then_some(Call::InstanceMetadata)
}

pub(crate) fn caller(azure: &Azure, request: &Request) -> Option<String> {
    identity(&azure.model(), request).ok().map(|it| it.object_id.clone())
}

pub(crate) fn answer(azure: &Azure, request: &Request) -> Reply {
    if call(request).is_none() {
        return refuse(StatusCode::NOT_FOUND, "not_found", "The path is not known.");
    }
    token(azure, request).unwrap_or_else(|it| refuse(it.status, it.error, &it.description))
}

/// Why there is no token.
struct Refusal {
    status: StatusCode,
    error: &'static str,
    description: String,
}

impl Refusal {
    fn bad_request(description: &str) -> Self {
        let (status, error) = (StatusCode::BAD_REQUEST, "invalid_request");
        Self { status, error, description: description.into() }
    }

    fn internal(description: String) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, error: "unknown", description }
    }

    fn identity_not_found() -> Self {
        Self::bad_request("Identity not found")
    }
}

fn token(azure: &Azure, request: &Request) -> Result<Reply, Refusal> {
    if request.header("metadata").is_none_or(|it| !it.eq_ignore_ascii_case("true")) {
        return Err(Refusal::bad_request("Required metadata header not specified"));
    }
    let required = |name: &str| {
        let value = request.parameter(name).filter(|it| !it.is_empty());
        let description = format!("Required query variable '{name}' is missing");
        value.ok_or_else(|| Refusal::bad_request(&description))
    };
    required("api-version")?;
    let resource = required("resource")?;
    let model = azure.model();
    let principal = identity(&model, request)?;
    let tenant = model.tenant(&principal.tenant_id).ok_or_else(Refusal::identity_not_found)?;
    entra::known_resource(&model, tenant, &resource).map_err(|it| Refusal {
        error: "invalid_resource",
        ..Refusal::bad_request(&it.to_string())
    })?;

    let lifetime = model.settings.token_lifetimes.instance_metadata;
    let roles = entra::app_roles(&model, principal, &resource);
    let token = azure.tokens().issue(principal, &resource, roles, lifetime);
    let token = token.map_err(|it| Refusal::internal(it.to_string()))?;
    let now = Timestamp::now().as_second();
    // Numbers are texts here, unlike at Entra's own endpoint.
    let body = json!({
        "access_token": token,
        "client_id": principal.client_id,
        "expires_in": lifetime.to_string(),
        "expires_on": (now + i64::from(lifetime)).to_string(),
        "ext_expires_in": lifetime.to_string(),
        "not_before": now.to_string(),
        "resource": resource,
        "token_type": "Bearer",
    });
    Ok(with_headers(Reply::json(StatusCode::OK, &body)))
}

/// The identity of the host that the request names, or the only one there is.
fn identity<'a>(model: &'a Model, request: &Request) -> Result<&'a Principal, Refusal> {
    let on_host = || model.principals.iter().filter(|it| it.on_host);
    let is = |id: &Option<String>, wanted: &str| {
        id.as_ref().is_some_and(|it| it.eq_ignore_ascii_case(wanted))
    };
    let named = |name: &str| request.parameter(name);
    let found = if let Some(id) = named("client_id") {
        on_host().find(|it| is(&it.client_id, &id))
    } else if let Some(id) = named("object_id") {
        on_host().find(|it| it.object_id.eq_ignore_ascii_case(&id))
    } else if let Some(id) = named("msi_res_id").or_else(|| named("mi_res_id")) {
        on_host().find(|it| is(&it.resource_id, &id))
    } else if on_host().count() > 1 {
        return Err(Refusal::bad_request(
            "Multiple user assigned identities exist, please specify the clientId / resourceId of \
             the identity in the token request",
        ));
    } else {
        on_host().next()
    };
    found.ok_or_else(Refusal::identity_not_found)
}

fn refuse(status: StatusCode, error: &str, description: &str) -> Reply {
    let body = json!({"error": error, "error_description": description});
    with_headers(Reply::json(status, &body)).coded(error)
}

/// The answer to a fault.
pub(crate) fn error(failure: &Failure<'_>) -> Reply {
    refuse(failure.status, failure.code, failure.message)
}

fn with_headers(reply: Reply) -> Reply {
    reply
        .header("server", "IMDS/150.870.65.1325")
        .header("x-ms-request-id", Uuid::new_v4().to_string())
}

//! Entra's token endpoint, `POST /{tenant}/oauth2/v2.0/token`, for the client credentials flow
//! (Entra docs, `v2-oauth2-client-creds-grant-flow`).

mod assertion;
mod error;

use hyper::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::json;

use self::error::EntraError;
pub(crate) use self::error::error;
use crate::{
    Call,
    azure::Azure,
    hosts::Resource,
    http::{Reply, Request},
    model::{Model, Principal, Tenant, TokenLifetimes},
};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

pub(crate) fn call(request: &Request) -> Option<Call> {
    let tail = ["oauth2", "v2.0", "token"];
    let segments = request.segments();
    let is_token = segments.len() == 4
        && segments[1..].iter().zip(tail).all(|(it, expected)| it.eq_ignore_ascii_case(expected));
    (is_token && request.method == Method::POST).then_some(Call::Token)
}

/// The principal that the request names, whether or not it can prove it.
pub(crate) fn caller(azure: &Azure, request: &Request) -> Option<String> {
    let model = azure.model();
    let tenant = model.tenant(request.segments().first()?)?;
    let principal = service_principal(&model, tenant, &request.field("client_id")?)?;
    Some(principal.object_id.clone())
}

pub(crate) fn answer(azure: &Azure, request: &Request) -> Reply {
    if call(request).is_none() {
        return EntraError::unknown_endpoint().into_reply();
    }
    token(azure, request).unwrap_or_else(EntraError::into_reply)
}

fn token(azure: &Azure, request: &Request) -> Result<Reply, EntraError> {
    let model = azure.model();
    let name = request.segments().into_iter().next().unwrap_or_default();
    let tenant = model.tenant(&name).ok_or_else(|| EntraError::unknown_tenant(&name))?;
    let required = |field: &'static str| {
        let value = request.field(field).filter(|it| !it.is_empty());
        value.ok_or_else(|| EntraError::missing_parameter(field))
    };
    let grant = required("grant_type")?;
    if grant != "client_credentials" {
        return Err(EntraError::unsupported_grant(&grant));
    }
    let client_id = required("client_id")?;
    let scope = required("scope")?;
    let principal = service_principal(&model, tenant, &client_id)
        .ok_or_else(|| EntraError::unknown_application(&client_id, &tenant.tenant_id))?;
    let resource =
        scope.strip_suffix("/.default").ok_or_else(|| EntraError::invalid_scope(&scope))?;
    known_resource(&model, tenant, resource)?;
    prove(&model, principal, request)?;

    let TokenLifetimes { entra: lifetime, .. } = model.settings.token_lifetimes;
    let token = azure
        .tokens()
        .issue(principal, resource, app_roles(&model, principal, resource), lifetime)
        .map_err(|it| EntraError::internal(&it.to_string()))?;
    // Entra counts from a moment ago; a client never sees the full hour.
    let expires_in = lifetime.saturating_sub(1);
    let body = json!({
        "token_type": "Bearer",
        "expires_in": expires_in,
        "ext_expires_in": expires_in,
        "access_token": token,
    });
    Ok(error::with_headers(Reply::json(StatusCode::OK, &body)))
}

/// A service principal of the tenant, by client id.
pub(crate) fn service_principal<'a>(
    model: &'a Model,
    tenant: &Tenant,
    client_id: &str,
) -> Option<&'a Principal> {
    model.principals.iter().find(|it| {
        it.tenant_id.eq_ignore_ascii_case(&tenant.tenant_id)
            && it.client_id.as_ref().is_some_and(|id| id.eq_ignore_ascii_case(client_id))
    })
}

/// Whether tokens for a resource can be had in a tenant.
///
/// # Errors
/// AADSTS500011 if not.
pub(crate) fn known_resource(
    model: &Model,
    tenant: &Tenant,
    resource: &str,
) -> Result<(), EntraError> {
    let name = resource.trim_end_matches('/');
    let unknown = tenant
        .unknown_resources
        .iter()
        .any(|it| it.trim_end_matches('/').eq_ignore_ascii_case(name));
    if unknown || model.settings.cloud.resource(resource).is_none() {
        return Err(EntraError::unknown_resource(resource, &tenant.tenant_id));
    }
    Ok(())
}

/// The app roles that a token for a resource carries. Graph's are the only ones here.
pub(crate) fn app_roles<'a>(
    model: &Model,
    principal: &'a Principal,
    resource: &str,
) -> &'a [String] {
    let is_graph = model.settings.cloud.resource(resource) == Some(Resource::Graph);
    if is_graph { &principal.app_roles } else { &[] }
}

/// Checks the credential of the request.
fn prove(model: &Model, principal: &Principal, request: &Request) -> Result<(), EntraError> {
    if let Some(assertion) = request.field("client_assertion") {
        if request.field("client_assertion_type").as_deref() != Some(JWT_BEARER) {
            return Err(EntraError::missing_parameter("client_assertion_type"));
        }
        return assertion::verify(model, principal, &assertion);
    }
    let Some(secret) = request.field("client_secret") else {
        return Err(EntraError::no_credential());
    };
    check_secret(principal, &secret)
}

/// Checks a client secret.
///
/// # Errors
/// AADSTS7000215 if it is wrong or too new, AADSTS7000222 if it has expired.
pub(crate) fn check_secret(principal: &Principal, secret: &str) -> Result<(), EntraError> {
    let app = principal.client_id.as_deref().unwrap_or_default();
    let now = Timestamp::now();
    let Some(known) = principal.secrets.iter().find(|it| it.value == secret) else {
        return Err(EntraError::wrong_secret(app));
    };
    if known.accepted_from.is_some_and(|it| now < it) {
        return Err(EntraError::wrong_secret(app));
    }
    if known.expires_on.is_some_and(|it| it <= now) {
        return Err(EntraError::expired_secret(app));
    }
    Ok(())
}

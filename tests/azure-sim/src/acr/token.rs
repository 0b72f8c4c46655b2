//! `/oauth2/token`: a credential for an access token (Azure/acr `docs/Token-BasicAuth.md`).

use hyper::{Method, StatusCode};
use serde_json::json;

use super::{
    Context,
    credential::Identity,
    error::Refusal,
    scope,
    tokens::{Kind, RegistryToken},
};
use crate::{http::Reply, model::OutsideRights};

pub(super) fn token(context: &Context<'_>) -> Result<Reply, Refusal> {
    let Context { azure, model, registry, request, now } = context;
    let identity = if request.method == Method::POST { by_form(context) } else { by_get(context) }?;
    let asked = scope::asked(request);
    let access: Vec<_> =
        asked.iter().filter_map(|it| context.granted(&identity.rights, it)).collect();
    let is_outside = access.is_empty() && !asked.is_empty();
    if is_outside && model.settings.outside_rights == OutsideRights::Unauthorized {
        return Err(Refusal::unauthorized());
    }
    let token = RegistryToken {
        kind: Kind::Access(access),
        login_server: registry.service(),
        mode: registry.role_assignment_mode,
        principal: identity.principal,
        subject: identity.subject,
    };
    let lifetime = model.settings.token_lifetimes.registry_access;
    let token = azure.registry_tokens().issue(token, lifetime, *now);
    let token = token.map_err(|it| Refusal::internal(&it.to_string()))?;
    Ok(Reply::json(StatusCode::OK, &json!({"access_token": token})))
}

/// GET: user name and password, or nothing for an anonymous pull.
fn by_get(context: &Context<'_>) -> Result<Identity, Refusal> {
    let request = context.request;
    context.check_service(request.parameter("service").as_deref())?;
    if request.header("authorization").is_none() {
        return context.anonymous();
    }
    let (user, password) = request.basic().ok_or_else(Refusal::unauthorized)?;
    context.basic(&user, &password)
}

/// POST: a refresh token. A registry does not take the password grant from Entra identities
/// (Azure/acr issue 104, containerd pull request 6481); other accounts it has none here.
fn by_form(context: &Context<'_>) -> Result<Identity, Refusal> {
    let request = context.request;
    if request.field("grant_type").as_deref() != Some("refresh_token") {
        return Err(Refusal::bad_request("UNSUPPORTED_GRANT_TYPE"));
    }
    context.check_service(request.field("service").as_deref())?;
    let token = request.field("refresh_token");
    context.refresh_token(&token.ok_or_else(|| Refusal::bad_request("NO_REFRESH_TOKEN"))?)
}

//! A container registry's own endpoints: credentials for tokens (Azure/acr `docs/AAD-OAuth.md` and
//! `docs/Token-BasicAuth.md`), and so much of the distribution API that a pull can be tried.
//!
//! A refresh token is bound to the registry's role assignment mode at exchange. In legacy mode it
//! carries the permissions found then (see [`crate::model::LegacyRoleCheck`]); with repository
//! permissions it carries none, and role assignments with their conditions are looked at whenever
//! an access token is asked for. An access token is good for what its `access` claim says until it
//! expires. A change of mode voids both (Azure docs,
//! `container-registry-rbac-abac-repository-permissions`).
//!
//! Roles count by their actions, so that custom roles do too: control-plane actions in legacy
//! mode, data actions with repository permissions. Anonymous pull adds to what a good credential
//! may do; one that is refused for itself, such as one without any role in legacy mode, stays
//! refused.

mod authentication;
mod content;
mod credential;
mod error;
mod exchange;
mod rights;
mod route;
mod scope;
mod token;
mod tokens;

use jiff::Timestamp;
use uuid::Uuid;

pub(crate) use self::{credential::caller, tokens::RegistryTokens};
use self::{error::Refusal, route::Route};
use crate::{
    Call,
    azure::{Azure, Failure},
    http::{Reply, Request},
    model::{FirewallAnswer, Model, Registry},
};

/// A request to a registry that admits its client.
struct Context<'a> {
    azure: &'a Azure,
    model: &'a Model,
    registry: &'a Registry,
    request: &'a Request,
    now: Timestamp,
}

pub(crate) fn call(request: &Request) -> Option<Call> {
    Route::parse(request).map(|it| it.call())
}

pub(crate) fn answer(azure: &Azure, request: &Request) -> Reply {
    let correlation = Uuid::new_v4().to_string();
    let reply = respond(azure, request).unwrap_or_else(|it| it.into_reply(&correlation));
    with_headers(reply, &correlation)
}

/// The answer to a fault.
pub(crate) fn error(failure: &Failure<'_>) -> Reply {
    let correlation = Uuid::new_v4().to_string();
    with_headers(Refusal::of(failure).into_reply(&correlation), &correlation)
}

fn respond(azure: &Azure, request: &Request) -> Result<Reply, Refusal> {
    let model = azure.model();
    // A connection can outlive its registry.
    let registry = model.registry_at(&request.host).ok_or_else(Refusal::not_found)?;
    let client = model.settings.client_address.unwrap_or(request.client);
    let route = Route::parse(request);
    let sends_for_token = || {
        model.settings.firewall_answer == FirewallAnswer::AfterChallenge
            && matches!(route, Some(Route::Api(_)))
            && request.header("authorization").is_none()
    };
    if !registry.admits(client) && !sends_for_token() {
        return Err(Refusal::denied(client));
    }
    let route = route.ok_or_else(Refusal::not_found)?;
    let now = Timestamp::now();
    let context = Context { azure, model: &model, registry, request, now };
    match &route {
        Route::Exchange => exchange::exchange(&context),
        Route::Token => token::token(&context),
        Route::Api(api) => content::answer(&context, api),
    }
}

/// What every answer carries, as in the recordings of azure-sdk-for-js
/// (`container-registry/recordings`).
fn with_headers(reply: Reply, correlation: &str) -> Reply {
    reply
        .header("docker-distribution-api-version", "registry/2.0")
        .header("strict-transport-security", "max-age=31536000; includeSubDomains")
        .header("x-content-type-options", "nosniff")
        .header("x-ms-correlation-request-id", correlation)
}

//! Azure Resource Manager: what is the same for every call, in ARM's order: token, subscription,
//! throttling, api-version, access; then the resource provider.

mod authentication;
mod authorization;
mod clusters;
mod error;
mod groups;
mod id_case;
mod operation;
mod paging;
mod registries;
mod role_assignments;
mod subscriptions;
mod throttle;
mod versions;

use hyper::{Method, StatusCode};
use jiff::Timestamp;
use uuid::Uuid;

pub(crate) use self::throttle::Throttle;
use self::{authentication::Caller, error::ArmError, operation::Operation};
use crate::{
    Call,
    azure::{Azure, Failure},
    http::{Reply, Request},
    model::Model,
};

/// An authenticated request and what it may touch.
struct Context<'a> {
    model: &'a mut Model,
    request: &'a Request,
    caller: &'a Caller,
    now: Timestamp,
}

pub(crate) fn call(request: &Request) -> Option<Call> {
    Operation::parse(request).map(|it| it.call())
}

pub(crate) fn answer(azure: &Azure, request: &Request) -> Reply {
    let reply = respond(azure, request).unwrap_or_else(ArmError::into_reply);
    with_headers(reply, request)
}

/// The answer to a fault.
pub(crate) fn error(request: &Request, failure: &Failure<'_>) -> Reply {
    let error = ArmError::new(failure.status, failure.code, failure.message.to_owned());
    with_headers(error.into_reply(), request)
}

fn respond(azure: &Azure, request: &Request) -> Result<Reply, ArmError> {
    let operation = Operation::parse(request).ok_or_else(|| ArmError::unknown(request))?;
    let mut model = azure.model();
    let caller = authentication::authenticate(azure, &model, request)?;
    if let Some(subscription) = operation.subscription() {
        let known = model.subscription(subscription);
        let known = known.ok_or_else(|| ArmError::subscription_not_found(subscription))?;
        caller.check_tenant(&known.tenant_id)?;
        let kind = &request.method;
        azure.throttle().take(&model.settings, subscription, &caller.principal, kind)?;
    }
    versions::check(&model, &operation, request)?;
    if let Some(known) = operation.subscription().and_then(|it| model.subscription(it)) {
        subscriptions::check(known, &operation, request)?;
    }
    let now = Timestamp::now();
    let mut context = Context { model: &mut model, request, caller: &caller, now };
    operation.run(&mut context)
}

/// What every answer of ARM carries, as in the recordings of azure-service-operator (2025-11).
fn with_headers(reply: Reply, request: &Request) -> Reply {
    let correlation = Uuid::new_v4().to_string();
    let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let (remaining, left) = match request.method {
        Method::GET => ("x-ms-ratelimit-remaining-subscription-global-reads", "16499"),
        Method::DELETE => ("x-ms-ratelimit-remaining-subscription-global-deletes", "11999"),
        _ => ("x-ms-ratelimit-remaining-subscription-global-writes", "11999"),
    };
    let reply = reply
        .header("cache-control", "no-cache")
        .header("pragma", "no-cache")
        .header("expires", "-1")
        .header("strict-transport-security", "max-age=31536000; includeSubDomains")
        .header("x-content-type-options", "nosniff")
        .header("x-cache", "CONFIG_NOCACHE")
        .header("x-ms-request-id", Uuid::new_v4().to_string())
        .header("x-ms-correlation-request-id", &correlation)
        .header("x-ms-routing-request-id", format!("EASTUS:{time}:{correlation}"));
    if reply.status == StatusCode::UNAUTHORIZED {
        return reply;
    }
    reply.header(remaining, left)
}

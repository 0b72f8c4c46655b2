//! Microsoft Graph: reading service principals, in the shapes of azure-cli's recordings
//! (`role/tests/latest/recordings/test_service_principal_scenario.yaml` and
//! `test_sp_show_exit_code.yaml`).

mod authentication;
mod error;
mod filter;
mod view;

use hyper::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) use self::error::error;
use self::{authentication::Caller, error::GraphError, filter::Filter, view::View};
use crate::{
    Call,
    azure::Azure,
    http::{Reply, Request},
    model::{Model, Principal, PrincipalType},
};

/// A list without a filter is no call that this simulator knows: it would need pages.
const FILTER: &str = "$filter";
const CONTENT_TYPE: &str = "application/json;odata.metadata=minimal;odata.streaming=true;\
                            IEEE754Compatible=false;charset=utf-8";

/// A call of Graph.
#[derive(Debug, PartialEq)]
enum Operation {
    /// `/v1.0/servicePrincipals?$filter=…`
    List { filter: String },
    /// `/v1.0/servicePrincipals(appId='…')`
    Get { app_id: String },
}

impl Operation {
    fn parse(request: &Request) -> Option<Self> {
        let segments = request.segments();
        let [version, resource] = segments.as_slice() else { return None };
        if version != "v1.0" || request.method != Method::GET {
            return None;
        }
        if resource.eq_ignore_ascii_case("servicePrincipals") {
            return request.parameter(FILTER).map(|filter| Self::List { filter });
        }
        let (name, key) = resource.split_once('(')?;
        let app_id = key.strip_prefix("appId='")?.strip_suffix("')")?.to_owned();
        name.eq_ignore_ascii_case("servicePrincipals").then_some(Self::Get { app_id })
    }
}

pub(crate) fn call(request: &Request) -> Option<Call> {
    Some(match Operation::parse(request)? {
        Operation::List { .. } => Call::ListServicePrincipals,
        Operation::Get { .. } => Call::GetServicePrincipal,
    })
}

pub(crate) fn answer(azure: &Azure, request: &Request) -> Reply {
    match respond(azure, request) {
        Ok(body) => with_headers(Reply::text(StatusCode::OK, CONTENT_TYPE, body.to_string()))
            .header("odata-version", "4.0")
            .header("x-ms-resource-unit", "1"),
        Err(error) => error.into_reply(request),
    }
}

fn respond(azure: &Azure, request: &Request) -> Result<Value, GraphError> {
    let operation = Operation::parse(request).ok_or_else(|| GraphError::unknown(request))?;
    let model = azure.model();
    let caller = authentication::authenticate(azure, &model, request, Timestamp::now())?;
    match operation {
        Operation::List { filter } => list(&model, &caller, request, &filter),
        Operation::Get { app_id } => get(&model, &caller, request, &app_id),
    }
}

fn list(
    model: &Model,
    caller: &Caller,
    request: &Request,
    filter: &str,
) -> Result<Value, GraphError> {
    caller.check_may_read()?;
    let (filter, view) = (Filter::parse(filter)?, View::of(request)?);
    let found = service_principals(model, caller).filter(|it| filter.selects(it));
    let value: Vec<_> = found.map(|it| view.show(it)).collect();
    Ok(json!({"@odata.context": view.context(request), "value": value}))
}

/// Whoever asks for itself needs no right (Graph docs, `serviceprincipal-get`).
fn get(
    model: &Model,
    caller: &Caller,
    request: &Request,
    app_id: &str,
) -> Result<Value, GraphError> {
    if !caller.is(app_id) {
        caller.check_may_read()?;
    }
    let view = View::of(request)?;
    let found = service_principals(model, caller).find(|it| has_app_id(it, app_id));
    let mut body = view.show(found.ok_or_else(|| GraphError::not_found(app_id))?);
    body["@odata.context"] = json!(format!("{}/$entity", view.context(request)));
    Ok(body)
}

/// The service principals of the tenant that the caller's token is from.
fn service_principals<'a>(
    model: &'a Model,
    caller: &'a Caller,
) -> impl Iterator<Item = &'a Principal> {
    model.principals.iter().filter(|it| {
        it.principal_type == PrincipalType::ServicePrincipal
            && it.tenant_id.eq_ignore_ascii_case(caller.tenant())
    })
}

fn has_app_id(principal: &Principal, app_id: &str) -> bool {
    principal.client_id.as_ref().is_some_and(|it| it.eq_ignore_ascii_case(app_id))
}

/// What every answer of Graph carries.
fn with_headers(reply: Reply) -> Reply {
    let server = json!({"ServerInfo": {"DataCenter": "East US", "Slice": "E", "Ring": "5",
        "ScaleUnit": "001", "RoleInstance": "SIM"}});
    reply
        .header("cache-control", "no-cache")
        .header("strict-transport-security", "max-age=31536000")
        .header("request-id", Uuid::new_v4().to_string())
        .header("x-ms-ags-diagnostic", server.to_string())
}

//! The control port: model, journal, faults and tokens over plain HTTP on loopback.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{delete, get, post, put},
};
use serde_json::{Value, json};

use crate::{
    azure::Azure,
    fault::Fault,
    journal::Entry,
    model::{Model, TokenLifetimes},
};

type Shared = State<Arc<Azure>>;

/// The routes of the control port.
pub(crate) fn router(azure: Arc<Azure>) -> Router {
    Router::new()
        .route("/model", get(model).put(replace_model))
        .route("/journal", get(journal).delete(clear_journal))
        .route("/faults", post(add_fault).delete(clear_faults))
        .route("/tokens/expire", post(expire_tokens))
        .route("/tokens/lifetimes", put(set_lifetimes))
        .route("/role-assignments", get(role_assignments))
        .route("/role-assignments/{name}", delete(remove_role_assignment))
        .with_state(azure)
}

async fn model(State(azure): Shared) -> Json<Model> {
    Json(azure.model().clone())
}

async fn replace_model(State(azure): Shared, Json(model): Json<Model>) -> StatusCode {
    *azure.model() = model;
    StatusCode::NO_CONTENT
}

async fn journal(State(azure): Shared) -> Json<Vec<Entry>> {
    Json(azure.journal().entries())
}

async fn clear_journal(State(azure): Shared) -> StatusCode {
    azure.journal().clear();
    StatusCode::NO_CONTENT
}

async fn add_fault(State(azure): Shared, Json(fault): Json<Fault>) -> StatusCode {
    azure.faults().add(fault);
    StatusCode::NO_CONTENT
}

async fn clear_faults(State(azure): Shared) -> StatusCode {
    azure.faults().clear();
    StatusCode::NO_CONTENT
}

async fn expire_tokens(State(azure): Shared) -> StatusCode {
    azure.expire_tokens();
    StatusCode::NO_CONTENT
}

async fn set_lifetimes(State(azure): Shared, Json(lifetimes): Json<TokenLifetimes>) -> StatusCode {
    azure.model().settings.token_lifetimes = lifetimes;
    StatusCode::NO_CONTENT
}

/// Who holds which role where, in names.
async fn role_assignments(State(azure): Shared) -> Json<Vec<Value>> {
    let model = azure.model();
    let view = model.role_assignments.iter().map(|it| {
        json!({
            "name": it.name,
            "scope": it.scope,
            "role": model.role(&it.role).map(|it| it.role_name),
            "principalId": it.principal_id,
            "principal": model.principal(&it.principal_id).map(|it| &it.display_name),
            "description": it.description,
            "condition": it.condition,
        })
    });
    Json(view.collect())
}

/// Takes a role assignment away, as somebody in the portal would.
async fn remove_role_assignment(State(azure): Shared, Path(name): Path<String>) -> StatusCode {
    let assignments = &mut azure.model().role_assignments;
    let before = assignments.len();
    assignments.retain(|it| !it.name.eq_ignore_ascii_case(&name));
    if assignments.len() < before { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

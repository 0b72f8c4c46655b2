//! `/livez`, `/readyz` and `/metrics`. None of them asks Azure or the API server: an outage
//! there must not restart the operator.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::controller::Attachments;
use crate::metrics::Metrics;

/// What the three pages show.
#[derive(Clone)]
pub struct Pages {
    /// What this replica does.
    pub part: Part,
    /// Counts.
    pub metrics: Metrics,
    /// Where the counts are kept.
    pub registry: Arc<Registry>,
}

/// What a replica does: it starts, stands by while another one leads, or works on attachments.
#[derive(Clone, Default)]
pub struct Part(Arc<Mutex<Doing>>);

#[derive(Clone, Default)]
enum Doing {
    #[default]
    Starts,
    StandsBy,
    Works(Attachments),
}

impl Part {
    /// Another replica leads.
    pub fn stands_by(&self) {
        self.set(Doing::StandsBy);
    }

    /// This replica works on these, which are counted when somebody asks.
    pub fn works_on(&self, attachments: Attachments) {
        self.set(Doing::Works(attachments));
    }

    fn set(&self, doing: Doing) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = doing;
    }

    fn get(&self) -> Doing {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The pages as a service.
pub fn router(pages: Pages) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(pages)
}

async fn readyz(State(pages): State<Pages>) -> Response {
    let waits = match pages.part.get() {
        Doing::StandsBy => return "ok: another replica leads\n".into_response(),
        Doing::Works(attachments) if attachments.are_synced() => return "ok\n".into_response(),
        Doing::Works(_) => "attachments have not been read yet\n",
        Doing::Starts => "the lease has not been read yet\n",
    };
    (StatusCode::SERVICE_UNAVAILABLE, waits).into_response()
}

async fn metrics(State(pages): State<Pages>) -> Response {
    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match pages.part.get() {
        Doing::Works(attachments) => attachments.count(&pages.metrics),
        Doing::Starts | Doing::StandsBy => pages.metrics.attachments(std::iter::empty()),
    }
    let mut text = String::new();
    match encode(&mut text, &pages.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

//! `/livez`, `/readyz` and `/metrics`. None of them asks Azure or the API server: an outage
//! there must not restart the operator.

use std::sync::Arc;

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
    /// The attachments, counted when somebody asks.
    pub attachments: Attachments,
    /// Counts.
    pub metrics: Metrics,
    /// Where the counts are kept.
    pub registry: Arc<Registry>,
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
    if pages.attachments.are_synced() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "attachments have not been read yet\n").into_response()
}

async fn metrics(State(pages): State<Pages>) -> Response {
    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    pages.attachments.count(&pages.metrics);
    let mut text = String::new();
    match encode(&mut text, &pages.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

//! Serves `/livez`, `/readyz` and `/metrics`. None of them asks Azure or the API server: an outage
//! there must not restart the operator.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::attachment::Attachments;
use crate::life::{Limits, Pulse};
use crate::metrics::Metrics;
use crate::metrics::text::Format;

/// The data behind the three pages.
#[derive(Clone)]
pub struct Pages {
    /// The role of this replica.
    pub part: Part,
    /// The heartbeat of the executor that does the work.
    pub pulse: Pulse,
    /// The longest times without a sign of life.
    pub limits: Limits,
    /// The metrics.
    pub metrics: Metrics,
    /// Whether metrics have series for each attachment.
    pub per_object: bool,
    /// The registry of the metrics. A scrape holds the lock while it measures and encodes.
    pub registry: Arc<Mutex<Registry>>,
}

/// The role of a replica: it starts, stands by while another one leads, or works on attachments.
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
    /// Records that another replica leads.
    pub fn stands_by(&self) {
        self.set(Doing::StandsBy);
    }

    /// Records that this replica works on these attachments, which are counted at a scrape.
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

/// Serves the pages until the future is dropped. They have their own thread, so that they can also
/// report that everything else is stuck.
///
/// # Errors
/// When the pages cannot be served.
pub async fn serve(listener: TcpListener, pages: Pages) -> io::Result<()> {
    let stop = CancellationToken::new();
    let _ends_with_this = stop.clone().drop_guard();
    let listener = listener.into_std()?;
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name("pages".to_owned());
    thread.spawn(move || {
        // No receiver is left only when the operator ends.
        let _ = tell.send(serve_here(listener, pages, &stop));
    })?;
    told.await.unwrap_or_else(|_| Err(io::Error::other("the thread of the pages has panicked")))
}

fn serve_here(
    listener: std::net::TcpListener,
    pages: Pages,
    stop: &CancellationToken,
) -> io::Result<()> {
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    executor.block_on(async {
        let serve = axum::serve(TcpListener::from_std(listener)?, router(pages));
        tokio::select! {
            served = serve => served,
            () = stop.cancelled() => Ok(()),
        }
    })
}

fn router(pages: Pages) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(pages)
}

async fn livez(State(pages): State<Pages>) -> Response {
    let Limits { executor, watch } = pages.limits;
    let now = Instant::now();
    let trouble = pages.pulse.failure(now, executor).or_else(|| match pages.part.get() {
        Doing::Works(attachments) => attachments.failure(now, watch),
        Doing::Starts | Doing::StandsBy => None,
    });
    match trouble {
        None => "ok\n".into_response(),
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, trouble).into_response(),
    }
}

async fn readyz(State(pages): State<Pages>) -> Response {
    let waits = match pages.part.get() {
        Doing::StandsBy => return "ok: waiting for the lease\n".into_response(),
        Doing::Works(attachments) if attachments.are_synced() => return "ok\n".into_response(),
        Doing::Works(_) => "attachments have not been read yet\n",
        Doing::Starts => "the lease has not been read yet\n",
    };
    (StatusCode::SERVICE_UNAVAILABLE, waits).into_response()
}

async fn metrics(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let format = Format::for_accept(accept);
    let registry = pages.registry.lock().unwrap_or_else(PoisonError::into_inner);
    match pages.part.get() {
        Doing::Works(attachments) => attachments.count(&pages.metrics, pages.per_object),
        Doing::Starts | Doing::StandsBy => pages.metrics.measure(&[], false, []),
    }
    match format.page(&registry) {
        Ok(text) => ([(header::CONTENT_TYPE, format.content_type())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

//! The clients of the watches. They record what each watch shows, and turn a refusal with HTTP status
//! 410, which kube's watcher would repeat for ever, into an event that makes it list anew.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::{Request, Response, StatusCode};
use http_body::Frame;
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use kube::core::response::Status;
use kube::runtime::watcher;
use serde_json::json;

use crate::life::{Sign, Signs};
use crate::metrics::{Restart, Watches};

/// The reason that distinguishes a watch refused with HTTP status 410 from one that ended with 410.
const HTTP_GONE: &str = "HttpGone";

/// Makes clients for watches.
#[derive(Clone)]
pub struct Watching {
    client: Client,
    signs: Signs,
    metrics: Watches,
}

impl Watching {
    /// Makes clients on top of that client.
    #[must_use]
    pub fn new(client: &Client, signs: Signs, metrics: Watches) -> Self {
        Self { client: client.clone(), signs, metrics }
    }

    /// Creates the client for one watch of that resource, and for no other calls.
    #[must_use]
    pub fn client(&self, resource: &'static str) -> Client {
        self.metrics.begin(resource);
        let sign = self.signs.begin(resource, Instant::now(), Timestamp::now());
        let watch = Watch { resource, sign, metrics: self.metrics.clone(), idle: Idle::default() };
        let (client, namespace) = (self.client.clone(), self.client.default_namespace().to_owned());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (client, watch) = (client.clone(), watch.clone());
            async move { watch.pass_on(&client, request).await }
        });
        Client::new(service, namespace)
    }

    /// Counts the failure of a watch of that resource.
    pub fn failed(&self, resource: &'static str, error: &watcher::Error) {
        self.metrics.restarted(resource, reason(error));
    }
}

fn reason(error: &watcher::Error) -> Restart {
    match error {
        watcher::Error::WatchError(status) if status.code == 410 => {
            if status.reason == HTTP_GONE {
                Restart::HttpGone
            } else {
                Restart::Gone
            }
        }
        _ => Restart::Error,
    }
}

#[derive(Clone)]
struct Watch {
    resource: &'static str,
    sign: Sign,
    metrics: Watches,
    idle: Idle,
}

impl Watch {
    async fn pass_on(
        &self,
        client: &Client,
        request: Request<Body>,
    ) -> kube::Result<Response<Shown>> {
        self.sign.tries(Instant::now());
        if self.idle.take() {
            self.metrics.restarted(self.resource, Restart::Idle);
        }
        let is_watch = request.uri().query().is_some_and(|it| it.contains("watch=true"));
        let answer = client.send(request).await;
        self.sign.tries(Instant::now());
        let answer = answer?;
        let shows = answer.status().is_success().then(|| self.clone());
        let is_gone = is_watch && answer.status() == StatusCode::GONE;
        let answer = if is_gone { gone() } else { answer };
        Ok(answer.map(|body| Shown { body, shows, waits: false }))
    }
}

/// Builds the event by which the API server ends a watch that cannot go on. After a refusal with the
/// HTTP status, kube's watcher would repeat the request for ever; after this event it lists anew.
fn gone() -> Response<Body> {
    let status = Status::failure(
        "the API server refused to begin the watch with HTTP status 410",
        HTTP_GONE,
    )
    .with_code(410);
    let line = format!("{}\n", json!({"type": "ERROR", "object": status}));
    Response::new(Body::from(line.into_bytes()))
}

/// Whether a watch was dropped while it waited for an event. The restart is counted at the next request of the
/// watch. A watch that stops for good sends none, and is not counted.
#[derive(Clone, Default)]
struct Idle(Arc<AtomicBool>);

impl Idle {
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// The body of an answer. Each part that arrives is recorded as a sign of life.
struct Shown {
    body: Body,
    /// The watch that gets the signs of life; `None` for a refusal.
    shows: Option<Watch>,
    /// Whether a part has been requested that has not arrived yet.
    waits: bool,
}

impl http_body::Body for Shown {
    type Data = <Body as http_body::Body>::Data;
    type Error = <Body as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.waits = true;
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.waits = false;
        if let (Some(watch), Some(Ok(_))) = (&self.shows, &frame) {
            watch.sign.shows(Instant::now(), Timestamp::now());
        }
        Poll::Ready(frame)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let (Some(watch), true) = (&self.shows, self.waits) {
            watch.idle.set();
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::metrics::Metrics;

    #[rstest::rstest]
    #[case("Expired", 410, Restart::Gone)]
    #[case(HTTP_GONE, 410, Restart::HttpGone)]
    #[case("InternalError", 500, Restart::Error)]
    fn the_ways_in_which_a_watch_ends_are_told_apart(
        #[case] word: &str,
        #[case] code: u16,
        #[case] expected: Restart,
    ) {
        let status = Status::failure("", word).with_code(code).boxed();
        assert_eq!(reason(&watcher::Error::WatchError(status)), expected);
    }

    #[tokio::test]
    async fn what_is_given_up_while_it_shows_nothing_was_idle() {
        let metrics = Metrics::new(&mut Registry::default());
        let sign = Signs::default().begin("secrets", Instant::now(), Timestamp::now());
        let idle = Idle::default();
        let watch =
            Watch { resource: "secrets", sign, metrics: metrics.watches, idle: idle.clone() };
        let shown = |waits| Shown { body: gone().into_body(), shows: Some(watch.clone()), waits };
        let mut read = shown(false);
        while std::future::poll_fn(|context| Pin::new(&mut read).poll_frame(context))
            .await
            .is_some()
        {}
        drop(read);
        assert!(!idle.take());
        drop(shown(true));
        assert!(idle.take() && !idle.take());
    }
}

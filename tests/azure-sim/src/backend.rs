//! The way to the registry that really holds what a registry of the model offers
//! ([`crate::model::Registry::content`]): over plain HTTP, as `distribution` serves on loopback.

use std::time::Duration;

use anyhow::{Context, Result};
use axum::body::Body;
use hyper::{
    Response,
    header::{
        ACCEPT, ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap,
        HeaderName, IF_NONE_MATCH, LINK, RANGE,
    },
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;

use crate::http::Request;

/// What a backend is told of a request. The credential is for the simulated registry alone.
const TOLD: [HeaderName; 3] = [ACCEPT, RANGE, IF_NONE_MATCH];
/// What clients are told of its answer.
const PASSED_ON: [HeaderName; 7] = [
    CONTENT_TYPE,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    ACCEPT_RANGES,
    ETAG,
    LINK,
    HeaderName::from_static("docker-content-digest"),
];
/// A backend on loopback that has not begun to answer by then never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections to backends.
pub(crate) struct Backend(Client<HttpConnector, Body>);

impl Default for Backend {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }
}

impl Backend {
    /// Has a request answered by the backend at `base`; the body comes as the backend sends it.
    ///
    /// # Errors
    /// If the backend cannot be asked or does not begin to answer in time; says what was tried.
    pub(crate) async fn fetch(&self, base: &str, request: &Request) -> Result<Response<Body>> {
        let mut url = format!("{}{}", base.trim_end_matches('/'), request.path);
        if !request.query.is_empty() {
            url = format!("{url}?{}", request.query);
        }
        let tried = || {
            let method = &request.method;
            format!("{method} {url} failed; is the registry's `content` in the model right?")
        };
        let mut asked = hyper::Request::new(Body::empty());
        asked.method_mut().clone_from(&request.method);
        *asked.uri_mut() = url.parse().with_context(tried)?;
        *asked.headers_mut() = only(&TOLD, &request.headers);
        let answer = timeout(PATIENCE, self.0.request(asked)).await.with_context(tried)?;
        let (mut parts, body) = answer.with_context(tried)?.into_parts();
        parts.headers = only(&PASSED_ON, &parts.headers);
        Ok(Response::from_parts(parts, Body::new(body)))
    }
}

/// The headers with these names.
fn only(names: &[HeaderName], headers: &HeaderMap) -> HeaderMap {
    let values = |name: &HeaderName| {
        let values = headers.get_all(name).iter().cloned();
        values.map(|it| (name.clone(), it)).collect::<Vec<_>>()
    };
    let mut chosen = HeaderMap::new();
    for (name, value) in names.iter().flat_map(values) {
        chosen.append(name, value);
    }
    chosen
}

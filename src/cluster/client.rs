//! The client for the API server. It counts every call, and asks the fence before each write.

use std::time::Instant;

use kube::Client;
use kube::client::Body;

use crate::leader::fence::Fence;
use crate::metrics::Metrics;

/// Puts a fence and metrics in front of a client.
#[must_use]
pub fn fenced(client: &Client, fence: Fence, metrics: Metrics) -> Client {
    let namespace = client.default_namespace().to_owned();
    let inner = client.clone();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (client, fence, metrics) = (inner.clone(), fence.clone(), metrics.clone());
        async move {
            let method = request.method().clone();
            if !method.is_safe() {
                fence.check().map_err(|error| kube::Error::Service(Box::new(error)))?;
            }
            let start = Instant::now();
            let answer = client.send(request).await;
            let code = answer.as_ref().map_or_else(
                |_| "<error>".to_owned(),
                |answer| answer.status().as_u16().to_string(),
            );
            metrics.api_server.asked(method.as_str(), &code, start.elapsed());
            answer
        }
    });
    Client::new(service, namespace)
}

//! The writes of an operator that the API server has not answered yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, Request};
use kube::Client;
use kube::client::Body;

/// Counts them.
#[derive(Clone, Default)]
pub struct InFlight(Arc<AtomicUsize>);

/// A write, until it is answered or given up.
struct Write(Arc<AtomicUsize>);

impl Drop for Write {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl InFlight {
    /// The same client, whose writes are counted.
    pub fn of(&self, client: Client) -> Client {
        let (writes, namespace) = (self.clone(), client.default_namespace().to_owned());
        let service = tower::service_fn(move |request: Request<Body>| {
            let write = (request.method() != Method::GET).then(|| writes.begin());
            let client = client.clone();
            async move {
                let answer = client.send(request).await;
                drop(write);
                answer
            }
        });
        Client::new(service, namespace)
    }

    fn begin(&self) -> Write {
        self.0.fetch_add(1, Ordering::AcqRel);
        Write(Arc::clone(&self.0))
    }

    /// Whether all are answered.
    pub fn is_empty(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

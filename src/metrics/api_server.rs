//! Metrics of requests to the API server, named as in client-go, and of leadership.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::seconds;

/// Requests by method and result. There is one host, so no label names it.
#[derive(Clone, Debug)]
pub struct ApiServer {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<VerbLabels, Histogram>,
    leading: Family<LeaseLabels, Gauge>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    code: String,
    method: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct VerbLabels {
    verb: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LeaseLabels {
    name: String,
}

impl ApiServer {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let api_server = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            leading: Family::default(),
        };
        let text = "Whether this replica leads";
        registry.register("leader_election_master_status", text, api_server.leading.clone());
        let registry = registry.sub_registry_with_prefix("rest_client");
        let text = "Requests to the API server by answer";
        registry.register("requests", text, api_server.requests.clone());
        let text = "Seconds until the API server began to answer";
        registry.register("request_duration_seconds", text, api_server.seconds.clone());
        api_server
    }

    /// Counts a request. If the API server did not answer, `code` is client-go's word for that.
    pub fn asked(&self, method: &str, code: &str, took: Duration) {
        let (method, code) = (method.to_owned(), code.to_owned());
        let labels = VerbLabels { verb: method.clone() };
        self.seconds.get_or_create(&labels).observe(took.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { code, method }).inc();
    }

    /// Sets whether this replica leads by that lease.
    pub fn leads(&self, lease: &str, leads: bool) {
        let labels = LeaseLabels { name: lease.to_owned() };
        self.leading.get_or_create(&labels).set(leads.into());
    }
}

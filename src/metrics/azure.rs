//! Metrics of requests to Azure.

use std::time::Duration;

use acr_attach_azure::Recorder;
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::seconds;

/// Requests by service, operation and result.
#[derive(Clone, Debug)]
pub struct Azure {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<OperationLabels, Histogram>,
    throttled: Family<ServiceLabels, Counter>,
    paused: Family<ServiceLabels, Gauge>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    service: &'static str,
    operation: &'static str,
    code: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OperationLabels {
    service: &'static str,
    operation: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ServiceLabels {
    service: &'static str,
}

impl Azure {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let azure = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            throttled: Family::default(),
            paused: Family::default(),
        };
        let registry = registry.sub_registry_with_prefix("acr_attach_azure");
        registry.register("requests", "Requests to Azure by answer", azure.requests.clone());
        let text = "Seconds that requests to Azure took";
        registry.register("request_duration_seconds", text, azure.seconds.clone());
        let text = "Requests that Azure answered with 429";
        registry.register("throttled", text, azure.throttled.clone());
        let text = "Until when part of a service is left alone, since it answered with 429";
        registry.register("paused_until_timestamp_seconds", text, azure.paused.clone());
        azure
    }
}

impl Recorder for Azure {
    fn requested(
        &self,
        service: &'static str,
        operation: &'static str,
        code: &str,
        duration: Duration,
    ) {
        let labels = RequestLabels { service, operation, code: code.to_owned() };
        self.requests.get_or_create(&labels).inc();
        let labels = OperationLabels { service, operation };
        self.seconds.get_or_create(&labels).observe(duration.as_secs_f64());
        if code == "429" {
            self.throttled.get_or_create(&ServiceLabels { service }).inc();
        }
    }

    fn throttled(&self, service: &'static str, until: Timestamp) {
        let gauge = self.paused.get_or_create(&ServiceLabels { service });
        gauge.set(gauge.get().max(until.as_second()));
    }
}

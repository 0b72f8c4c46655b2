//! What the operator counts. Names that controller-runtime uses are used as it uses them, so that
//! existing dashboards work. No label ever holds an id, a principal or an error text.

mod labels;

use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use labels::{
    ApiServerRequestLabels, AttachmentLabels, AzureOperationLabels, AzureRequestLabels,
    ConditionLabels, ControllerLabels, KindLabels, NameLabels, PassLabels, ResultLabels,
    ServiceLabels, VerbLabels,
};

const CONTROLLER: &str = "registryattachment";

/// All of them. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    passes: Family<PassLabels, Counter>,
    pass_errors: Family<ControllerLabels, Counter>,
    pass_panics: Family<ControllerLabels, Counter>,
    pass_seconds: Family<ControllerLabels, Histogram>,
    active_passes: Family<ControllerLabels, Gauge>,
    azure_requests: Family<AzureRequestLabels, Counter>,
    azure_seconds: Family<AzureOperationLabels, Histogram>,
    azure_throttled: Family<ServiceLabels, Counter>,
    azure_paused: Family<ServiceLabels, Gauge>,
    drift_corrections: Family<KindLabels, Counter>,
    missed_looks: Counter,
    rotations: Family<ResultLabels, Counter>,
    attachments: Family<AttachmentLabels, Gauge>,
    conditions: Family<ConditionLabels, Gauge>,
    expirations: Family<NameLabels, Gauge>,
    api_server_requests: Family<ApiServerRequestLabels, Counter>,
    api_server_seconds: Family<VerbLabels, Histogram>,
    leading: Family<NameLabels, Gauge>,
}

/// How a pass ended, in controller-runtime's words.
#[derive(Clone, Copy, Debug)]
pub enum PassResult {
    /// What is asked for holds.
    Success,
    /// Something failed.
    Error,
    /// Nothing was wrong, and the pass comes back soon.
    Requeue,
}

/// How an attachment stands, as its status tells.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// The method in use.
    pub method: &'static str,
    /// Type and status of each condition.
    pub conditions: Vec<(String, String)>,
    /// When the first credential in use ends, in seconds since 1970.
    pub expires: Option<i64>,
}

impl Metrics {
    /// Creates them in that registry.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            passes: Family::default(),
            pass_errors: Family::default(),
            pass_panics: Family::default(),
            pass_seconds: Family::new_with_constructor(seconds),
            active_passes: Family::default(),
            azure_requests: Family::default(),
            azure_seconds: Family::new_with_constructor(seconds),
            azure_throttled: Family::default(),
            azure_paused: Family::default(),
            drift_corrections: Family::default(),
            missed_looks: Counter::default(),
            rotations: Family::default(),
            attachments: Family::default(),
            conditions: Family::default(),
            expirations: Family::default(),
            api_server_requests: Family::default(),
            api_server_seconds: Family::new_with_constructor(seconds),
            leading: Family::default(),
        };
        metrics.register_passes(registry);
        metrics.register_cluster(registry);
        metrics.register_own(registry);
        metrics
    }

    fn register_passes(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("controller_runtime");
        registry.register("reconcile", "Passes by result", self.passes.clone());
        registry.register("reconcile_errors", "Passes that failed", self.pass_errors.clone());
        registry.register("reconcile_panics", "Passes that panicked", self.pass_panics.clone());
        let text = "Seconds that passes took";
        registry.register("reconcile_time_seconds", text, self.pass_seconds.clone());
        registry.register("active_workers", "Passes at work", self.active_passes.clone());
    }

    fn register_cluster(&self, registry: &mut Registry) {
        let text = "Whether this replica leads";
        registry.register("leader_election_master_status", text, self.leading.clone());
        let registry = registry.sub_registry_with_prefix("rest_client");
        let text = "Requests to the API server by answer";
        registry.register("requests", text, self.api_server_requests.clone());
        let text = "Seconds until the API server began to answer";
        registry.register("request_duration_seconds", text, self.api_server_seconds.clone());
    }

    fn register_own(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("acr_attach");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version of this program", version);
        let text = "Requests to Azure by answer";
        registry.register("azure_requests", text, self.azure_requests.clone());
        let text = "Seconds that requests to Azure took";
        registry.register("azure_request_duration_seconds", text, self.azure_seconds.clone());
        let text = "Requests that Azure answered with 429";
        registry.register("azure_throttled", text, self.azure_throttled.clone());
        let text = "Until when part of a service is left alone, since it answered with 429";
        let name = "azure_paused_until_timestamp_seconds";
        registry.register(name, text, self.azure_paused.clone());
        let text = "What was made again after somebody else removed or changed it";
        registry.register("drift_corrections", text, self.drift_corrections.clone());
        let text = "Periodic looks that failed for a passing reason while Ready";
        registry.register("missed_looks", text, self.missed_looks.clone());
        let text = "Credentials for pull secrets that were made, or could not be";
        registry.register("credential_rotations", text, self.rotations.clone());
        let text = "Attachments by method and by status of their Ready condition";
        registry.register("attachments", text, self.attachments.clone());
        let text = "1 for the status that a condition of an attachment has";
        registry.register("attachment_condition", text, self.conditions.clone());
        let text = "When the first credential in the pull secrets of an attachment ends";
        let name = "credential_expiration_timestamp_seconds";
        registry.register(name, text, self.expirations.clone());
    }

    /// A pass begins; it ends when the value is dropped.
    #[must_use]
    pub fn pass(&self) -> ActivePass {
        let active = self.active_passes.get_or_create(&controller()).clone();
        active.inc();
        ActivePass { active }
    }

    /// A pass has ended.
    pub fn passed(&self, result: PassResult, took: Duration) {
        let word = match result {
            PassResult::Success => "success",
            PassResult::Error => "error",
            PassResult::Requeue => "requeue",
        };
        self.passes.get_or_create(&PassLabels { controller: CONTROLLER, result: word }).inc();
        if matches!(result, PassResult::Error) {
            self.pass_errors.get_or_create(&controller()).inc();
        }
        self.pass_seconds.get_or_create(&controller()).observe(took.as_secs_f64());
    }

    /// A pass has panicked.
    pub fn panicked(&self) {
        self.pass_panics.get_or_create(&controller()).inc();
    }

    /// Azure has answered, or has not: then the code is a word.
    pub fn azure(
        &self,
        service: &'static str,
        operation: &'static str,
        code: &str,
        took: Duration,
    ) {
        let labels = AzureRequestLabels { service, operation, code: code.to_owned() };
        self.azure_requests.get_or_create(&labels).inc();
        let labels = AzureOperationLabels { service, operation };
        self.azure_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        if code == "429" {
            self.azure_throttled.get_or_create(&ServiceLabels { service }).inc();
        }
    }

    /// Azure has asked to be left alone until then: one subscription, one registry or all of Entra.
    pub fn asked_to_wait(&self, service: &'static str, until: Timestamp) {
        let gauge = self.azure_paused.get_or_create(&ServiceLabels { service });
        gauge.set(gauge.get().max(until.as_second()));
    }

    /// The API server has answered, or has not: then the code is client-go's word for that.
    pub fn api_server(&self, method: &str, code: &str, took: Duration) {
        let (method, code) = (method.to_owned(), code.to_owned());
        let labels = VerbLabels { verb: method.clone() };
        self.api_server_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        self.api_server_requests.get_or_create(&ApiServerRequestLabels { code, method }).inc();
    }

    /// Whether this replica leads by that lease.
    pub fn leads(&self, lease: &str, leads: bool) {
        let labels = NameLabels { name: lease.to_owned() };
        self.leading.get_or_create(&labels).set(leads.into());
    }

    /// Something that was there was made again.
    pub fn corrected(&self, kind: &'static str) {
        self.drift_corrections.get_or_create(&KindLabels { kind }).inc();
    }

    /// A periodic look failed for a passing reason.
    pub fn missed(&self) {
        self.missed_looks.inc();
    }

    /// A credential for pull secrets was made, or could not be.
    pub fn rotated(&self, made: bool) {
        let result = if made { "success" } else { "error" };
        self.rotations.get_or_create(&ResultLabels { result }).inc();
    }

    /// Sets how the attachments stand.
    pub fn attachments(&self, each: impl Iterator<Item = Standing>) {
        self.attachments.clear();
        self.conditions.clear();
        self.expirations.clear();
        for Standing { name, method, conditions, expires } in each {
            let mut ready = "Unknown".to_owned();
            for (r#type, status) in conditions {
                if r#type == "Ready" {
                    ready.clone_from(&status);
                }
                let labels = ConditionLabels { name: name.clone(), r#type, status };
                self.conditions.get_or_create(&labels).set(1);
            }
            self.attachments.get_or_create(&AttachmentLabels { method, ready }).inc();
            if let Some(expires) = expires {
                self.expirations.get_or_create(&NameLabels { name }).set(expires);
            }
        }
    }
}

/// A pass at work.
#[derive(Debug)]
pub struct ActivePass {
    active: Gauge,
}

impl Drop for ActivePass {
    fn drop(&mut self) {
        self.active.dec();
    }
}

fn controller() -> ControllerLabels {
    ControllerLabels { controller: CONTROLLER }
}

fn seconds() -> Histogram {
    Histogram::new([0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

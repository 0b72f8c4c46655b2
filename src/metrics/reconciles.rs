//! Metrics of reconciles, named as in controller-runtime and in client-go's work queue.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::seconds;

const ATTACHMENTS: &str = "registryattachment";

/// Results and durations of the reconciles of one controller.
#[derive(Clone, Debug)]
pub struct Reconciles {
    controller: &'static str,
    total: Family<ResultLabels, Counter>,
    errors: Family<ControllerLabels, Counter>,
    terminal_errors: Family<ControllerLabels, Counter>,
    panics: Family<ControllerLabels, Counter>,
    seconds: Family<ControllerLabels, Histogram>,
    most: Family<ControllerLabels, Gauge>,
    active: Family<ControllerLabels, Gauge>,
    unfinished: Family<QueueLabels, Gauge<f64, AtomicU64>>,
    longest: Family<QueueLabels, Gauge<f64, AtomicU64>>,
    work_seconds: Family<QueueLabels, Histogram>,
    at_work: Arc<AtWork>,
}

/// The result of a reconcile, as controller-runtime names it. A reconcile that is only requeued for the
/// periodic check is a success, as in controller-runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultLabel {
    /// The desired state is in place.
    Success,
    /// Something failed, and is retried.
    Error,
    /// Something failed that a retry does not cure.
    TerminalError,
    /// Nothing failed, and the reconcile waits for others, such as Azure's rate limits.
    RequeueAfter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ControllerLabels {
    controller: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabels {
    controller: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct QueueLabels {
    name: &'static str,
}

impl Reconciles {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let reconciles = Self {
            controller: ATTACHMENTS,
            total: Family::default(),
            errors: Family::default(),
            terminal_errors: Family::default(),
            panics: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            most: Family::default(),
            active: Family::default(),
            unfinished: Family::default(),
            longest: Family::default(),
            work_seconds: Family::new_with_constructor(seconds),
            at_work: Arc::default(),
        };
        let text = "Seconds that the controller worked on an item, due or not";
        let name = "workqueue_work_duration_seconds";
        registry.register(name, text, reconciles.work_seconds.clone());
        let text = "Seconds of work in hand, of all workers together";
        registry.register("workqueue_unfinished_work_seconds", text, reconciles.unfinished.clone());
        let text = "Seconds that the slowest worker has its item in hand";
        let name = "workqueue_longest_running_processor_seconds";
        registry.register(name, text, reconciles.longest.clone());
        let registry = registry.sub_registry_with_prefix("controller_runtime");
        registry.register("reconcile", "Reconciles by result", reconciles.total.clone());
        registry.register("reconcile_errors", "Reconciles that failed", reconciles.errors.clone());
        let text = "Reconciles that failed for a reason that trying again does not cure";
        registry.register("terminal_reconcile_errors", text, reconciles.terminal_errors.clone());
        registry.register(
            "reconcile_panics",
            "Reconciles that panicked",
            reconciles.panics.clone(),
        );
        let text = "Seconds that reconciles took";
        registry.register("reconcile_time_seconds", text, reconciles.seconds.clone());
        let text = "How many reconciles may be at work at once";
        registry.register("max_concurrent_reconciles", text, reconciles.most.clone());
        let text = "Workers with an item in hand";
        registry.register("active_workers", text, reconciles.active.clone());
        reconciles
    }

    /// Returns the same metrics for another controller.
    #[must_use]
    pub fn of(&self, controller: &'static str) -> Self {
        Self { controller, at_work: Arc::default(), ..self.clone() }
    }

    fn labels(&self) -> ControllerLabels {
        ControllerLabels { controller: self.controller }
    }

    fn queue(&self) -> QueueLabels {
        QueueLabels { name: self.controller }
    }

    /// Sets the number of workers, and creates all counters, so that the first count is an increase.
    pub fn begin(&self, workers: u16) {
        self.most.get_or_create(&self.labels()).set(workers.into());
        for result in ["success", "error", "requeue", "requeue_after"] {
            let _ = self.total.get_or_create(&ResultLabels { controller: self.controller, result });
        }
        for counter in [&self.errors, &self.terminal_errors, &self.panics] {
            let _ = counter.get_or_create(&self.labels());
        }
    }

    /// Records that a worker takes an item. Dropping the value ends its work.
    #[must_use]
    pub fn worker(&self) -> Worker {
        Worker { reconciles: self.clone(), id: self.at_work.add(Instant::now()) }
    }

    /// Counts a reconcile that has ended.
    pub fn ended(&self, result: ResultLabel, took: Duration) {
        let word = match result {
            ResultLabel::Success => "success",
            ResultLabel::Error | ResultLabel::TerminalError => "error",
            ResultLabel::RequeueAfter => "requeue_after",
        };
        self.total.get_or_create(&ResultLabels { controller: self.controller, result: word }).inc();
        if word == "error" {
            self.errors.get_or_create(&self.labels()).inc();
        }
        if result == ResultLabel::TerminalError {
            self.terminal_errors.get_or_create(&self.labels()).inc();
        }
        self.seconds.get_or_create(&self.labels()).observe(took.as_secs_f64());
    }

    /// Measures the work in progress.
    pub(super) fn measure(&self) {
        let seconds = self.at_work.seconds();
        let count = seconds.len().try_into().unwrap_or(i64::MAX);
        self.active.get_or_create(&self.labels()).set(count);
        self.unfinished.get_or_create(&self.queue()).set(seconds.iter().sum());
        let longest = seconds.into_iter().fold(0.0, f64::max);
        self.longest.get_or_create(&self.queue()).set(longest);
    }

    /// Counts a reconcile that has panicked.
    pub fn panicked(&self) {
        self.panics.get_or_create(&self.labels()).inc();
    }
}

/// A worker with an item in progress.
#[derive(Debug)]
pub struct Worker {
    reconciles: Reconciles,
    id: u64,
}

impl Drop for Worker {
    fn drop(&mut self) {
        let took = self.reconciles.at_work.remove(self.id);
        self.reconciles
            .work_seconds
            .get_or_create(&self.reconciles.queue())
            .observe(took.as_secs_f64());
    }
}

/// When each worker took its current item.
#[derive(Debug, Default)]
struct AtWork(Mutex<(u64, BTreeMap<u64, Instant>)>);

impl AtWork {
    fn add(&self, now: Instant) -> u64 {
        let (last, begun) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last += 1;
        begun.insert(*last, now);
        *last
    }

    fn remove(&self, id: u64) -> Duration {
        let (_, begun) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        begun.remove(&id).map(|it| it.elapsed()).unwrap_or_default()
    }

    fn seconds(&self) -> Vec<f64> {
        let (_, begun) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner);
        begun.values().map(|it| it.elapsed().as_secs_f64()).collect()
    }
}

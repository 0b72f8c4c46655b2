//! Metrics of the watches.

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Metrics by watched resource.
#[derive(Clone, Debug)]
pub struct Watches {
    restarts: Family<RestartLabels, Counter>,
    last_events: Family<ResourceLabels, Gauge>,
}

/// Why a watch was restarted. The API server's regular end after some minutes does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// The watch said that its resource version is too old. All objects are listed again.
    Gone,
    /// The same, but the HTTP status of the watch request said so.
    HttpGone,
    /// The watch showed nothing for too long, not even a bookmark.
    Idle,
    /// The watch broke, or could not be started.
    Error,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RestartLabels {
    resource: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResourceLabels {
    resource: &'static str,
}

impl Restart {
    /// All reasons.
    pub const ALL: [Self; 4] = [Self::Gone, Self::HttpGone, Self::Idle, Self::Error];

    /// The value of the label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::HttpGone => "http_gone",
            Self::Idle => "idle",
            Self::Error => "error",
        }
    }
}

impl Watches {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let watches = Self { restarts: Family::default(), last_events: Family::default() };
        let registry = registry.sub_registry_with_prefix("acr_attach_watch");
        let text = "Watches that were begun anew, by reason";
        registry.register("restarts", text, watches.restarts.clone());
        let text = "When a watch of the resource last showed something, bookmarks included; of several the one that is silent longest";
        registry.register("last_event_timestamp_seconds", text, watches.last_events.clone());
        watches
    }

    /// Creates the counters of a watched resource, at zero.
    pub fn begin(&self, resource: &'static str) {
        for reason in Restart::ALL {
            let labels = RestartLabels { resource, reason: reason.as_str() };
            let _ = self.restarts.get_or_create(&labels);
        }
    }

    /// Counts a restart of a watch.
    pub fn restarted(&self, resource: &'static str, reason: Restart) {
        let labels = RestartLabels { resource, reason: reason.as_str() };
        self.restarts.get_or_create(&labels).inc();
    }

    /// Sets when each resource was last shown.
    pub(super) fn set(&self, all: impl IntoIterator<Item = (&'static str, Timestamp)>) {
        self.last_events.clear();
        for (resource, at) in all {
            self.last_events.get_or_create(&ResourceLabels { resource }).set(at.as_second());
        }
    }
}

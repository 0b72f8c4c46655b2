//! Metrics of the state of attachments, and of what was done for them.

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Totals of all attachments and, if enabled, series of each.
#[derive(Clone, Debug)]
pub struct Attachments {
    by_ready: Family<ReadyLabels, Gauge>,
    oldest_pending: Gauge,
    conditions: Family<ConditionLabels, Gauge>,
    suspended: Family<NameLabels, Gauge>,
    expirations: Family<NameLabels, Gauge>,
    renewals: Family<NameLabels, Gauge>,
    drift_corrections: Family<KindLabels, Counter>,
    azure_checks_failed: Counter,
    rotations: Family<ResultLabels, Counter>,
}

/// The state of an attachment, by its spec and status.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// The method in use.
    pub method: &'static str,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Type and status of each condition.
    pub conditions: Vec<(String, String)>,
    /// When the first credential in use expires.
    pub expires: Option<Timestamp>,
    /// When the first credential in use is to be renewed.
    pub renews: Option<Timestamp>,
    /// Since when a finalizer of acr-attach delays its deletion.
    pub pending: Option<Timestamp>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReadyLabels {
    method: &'static str,
    ready: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ConditionLabels {
    name: String,
    r#type: String,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct NameLabels {
    name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

impl Attachments {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let attachments = Self {
            by_ready: Family::default(),
            oldest_pending: Gauge::default(),
            conditions: Family::default(),
            suspended: Family::default(),
            expirations: Family::default(),
            renewals: Family::default(),
            drift_corrections: Family::default(),
            azure_checks_failed: Counter::default(),
            rotations: Family::default(),
        };
        for kind in ["role_assignment", "secret"] {
            let _ = attachments.drift_corrections.get_or_create(&KindLabels { kind });
        }
        for result in ["success", "error"] {
            let _ = attachments.rotations.get_or_create(&ResultLabels { result });
        }
        let registry = registry.sub_registry_with_prefix("acr_attach");
        attachments.register_standing(registry);
        attachments.register_deeds(registry);
        attachments
    }

    fn register_standing(&self, registry: &mut Registry) {
        let text = "Attachments by method and by status of their Ready condition";
        registry.register("attachments", text, self.by_ready.clone());
        let text = "Seconds since the oldest attachment was deleted that still holds something; 0 if there is none";
        let name = "finalizer_oldest_pending_seconds";
        registry.register(name, text, self.oldest_pending.clone());
        let text = "1 for the status that a condition of an attachment has, 0 for the others";
        registry.register("attachment_condition", text, self.conditions.clone());
        let text = "1 for an attachment that is suspended, 0 for others";
        registry.register("attachment_suspended", text, self.suspended.clone());
        let text = "When the first credential in the pull secrets of an attachment ends";
        let name = "credential_expiration_timestamp_seconds";
        registry.register(name, text, self.expirations.clone());
        let text =
            "When the first credential in the pull secrets of an attachment is to be renewed";
        let name = "credential_renewal_timestamp_seconds";
        registry.register(name, text, self.renewals.clone());
    }

    fn register_deeds(&self, registry: &mut Registry) {
        let text = "What was made again after somebody else removed or changed it";
        registry.register("drift_corrections", text, self.drift_corrections.clone());
        let text = "Periodic checks of Azure that failed for a passing reason while Ready";
        registry.register("azure_checks_failed", text, self.azure_checks_failed.clone());
        let text = "Credentials for pull secrets that were made, or could not be";
        registry.register("credential_rotations", text, self.rotations.clone());
    }

    /// Counts an object that was restored after another writer removed or changed it.
    pub fn corrected(&self, kind: &'static str) {
        self.drift_corrections.get_or_create(&KindLabels { kind }).inc();
    }

    /// Counts a periodic check of Azure that failed for a temporary reason.
    pub fn count_failed_azure_check(&self) {
        self.azure_checks_failed.inc();
    }

    /// Counts a credential for pull secrets that was made, or could not be.
    pub fn rotated(&self, made: bool) {
        let result = if made { "success" } else { "error" };
        self.rotations.get_or_create(&ResultLabels { result }).inc();
    }

    /// Sets the state of all attachments; `each` adds the series of single ones.
    pub(super) fn set(&self, all: &[Standing], each: bool, now: Timestamp) {
        self.by_ready.clear();
        self.conditions.clear();
        self.suspended.clear();
        self.expirations.clear();
        self.renewals.clear();
        let oldest = all.iter().filter_map(|it| it.pending).min();
        let age = oldest.map_or(0, |it| now.duration_since(it).as_secs().max(0));
        self.oldest_pending.set(age);
        for one in all {
            let ready = one.conditions.iter().find(|(type_, _)| type_ == "Ready");
            let ready = ready.map_or_else(|| "Unknown".to_owned(), |(_, status)| status.clone());
            self.by_ready.get_or_create(&ReadyLabels { method: one.method, ready }).inc();
            if each {
                self.set_one(one);
            }
        }
    }

    fn set_one(&self, one: &Standing) {
        let Standing { name, suspended, conditions, expires, renews, .. } = one;
        for (type_, is) in conditions {
            for status in ["True", "False", "Unknown"] {
                let (name, r#type) = (name.clone(), type_.clone());
                let labels = ConditionLabels { name, r#type, status };
                self.conditions.get_or_create(&labels).set((is == status).into());
            }
        }
        let labels = NameLabels { name: name.clone() };
        self.suspended.get_or_create(&labels).set((*suspended).into());
        if let Some(expires) = expires {
            self.expirations.get_or_create(&labels).set(expires.as_second());
        }
        if let Some(renews) = renews {
            self.renewals.get_or_create(&labels).set(renews.as_second());
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::super::text::Format;
    use super::*;

    fn page(all: &[Standing], each: bool) -> String {
        let mut registry = Registry::default();
        let attachments = Attachments::new(&mut registry);
        let now = Timestamp::from_second(1_000_000).unwrap();
        // The series of an earlier state must disappear.
        attachments.set(&[standing("gone", "False")], true, now);
        attachments.set(all, each, now);
        Format::Prometheus.page(&registry).unwrap()
    }

    fn standing(name: &str, ready: &str) -> Standing {
        let since = |seconds| {
            Timestamp::from_second(1_000_000).unwrap() - SignedDuration::from_secs(seconds)
        };
        Standing {
            name: name.to_owned(),
            method: "PullSecret",
            suspended: name == "b",
            conditions: vec![("Ready".to_owned(), ready.to_owned())],
            expires: (name == "a").then(|| since(-5)),
            renews: (name == "a").then(|| since(-3)),
            pending: (ready == "False").then(|| since(7)),
        }
    }

    #[test]
    fn each_shows_every_status_of_its_conditions() {
        let text = page(&[standing("a", "True"), standing("b", "False")], true);
        for line in [
            r#"acr_attach_attachments{method="PullSecret",ready="True"} 1"#,
            r#"acr_attach_attachment_condition{name="a",type="Ready",status="True"} 1"#,
            r#"acr_attach_attachment_condition{name="a",type="Ready",status="Unknown"} 0"#,
            r#"acr_attach_attachment_suspended{name="b"} 1"#,
            r#"acr_attach_credential_expiration_timestamp_seconds{name="a"} 1000005"#,
            r#"acr_attach_credential_renewal_timestamp_seconds{name="a"} 1000003"#,
            "acr_attach_finalizer_oldest_pending_seconds 7",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("gone"), "{text}");
    }

    #[test]
    fn none_is_named_where_that_is_not_wanted() {
        let text = page(&[standing("a", "True")], false);
        assert!(!text.contains("name="), "{text}");
        assert!(text.contains(r#"acr_attach_attachments{method="PullSecret",ready="True"} 1"#));
        assert!(text.lines().any(|it| it == "acr_attach_finalizer_oldest_pending_seconds 0"));
    }
}

//! What tests look at and wait for.

use std::time::Duration;

use acr_attach_core::api::{REQUESTED_AT, RegistryAttachmentStatus};
use azure_sim::model::{ACR_PULL, Principal, REPOSITORY_READER, Registry, RoleAssignment};
use azure_sim::{Call, Model};
use control_plane::audit::AuditEvent;
use futures::future::ready;
use futures::{Stream, StreamExt};
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::core::DynamicObject;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;
use tokio::time::MissedTickBehavior;

use super::{LABEL, World};

/// How long anything may take that a test waits for. Only what never comes meets it: it is far more
/// than anything needs on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(180);

/// Waits for something that needs no look.
pub async fn in_time<T>(what: &str, coming: impl Future<Output = T>) -> T {
    let came = tokio::time::timeout(DEADLINE, coming).await;
    came.unwrap_or_else(|_| panic!("waited {DEADLINE:?} for {what}"))
}

impl World {
    /// Waits until the attachment is Ready for its newest generation.
    pub async fn until_ready(&self, name: &str) -> RegistryAttachmentStatus {
        self.until_reason(name, "Ready", "Attached").await
    }

    /// Waits until a condition has that reason, for the newest generation.
    pub async fn until_reason(
        &self,
        name: &str,
        condition: &str,
        reason: &str,
    ) -> RegistryAttachmentStatus {
        let what = format!("{name} to have condition {condition} with reason {reason}");
        self.until_status(name, &what, |generation, status| {
            let found = find(status, condition);
            status.observed_generation == generation && found.is_some_and(|(_, it, _)| it == reason)
        })
        .await
    }

    /// Waits until Ready has that status.
    pub async fn until_ready_is(&self, name: &str, status: &str) -> RegistryAttachmentStatus {
        self.until_status(name, &format!("Ready of {name} to be {status}"), |_, found| {
            find(found, "Ready").is_some_and(|(it, _, _)| it == status)
        })
        .await
    }

    /// Waits until a version of the attachment has a status that fits, from the present version on.
    ///
    /// A watch shows each version. Between two requests of a busy machine, a status may come and go.
    async fn until_status(
        &self,
        name: &str,
        what: &str,
        fits: impl Fn(Option<i64>, &RegistryAttachmentStatus) -> bool,
    ) -> RegistryAttachmentStatus {
        let fitting = self.versions(name).filter_map(|it| {
            let status = serde_json::from_value(it.data["status"].clone()).ok();
            ready(status.filter(|status| fits(it.metadata.generation, status)))
        });
        let found = tokio::time::timeout(DEADLINE, Box::pin(fitting).next()).await.ok().flatten();
        let Some(found) = found else {
            panic!("waited {DEADLINE:?} for {what}; {}", self.describe().await)
        };
        // A watch may show what was written before its writer has the answer, and so before the audit
        // log has the line.
        self.until("the operator's writes to be answered", async || {
            self.in_flight.is_empty().then_some(())
        })
        .await;
        found
    }

    /// Each version of the attachment, from the present one on, if it is there. Never ends.
    fn versions(&self, name: &str) -> impl Stream<Item = DynamicObject> {
        let by_name = format!("metadata.name={}", self.name(name));
        let config = watcher::Config::default().fields(&by_name);
        let events = watcher(self.stored(), config).default_backoff();
        events.filter_map(|event| match event {
            Ok(watcher::Event::InitApply(it) | watcher::Event::Apply(it)) => ready(Some(it)),
            // An API server that is away for a moment is asked again.
            _ => ready(None),
        })
    }

    /// Waits until the attachment is gone.
    pub async fn until_gone(&self, name: &str) {
        self.until(&format!("{name} to be gone"), || async {
            let found = self.stored().get_opt(&self.name(name)).await.unwrap();
            found.is_none().then_some(())
        })
        .await;
    }

    /// Waits until something can be had.
    pub async fn until<T, F: Future<Output = Option<T>>>(
        &self,
        what: &str,
        mut look: impl FnMut() -> F,
    ) -> T {
        let waiting = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(25));
            // A look may take longer than a tick, and the operator needs its turns on the same thread.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                if let Some(found) = look().await {
                    return found;
                }
            }
        };
        let found = tokio::time::timeout(DEADLINE, waiting).await.ok();
        match found {
            Some(found) => found,
            None => panic!("waited {DEADLINE:?} for {what}; {}", self.describe().await),
        }
    }

    /// Waits until Azure has answered so many more calls of that kind.
    pub async fn until_calls(&self, call: Call, more: usize) {
        let before = self.calls(call);
        let what = format!("{more} more calls {call:?}");
        self.until(&what, || async { (self.calls(call) >= before + more).then_some(()) }).await;
    }

    /// Asks for a check of Azure, and waits until it was made.
    pub async fn request(&self, name: &str, value: &str) {
        self.patch(name, json!({"metadata": {"annotations": {REQUESTED_AT: value}}})).await;
        self.until(&format!("the check {value}"), || async {
            let handled = self.status(name).await.last_handled_reconcile_at?;
            (handled == value).then_some(())
        })
        .await;
    }

    pub fn calls(&self, call: Call) -> usize {
        let journal = self.azure.journal();
        journal.iter().filter(|it| it.call == Some(call) && it.status.is_some()).count()
    }

    /// The writes to Azure that were answered.
    pub fn azure_writes(&self) -> usize {
        self.azure.journal().iter().filter(|it| it.call.is_some_and(Call::is_write)).count()
    }

    /// The operator's writes to the API server, without events and the lease, which is renewed all
    /// the time.
    pub fn api_writes(&self) -> usize {
        self.writes().iter().filter(|it| it.resource != "events").count()
    }

    /// The operator's writes to the API server, without the lease.
    pub fn writes(&self) -> Vec<AuditEvent> {
        let mut writes = self.cluster.writes_by(&self.user()).unwrap();
        writes.retain(|it| it.resource != "leases");
        writes
    }

    /// The role assignments on `contoso` that let somebody pull.
    pub fn pull_assignments(&self) -> Vec<RoleAssignment> {
        self.azure.read(|model| {
            let scope = model.find_registry("contoso").map(Registry::id);
            let on_registry = |it: &&RoleAssignment| {
                scope.as_ref().is_some_and(|scope| it.scope.eq_ignore_ascii_case(scope))
                    && [ACR_PULL, REPOSITORY_READER].contains(&it.role.as_str())
            };
            model.role_assignments.iter().filter(on_registry).cloned().collect()
        })
    }

    /// The object id of the kubelet identity of `prod`.
    pub fn kubelet(&self) -> String {
        self.azure.read(|model| {
            let cluster = model.find_cluster("prod").unwrap();
            cluster.kubelet_identity.as_ref().unwrap().object_id.clone()
        })
    }

    /// The reasons of the events about an attachment, oldest first, and whether each warns.
    pub async fn events(&self, name: &str) -> Vec<(String, String)> {
        let words = |it: Event| (it.type_.unwrap_or_default(), it.reason.unwrap_or_default());
        self.told(name).await.into_iter().map(words).collect()
    }

    /// What the events with that reason say about an attachment, oldest first.
    pub async fn notes(&self, name: &str, reason: &str) -> Vec<String> {
        let of_reason = |it: &Event| it.reason.as_deref() == Some(reason);
        let told = self.told(name).await.into_iter().filter(of_reason);
        told.map(|it| it.note.unwrap_or_default()).collect()
    }

    async fn told(&self, name: &str) -> Vec<Event> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), "default");
        let params = ListParams::default().fields(&format!("regarding.name={}", self.name(name)));
        let mut list = events.list(&params).await.unwrap().items;
        list.sort_by_key(|it| it.event_time.as_ref().map(|it| it.0));
        list
    }

    /// Each event about an attachment of this world, oldest first: about what, type, reason, note.
    pub async fn event_lines(&self) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), "default");
        let mut list = events.list(&ListParams::default()).await.unwrap().items;
        list.sort_by_key(|it| it.event_time.as_ref().map(|it| it.0));
        let line = |it: Event| {
            let about = it.regarding?.name.filter(|it| it.ends_with(&self.id))?;
            let [kind, reason, note] =
                [it.type_, it.reason, it.note].map(Option::unwrap_or_default);
            Some(format!("{about} {kind} {reason}: {note}"))
        };
        list.into_iter().filter_map(line).collect()
    }

    /// Waits until there is an event with that reason about an attachment.
    pub async fn until_event(&self, name: &str, kind: &str, reason: &str) {
        let wanted = (kind.to_owned(), reason.to_owned());
        self.until(&format!("a {kind} event {reason} about {name}"), || async {
            self.events(name).await.contains(&wanted).then_some(())
        })
        .await;
    }

    async fn describe(&self) -> String {
        let params = ListParams::default().labels(&format!("{LABEL}={}", self.id));
        let mut lines = vec!["attachments:".to_owned()];
        for it in self.stored().list(&params).await.into_iter().flatten() {
            let status = serde_json::to_string_pretty(&it.data["status"]).unwrap_or_default();
            lines.push(format!("{} {status}", it.name_any()));
        }
        let journal = self.azure.journal();
        for it in journal.iter().rev().take(15).rev() {
            let (time, answer) = (it.time, (it.status, &it.code));
            lines.push(format!("{time} {} {} {answer:?}", it.method, it.path));
        }
        lines.join("\n")
    }
}

/// The operator's service principal.
pub fn operator(azure: &Model) -> Principal {
    azure.principals.iter().find(|it| it.display_name == "acr-attach").cloned().unwrap()
}

/// Status, reason and message of a condition.
pub fn find<'a>(
    status: &'a RegistryAttachmentStatus,
    condition: &str,
) -> Option<(&'a str, &'a str, &'a str)> {
    let conditions = status.conditions.iter().flatten();
    conditions
        .filter(|it| it.type_ == condition)
        .map(|it| (it.status.as_str(), it.reason.as_str(), it.message.as_str()))
        .next()
}

/// The message of Ready.
pub fn message(status: &RegistryAttachmentStatus) -> &str {
    find(status, "Ready").map_or("", |(_, _, message)| message)
}

//! Events: what users are told as it happens, in the cluster's own words.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use kube::{Client, Resource};

use super::kubernetes::within;
use crate::api::RegistryAttachment;

/// Where events about cluster-scoped objects live.
const NAMESPACE: &str = "default";
const CONTROLLER: &str = "acr-attach.dev/acr-attach";
/// The API server takes no longer note.
const NOTE_LIMIT: usize = 1024;

/// Tells users.
#[derive(Clone)]
pub struct Events {
    events: Api<Event>,
    instance: String,
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Whether somebody should worry.
    pub warning: bool,
    /// A word in `PascalCase`.
    pub reason: String,
    /// What was done or tried.
    pub action: &'static str,
    /// One line.
    pub note: String,
}

impl Events {
    /// Over that client, in the name of that replica.
    #[must_use]
    pub fn new(client: Client, instance: String) -> Self {
        Self { events: Api::namespaced(client, NAMESPACE), instance }
    }

    /// Tells one thing about an object. That it could not be told is logged: nothing depends on
    /// events.
    ///
    /// Each is an event of its own. kube's recorder would merge it into an earlier one of the
    /// same reason and show the earlier text.
    pub async fn tell(&self, about: &impl Resource<DynamicType = ()>, news: News) {
        let reason = news.reason.clone();
        let event = self.event(about, news);
        let params = PostParams::default();
        let create = self.events.create(&params, &event);
        if let Err(problem) = within("creating an event", create).await {
            tracing::warn!(event.reason = reason, %problem, "an event was not told");
        }
    }

    fn event(&self, about: &impl Resource<DynamicType = ()>, news: News) -> Event {
        let now = Timestamp::now();
        let name = about.meta().name.clone().unwrap_or_default();
        // As long as the name of an event may be, and no part of it ends in a dash.
        let stem: String = name.chars().take(200).collect();
        let stem = stem.trim_end_matches(['-', '.']);
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{stem}.{:x}", now.as_nanosecond())),
                namespace: Some(NAMESPACE.to_owned()),
                ..ObjectMeta::default()
            },
            regarding: Some(ObjectReference {
                api_version: Some(RegistryAttachment::api_version(&()).into_owned()),
                kind: Some(RegistryAttachment::kind(&()).into_owned()),
                name: Some(name),
                uid: about.meta().uid.clone(),
                ..ObjectReference::default()
            }),
            type_: Some(if news.warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(news.reason),
            action: Some(news.action.to_owned()),
            note: Some(bounded(&news.note)),
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        }
    }
}

fn bounded(note: &str) -> String {
    const CUT: &str = "…";
    if note.len() <= NOTE_LIMIT {
        return note.to_owned();
    }
    let mut end = NOTE_LIMIT - CUT.len();
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{CUT}", &note[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_ends_where_the_api_server_ends_it_and_shows_that() {
        let fits = "x".repeat(NOTE_LIMIT);
        assert_eq!(bounded(&fits), fits);
        let cut = bounded(&"ü".repeat(NOTE_LIMIT));
        assert!(cut.len() <= NOTE_LIMIT && cut.ends_with("ü…"), "{cut}");
    }
}

//! Times an attachment from its creation to Ready, as the API server tells it.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use futures::{Stream, TryStreamExt as _};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, WatchEvent, WatchParams},
};
use serde_json::Value;

/// A watch on one attachment that does not exist yet.
pub struct Stopwatch {
    events: Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<DynamicObject>>> + Send>>,
}

impl Stopwatch {
    /// Begins to watch.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn start(client: Client, name: &str) -> Result<Self> {
        let kind = GroupVersionKind::gvk("acr-attach.dev", "v1alpha1", "RegistryAttachment");
        let resource = ApiResource::from_gvk_with_plural(&kind, "registryattachments");
        let attachments: Api<DynamicObject> = Api::all_with(client, &resource);
        let params = WatchParams::default().fields(&format!("metadata.name={name}"));
        let events = attachments.watch(&params, "0").await.context("cannot watch attachments")?;
        Ok(Self { events: Box::pin(events) })
    }

    /// The time from the creation to the first Ready=True. It is taken as the events arrive, so
    /// this has to be waited for from before the creation on.
    ///
    /// # Errors
    /// When the watch ends before.
    pub async fn created_to_ready(mut self) -> Result<Duration> {
        let mut created = None;
        while let Some(event) = self.events.try_next().await? {
            if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event {
                let created = *created.get_or_insert_with(Instant::now);
                if is_ready(&object.data) {
                    return Ok(created.elapsed());
                }
            }
        }
        bail!("the watch on the attachment ended before it was Ready")
    }
}

fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "True")
}

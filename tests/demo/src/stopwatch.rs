//! Times what happens to objects, as the API server tells it.

use std::{
    fmt::Debug,
    pin::Pin,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Error, Result, anyhow, bail};
use futures::{Stream, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, WatchEvent, WatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{time::timeout, try_join};
use tokio_util::task::AbortOnDropHandle;

use crate::world::attachments;

/// Longer than kubectl waits, which says more when something does not happen.
const DEADLINE: Duration = Duration::from_secs(90);
/// The service account whose pods are to pull.
const ACCOUNT: &str = "default";

/// A time that is taken as events arrive: begun before what it measures, and in a task of its own,
/// so that nothing else delays it.
pub struct Stopwatch<T> {
    what: String,
    time: AbortOnDropHandle<Result<T>>,
}

impl<T: Send + 'static> Stopwatch<T> {
    fn new(what: String, time: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self { what, time: AbortOnDropHandle::new(tokio::spawn(time)) }
    }

    /// Waits until the time is known.
    ///
    /// # Errors
    /// When it is not known in time, or the watch ends before.
    pub async fn stopped(self) -> Result<T> {
        let late = || anyhow!("it took more than {DEADLINE:?}");
        let time = timeout(DEADLINE, self.time).await.map_err(|_| late())?;
        let time = time.map_err(Error::from).flatten();
        time.with_context(|| format!("waited for {}", self.what))
    }
}

/// From the creation of an attachment to the first Ready=True.
///
/// # Errors
/// When the API server refuses the watch.
pub async fn created_to_ready(client: Client, name: &str) -> Result<Stopwatch<Duration>> {
    let mut attachment = Changes::of(attachments(client), name).await?;
    Ok(Stopwatch::new(format!("attachment {name} to turn Ready"), async move {
        let created = attachment.seen(|_| true).await?;
        let ready = attachment.seen(|it: &DynamicObject| is_ready(&it.data)).await?;
        Ok(ready - created)
    }))
}

/// When a Secret is first so as it is waited for.
///
/// # Errors
/// When the API server refuses the watch.
pub async fn changed(
    client: Client,
    (namespace, name): (&str, &str),
    is: impl Fn(&Secret) -> bool + Send + Sync + 'static,
) -> Result<Stopwatch<Instant>> {
    let mut secret = Changes::<Secret>::of(Api::namespaced(client, namespace), name).await?;
    let what = format!("Secret {name} in namespace {namespace} to change");
    Ok(Stopwatch::new(what, async move { secret.seen(is).await }))
}

/// From the deletion of a Secret to another one of that name.
///
/// # Errors
/// When the API server refuses the watch.
pub async fn deleted_to_back(
    client: Client,
    namespace: &str,
    name: &str,
) -> Result<Stopwatch<Duration>> {
    let mut secret = Changes::<Secret>::of(Api::namespaced(client, namespace), name).await?;
    Ok(Stopwatch::new(format!("Secret {name} to be back in namespace {namespace}"), async move {
        let gone = secret.gone().await?;
        let back = secret.seen(|_| true).await?;
        Ok(back - gone)
    }))
}

/// From the moment a namespace has a label to that in which it is served: the Secret is there,
/// and the service account names it.
///
/// # Errors
/// When the API server refuses a watch.
pub async fn labelled_to_served(
    client: Client,
    namespace: &str,
    (key, value): (&'static str, &'static str),
    secret: &str,
) -> Result<Stopwatch<Duration>> {
    let mut labels = Changes::<Namespace>::of(Api::all(client.clone()), namespace).await?;
    let served = served(client, namespace, secret).await?;
    Ok(Stopwatch::new(served.what.clone(), async move {
        let is_labelled = |it: &Namespace| it.labels().get(key).is_some_and(|it| it == value);
        let (labelled, served) = try_join!(labels.seen(is_labelled), served.stopped())?;
        Ok(served.saturating_duration_since(labelled))
    }))
}

/// When a namespace is served, in the same sense.
///
/// # Errors
/// When the API server refuses a watch.
pub async fn served(client: Client, namespace: &str, secret: &str) -> Result<Stopwatch<Instant>> {
    let what = format!("Secret {secret} and service account {ACCOUNT} in namespace {namespace}");
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    let mut secrets = Changes::of(secrets, secret).await?;
    let accounts = Api::<ServiceAccount>::namespaced(client, namespace);
    let mut accounts = Changes::of(accounts, ACCOUNT).await?;
    let secret = secret.to_owned();
    Ok(Stopwatch::new(what, async move {
        let (there, named) =
            try_join!(secrets.seen(|_| true), accounts.seen(|it| names(it, &secret)))?;
        Ok(there.max(named))
    }))
}

/// Whether a service account lets its pods pull with that Secret.
pub fn names(account: &ServiceAccount, secret: &str) -> bool {
    account.image_pull_secrets.iter().flatten().any(|it| it.name == secret)
}

fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "True")
}

/// A watch on the objects of one name.
struct Changes<K> {
    events: Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<K>>> + Send>>,
}

impl<K: Clone + Debug + DeserializeOwned + 'static> Changes<K> {
    /// Begins to watch.
    async fn of(api: Api<K>, name: &str) -> Result<Self> {
        let params = WatchParams::default().fields(&format!("metadata.name={name}"));
        let events = api.watch(&params, "0").await;
        let events = events.with_context(|| format!("cannot watch what is named {name}"))?;
        Ok(Self { events: Box::pin(events) })
    }

    /// When an object that is so is first seen.
    async fn seen(&mut self, is: impl Fn(&K) -> bool) -> Result<Instant> {
        self.when(|event| match event {
            WatchEvent::Added(it) | WatchEvent::Modified(it) => is(it),
            _ => false,
        })
        .await
    }

    /// When one is deleted.
    async fn gone(&mut self) -> Result<Instant> {
        self.when(|event| matches!(event, WatchEvent::Deleted(_))).await
    }

    async fn when(&mut self, is: impl Fn(&WatchEvent<K>) -> bool) -> Result<Instant> {
        while let Some(event) = self.events.try_next().await? {
            if is(&event) {
                return Ok(Instant::now());
            }
        }
        bail!("the watch ended")
    }
}

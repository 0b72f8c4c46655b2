//! Pods, as the kubelet tells how they are.

use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams},
};

use crate::until::until;

/// Longer than the kubelet's back-off ever gets here (10, 20, 40, 80 s).
const LIMIT: Duration = Duration::from_secs(150);

/// The pods of a namespace that have a label.
pub struct Pods {
    api: Api<Pod>,
    /// What they are called in messages.
    what: String,
    label: String,
}

impl Pods {
    /// Those with that label, which `kubectl run NAME` and the manifests give them.
    pub fn new(client: &Client, namespace: &str, label: &str) -> Self {
        let what = format!("pods {label} in namespace {namespace}");
        Self { api: Api::namespaced(client.clone(), namespace), what, label: label.into() }
    }

    /// All of them.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn list(&self) -> Result<Vec<Pod>> {
        Ok(self.api.list(&ListParams::default().labels(&self.label)).await?.items)
    }

    /// Waits until so many run and are ready, and returns their names.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn running(&self, count: usize) -> Result<Vec<String>> {
        self.running_since(count, Timestamp::UNIX_EPOCH).await
    }

    /// The same, with containers that have started since then.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn running_since(&self, count: usize, since: Timestamp) -> Result<Vec<String>> {
        let goal = format!("{} run: {count}", self.what);
        until(&goal, LIMIT, async || {
            let pods = self.list().await?;
            let ready = pods.iter().filter(|it| {
                status(it).is_some_and(|it| it.ready && started(it) >= Some(since.as_second()))
            });
            let names: Vec<_> = ready.map(kube::ResourceExt::name_any).collect();
            ensure!(names.len() == count && pods.len() == count, told(&pods));
            Ok(names)
        })
        .await
    }

    /// Waits until the image of so many cannot be pulled, for a reason with that text, and returns
    /// what the kubelet says of one.
    ///
    /// # Errors
    /// When that takes too long, or one runs.
    pub async fn refused(&self, count: usize, text: &str) -> Result<String> {
        let goal = format!("{} are refused: {count}", self.what);
        until(&goal, LIMIT, async || {
            let pods = self.list().await?;
            let messages: Vec<_> = pods.iter().filter_map(pull_failure).collect();
            let refused = messages.iter().filter(|it| it.contains(text)).count();
            ensure!(refused == count && pods.len() == count, told(&pods));
            Ok(first_error(&messages[0]))
        })
        .await
    }

    /// Kills them at once, as a crash does.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn kill(&self) -> Result<()> {
        let now = DeleteParams::default().grace_period(0);
        for pod in self.list().await? {
            self.api.delete(&pod.name_any(), &now).await?;
        }
        Ok(())
    }
}

fn status(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

/// When it was started, in seconds, which is all that the kubelet tells.
fn started(container: &ContainerStatus) -> Option<i64> {
    let running = container.state.as_ref()?.running.as_ref()?;
    Some(running.started_at.as_ref()?.0.as_second())
}

/// Why the image of a pod cannot be pulled.
fn pull_failure(pod: &Pod) -> Option<String> {
    let waiting = status(pod)?.state.as_ref()?.waiting.as_ref()?;
    let reasons = ["ErrImagePull", "ImagePullBackOff"];
    let is_one = waiting.reason.as_deref().is_some_and(|it| reasons.contains(&it));
    is_one.then(|| waiting.message.clone().unwrap_or_default())
}

/// The first error in what the kubelet says: each credential that it tried adds one, the last of them
/// for nobody. Without what it was about to do, and without the queries of URLs.
fn first_error(message: &str) -> String {
    let message = message.rsplit_once("ErrImagePull: ").map_or(message, |it| it.1);
    let error = message.split_once("failed to resolve image: ").map_or(message, |it| it.1);
    let error = error.split_once(", failed to pull and unpack image").map_or(error, |it| it.0);
    let words = error.trim_end_matches(']').split_whitespace().map(|word| {
        let (url, _) = word.split_once('?').unwrap_or((word, ""));
        if url.len() < word.len() && word.ends_with(':') { format!("{url}:") } else { url.into() }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// How pods are, for messages.
fn told(pods: &[Pod]) -> String {
    let all = pods.iter().map(|pod| {
        let phase = pod.status.as_ref().and_then(|it| it.phase.clone()).unwrap_or_default();
        let why = status(pod).and_then(|it| it.state.as_ref()).and_then(|it| it.waiting.clone());
        let why = why.map(|it| {
            format!(" ({}: {})", it.reason.unwrap_or_default(), it.message.unwrap_or_default())
        });
        format!("{} is {phase}{}", pod.name_any(), why.unwrap_or_default())
    });
    let all: Vec<_> = all.collect();
    if all.is_empty() { "there is none".into() } else { all.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_the_one_that_counts() {
        let pull = "failed to pull and unpack image \"r.azurecr.io/a:v1\": failed to resolve image";
        let message = format!(
            "Back-off pulling image \"r.azurecr.io/a:v1\": ErrImagePull: [{pull}: r.azurecr.io/a:v1: not found, \
             {pull}: failed to fetch anonymous token: 401 Unauthorized]"
        );
        assert_eq!(first_error(&message), "r.azurecr.io/a:v1: not found");
        let message = format!(
            "{pull}: failed to fetch anonymous token: unexpected status from GET request to \
             https://r.azurecr.io/oauth2/token?scope=a&service=r: 401 Unauthorized"
        );
        assert_eq!(
            first_error(&message),
            "failed to fetch anonymous token: unexpected status from GET request to \
             https://r.azurecr.io/oauth2/token: 401 Unauthorized"
        );
        let message = format!("{pull}: 403 Forbidden\ndenied: client with IP '10.0.0.1'");
        assert_eq!(first_error(&message), "403 Forbidden denied: client with IP '10.0.0.1'");
    }
}

//! The story, part by part. What the kubelet, the registry and Azure tell decides whether it is true.

mod abac;
mod hosts;
mod kubelet_identity;
mod older_pods;
mod operator;
mod own_image;
mod pull_secret;
mod restarts;
mod uninstalling;
mod wrong;

use std::{
    fs,
    io::Read as _,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use control_plane::Cluster;
use jiff::Timestamp;

use crate::{
    Flags,
    azure::Image,
    bed::{Bed, control_plane},
    check::Check,
    figures::{Wait, say_waits},
    pods::Pods,
    terminal::{say, say_done, say_part, say_seen},
    until::until,
};

// What the kubelet says. docs/troubleshooting.md tells what each means.
/// Nobody that it knows may pull.
const UNAUTHORIZED: &str = "401 Unauthorized";
/// By a registry with repository permissions: the identity is known, and may not pull that.
const OUTSIDE: &str = "insufficient_scope";
/// The firewall does not let the node in.
const FIREWALL: &str = "403 Forbidden";
/// The registry has no such image.
const NOT_FOUND: &str = "not found";
/// Nobody knows the host.
const NO_HOST: &str = "no such host";
/// In an event: a pod names a pull secret that is not there.
const MISSING_SECRETS: &str = "Unable to retrieve some image pull secrets";

/// How long the operator may take to do what it does.
const LIMIT: Duration = Duration::from_secs(60);
/// How long the kubelet may take to try again.
const TRY_LIMIT: Duration = Duration::from_secs(150);

/// A story as it goes on.
pub struct Story {
    /// Where it takes place.
    bed: Bed,
    waits: Vec<Wait>,
}

/// Tells all of it, within the private world in that folder.
///
/// # Errors
/// When something does not go well.
pub async fn run(flags: &Flags, folder: &Path) -> Result<ExitCode> {
    end_with_owner();
    let start = Instant::now();
    fs::create_dir(folder.join("logs"))?;
    say_part("A cluster of one node");
    let plane = control_plane(flags).await?;
    let outcome = begin(flags, folder, plane.cluster()).await;
    if outcome.is_err() {
        // They go when the control plane goes.
        keep_logs(plane.cluster(), folder);
    }
    outcome?;
    say("");
    say_done("all of it", start);
    plane.stop().await?;
    Ok(ExitCode::SUCCESS)
}

async fn begin(flags: &Flags, folder: &Path, cluster: &Cluster) -> Result<()> {
    let bed = Bed::start(flags, folder, cluster).await?;
    let mut story = Story { bed, waits: Vec::new() };
    let outcome = story.tell().await;
    if outcome.is_err() {
        story.write_down().await;
    }
    say_waits(&story.waits);
    outcome
}

/// Copies the logs of the control plane to those of the node.
fn keep_logs(cluster: &Cluster, folder: &Path) {
    let logs = fs::read_dir(cluster.dir().join("logs"));
    for log in logs.into_iter().flatten().flatten() {
        // Whoever has no room for them has seen the error at least.
        let _ = fs::copy(log.path(), folder.join("logs").join(log.file_name()));
    }
}

/// Ends this process, and so the private world, when its owner is gone: then nobody writes to the
/// pipe any more.
fn end_with_owner() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(1);
    });
}

impl Story {
    async fn tell(&mut self) -> Result<()> {
        self.operator_comes_up().await?;
        self.kubelet_identity().await?;
        self.abac().await?;
        self.pull_secret().await?;
        self.restarts().await?;
        self.older_pods().await?;
        self.own_image().await?;
        self.what_is_wrong().await?;
        self.uninstalling().await
    }

    fn pods(&self, namespace: &str, label: &str) -> Pods {
        Pods::new(&self.bed.client, namespace, label)
    }

    /// Runs a pod that pulls an image whatever the node holds.
    async fn start_pod(&self, namespace: &str, name: &str, image: Image) -> Result<Pods> {
        let flags = "--image-pull-policy=Always";
        let line = format!("kubectl run {name} --namespace {namespace} --image={image} {flags}");
        self.bed.commands.show(&line).await?;
        Ok(self.pods(namespace, &format!("run={name}")))
    }

    /// Runs the check in a namespace, and compares its exit code and a part of what it says.
    async fn check(&self, namespace: &str, image: Image, (code, text): (i32, &str)) -> Result<()> {
        Check { namespace, image }.expect(&self.bed, code, text).await
    }

    /// Waits until an event of the namespace says that.
    async fn told(&self, namespace: &str, text: &str) -> Result<()> {
        let messages = "-o=jsonpath={.items[*].message}";
        let line = format!("kubectl get events --namespace {namespace} {messages}");
        until(&format!("an event says: {text}"), LIMIT, async || {
            let all = self.bed.commands.quietly(&line).await?;
            anyhow::ensure!(all.contains(text), all);
            Ok(())
        })
        .await?;
        say_seen(format_args!("event: {text}"));
        Ok(())
    }

    /// Waits until the kubelet has tried to pull an image once more.
    async fn tried_since(&self, image: Image, since: Timestamp) -> Result<()> {
        until(&format!("the kubelet tries {image} again"), TRY_LIMIT, async || {
            self.bed.azure.last_pull(image, since).context("it has not")
        })
        .await
        .map(drop)
    }

    async fn delete_pods(&self, namespace: &str, names: &str) -> Result<()> {
        let line = format!("kubectl delete pods {names} --namespace {namespace} --now");
        self.bed.commands.quietly(&line).await.map(drop)
    }

    /// Applies an attachment and waits until it says that it is attached.
    async fn attach(&self, name: &str) -> Result<Timestamp> {
        let commands = &self.bed.commands;
        commands.show(&format!("kubectl apply -f tests/node/manifests/{name}.yaml")).await?;
        let line = format!("kubectl wait --for=condition=Ready regatt/{name} --timeout=60s");
        commands.show(&line).await?;
        Ok(Timestamp::now())
    }

    async fn detach(&self, name: &str) -> Result<()> {
        self.bed.commands.show(&format!("kubectl delete regatt {name} --timeout=60s")).await
    }

    /// Waits until the kubelet identity has so many roles.
    async fn kubelet_roles(&self, count: usize) -> Result<()> {
        until("the kubelet identity's role assignments", LIMIT, async || {
            let now = self.bed.azure.kubelet_roles();
            anyhow::ensure!(now == count, "it has {now}");
            Ok(())
        })
        .await
    }

    /// Keeps what tells why it went wrong, beside the logs.
    async fn write_down(&self) {
        let folder = self.bed.folder.join("logs");
        let questions = [
            ("pods", "kubectl get pods --all-namespaces -o wide"),
            ("events", "kubectl get events --all-namespaces --sort-by=.lastTimestamp"),
            ("describe", "kubectl describe pods --all-namespaces"),
            ("attachments", "kubectl get regatt -o yaml"),
            (
                "operator",
                "kubectl logs --namespace acr-attach-system deploy/acr-attach --all-pods=true",
            ),
        ];
        for (name, line) in questions {
            let text = self.bed.commands.quietly(line).await;
            let text = text.unwrap_or_else(|error| format!("{error:#}"));
            let _ = fs::write(folder.join(format!("{name}.txt")), text);
        }
        let journal = self.bed.azure.sim.journal();
        let lines: Vec<_> = journal.iter().map(|it| format!("{it:?}")).collect();
        let _ = fs::write(folder.join("azure.txt"), lines.join("\n"));
        say_seen("written down: pods, events, attachments, the operator's log, Azure's journal");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_on_troubleshooting_knows_what_the_kubelet_says() {
        let page = include_str!("../../../docs/troubleshooting.md");
        for text in [UNAUTHORIZED, OUTSIDE, FIREWALL, NOT_FOUND, NO_HOST, MISSING_SECRETS] {
            assert!(page.contains(text), "{text}");
        }
    }
}

//! The kubelet identity is given the role, and pods that waited run.

use std::time::Instant;

use anyhow::{Result, ensure};
use jiff::Timestamp;

use super::{Story, UNAUTHORIZED};
use crate::{
    azure::REGISTRY,
    figures::Wait,
    terminal::{say_done, say_part, say_refused, say_seen},
};

/// What the pods pull.
const IMAGE: (&str, &str) = (REGISTRY, "samples/nginx:v1");

impl Story {
    pub(super) async fn kubelet_identity(&mut self) -> Result<()> {
        say_part("2. KubeletIdentity: two pods that wait run as soon as the registry is attached");
        self.waiting_pods_run().await?;
        self.detached_registry_is_closed().await
    }

    async fn waiting_pods_run(&mut self) -> Result<()> {
        let (commands, begin) = (&self.bed.commands, Timestamp::now());
        commands.show("kubectl apply -f tests/node/manifests/acr-nginx.yaml").await?;
        let pods = self.pods("default", "app=acr-nginx");
        let start = Instant::now();
        say_refused(&pods.refused(2, UNAUTHORIZED).await?);
        say_done("both pods wait: the kubelet is refused", start);
        ensure!(
            self.bed.azure.provider_exchanges(begin, 401) > 0,
            "nobody was refused an exchange"
        );
        let before = names(&pods.list().await?);
        self.check("default", IMAGE, (6, "FAILED")).await?;

        let (ready, start) = (self.attach("myregistry").await?, Instant::now());
        ensure!(self.bed.azure.kubelet_roles() == 1, "there is no role assignment");
        let mut now = pods.running(2).await?;
        say_done("both pods run, and nobody has touched them", start);
        now.sort();
        ensure!(now == before, "they are other pods: {now:?}, and not {before:?}");
        let pull = self.bed.azure.last_pull("samples/nginx", ready);
        self.waits.push(Wait::of_waiting("kubelet identity, pods that waited", ready, pull));
        let count = self.bed.azure.provider_exchanges(ready, 200);
        ensure!(count > 0, "Microsoft's credential provider got no token");
        let who = "Microsoft's credential provider";
        say_seen(format_args!("{who} has exchanged a token of the node at {REGISTRY}"));
        ensure!(self.bed.azure.blobs("samples/nginx", ready) > 0, "nobody has fetched content");
        self.check("default", IMAGE, (0, "node's identity")).await?;
        let made = Timestamp::now();
        self.start_pod("default", "new", &format!("{REGISTRY}/samples/nginx:v8"))
            .await?
            .running(1)
            .await?;
        self.waits.push(Wait::of_new("kubelet identity, a pod made afterwards", made));
        Ok(())
    }

    async fn detached_registry_is_closed(&mut self) -> Result<()> {
        self.detach("myregistry").await?;
        self.kubelet_roles(0).await?;
        say_seen("the role assignment is gone");
        self.bed.machine.restart_kubelet().await?;
        say_seen("kubelet started again: it keeps the provider's answers for 5 minutes");
        let image = format!("{REGISTRY}/samples/nginx:v2");
        let pods = self.start_pod("default", "detached", &image).await?;
        say_refused(&pods.refused(1, UNAUTHORIZED).await?);
        self.delete_pods("default", "detached").await
    }
}

fn names(pods: &[k8s_openapi::api::core::v1::Pod]) -> Vec<String> {
    let mut names: Vec<_> = pods.iter().filter_map(|it| it.metadata.name.clone()).collect();
    names.sort();
    names
}

//! The kubelet identity is given the role, and pods that waited run.

use std::time::Instant;

use anyhow::{Result, ensure};
use jiff::Timestamp;

use super::{Story, UNAUTHORIZED};
use crate::{
    azure::{Image, REGISTRY},
    figures::Wait,
    terminal::{say_done, say_part, say_refused, say_seen},
};

/// What the pods of the manifest pull.
const IMAGE: Image = Image::nginx("v1");

impl Story {
    pub(super) async fn kubelet_identity(&mut self) -> Result<()> {
        say_part("2. KubeletIdentity: two pods that wait run as soon as the registry is attached");
        self.waiting_pods_run().await?;
        self.other_hosts().await?;
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
            self.bed.azure.provider_exchanges(REGISTRY, begin, 401) > 0,
            "nobody was refused an exchange"
        );
        let before = names(&pods.list().await?);
        self.check("default", IMAGE, (6, "has no role there")).await?;

        let (ready, start) = (self.attach("myregistry").await?, Instant::now());
        ensure!(self.bed.azure.kubelet_roles() == 1, "there is no role assignment");
        let mut now = pods.running(2).await?;
        say_done("both pods run, and nobody has touched them", start);
        now.sort();
        ensure!(now == before, "they are other pods: {now:?}, and not {before:?}");
        let pull = self.bed.azure.last_pull(IMAGE, ready);
        self.waits.push(Wait::of_waiting("kubelet identity, pods that waited", ready, pull));
        let count = self.bed.azure.provider_exchanges(REGISTRY, ready, 200);
        ensure!(count > 0, "Microsoft's credential provider got no token");
        let who = "Microsoft's credential provider";
        say_seen(format_args!("{who} has exchanged a token of the node at {REGISTRY}"));
        ensure!(
            !self.bed.azure.content_asked(IMAGE, ready).is_empty(),
            "nobody has fetched content"
        );
        self.check("default", IMAGE, (0, "node's identity")).await?;
        let made = Timestamp::now();
        self.start_pod("default", "new", Image::nginx("v8")).await?.running(1).await?;
        self.waits.push(Wait::of_new("kubelet identity, a pod made afterwards", made));
        Ok(())
    }

    async fn detached_registry_is_closed(&mut self) -> Result<()> {
        self.detach("myregistry").await?;
        self.kubelet_roles(0).await?;
        say_seen("the role assignment is gone");
        self.bed.machine.restart_kubelet().await?;
        say_seen("kubelet started again: it keeps the provider's answers for 5 minutes");
        let pods = self.start_pod("default", "detached", Image::nginx("v2")).await?;
        say_refused(&pods.refused(1, UNAUTHORIZED).await?);
        self.delete_pods("default", "detached").await
    }
}

fn names(pods: &[k8s_openapi::api::core::v1::Pod]) -> Vec<String> {
    let mut names: Vec<_> = pods.iter().filter_map(|it| it.metadata.name.clone()).collect();
    names.sort();
    names
}

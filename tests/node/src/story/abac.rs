//! The same at a registry in ABAC mode, for some repositories alone.

use std::time::Instant;

use anyhow::Result;

use super::{OUTSIDE, Story};
use crate::{
    azure::ABAC_REGISTRY,
    figures::Wait,
    terminal::{say_done, say_part, say_refused},
};

impl Story {
    pub(super) async fn abac(&mut self) -> Result<()> {
        say_part("3. KubeletIdentity in ABAC mode: repositories samples/* and no other");
        let image = format!("{ABAC_REGISTRY}/samples/nginx:v1");
        let inside = self.start_pod("default", "inside", &image).await?;
        say_refused(&inside.refused(1, OUTSIDE).await?);
        let (ready, start) = (self.attach("myabacregistry").await?, Instant::now());
        inside.running(1).await?;
        say_done("samples/nginx runs", start);
        let pull = self.bed.azure.last_pull("samples/nginx", ready);
        self.waits.push(Wait::of_waiting(
            "kubelet identity in ABAC mode, a pod that waited",
            ready,
            pull,
        ));
        let image = format!("{ABAC_REGISTRY}/other/nginx:v1");
        let outside = self.start_pod("default", "outside", &image).await?;
        say_refused(&outside.refused(1, OUTSIDE).await?);
        self.check("default", (ABAC_REGISTRY, "samples/nginx:v1"), (0, "node's identity")).await?;
        self.check("default", (ABAC_REGISTRY, "other/nginx:v1"), (6, "other/nginx")).await?;
        self.delete_pods("default", "inside outside").await?;
        self.detach("myabacregistry").await?;
        self.kubelet_roles(0).await
    }
}

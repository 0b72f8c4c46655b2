//! The same at a registry with repository permissions, for some repositories alone.

use std::time::Instant;

use anyhow::Result;

use super::{OUTSIDE, Story};
use crate::{
    azure::{ABAC_REGISTRY, Image},
    figures::Wait,
    terminal::{say_done, say_part, say_refused, say_seen},
};

const INSIDE: Image = Image { registry: ABAC_REGISTRY, ..Image::nginx("v1") };
const AFTERWARDS: Image = Image { registry: ABAC_REGISTRY, ..Image::nginx("v2") };
const OTHER: Image = Image { registry: ABAC_REGISTRY, repository: "other/nginx", tag: "v1" };

impl Story {
    pub(super) async fn abac(&mut self) -> Result<()> {
        say_part(
            "3. KubeletIdentity at a registry with repository permissions: samples/* and no other",
        );
        let inside = self.start_pod("default", "inside", INSIDE).await?;
        say_refused(&inside.refused(1, OUTSIDE).await?);
        let (ready, start) = (self.attach("myabacregistry").await?, Instant::now());
        inside.running(1).await?;
        say_done("samples/nginx runs", start);
        let pull = self.bed.azure.last_pull(INSIDE, ready);
        let what = "kubelet identity by repository, a pod that waited";
        self.waits.push(Wait::of_waiting(what, ready, pull));
        let outside = self.start_pod("default", "outside", OTHER).await?;
        say_refused(&outside.refused(1, OUTSIDE).await?);
        self.check("default", INSIDE, (0, "node's identity")).await?;
        self.check("default", OTHER, (6, "may not pull other/nginx")).await?;
        self.detach("myabacregistry").await?;
        self.kubelet_roles(0).await?;
        self.bed.machine.restart_kubelet().await?;
        say_seen("the role assignment is gone, and kubelet started again");
        let afterwards = self.start_pod("default", "afterwards", AFTERWARDS).await?;
        say_refused(&afterwards.refused(1, OUTSIDE).await?);
        self.delete_pods("default", "inside outside afterwards").await
    }
}

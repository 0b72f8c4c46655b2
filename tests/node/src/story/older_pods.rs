//! What docs/troubleshooting.md says of pods that are older than their namespace's attachment.

use anyhow::{Result, ensure};
use jiff::Timestamp;

use super::{Story, UNAUTHORIZED};
use crate::{
    azure::Image,
    terminal::{say_part, say_refused, say_seen},
};

const IMAGE: Image = Image::nginx("v7");

impl Story {
    pub(super) async fn older_pods(&mut self) -> Result<()> {
        say_part("6. A pod that is older than the attachment of its namespace");
        self.detach("myregistry").await?;
        self.kubelet_roles(0).await?;
        self.bed.machine.restart_kubelet().await?;
        let commands = &self.bed.commands;
        commands.show("kubectl create namespace olderapps").await?;
        let line = format!("kubectl create deployment older --namespace olderapps --image={IMAGE}");
        commands.show(&line).await?;
        let pods = self.pods("olderapps", "app=older");
        pods.refused(1, UNAUTHORIZED).await?;
        commands.show("kubectl label namespace olderapps acr-pull=myregistry").await?;
        self.served("olderapps", "acr-pull").await?;
        let served = Timestamp::now();
        // It copied an empty list when it was made, and no try of it can succeed.
        let list = "-o=jsonpath={.items[*].spec.imagePullSecrets}";
        let line = format!("kubectl get pods --namespace olderapps {list}");
        let names = commands.quietly(&line).await?;
        ensure!(names.is_empty(), "the pod has pull secrets: {names}");
        self.tried_since(IMAGE, served).await?;
        say_refused(&pods.refused(1, UNAUTHORIZED).await?);
        say_seen(
            "the namespace is served, and the pod, which has no pull secret, is still refused",
        );
        commands.show("kubectl delete pods --namespace olderapps --all").await?;
        pods.running(1).await?;
        say_seen("the one that comes in its place runs");
        Ok(())
    }
}

//! Taking it away again: not while it holds something, and then without a rest.

use anyhow::{Result, ensure};

use super::{Story, UNAUTHORIZED, operator::NAMESPACE};
use crate::{
    azure::REGISTRY,
    terminal::{say_command, say_part, say_refused, say_seen},
};

impl Story {
    pub(super) async fn uninstalling(&mut self) -> Result<()> {
        say_part("8. Detaching and uninstalling");
        let commands = &self.bed.commands;
        let uninstall = format!("helm uninstall acr-attach --namespace {NAMESPACE} --wait");
        say_command(&uninstall);
        let refusal = commands.quietly(&uninstall).await.err();
        ensure!(refusal.is_some(), "the operator went although attachments hold something");
        say_seen("helm fails: the guard, a Job, finds attachments that hold something");
        commands.show("kubectl delete regatt --all --timeout=60s").await?;
        let pods = self
            .start_pod("awesomeapps", "afterwards", &format!("{REGISTRY}/samples/nginx:v3"))
            .await?;
        say_refused(&pods.refused(1, UNAUTHORIZED).await?);
        let names = "-o=jsonpath={.items[*].metadata.name}";
        let line = format!("kubectl get secrets --all-namespaces {names}");
        let secrets = self.bed.commands.quietly(&line).await?;
        ensure!(!secrets.contains("acr-pull") && !secrets.contains("acr-secret"), secrets);
        say_seen("no pull secret is left");
        self.bed.commands.show(&uninstall).await?;
        let wait = "kubectl wait --for=delete pods --all --timeout=60s";
        self.bed.commands.show(&format!("{wait} --namespace {NAMESPACE}")).await?;
        say_seen("no pod of the operator is left");
        Ok(())
    }
}

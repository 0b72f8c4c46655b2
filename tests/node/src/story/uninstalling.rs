//! Taking it away again: not while it holds something, and then without a rest.

use anyhow::{Result, ensure};

use super::{Story, UNAUTHORIZED, operator::NAMESPACE};
use crate::{
    azure::Image,
    terminal::{say_command, say_lines, say_part, say_refused, say_seen},
};

/// What the guard says while attachments hold something.
const HELD: &str = "hold what only a running operator lets go";

impl Story {
    pub(super) async fn uninstalling(&mut self) -> Result<()> {
        say_part("9. Detaching and uninstalling");
        let commands = &self.bed.commands;
        let uninstall = format!("helm uninstall acr-attach --namespace {NAMESPACE} --wait");
        say_command(&uninstall);
        let refusal = commands.quietly(&uninstall).await.err();
        ensure!(refusal.is_some(), "the operator went although attachments hold something");
        let guard = "kubectl logs job/acr-attach-uninstall-guard";
        let told = commands.quietly(&format!("{guard} --namespace {NAMESPACE}")).await?;
        ensure!(told.contains(HELD), "the guard says something else: {told}");
        say_seen("helm fails, and its Job says why:");
        say_lines(&told);
        commands.show("kubectl delete regatt --all --timeout=60s").await?;
        let pods = self.start_pod("awesomeapps", "afterwards", Image::nginx("v3")).await?;
        say_refused(&pods.refused(1, UNAUTHORIZED).await?);
        let names = "-o=jsonpath={.items[*].metadata.name}";
        let line = format!("kubectl get secrets --all-namespaces {names}");
        let secrets = self.bed.commands.quietly(&line).await?;
        ensure!(!secrets.contains("acr-pull"), secrets);
        say_seen("no pull secret is left");
        // The guard is of the operator's image, whose pull secret has gone with the attachments.
        self.make_first_secret().await?;
        self.bed.commands.show(&uninstall).await?;
        let wait = "kubectl wait --for=delete pods --all --timeout=60s";
        self.bed.commands.show(&format!("{wait} --namespace {NAMESPACE}")).await?;
        say_seen("no pod of the operator is left");
        Ok(())
    }
}

//! The operator comes up, as README installs it, from its own image.

use std::time::Instant;

use anyhow::{Context as _, Result};
use azure_sim::model::DEFAULT_TENANT;

use super::Story;
use crate::{
    bed::{OPERATOR_IMAGE, OPERATOR_TAG},
    terminal::{say_command, say_done, say_lines, say_part, say_seen},
};

/// Where README installs it.
pub const NAMESPACE: &str = "acr-attach-system";
/// What all its pods have.
pub const LABEL: &str = "app.kubernetes.io/name=acr-attach";

impl Story {
    pub(super) async fn operator_comes_up(&self) -> Result<()> {
        say_part("1. The operator: two pods from the chart and from its own image");
        let commands = &self.bed.commands;
        commands.show(&format!("kubectl create namespace {NAMESPACE}")).await?;
        let ca = self.bed.folder.join("azure-ca.crt");
        let ca = ca.display();
        let line = format!(
            "kubectl create configmap azure-ca --namespace {NAMESPACE} --from-file=ca.crt={ca}"
        );
        commands.quietly(&line).await?;
        say_seen("ConfigMap azure-ca holds the certificate of the simulated Azure");
        self.install(OPERATOR_IMAGE, OPERATOR_TAG, "").await
    }

    /// Installs it from that image, with those flags besides, and waits until it runs.
    pub(super) async fn install(&self, repository: &str, tag: &str, flags: &str) -> Result<()> {
        let start = Instant::now();
        let (install, done) = (self.install_command(repository, tag, flags), "STATUS: deployed");
        say_command(&install);
        let said = self.bed.commands.quietly(&install).await?;
        say_lines(said.lines().find(|it| *it == done).context("helm does not say that it is")?);
        let pods = self.pods(NAMESPACE, LABEL).running(2).await?;
        say_done(format_args!("{} run and are ready", pods.join(" and ")), start);
        Ok(())
    }

    fn install_command(&self, repository: &str, tag: &str, flags: &str) -> String {
        let client = &self.bed.azure.operator;
        [
            &format!("helm install acr-attach charts/acr-attach --namespace {NAMESPACE} --wait"),
            &format!("--set image.repository={repository}"),
            &format!("--set image.tag={tag}"),
            "--set azure.auth=workloadIdentity",
            &format!("--set azure.clientId={client}"),
            &format!("--set azure.tenantId={DEFAULT_TENANT}"),
            "--set caBundle.configMap=azure-ca",
            flags,
        ]
        .join(" ")
        .trim_end()
        .to_owned()
    }
}

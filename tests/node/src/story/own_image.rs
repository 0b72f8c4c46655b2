//! The operator's own image is in the registry that it attaches, as docs/operations.md tells.

use std::time::Instant;

use anyhow::{Result, ensure};
use jiff::Timestamp;

use super::{
    Story,
    operator::{LABEL, NAMESPACE},
};
use crate::{
    azure::{FIRST_LOGIN, Image, REGISTRY},
    terminal::{say_done, say_part, say_seen},
};

/// The operator's image, as tests/node/images has copied it there.
const IMAGE: Image = Image { registry: REGISTRY, repository: "acr-attach", tag: "0.1.0" };

impl Story {
    pub(super) async fn own_image(&self) -> Result<()> {
        say_part("7. The operator's own image in the registry that it attaches");
        let commands = &self.bed.commands;
        commands
            .show(&format!("helm uninstall acr-attach --namespace {NAMESPACE} --no-hooks --wait"))
            .await?;
        self.make_first_secret().await?;
        let repository = format!("{REGISTRY}/{}", IMAGE.repository);
        let flags = "--set global.imagePullSecrets={acr-first,acr-pull}";
        self.install(&repository, IMAGE.tag, flags).await?;
        self.attach("own-image").await?;
        commands.show(&format!("kubectl get secret acr-pull --namespace {NAMESPACE}")).await?;
        commands.show(&format!("kubectl delete secret acr-first --namespace {NAMESPACE}")).await?;
        self.operator_is_pulled_again().await
    }

    /// The Secret that the operator's pods need before there is an operator.
    pub(super) async fn make_first_secret(&self) -> Result<()> {
        let (user, password) = FIRST_LOGIN;
        let line = format!(
            "kubectl create secret docker-registry acr-first --namespace {NAMESPACE} --docker-server={REGISTRY} --docker-username={user} --docker-password={password}"
        );
        self.bed.commands.show(&line).await
    }

    /// With nothing but what the attachment has written.
    async fn operator_is_pulled_again(&self) -> Result<()> {
        let (begin, start) = (Timestamp::now(), Instant::now());
        self.bed.machine.forget(&IMAGE.to_string()).await?;
        self.pods(NAMESPACE, LABEL).kill().await?;
        say_seen("the node forgets the image, and both pods of the operator are killed");
        self.pods(NAMESPACE, LABEL).running(2).await?;
        let pull = self.bed.azure.last_pull(IMAGE, begin);
        ensure!(pull.is_some(), "the image was not pulled again");
        say_done("both run again: the node has pulled the image with acr-pull", start);
        Ok(())
    }
}

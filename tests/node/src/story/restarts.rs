//! Whatever restarts in the middle, pods run in the end.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use azure_sim::{Call, Effect, Fault};
use jiff::Timestamp;

use super::{
    LIMIT, Story,
    operator::{LABEL, NAMESPACE},
};
use crate::{
    azure::Image,
    terminal::{say_done, say_part, say_seen},
    until::until,
};

/// How long the registry takes for content meanwhile, so that something can happen in between.
const SLOW: Duration = Duration::from_secs(4);

impl Story {
    pub(super) async fn restarts(&mut self) -> Result<()> {
        say_part("5. Restarts in the middle of a pull: pods run in the end");
        self.attach("myregistry").await?;
        self.operator_is_killed().await?;
        self.kubelet_restarts().await?;
        self.node_restarts().await
    }

    async fn operator_is_killed(&self) -> Result<()> {
        let pods = self.slow_pull("killed", Image::nginx("v4")).await?;
        let start = Instant::now();
        self.pods(NAMESPACE, LABEL).kill().await?;
        say_seen("both pods of the operator are killed while the node pulls");
        pods.running(1).await?;
        self.pods(NAMESPACE, LABEL).running(2).await?;
        say_done("the pod runs, and so does the operator again", start);
        Ok(())
    }

    async fn kubelet_restarts(&mut self) -> Result<()> {
        let pods = self.slow_pull("kubelet", Image::nginx("v5")).await?;
        let start = Instant::now();
        self.bed.machine.restart_kubelet().await?;
        say_seen("kubelet restarts while the node pulls");
        pods.running(1).await?;
        say_done("the pod runs", start);
        Ok(())
    }

    async fn node_restarts(&mut self) -> Result<()> {
        let pods = self.slow_pull("node", Image::nginx("v6")).await?;
        let (start, off) = (Instant::now(), Timestamp::now());
        self.bed.machine.restart().await?;
        say_seen("the node is switched off and on while it pulls");
        pods.running(1).await?;
        // What the API server says of them is from before until the kubelet has looked at them.
        self.pods("default", "app=acr-nginx").running_since(2, off).await?;
        self.pods("awesomeapps", "run=plain").running_since(1, off).await?;
        self.pods(NAMESPACE, LABEL).running_since(2, off).await?;
        self.bed.expect_running()?;
        say_done("it runs, and so do those that ran before, and the operator", start);
        Ok(())
    }

    /// Runs a pod whose image takes long, and returns when the registry has begun to send it.
    async fn slow_pull(&self, name: &str, image: Image) -> Result<crate::pods::Pods> {
        let azure = &self.bed.azure;
        let milliseconds = u64::try_from(SLOW.as_millis())?;
        let begin = Timestamp::now();
        azure.sim.fault(Fault::new(Call::RegistryBlob, Effect::Delay { milliseconds }));
        let pods = self.start_pod("default", name, image).await?;
        until("the node waits for content", LIMIT, async || {
            let asked = azure.content_asked(image, begin);
            ensure!(asked.iter().any(|it| it.fault.is_some()), "it has not asked for any");
            Ok(())
        })
        .await?;
        azure.sim.clear_faults();
        Ok(pods)
    }
}

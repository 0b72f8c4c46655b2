//! Other hosts of registries: for which of them the node gets a credential.

use anyhow::{Result, ensure};
use jiff::Timestamp;

use super::{Story, UNAUTHORIZED};
use crate::{
    azure::{Image, LABELLED_REGISTRY, REGIONAL_ENDPOINT},
    terminal::{say_refused, say_seen},
};

const LABELLED: Image = Image { registry: LABELLED_REGISTRY, ..Image::nginx("v1") };
const REGIONAL: Image = Image { registry: REGIONAL_ENDPOINT, ..Image::nginx("v1") };

impl Story {
    pub(super) async fn other_hosts(&mut self) -> Result<()> {
        self.host_with_a_dash().await?;
        self.regional_host().await
    }

    /// Microsoft's credential provider has to know the host.
    async fn host_with_a_dash(&self) -> Result<()> {
        self.attach("mylabelledregistry").await?;
        let begin = Timestamp::now();
        self.start_pod("default", "labelled", LABELLED).await?.running(1).await?;
        self.expect_exchanges(LABELLED_REGISTRY, begin)?;
        say_seen("a host with a dash: the provider of the node knows it");
        self.check("default", LABELLED, (0, "a host with a dash needs v1.30.10")).await?;
        self.detach("mylabelledregistry").await?;
        self.delete_pods("default", "labelled").await
    }

    /// The kubelet has to ask its credential provider, and then that has to know the host.
    async fn regional_host(&mut self) -> Result<()> {
        let begin = Timestamp::now();
        let pods = self.start_pod("default", "regional", REGIONAL).await?;
        say_refused(&pods.refused(1, UNAUTHORIZED).await?);
        let asked =
            [200, 401].map(|it| self.bed.azure.provider_exchanges(REGIONAL_ENDPOINT, begin, it));
        ensure!(asked == [0, 0], "the kubelet has asked the provider: {asked:?}");
        self.check("default", REGIONAL, (0, "a regional host needs *.*.geo.azurecr.*")).await?;
        self.bed.machine.learn_regional_hosts().await?;
        say_seen("kubelet started again, with *.*.geo.azurecr.io in its matchImages");
        pods.running(1).await?;
        self.expect_exchanges(REGIONAL_ENDPOINT, begin)?;
        say_seen("a regional host: the kubelet asks the provider, which knows it");
        self.delete_pods("default", "regional").await
    }

    fn expect_exchanges(&self, host: &str, since: Timestamp) -> Result<()> {
        let count = self.bed.azure.provider_exchanges(host, since, 200);
        ensure!(count > 0, "Microsoft's credential provider got no token at {host}");
        Ok(())
    }
}

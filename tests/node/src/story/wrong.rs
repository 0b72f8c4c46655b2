//! What can be wrong besides: what the kubelet says, as docs/troubleshooting.md tells, and the check.

use anyhow::Result;

use super::{FIREWALL, NO_HOST, NOT_FOUND, Story, UNAUTHORIZED};
use crate::{
    azure::{Image, NO_REGISTRY},
    terminal::{say_part, say_refused, say_seen},
};

/// A namespace with a pull secret that holds client id and secret.
const NAMESPACE: &str = "moreapps";

impl Story {
    pub(super) async fn what_is_wrong(&mut self) -> Result<()> {
        say_part(
            "8. A wrong host, a firewall, an image that is not there, an expired client secret",
        );
        let nowhere = Image { registry: NO_REGISTRY, ..Image::nginx("v1") };
        self.refused(nowhere, NO_HOST, (2, "cannot be resolved")).await?;

        self.bed.azure.set_firewall_closed(true);
        self.refused(Image::nginx("v1"), FIREWALL, (4, "does not admit address")).await?;
        self.bed.azure.set_firewall_closed(false);

        self.refused(Image::nginx("v0"), NOT_FOUND, (7, "has no image samples/nginx:v0")).await?;

        self.bed.azure.expire_client_secret();
        say_seen("the client secret of the service principal has expired");
        self.refused(Image::nginx("v1"), UNAUTHORIZED, (6, "the secret has expired")).await
    }

    /// Runs a pod, which the kubelet refuses with that text, and the check beside it.
    async fn refused(&self, image: Image, text: &str, result: (i32, &str)) -> Result<()> {
        let pods = self.start_pod(NAMESPACE, "wrong", image).await?;
        say_refused(&pods.refused(1, text).await?);
        self.check(NAMESPACE, image, result).await?;
        self.delete_pods(NAMESPACE, "wrong").await
    }
}

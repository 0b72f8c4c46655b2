//! What can be wrong besides: what the kubelet says, as docs/troubleshooting.md tells, and the check.

use anyhow::Result;

use super::{FIREWALL, NO_HOST, NOT_FOUND, Story, UNAUTHORIZED};
use crate::{
    azure::{NO_REGISTRY, REGISTRY},
    terminal::{say_part, say_refused, say_seen},
};

/// A namespace with a pull secret that holds client id and secret.
const NAMESPACE: &str = "moreapps";

impl Story {
    pub(super) async fn what_is_wrong(&mut self) -> Result<()> {
        say_part(
            "7. A wrong host, a firewall, an image that is not there, an expired client secret",
        );
        self.refused((NO_REGISTRY, "samples/nginx:v1"), NO_HOST, (2, "name")).await?;

        self.bed.azure.set_firewall_closed(true);
        let image = (REGISTRY, "samples/nginx:v1");
        self.refused(image, FIREWALL, (4, "firewall")).await?;
        self.bed.azure.set_firewall_closed(false);

        let image = (REGISTRY, "samples/nginx:v0");
        self.refused(image, NOT_FOUND, (7, "samples/nginx:v0")).await?;

        self.bed.azure.expire_client_secret();
        say_seen("the client secret of the service principal has expired");
        let image = (REGISTRY, "samples/nginx:v1");
        self.refused(image, UNAUTHORIZED, (6, "acr-pull")).await
    }

    /// Runs a pod, which the kubelet refuses with that text, and the check beside it.
    async fn refused(&self, image: (&str, &str), text: &str, result: (i32, &str)) -> Result<()> {
        let full = format!("{}/{}", image.0, image.1);
        let pods = self.start_pod(NAMESPACE, "wrong", &full).await?;
        say_refused(&pods.refused(1, text).await?);
        self.check(NAMESPACE, image, result).await?;
        self.delete_pods(NAMESPACE, "wrong").await
    }
}

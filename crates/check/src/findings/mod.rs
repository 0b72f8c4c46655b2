//! The findings of `acr-attach check` and their texts, step by step.
//!
//! The steps are those of a pull by a kubelet and a container runtime, without the image's layers.

pub mod challenge;
pub mod credential;
pub mod manifest;
pub mod network;
mod report;

use acr_attach_core::ids::LoginServer;
pub use report::{Report, Step, StepName, StepResult, exit_codes};

use std::fmt;

use crate::image::{Image, Platform};

/// The registry and image to check, and the pods to check them for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The registry.
    pub registry: LoginServer,
    /// The image; `None` to check the registry alone.
    pub image: Option<Image>,
    /// The platforms of the nodes that will pull the image.
    pub platforms: Vec<Platform>,
    /// The namespace of the pods.
    pub namespace: String,
    /// Where the pods get their pull secrets from.
    pub pull_secrets: PullSecretSource,
}

/// Where pods get their pull secrets from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullSecretSource {
    /// The `imagePullSecrets` of this service account. A pod without own ones gets a copy when it is created.
    ServiceAccount(String),
    /// The pods name these Secrets themselves.
    Pods(Vec<String>),
}

impl Target {
    /// The repository of the image, if there is an image.
    #[must_use]
    pub fn repository(&self) -> Option<&str> {
        self.image.as_ref().map(|it| it.repository.as_str())
    }

    /// The name that the kubelet looks for in pull secrets: host and repository as pods name them. Without an image
    /// it is the registry's host alone.
    #[must_use]
    pub fn name(&self) -> String {
        self.image.as_ref().map_or_else(|| self.registry.to_string(), Image::name)
    }

    /// The registry's host as pods name it. Its case matters to the kubelet.
    #[must_use]
    pub fn host(&self) -> &str {
        self.image.as_ref().map_or(self.registry.as_str(), |it| &it.host)
    }

    /// The registry's name in Azure: the login server up to the first dot, without the hash that may follow
    /// after a dash (azure-docs, container-registry-endpoint-reference.md: names hold no dash).
    fn registry_name(&self) -> &str {
        let host = self.registry.as_str();
        host.split(['.', '-']).next().unwrap_or(host)
    }

    /// The domain of the registries in this cloud, such as `azurecr.us`.
    fn domain(&self) -> &str {
        let host = self.registry.as_str();
        let domain = host.rmatch_indices('.').nth(1).map_or(host, |(at, _)| &host[at + 1..]);
        if domain.starts_with("azurecr.") { domain } else { "azurecr.io" }
    }

    /// The host without the region of a regional endpoint such as `contoso.westeurope.geo.azurecr.io`
    /// (azure-docs, container-registry-endpoint-reference.md).
    fn global_host(&self) -> String {
        let host = self.registry.as_str();
        match *host.splitn(4, '.').collect::<Vec<_>>() {
            [name, _, "geo", domain] => format!("{name}.{domain}"),
            _ => host.to_owned(),
        }
    }

    /// The advice to compare the host with the registry's login server.
    fn login_server_advice(&self) -> String {
        format!(
            "Compare it with what az acr show --name {} --query loginServer prints",
            self.registry_name()
        )
    }
}

/// The first line of a report.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host())?;
        if let Some(image) = &self.image {
            write!(f, "/{image}")?;
        }
        match &self.pull_secrets {
            PullSecretSource::ServiceAccount(name) => {
                write!(f, ", as a pod of service account {name}")?;
            }
            PullSecretSource::Pods(names) => {
                write!(f, ", as a pod that names pull secret {}", names.join(", "))?;
            }
        }
        write!(f, " in namespace {}", self.namespace)
    }
}

/// A text of others as it may be shown: one line of printable characters, at most 200 of them.
#[must_use]
pub fn one_line(text: &str) -> String {
    const MAX_CHARS: usize = 200;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let start: String = line.chars().filter(|it| !it.is_control()).take(MAX_CHARS).collect();
    if line.chars().count() > MAX_CHARS { format!("{start}…") } else { start }
}

#[cfg(test)]
mod tests;

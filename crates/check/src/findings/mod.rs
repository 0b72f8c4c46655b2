//! What `acr-attach check` finds out, and how it is told: step by step, as a pull goes.
//!
//! The steps are what a kubelet and a container runtime do, up to where the image's layers would follow.

pub mod challenge;
pub mod credential;
pub mod manifest;
pub mod network;
mod report;

use acr_attach_core::ids::LoginServer;
pub use report::{Report, Step, StepName, StepResult, exit_codes};

use std::fmt;

use crate::image::{Image, Platform};

/// What is checked, and for which pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The registry.
    pub registry: LoginServer,
    /// The image, if one is named.
    pub image: Option<Image>,
    /// What the nodes run that are to pull it.
    pub platforms: Vec<Platform>,
    /// The namespace of the pods.
    pub namespace: String,
    /// Where the pods have their pull secrets from.
    pub pull_secrets: PullSecretsOf,
}

/// Where pods have their pull secrets from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullSecretsOf {
    /// The list of that service account, which a pod without a list of its own is given when it is created.
    ServiceAccount(String),
    /// The pods name these themselves.
    Pods(Vec<String>),
}

impl Target {
    /// The repository of the image, if one is named.
    #[must_use]
    pub fn repository(&self) -> Option<&str> {
        self.image.as_ref().map(|it| it.repository.as_str())
    }

    /// What the kubelet looks for in pull secrets: host and repository as pods name them; without an image the
    /// registry's host alone.
    #[must_use]
    pub fn name(&self) -> String {
        self.image.as_ref().map_or_else(|| self.registry.to_string(), Image::name)
    }

    /// The registry's host as pods name it: letters count for the kubelet.
    #[must_use]
    pub fn host(&self) -> &str {
        self.image.as_ref().map_or(self.registry.as_str(), |it| &it.host)
    }

    /// What Azure's commands call the registry: the login server up to the first dot, without the hash that
    /// may follow (azure-docs, container-registry-endpoint-reference.md: names hold no dash).
    fn registry_name(&self) -> &str {
        let host = self.registry.as_str();
        host.split(['.', '-']).next().unwrap_or(host)
    }

    /// The domain of the cloud's registries, such as `azurecr.us`.
    fn domain(&self) -> &str {
        let host = self.registry.as_str();
        let domain = host.rmatch_indices('.').nth(1).map_or(host, |(at, _)| &host[at + 1..]);
        if domain.starts_with("azurecr.") { domain } else { "azurecr.io" }
    }

    /// The host without its region, where it is a regional endpoint such as `contoso.westeurope.geo.azurecr.io`
    /// (azure-docs, container-registry-endpoint-reference.md).
    fn global_host(&self) -> String {
        let host = self.registry.as_str();
        match *host.splitn(4, '.').collect::<Vec<_>>() {
            [name, _, "geo", domain] => format!("{name}.{domain}"),
            _ => host.to_owned(),
        }
    }

    /// How to find out whether the host is the right one.
    fn login_server(&self) -> String {
        format!(
            "Compare it with what az acr show --name {} --query loginServer prints",
            self.registry_name()
        )
    }
}

/// For the head of a report.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host())?;
        if let Some(image) = &self.image {
            write!(f, "/{image}")?;
        }
        match &self.pull_secrets {
            PullSecretsOf::ServiceAccount(name) => {
                write!(f, ", as a pod of service account {name}")?;
            }
            PullSecretsOf::Pods(names) => {
                write!(f, ", as a pod that names pull secret {}", names.join(", "))?;
            }
        }
        write!(f, " in namespace {}", self.namespace)
    }
}

/// A text of somebody else's as it can be told: one line of printable characters, and not long.
#[must_use]
pub fn told(text: &str) -> String {
    const LONGEST: usize = 200;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let told: String = line.chars().filter(|it| !it.is_control()).take(LONGEST).collect();
    if line.chars().count() > LONGEST { format!("{told}…") } else { told }
}

#[cfg(test)]
mod tests;

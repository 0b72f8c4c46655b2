//! The flags of `acr-attach check`, and the check that they ask for.

use std::path::PathBuf;

use acr_attach_check::findings::{PullSecretSource, Target};
use acr_attach_check::image::{Image, Platform};
use acr_attach_core::ids::LoginServer;
use clap::{Args, ValueEnum};
use uuid::Uuid;

/// The flags of `acr-attach check`. Each has an environment variable.
#[derive(Args, Clone, Debug)]
pub struct CheckArguments {
    /// The registry's login server, such as myregistry.azurecr.io.
    #[arg(long, env = "ACR_ATTACH_CHECK_REGISTRY", value_name = "HOST")]
    pub registry: LoginServer,

    /// An image of the registry: REPOSITORY:TAG or REPOSITORY@DIGEST, with or without the registry's
    /// host before it. Without an image, the check ends when the registry has accepted a credential.
    #[arg(long, env = "ACR_ATTACH_CHECK_IMAGE")]
    pub image: Option<String>,

    /// The namespace of the pods in question. Default: that of the check itself.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: Option<String>,

    /// The service account of those pods, from which they get their pull secrets.
    #[arg(long, env = "ACR_ATTACH_CHECK_SERVICE_ACCOUNT", default_value = "default")]
    pub service_account: String,

    /// A pull secret that those pods name themselves; may be given several times. The list of the
    /// service account is then ignored, as it is for pods.
    #[arg(
        long = "pull-secret",
        env = "ACR_ATTACH_CHECK_PULL_SECRETS",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub pull_secrets: Vec<String>,

    /// The client id or the object id of the kubelet identity. Without it, instance metadata chooses
    /// the node's system-assigned identity, else the only one.
    #[arg(long, env = "ACR_ATTACH_CHECK_KUBELET_IDENTITY", value_name = "ID")]
    pub kubelet_identity: Option<Uuid>,

    /// The platform of the nodes that are to pull the image, such as linux/arm64; may be given several
    /// times. Default: that of the check itself.
    #[arg(
        long = "platform",
        env = "ACR_ATTACH_CHECK_PLATFORMS",
        value_name = "OS/ARCHITECTURE",
        value_delimiter = ','
    )]
    pub platforms: Vec<Platform>,

    /// The format of the report.
    #[arg(long, env = "ACR_ATTACH_CHECK_OUTPUT", value_enum, default_value = "text")]
    pub output: Output,

    /// A file of certificates (PEM) to trust, beside the system's.
    #[arg(long, env = "ACR_ATTACH_CA_FILE")]
    pub ca_file: Option<PathBuf>,
}

/// The format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text for people.
    Text,
    /// One JSON object.
    Json,
}

impl CheckArguments {
    /// Returns what to check. `namespace` is that of the check's own service account, `processor`
    /// Rust's name for the architecture that it runs on.
    ///
    /// # Errors
    /// One sentence when the image is not one of the registry.
    pub fn target(&self, namespace: &str, processor: &str) -> Result<Target, String> {
        let Self { registry, image, service_account, pull_secrets, platforms, .. } = self;
        let image = image.as_deref().filter(|it| !it.is_empty());
        let image = image.map(|it| Image::of(registry, it)).transpose();
        let named: Vec<_> = pull_secrets.iter().filter(|it| !it.is_empty()).cloned().collect();
        Ok(Target {
            registry: registry.clone(),
            image: image.map_err(|text| format!("{text} (--image)"))?,
            platforms: if platforms.is_empty() {
                vec![Platform::linux(processor)]
            } else {
                platforms.clone()
            },
            namespace: self.namespace.clone().unwrap_or_else(|| namespace.to_owned()),
            pull_secrets: if named.is_empty() {
                PullSecretSource::ServiceAccount(service_account.clone())
            } else {
                PullSecretSource::Pods(named)
            },
        })
    }
}

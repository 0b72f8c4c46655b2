//! The pull secret of the demo's second half, and the credentials that it has held.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _};

use crate::{
    azure::IMAGE,
    registry::{self, Exchange, Login},
    terminal::table,
    world::World,
};

/// What is applied, and the names that stand in it.
pub const SAMPLE: &str = "deploy/samples/pull-secret.yaml";
pub const NAME: &str = "contoso-pull";
/// The namespace that the sample names.
pub const NAMED: &str = "awesomeapps";
/// The label that the sample wants of other namespaces.
pub const LABEL: (&str, &str) = ("acr-pull", "contoso");
/// The namespace that is chosen by its label.
pub const LABELLED: &str = "moreapps";
/// The pull secret, by its default name.
pub const SECRET: &str = "acr-pull";
/// The Secret in the operator's namespace that holds the client secret, and the key in it.
pub const CREDENTIAL: (&str, &str) = ("acr-sp", "clientSecret");

const WRITTEN: &str = "acr-attach.dev/written";
const EXPIRES: &str = "acr-attach.dev/expires";
/// What the credential was made from. It changes with the client secret, and not by renewal.
pub const INPUTS: &str = "acr-attach.dev/inputs";

/// The Secret of a namespace.
///
/// # Errors
/// When it is not there.
pub async fn secret(world: &World, namespace: &str) -> Result<Secret> {
    let secret = Api::<Secret>::namespaced(world.client.clone(), namespace).get(SECRET).await;
    secret.with_context(|| format!("namespace {namespace} has no Secret {SECRET}"))
}

/// Pulls with the Secret of a namespace as a container runtime does, and returns what it took.
///
/// # Errors
/// When the registry does not take what the Secret holds.
pub async fn pulled(world: &World, namespace: &str) -> Result<Vec<Exchange>> {
    let login = Login::of(&secret(world, namespace).await?, IMAGE.0)?;
    let pulled = registry::pull(&world.azure.client()?, &login, IMAGE).await;
    pulled.with_context(|| format!("cannot pull with Secret {SECRET} of namespace {namespace}"))
}

/// A credential that the Secret of [`NAMED`] held from some time on.
pub struct Held {
    login: Login,
    why: &'static str,
    written: String,
    /// When it ends, as the Secret says.
    pub ends: String,
}

impl Held {
    /// What it holds now, and why it holds that.
    ///
    /// # Errors
    /// When there is none.
    pub async fn now(world: &World, why: &'static str) -> Result<Self> {
        let secret = secret(world, NAMED).await?;
        let time = |name| secret.annotations().get(name).cloned().unwrap_or_default();
        let (written, ends) = (time(WRITTEN), time(EXPIRES));
        Ok(Self { login: Login::of(&secret, IMAGE.0)?, why, written, ends })
    }

    /// Whether the registry takes it now.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub async fn is_taken(&self, world: &World) -> Result<bool> {
        Ok(registry::answer(&world.azure.client()?, &self.login, IMAGE).await?.is_success())
    }
}

/// Credentials as a table, with what the registry answers to each.
///
/// # Errors
/// When the registry does not answer.
pub async fn credentials(world: &World, held: &[Held]) -> Result<String> {
    let client = world.azure.client()?;
    let mut rows = vec![["WRITTEN", "ENDS", "BECAUSE", "REGISTRY SAYS"].map(str::to_owned)];
    for Held { login, why, written, ends } in held {
        let answer = registry::answer(&client, login, IMAGE).await?.to_string();
        rows.push([time(written), time(ends), why, &answer].map(str::to_owned));
    }
    Ok(table(&rows))
}

/// The time of day: all of it happens within a minute.
fn time(text: &str) -> &str {
    text.split_once('T').map_or(text, |it| it.1)
}

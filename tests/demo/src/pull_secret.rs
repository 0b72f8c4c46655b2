//! Method `PullSecret`, as off AKS: a docker-registry Secret in the namespaces that need it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use tokio::try_join;

use crate::{
    azure::{CLIENT_SECRET, IMAGE},
    operator::NAMESPACE,
    registry::{self, Exchange, Login, Pulled},
    stopwatch::{created_to_ready, deleted_to_back, labelled_to_served, served},
    terminal::{say, say_heading, say_lines, table},
    world::World,
};

/// What is applied, and the names that stand in it.
pub const SAMPLE: &str = "deploy/samples/pull-secret.yaml";
pub const NAME: &str = "contoso-pull";
/// The namespace that the sample names.
pub const NAMED: &str = "awesomeapps";
/// The label that the sample wants of other namespaces.
pub const LABEL: (&str, &str) = ("acr-pull", "contoso");
const CREDENTIAL: &str = "acr-sp";
/// The namespace that is chosen by its label.
pub const LABELLED: &str = "moreapps";
/// The pull secret's name where an attachment does not give one.
pub const SECRET: &str = "acr-pull";

/// Attaches and returns the time from the creation to Ready.
///
/// # Errors
/// When the attachment does not turn Ready, or does not serve its namespace.
pub async fn attach(world: &World) -> Result<Duration> {
    say_heading("Method PullSecret, as off AKS");
    world.kubectl.show(&format!("create namespace {NAMED}")).await?;
    let literal = format!("--from-literal=clientSecret={CLIENT_SECRET}");
    let command = format!("create secret generic {CREDENTIAL} --namespace {NAMESPACE} {literal}");
    world.kubectl.show(&command).await?;
    let ready = created_to_ready(world.client.clone(), NAME).await?;
    let served = served(world.client.clone(), NAMED, SECRET).await?;
    let applied = world.apply(SAMPLE, NAME);
    let (took, _, ()) = try_join!(ready.stopped(), served.stopped(), applied)?;
    say(format_args!("  Ready {:.2} s after it was created.", took.as_secs_f64()));
    Ok(took)
}

/// Shows what is there now.
///
/// # Errors
/// When it cannot be had.
pub async fn look(world: &World) -> Result<()> {
    world.show_message(NAME).await?;
    show_served(world, NAMED).await
}

/// Shows the pull secret of a namespace, and the service account that names it.
async fn show_served(world: &World, namespace: &str) -> Result<()> {
    let kubectl = &world.kubectl;
    kubectl.show(&format!("get secret {SECRET} --namespace {namespace}")).await?;
    let list = "jsonpath='{.imagePullSecrets}'";
    kubectl.show(&format!("get serviceaccount default --namespace {namespace} -o {list}")).await
}

/// Pulls with the Secret of a namespace and shows how.
///
/// # Errors
/// When the registry does not accept what the Secret holds.
pub async fn pull(world: &World, namespace: &str) -> Result<()> {
    let (server, repository, tag) = IMAGE;
    say_heading(&format!(
        "Pull {server}/{repository}:{tag} with the Secret of {namespace}, as a container runtime does"
    ));
    let pulled = pulled(world, namespace).await?;
    let mut rows = vec![["REQUEST", "WITH", "ANSWER"].map(str::to_owned)];
    rows.extend(pulled.exchanges.into_iter().map(|Exchange { asked, with, answer }| {
        [asked, with.to_owned(), answer.as_u16().to_string()]
    }));
    say_lines(&table(&rows));
    say(format_args!("  The manifest is {}.", pulled.digest));
    Ok(())
}

async fn pulled(world: &World, namespace: &str) -> Result<Pulled> {
    let secret = Api::<Secret>::namespaced(world.client.clone(), namespace).get(SECRET).await?;
    let login = Login::of(&secret, IMAGE.0)?;
    let pulled = registry::pull(&world.azure.sim, &login, IMAGE).await;
    pulled.with_context(|| format!("cannot pull with Secret {SECRET} of namespace {namespace}"))
}

/// Deletes the Secret by hand, and returns the time until it was back.
///
/// # Errors
/// When it does not come back.
pub async fn delete_by_hand(world: &World) -> Result<Duration> {
    say_heading("Delete the Secret by hand");
    let stopwatch = deleted_to_back(world.client.clone(), NAMED, SECRET).await?;
    let command = format!("delete secret {SECRET} --namespace {NAMED}");
    let (took, ()) = try_join!(stopwatch.stopped(), world.kubectl.show(&command))?;
    pulled(world, NAMED).await?;
    let seconds = took.as_secs_f64();
    say(format_args!("  Back {seconds:.2} s after it was deleted, and the registry takes it."));
    Ok(took)
}

/// Labels another namespace, and returns the time until it was served.
///
/// # Errors
/// When it is not served.
pub async fn label(world: &World) -> Result<Duration> {
    say_heading("Label another namespace");
    world.kubectl.show(&format!("create namespace {LABELLED}")).await?;
    let (key, value) = LABEL;
    let stopwatch = labelled_to_served(world.client.clone(), LABELLED, LABEL, SECRET).await?;
    let command = format!("label namespace {LABELLED} {key}={value}");
    let (took, ()) = try_join!(stopwatch.stopped(), world.kubectl.show(&command))?;
    pulled(world, LABELLED).await?;
    let seconds = took.as_secs_f64();
    say(format_args!("  Served {seconds:.2} s after it was labelled, and the registry takes it."));
    show_served(world, LABELLED).await?;
    Ok(took)
}

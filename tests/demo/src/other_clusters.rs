//! On other clusters, step by step: what Microsoft's guide has people type for a pull secret, and
//! again whenever a secret ends.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use tokio::try_join;

use crate::{
    azure::{CLIENT_SECRET, IMAGE, NEXT_CLIENT_SECRET, REGISTRY, REGISTRY_TOKEN_LIFE},
    detach::detach,
    operator::{NAMESPACE, PULL_SECRET_NAMES},
    pull_secret::{
        CREDENTIAL, Held, INPUTS, LABEL, LABELLED, NAME, NAMED, SAMPLE, SECRET, credentials,
        pulled, secret,
    },
    pulls,
    registry::Exchange,
    stopwatch::{changed, created_to_ready, deleted_to_back, labelled_to_served, served},
    terminal::{say, say_heading, say_lines, say_part, table},
    until::until,
    world::World,
};

/// What of an event is narrower than a terminal; the message is not.
const EVENT: &str = "custom-columns=TIME:.eventTime,TYPE:.type,REASON:.reason";
/// The times of a pull secret in status.
const TIMES: &str =
    "custom-columns=RENEWED:.status.pullSecret.renewAt,ENDS:.status.pullSecret.expiresAt";

/// How long things took while the pull secret was kept.
pub struct Kept {
    /// From the new client secret to the pull secret that was made with it.
    pub replaced: Duration,
    /// From the deletion of a pull secret to its return.
    pub restored: Duration,
    /// From the labelling of a namespace until it was served.
    pub served: Duration,
}

/// Attaches and returns the time from the creation to Ready.
///
/// # Errors
/// When the attachment does not turn Ready, or does not serve its namespace.
pub async fn attach(world: &World) -> Result<Duration> {
    introduce(world);
    say_heading("1. Attach");
    world.kubectl.show(&format!("create namespace {NAMED}")).await?;
    let (name, key) = CREDENTIAL;
    let literal = format!("--from-literal={key}={CLIENT_SECRET}");
    let command = format!("create secret generic {name} --namespace {NAMESPACE} {literal}");
    world.kubectl.show(&command).await?;
    let ready = created_to_ready(world.client.clone(), NAME).await?;
    let served = served(world.client.clone(), NAMED, SECRET).await?;
    let applied = world.apply(SAMPLE, NAME);
    let (took, _, ()) = try_join!(ready.stopped(), served.stopped(), applied)?;
    say(format_args!("  Ready {:.2} s after it was created.", took.as_secs_f64()));
    world.kubectl.show(&format!("get regatt {NAME}")).await?;
    show_served(world, NAMED).await?;
    show_pull(world).await?;
    Ok(took)
}

fn introduce(world: &World) {
    say_part("On other clusters, beside Microsoft's guide for pull secrets");
    let life = REGISTRY_TOKEN_LIFE.as_secs();
    world.azure.set_registry_token_life(REGISTRY_TOKEN_LIFE);
    say_lines(&format!(
        "There one makes a service principal that may pull, and types kubectl create secret docker-registry {SECRET} with its client secret: in each namespace, and again before the client secret ends. acr-attach keeps {SECRET}, and puts a token of the registry into it, not the client secret. Such a token lives about 3 hours; here it lives {life} s."
    ));
    say_lines(&format!(
        "Service principal puller has AcrPull on {REGISTRY}. The operator may write Secrets of that name: it runs with --pull-secret-names={PULL_SECRET_NAMES}, and has the rights."
    ));
}

/// Shows the pull secret of a namespace, and the service account that names it.
async fn show_served(world: &World, namespace: &str) -> Result<()> {
    let kubectl = &world.kubectl;
    kubectl.show(&format!("get secret {SECRET} --namespace {namespace}")).await?;
    let list = "jsonpath='{.imagePullSecrets}'";
    kubectl.show(&format!("get serviceaccount default --namespace {namespace} -o {list}")).await
}

async fn show_pull(world: &World) -> Result<()> {
    let (server, repository, tag) = IMAGE;
    say_lines(&format!(
        "There are no pods here. What a container runtime asks for {server}/{repository}:{tag}:"
    ));
    let mut rows = vec![["REQUEST", "WITH", "ANSWER"].map(str::to_owned)];
    for Exchange { asked, with, answer } in pulled(world, NAMED).await? {
        rows.push([asked, with.to_owned(), answer.as_u16().to_string()]);
    }
    say_lines(&table(&rows));
    Ok(())
}

/// Shows what keeps the pull secret good, pulling all the while, and detaches.
///
/// # Errors
/// When it does not stay good, or something is left of it.
pub async fn keep(world: &World) -> Result<Kept> {
    let (kept, pulls) = pulls::during(world, pass_time(world)).await?;
    let pause = pulls::PAUSE.as_millis();
    say_lines(&format!(
        "Since step 2 began the image was pulled every {pause} ms with what the Secret of {NAMED} held then: {pulls} pulls, none refused."
    ));
    show_events(world).await?;
    detach(world).await.context("detaching failed")?;
    set_back(world).await?;
    Ok(kept)
}

async fn pass_time(world: &World) -> Result<Kept> {
    let mut held = vec![Held::now(world, "attached").await?];
    renew(world, &mut held).await.context("renewing failed")?;
    let replaced = replace_client_secret(world).await.context("a new client secret failed")?;
    held.push(Held::now(world, "new client secret").await?);
    let restored = delete_by_hand(world).await?;
    held.push(Held::now(world, "deleted by hand").await?);
    let served = label(world).await?;
    say_heading("6. What became of the credentials");
    say_lines("Once the first has ended, however often the Secret was written since:");
    until(&format!("the first credential to end at {}", held[0].ends), async || {
        Ok((!held[0].is_taken(world).await?).then_some(()))
    })
    .await?;
    say_lines(&credentials(world, &held).await?);
    Ok(Kept { replaced, restored, served })
}

async fn renew(world: &World, held: &mut Vec<Held>) -> Result<()> {
    say_heading("2. The credential is renewed");
    say_lines("At half of its life, with nobody typing anything. Status says when:");
    show_status(world).await?;
    let start = Instant::now();
    let before = secret(world, NAMED).await?;
    let is_new = move |it: &Secret| it.data != before.data;
    changed(world.client.clone(), (NAMED, SECRET), is_new).await?.stopped().await?;
    held.push(Held::now(world, "renewed").await?);
    let attachments = world.attachments();
    until("status to tell of the renewal", async || {
        let status = &attachments.get(NAME).await?.data["status"];
        Ok((status["pullSecret"]["expiresAt"] == held[1].ends.as_str()).then_some(()))
    })
    .await?;
    say_lines(&format!("And {:.1} s later:", start.elapsed().as_secs_f64()));
    show_status(world).await?;
    say_lines("Pods that still pull with the former credential can do so until it ends:");
    say_lines(&credentials(world, held).await?);
    if !held[1].is_taken(world).await? {
        bail!("the registry refuses the renewed credential");
    }
    Ok(())
}

async fn show_status(world: &World) -> Result<()> {
    world.kubectl.show(&format!("get regatt {NAME} --output={TIMES}")).await
}

/// Replaces it in Azure and in the cluster, and returns the time from the latter to the pull
/// secret that was made with it.
async fn replace_client_secret(world: &World) -> Result<Duration> {
    say_heading("3. The client secret is replaced");
    say_lines(
        "The guide has this typed when the client secret is lost or ends. From then on Azure refuses the former one, and every docker-registry Secret that was made from it by hand.",
    );
    world.azure.reset_client_secret();
    let answer = world.azure.sign_in(CLIENT_SECRET).await?;
    say_lines(&format!("Entra now answers the former client secret with {answer}. Pulls go on."));
    let client = &world.client;
    let (name, key) = CREDENTIAL;
    let former = inputs(&secret(world, NAMED).await?);
    let is_typed = move |it: &Secret| {
        let value = it.data.as_ref().and_then(|it| it.get(key));
        value.is_some_and(|it| it.0 == NEXT_CLIENT_SECRET.as_bytes())
    };
    let typed = changed(client.clone(), (NAMESPACE, name), is_typed).await?;
    let is_used = move |it: &Secret| inputs(it) != former;
    let used = changed(client.clone(), (NAMED, SECRET), is_used).await?;
    let command = type_client_secret(NEXT_CLIENT_SECRET);
    let shown = world.kubectl.show(&command);
    let (typed, used, ()) = try_join!(typed.stopped(), used.stopped(), shown)?;
    pulled(world, NAMED).await?;
    let took = used.saturating_duration_since(typed);
    let seconds = took.as_secs_f64();
    say(format_args!("  The pull secret was made with it {seconds:.2} s later."));
    Ok(took)
}

fn inputs(secret: &Secret) -> Option<String> {
    secret.annotations().get(INPUTS).cloned()
}

fn type_client_secret(value: &str) -> String {
    let (name, key) = CREDENTIAL;
    let patch = format!(r#"'{{"stringData":{{"{key}":"{value}"}}}}'"#);
    format!("patch secret {name} --namespace {NAMESPACE} --patch {patch}")
}

async fn delete_by_hand(world: &World) -> Result<Duration> {
    say_heading("4. Somebody deletes the pull secret");
    let stopwatch = deleted_to_back(world.client.clone(), NAMED, SECRET).await?;
    let command = format!("delete secret {SECRET} --namespace {NAMED}");
    let (took, ()) = try_join!(stopwatch.stopped(), world.kubectl.show(&command))?;
    pulled(world, NAMED).await?;
    let seconds = took.as_secs_f64();
    say(format_args!("  Back {seconds:.2} s after it was deleted, and the registry takes it."));
    Ok(took)
}

async fn label(world: &World) -> Result<Duration> {
    say_heading("5. Another namespace is labelled");
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

/// Shows what has been told of the attachment.
async fn show_events(world: &World) -> Result<()> {
    let of_it = format!("--field-selector=involvedObject.name={NAME} --sort-by=.eventTime");
    world.kubectl.show(&format!("get events {of_it} --output={EVENT}")).await
}

/// Undoes what was done for the story, so that README's client secret is good again.
async fn set_back(world: &World) -> Result<()> {
    world.azure.set_back();
    world.kubectl.run(&type_client_secret(CLIENT_SECRET)).await?;
    Ok(())
}

//! Many attachments that wait when the operator starts: nobody has served any of them before.

use std::time::{Duration, Instant};

use acr_attach_core::api::RegistryAttachment;
use azure_sim::Call;
use azure_sim::model::{ACR_PULL, DEFAULT_SUBSCRIPTION, READER, Throttling};
use futures::StreamExt;
use kube::api::ListParams;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::memory::{Memory, megabytes};
use super::namespaces::{AT_ONCE, clear};
use super::support::secrets::{SERVER, puller};
use super::support::{World, find, operator};

/// How long the simulated Azure takes for each answer.
const LATENCY_MS: u64 = 50;
/// Nobody waits longer.
const PATIENCE: Duration = Duration::from_secs(600);

/// One attachment for each namespace: to one registry by `loginServer`, then to as many
/// registries by `resourceId`, which Azure Resource Manager is asked about.
pub async fn start(world: &World, names: &[String]) {
    println!(
        "{} attachments by pull secret, cold, {LATENCY_MS} ms for each answer of Azure",
        names.len()
    );
    registries(world, names.len());
    measure(world, names, "one login server", |_| json!({"loginServer": SERVER})).await;
    let id = |n: usize| json!({"resourceId": registry_id(world, n)});
    measure(world, names, "as many resource ids", id).await;
}

fn registries(world: &World, count: usize) {
    world.azure.update(|azure| {
        azure.settings.latency_ms = LATENCY_MS;
        azure.settings.throttling = Some(Throttling::default());
        for n in 0..count {
            azure.registry(&format!("registry{n}")).add();
        }
        let scope = format!("/subscriptions/{DEFAULT_SUBSCRIPTION}");
        let (operator, puller) = (operator(azure), puller(azure));
        azure.assign(&operator, READER, &scope);
        azure.assign(&puller, ACR_PULL, &scope);
    });
}

fn registry_id(world: &World, n: usize) -> String {
    world.azure.read(|azure| azure.find_registry(&format!("registry{n}")).unwrap().id())
}

/// From the start of the program to the last Ready.
async fn measure(world: &World, names: &[String], what: &str, registry: impl Fn(usize) -> Value) {
    let specs = names.iter().enumerate().map(|(n, name)| {
        let mut spec = world.pull_spec(&json!({"names": [name]}));
        spec["registry"] = registry(n);
        (n, spec)
    });
    let applying =
        futures::stream::iter(specs).for_each_concurrent(AT_ONCE, |(n, spec)| async move {
            world.apply(&format!("cold{n}"), spec).await;
        });
    applying.await;
    world.azure.clear_journal();
    let read_before = reads(world);
    let start = Instant::now();
    let program = world.replica("cold", &[]).await;
    let count = |all: &[RegistryAttachment]| all.iter().filter(|it| is_ready(it)).count();
    until_all(world, |all| count(all) == names.len()).await;
    let took = start.elapsed().as_secs_f64();
    let memory = Memory::of(program.id());
    let journal = world.azure.journal();
    let refused = journal.iter().filter(|it| it.status == Some(429)).count();
    println!("  to {what}");
    println!("    all Ready           {took:>5.1} s target <= 300 s");
    println!("    memory, peak        {:>5.1} MB target <= 100 MB", megabytes(memory.peak, 0));
    println!("    token exchanges     {:>5}", world.calls(Call::RegistryExchange));
    println!("    Secrets read        {:>5}", reads(world) - read_before);
    println!("    calls to Azure      {:>5}, and {refused} answers of 429", journal.len());
    detach(world, names).await;
    program.signal(Signal::TERM);
    program.ended().await;
}

/// How often the operator has read a Secret.
fn reads(world: &World) -> usize {
    let calls = world.cluster.calls_by(&world.user()).unwrap();
    calls.iter().filter(|it| it.verb == "get" && it.resource == "secrets").count()
}

async fn detach(world: &World, names: &[String]) {
    let all = futures::stream::iter(0..names.len());
    all.for_each_concurrent(AT_ONCE, |n| async move { world.delete(&format!("cold{n}")).await })
        .await;
    until_all(world, <[_]>::is_empty).await;
    clear(world, names).await;
}

async fn until_all(world: &World, fit: impl Fn(&[RegistryAttachment]) -> bool) {
    let params = ListParams::default().labels(&world.settings.attachment_selector);
    let looking = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(250));
        loop {
            ticks.tick().await;
            if fit(&world.attachments().list(&params).await.unwrap().items) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("all attachments get there");
}

fn is_ready(object: &RegistryAttachment) -> bool {
    let ready = object.status.as_ref().and_then(|it| find(it, "Ready"));
    ready.is_some_and(|(status, ..)| status == "True")
}

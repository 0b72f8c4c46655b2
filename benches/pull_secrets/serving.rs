//! One attachment for many namespaces: written for the first time, found as it is after a
//! restart, and one namespace more.

use std::time::{Duration, Instant};

use azure_sim::Call;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use super::bare;
use super::namespaces::{SECRET, clear, labels, served};
use super::support::World;

const ROUNDS: usize = 3;
/// How often one namespace is added, once all is quiet.
const ADDED: usize = 20;
/// How long it is watched that a restart does nothing.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// The time until all are served, by a bare client and by the operator in turns. The last round
/// leaves them served.
pub async fn beside_a_bare_client(world: &mut World, names: &[String]) {
    println!("{} namespaces for one attachment, 16 writes at once", names.len());
    let like = pull_secret(world).await;
    let (mut ratios, mut most) = (Vec::new(), 0);
    for round in 1..=ROUNDS {
        world.stop().await;
        let by_loop = bare::serve(world, spec(world), &like, names).await;
        world.delete("teams").await;
        clear(world, names).await;
        world.start().await;
        until_at_work(world).await;
        let (by_operator, exchanges) = by_operator(world, names).await;
        if round < ROUNDS {
            detach(world, names).await;
        }
        let ratio = by_operator.as_secs_f64() / by_loop.as_secs_f64();
        println!(
            "  round {round}: operator {:.2} s, bare client {:.2} s, ratio {ratio:.2}",
            by_operator.as_secs_f64(),
            by_loop.as_secs_f64(),
        );
        ratios.push(ratio);
        most = most.max(exchanges);
    }
    ratios.sort_by(f64::total_cmp);
    println!("  median ratio          {:>5.2} target <= 1.2", ratios[ratios.len() / 2]);
    println!("  token exchanges       {most:>5} target 1");
}

/// From the attachment to its Ready, which comes after the last write.
async fn by_operator(world: &World, names: &[String]) -> (Duration, usize) {
    world.azure.clear_journal();
    let start = Instant::now();
    world.apply("teams", spec(world)).await;
    let status = world.until_ready("teams").await;
    let took = start.elapsed();
    let told = status.pull_secret.unwrap().served.unwrap();
    let all = names.len();
    assert_eq!(told, format!("{all}/{all}"));
    assert_eq!(served(world).await, (all + 1, all + 1));
    (took, world.calls(Call::RegistryExchange))
}

/// A Secret as the operator makes it. The attachment that it is of stays: its first pass after a
/// start tells that the operator has read the cluster.
async fn pull_secret(world: &mut World) -> Secret {
    world.start().await;
    let namespace = world.namespace_with("first", json!({})).await;
    world.apply("first", world.pull_spec(&json!({"names": [namespace]}))).await;
    world.until_ready("first").await;
    world.until_secret(&namespace, SECRET).await
}

fn spec(world: &World) -> Value {
    world.pull_spec(&json!({"selector": {"matchLabels": labels(world)}}))
}

/// Deletes the attachment, and brings the namespaces back to how they were.
pub async fn detach(world: &World, names: &[String]) {
    world.delete("teams").await;
    world.until_gone("teams").await;
    clear(world, names).await;
}

/// Waits for the end of a pass that found the cluster read and everything as it should be.
async fn until_at_work(world: &World) {
    world.until("a pass", || async { (passes(world).await > 0).then_some(()) }).await;
}

async fn passes(world: &World) -> usize {
    let metrics = world.page("/metrics").await.1;
    let mut lines = metrics.lines();
    let good = lines.find(|it| {
        it.starts_with("controller_runtime_reconcile_total") && it.contains("\"success\"")
    });
    good.map_or(0, |it| it.rsplit(' ').next().unwrap().parse().unwrap())
}

/// The operator starts again, and everything is as it left it.
pub async fn restart(world: &mut World) {
    world.delete("first").await;
    world.until_gone("first").await;
    world.stop().await;
    let before = world.api_writes();
    world.azure.clear_journal();
    let start = Instant::now();
    world.start().await;
    world
        .until("readiness", || async { (world.page("/readyz").await.0 == 200).then_some(()) })
        .await;
    let ready = start.elapsed();
    until_at_work(world).await;
    let looked = start.elapsed();
    tokio::time::sleep(AFTERWARDS).await;
    let answered = world.azure.journal().len();
    println!("restart with as many good Secrets");
    println!("  ready                 {:>5.2} s target <= 10 s", ready.as_secs_f64());
    println!("  attachment looked at  {:>5.2} s", looked.as_secs_f64());
    println!("  token exchanges       {:>5} target 0", world.calls(Call::RegistryExchange));
    println!("  writes                {:>5} target 0", world.api_writes() - before);
    println!("  calls to Azure        {answered:>5} target 0");
    println!("  passes                {:>5}", passes(world).await);
}

/// One namespace after the other. The first after a restart finds no credential that this process
/// had accepted, and gets one of its own; the next comes at once after it.
pub async fn one_more(world: &World) {
    println!("one namespace more");
    println!("  after a restart       {:>5.2} s target <= 1 s", added(world, "first").await);
    println!("  at once another       {:>5.2} s", added(world, "next").await);
    let mut times = Vec::new();
    for n in 0..ADDED {
        times.push(added(world, &format!("late{n}")).await);
    }
    times.sort_by(f64::total_cmp);
    println!("  {ADDED} others, median     {:>5.2} s target <= 1 s", times[ADDED / 2]);
    println!("  worst                 {:>5.2} s", times[ADDED - 1]);
}

/// The seconds from a namespace to its Secret and the entry in its service account, which the
/// control plane makes a moment after the namespace.
async fn added(world: &World, name: &str) -> f64 {
    let start = Instant::now();
    let name = world.namespace_with(&format!("added-{name}"), labels(world)).await;
    world.until_secret(&name, SECRET).await;
    world.until_pull_secrets_of(&name, "default", &[SECRET]).await;
    start.elapsed().as_secs_f64()
}

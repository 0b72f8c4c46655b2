//! What it takes to run the operator: memory at rest, the time from its start, and how long a
//! replica waits for the other one. Run by `make bench`, on the program of the image; it prints and
//! judges nothing.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark may panic, and prints"
)]

#[path = "memory.rs"]
mod memory;
#[path = "../tests/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "tests need more of it")]
mod support;

use std::time::{Duration, Instant};

use azure_sim::model::{READER, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR};
use futures::StreamExt;
use jiff::SignedDuration;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use rustix::process::Signal;
use serde_json::json;

use memory::{Memory, megabytes};
use support::replica::Replica;
use support::{World, find, operator};

const ATTACHMENTS: usize = 1000;
/// How long the simulated Azure takes for each answer.
const LATENCY_MS: u64 = 50;
/// How long it is left alone before its memory is read.
const REST: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` runs benchmarks too, without this flag.
    if !std::env::args().any(|it| it == "--bench") {
        return;
    }
    start().await;
    replacement().await;
    at_rest().await;
}

async fn world() -> World {
    let mut world = World::new().await;
    world.stop().await;
    world.azure.update(|azure| azure.settings.latency_ms = LATENCY_MS);
    world
}

async fn holder(world: &World) -> String {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace());
    let lease = leases.get_opt("acr-attach").await.unwrap();
    lease.and_then(|it| it.spec?.holder_identity).unwrap_or_default()
}

async fn end(replica: Replica) {
    replica.signal(Signal::TERM);
    replica.ended().await;
}

/// From the start of the program.
async fn start() {
    println!("start of the program, {LATENCY_MS} ms for each answer of Azure");
    let world = world().await;
    world.apply("a", world.spec()).await;
    let begun = Instant::now();
    let replica = world.replica("one", &[]).await;
    world.until_ready("a").await;
    println!("  first attachment Ready  {:>5.2} s target <= 3 s", begun.elapsed().as_secs_f64());
    end(replica).await;
}

/// From the end of a leader until the other replica has done something.
async fn replacement() {
    println!("a leader is replaced, until the other one has attached");
    let world = world().await;
    let mut replicas = vec![world.replica("r0", &[]).await];
    world
        .until("a leader", || async { holder(&world).await.starts_with("r0_").then_some(()) })
        .await;
    let ends = [(Signal::TERM, "told to stop", 3), (Signal::KILL, "killed", 20)];
    for (n, (signal, how, target)) in ends.into_iter().enumerate() {
        replicas.push(world.replica(&format!("r{}", n + 1), &[]).await);
        // Until it waits for its turn.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let begun = Instant::now();
        let former = replicas.remove(0);
        former.signal(signal);
        let name = format!("a{n}");
        world.apply(&name, world.spec()).await;
        world.until_ready(&name).await;
        let took = begun.elapsed().as_secs_f64();
        println!("  {how:<22}  {took:>5.2} s target <= {target} s");
        former.ended().await;
    }
    end(replicas.remove(0)).await;
}

/// Of a leader with many attachments, each to a registry of its own, and of the replica that waits.
async fn at_rest() {
    println!("{ATTACHMENTS} attachments to as many registries, at rest for {} s", REST.as_secs());
    let world = world().await;
    world.azure.update(|azure| {
        let operator = operator(azure);
        for n in 0..ATTACHMENTS {
            let id = azure.registry(&format!("registry{n}")).add().id();
            azure.assign(&operator, READER, &id);
            azure.assign(&operator, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, &id);
        }
    });
    let leader = world.replica("leader", &[]).await;
    world
        .until("a leader", || async { holder(&world).await.starts_with("leader_").then_some(()) })
        .await;
    let waits = world.replica("waits", &[]).await;
    let each = |n: usize| format!("a{n}");
    let all = futures::stream::iter(0..ATTACHMENTS);
    all.for_each_concurrent(16, |n| {
        let (world, name) = (&world, each(n));
        let id = world.azure.read(|it| it.find_registry(&format!("registry{n}")).unwrap().id());
        let mut spec = world.spec();
        spec["registry"] = json!({"resourceId": id});
        async move { drop(world.apply(&name, spec).await) }
    })
    .await;
    for n in 0..ATTACHMENTS {
        while find(&world.status(&each(n)).await, "Ready").is_none_or(|it| it.0 != "True") {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
    // Each is checked once more about a minute after it was attached, and finds its role of age then.
    world.azure.update(|azure| {
        for it in &mut azure.role_assignments {
            it.created_on -= SignedDuration::from_hours(1);
        }
    });
    tokio::time::sleep(Duration::from_secs(150)).await;
    let (calls, asked) =
        (world.cluster.calls_by(&world.user()).unwrap().len(), world.azure.journal().len());
    tokio::time::sleep(REST).await;
    let [leads, waits_for] = [Memory::of(leader.id()), Memory::of(waits.id())];
    let calls = world.cluster.calls_by(&world.user()).unwrap().split_off(calls);
    let others = calls.iter().filter(|it| it.resource != "leases" && it.verb != "watch").count();
    println!("  memory of the leader  {:>5.1} MB target <= 60 MB", megabytes(leads.resident, 0));
    println!("  at most               {:>5.1} MB", megabytes(leads.peak, 0));
    println!("  memory of the other   {:>5.1} MB", megabytes(waits_for.resident, 0));
    println!("  calls to Azure        {:>5} target 0", world.azure.journal().len() - asked);
    println!("  calls to the cluster  {others:>5} target 0, beside the Lease and watches");
    end(leader).await;
    end(waits).await;
}

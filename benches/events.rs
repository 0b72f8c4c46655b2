//! What an event in the cluster costs, how soon a new service account is served, how often status is written,
//! and memory, with 100, 1,000 and 10,000 namespaces. Run by `make bench`, on the program of the image; it
//! prints and judges nothing.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark may panic, and prints"
)]

#[path = "events/accounts.rs"]
mod accounts;
#[path = "events/cpu.rs"]
mod cpu;
#[path = "memory.rs"]
mod memory;
#[path = "pull_secrets/namespaces.rs"]
#[expect(dead_code, reason = "another benchmark needs more of it")]
mod namespaces;
#[path = "../tests/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "tests need more of it")]
mod support;

use std::time::{Duration, Instant};

use futures::StreamExt;
use jiff::SignedDuration;
use kube::api::{Patch, PatchParams};
use rustix::process::Signal;
use serde_json::{Value, json};

use cpu::cpu_seconds;
use memory::{Memory, megabytes};
use namespaces::{labels, make};
use support::World;
use support::replica::Replica;
use support::secrets::{CLIENT_SECRET, with_puller};

const SIZES: [usize; 3] = [100, 1_000, 10_000];
/// The other attachments of the cluster: their selectors choose no namespace.
const OTHERS: usize = 999;
const EVENTS: usize = 500;
/// How long the operator is left alone before its memory and its CPU time are read.
const REST: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` runs benchmarks too, without this flag.
    if !std::env::args().any(|it| it == "--bench") {
        return;
    }
    // `cargo bench --bench events -- 100` measures one size.
    let asked: Vec<usize> = std::env::args().filter_map(|it| it.parse().ok()).collect();
    let sizes = if asked.is_empty() { SIZES.to_vec() } else { asked };
    for size in sizes {
        measure(size).await;
    }
}

async fn measure(size: usize) {
    let any = |it: &mut acr_attach::settings::Settings| {
        it.policy.account_names = "*".parse().unwrap();
        it.policy.secret_names = "acr-pull,acr-next".parse().unwrap();
        it.intervals.resync = SignedDuration::from_mins(30);
    };
    let world = World::alone_with(with_puller, any).await;
    world.put_client_secret(CLIENT_SECRET).await;
    let names = make(&world, size).await;
    println!("{size} namespaces, {} attachments", OTHERS + 1);
    let arguments = ["--service-account-names=*", "--pull-secret-names=acr-pull,acr-next"];
    let leader = world.replica("leader", &arguments).await;
    others(&world).await;
    serve(&world, size).await;
    tokio::time::sleep(REST).await;
    let memory = Memory::of(leader.id());
    println!("  memory, all served    {:>7.1} MB", megabytes(memory.resident, 0));
    println!("  at most               {:>7.1} MB", megabytes(memory.peak, 0));
    events(&world, &leader, &names).await;
    accounts::latencies(&world, &names).await;
    leader.signal(Signal::TERM);
    leader.ended().await;
}

/// The spec of the attachment that serves all.
pub fn spec(world: &World) -> Value {
    let mut spec = world.pull_spec(&json!({"selector": {"matchLabels": labels(world)}}));
    spec["pullSecret"]["serviceAccounts"] = json!(["*"]);
    spec
}

async fn others(world: &World) {
    let all = futures::stream::iter(0..OTHERS);
    all.for_each_concurrent(16, |n| async move {
        let nothing = json!({"selector": {"matchLabels": {"team": format!("none-{n}")}}});
        world.apply(&format!("other{n}"), world.pull_spec(&nothing)).await;
    })
    .await;
}

/// Serves all namespaces, and counts the writes of status meanwhile.
async fn serve(world: &World, size: usize) {
    let begun = Instant::now();
    world.apply("teams", spec(world)).await;
    let all = format!("{size}/{size}");
    while world.status("teams").await.pull_secret.and_then(|it| it.served).as_ref() != Some(&all) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = begun.elapsed().as_secs_f64();
    let calls = world.cluster.calls_by(&world.user()).unwrap();
    let name = world.name("teams");
    let writes = calls.iter().filter(|it| it.is_write() && it.subresource == "status");
    let writes = writes.filter(|it| it.name == name).count();
    println!("  all served after      {took:>7.1} s, with {writes} writes of status");
}

/// The CPU time of an event that changes nothing for anybody.
async fn events(world: &World, leader: &Replica, names: &[String]) {
    // What the last step has left to do is no cost of an event.
    let idle = cpu_seconds(leader.id());
    tokio::time::sleep(REST).await;
    let idle = (cpu_seconds(leader.id()) - idle) / REST.as_secs_f64();
    let (before, begun) = (cpu_seconds(leader.id()), Instant::now());
    for n in 0..EVENTS {
        let name = &names[n % names.len()];
        let patch = json!({"metadata": {"annotations": {"n": n.to_string()}}});
        let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
        world.accounts(name).patch("default", &params, &patch).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let used = cpu_seconds(leader.id()) - before;
    let used = used - idle * begun.elapsed().as_secs_f64();
    let count = f64::from(u32::try_from(EVENTS).unwrap());
    println!("  CPU of an event       {:>7.2} ms target <= 2 ms", used * 1000.0 / count);
}

//! What attaching by role costs: calls for each attachment, and the time beside a bare loop that
//! makes the same calls. Run by `make bench`; it prints and judges nothing.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark may panic, and prints"
)]

#[path = "attach/bare.rs"]
mod bare;
#[path = "../tests/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "tests need more of it")]
mod support;

use std::time::{Duration, Instant};

use acr_attach_azure::{Budget, Rate};
use azure_sim::model::{READER, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR};
use azure_sim::{Call, Model};
use serde_json::{Value, json};

use support::{World, operator};

const ATTACHMENTS: usize = 100;
/// How long the simulated Azure takes for each answer.
const LATENCY_MS: u64 = 50;

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` runs benchmarks too, without this flag.
    if !std::env::args().any(|it| it == "--bench") {
        return;
    }
    calls().await;
    overhead().await;
}

/// The calls of one attachment to Azure Resource Manager.
async fn calls() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    println!("calls to Azure Resource Manager");
    println!("  first attach          {:>3}   target <= 4, and 1 to read back", arm_calls(&world));
    world.until_calls(Call::ListRoleAssignments, 2).await;
    let before = (arm_calls(&world), world.calls(Call::ListRoleAssignments));
    world.until_calls(Call::ListRoleAssignments, 5).await;
    let (calls, resyncs) =
        (arm_calls(&world) - before.0, world.calls(Call::ListRoleAssignments) - before.1);
    println!("  each resync           {:>5.1} target <= 3", ratio(calls, resyncs));
}

fn arm_calls(world: &World) -> usize {
    let journal = world.azure.journal();
    journal.iter().filter(|it| it.host == "management.azure.com" && it.status.is_some()).count()
}

fn ratio(part: usize, whole: usize) -> f64 {
    let number = |it: usize| f64::from(u32::try_from(it).unwrap());
    number(part) / number(whole)
}

/// Many registries, attached by the operator and by a bare loop, in turns.
async fn overhead() {
    println!(
        "{ATTACHMENTS} attachments to as many registries, {LATENCY_MS} ms for each answer of Azure"
    );
    let mut ratios = Vec::new();
    for round in 1..=3 {
        let (by_operator, calls) = by_operator().await;
        let (by_loop, same) = by_loop().await;
        let ratio = by_operator.as_secs_f64() / by_loop.as_secs_f64();
        println!(
            "  round {round}: operator {:.2} s ({calls} calls), bare loop {:.2} s ({same} calls), ratio {ratio:.2}",
            by_operator.as_secs_f64(),
            by_loop.as_secs_f64(),
        );
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!("  median ratio          {:>5.2} target <= 1.2", ratios[ratios.len() / 2]);
}

fn registries(azure: &mut Model) {
    azure.settings.latency_ms = LATENCY_MS;
    let operator = operator(azure);
    for n in 0..ATTACHMENTS {
        let id = azure.registry(&format!("registry{n}")).add().id();
        azure.assign(&operator, READER, &id);
        azure.assign(&operator, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, &id);
    }
}

/// One attachment for each registry.
fn specs(world: &World) -> Vec<Value> {
    let spec = |n: usize| {
        let mut spec = world.spec();
        let id = world.azure.read(|it| it.find_registry(&format!("registry{n}")).unwrap().id());
        spec["registry"] = json!({"resourceId": id});
        spec
    };
    (0..ATTACHMENTS).map(spec).collect()
}

/// From the first object to the last Ready, as the audit log of status writes tells the end.
async fn by_operator() -> (Duration, usize) {
    let world = World::with(registries, |settings| {
        settings.concurrency = 64;
        settings.intervals.resync = jiff::SignedDuration::from_mins(30);
        // The loop is not paced either: what pacing costs is what Azure allows.
        let rate = Rate { burst: 10_000, per_second: 10_000.0 };
        settings.budget = Budget { reads: rate, writes: rate, deletes: rate };
    })
    .await;
    let specs = specs(&world);
    let start = Instant::now();
    for (n, spec) in specs.into_iter().enumerate() {
        world.apply(&format!("a{n}"), spec).await;
    }
    world
        .until("all roles", || async {
            (world.calls(Call::PutRoleAssignment) >= ATTACHMENTS).then_some(())
        })
        .await;
    for n in 0..ATTACHMENTS {
        world.until_ready(&format!("a{n}")).await;
    }
    (start.elapsed(), arm_calls(&world))
}

async fn by_loop() -> (Duration, usize) {
    let mut world = World::with(registries, |_| {}).await;
    world.stop().await;
    let took = bare::attach_all(&world, specs(&world)).await;
    (took, arm_calls(&world))
}

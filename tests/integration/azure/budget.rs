//! How often Azure is asked: no more than what was found out needs, and never more than it takes.

use std::time::Instant;

use acr_attach_azure::{Budget, Rate};
use acr_attach_core::api::{ConditionType, RegistryAttachment};
use azure_sim::model::{
    Bucket, DEFAULT_SUBSCRIPTION, READER, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, Throttling,
};
use azure_sim::{Call, Entry, Model};
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::support::{World, find, operator};

const HALF_AN_HOUR: SignedDuration = SignedDuration::from_mins(30);

/// The calls of Azure Resource Manager since the journal was cleared.
fn arm(world: &World) -> Vec<Call> {
    let journal = world.azure.journal();
    let of_arm = |it: &Entry| it.host == "management.azure.com";
    journal.iter().filter(|it| of_arm(it)).filter_map(|it| it.call).collect()
}

#[tokio::test]
async fn the_first_attach_takes_four_calls_and_one_to_read_back() {
    let world = World::with(|_| {}, |it| it.intervals.resync = HALF_AN_HOUR).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let expected = [
        Call::GetRegistry,
        Call::GetCluster,
        Call::ListRoleAssignments,
        Call::PutRoleAssignment,
        Call::GetRoleAssignment,
    ];
    assert_eq!(arm(&world), expected);
}

#[tokio::test]
async fn a_resync_takes_three_calls_and_between_resyncs_there_is_none() {
    let world = World::with(|_| {}, |it| it.intervals.resync = SignedDuration::from_secs(8)).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.azure.clear_journal();
    world.until_calls(Call::ListRoleAssignments, 2).await;
    let resync = [Call::GetRegistry, Call::GetCluster, Call::ListRoleAssignments];
    // On a busy machine the next resync may have begun.
    assert_eq!(arm(&world)[..6], [resync, resync].concat());
    let journal = world.azure.journal();
    let lists: Vec<_> =
        journal.iter().filter(|it| it.call == Some(Call::ListRoleAssignments)).collect();
    let apart = lists[1].time.duration_since(lists[0].time);
    assert!(apart >= SignedDuration::from_secs(7), "{apart:?}");
}

#[tokio::test]
async fn what_this_process_made_itself_is_looked_at_before_it_is_made_again() {
    let world = World::with(|_| {}, |it| it.intervals.resync = HALF_AN_HOUR).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    // The list does not show it yet.
    world.azure.update(|azure| azure.settings.list_lag_ms = 600_000);
    world.apply("b", world.spec()).await;
    world.until_ready("b").await;
    let made = world.pull_assignments();
    let claims = made[0].description.clone().unwrap();
    assert!(made.len() == 1 && claims.matches(',').count() == 1, "{made:?}");
}

/// Gives the operator its rights on the subscription, which holds registries of those names.
fn registries(azure: &mut Model, count: usize) {
    for n in 0..count {
        azure.registry(&format!("registry{n}")).add();
    }
    let (operator, scope) = (operator(azure), format!("/subscriptions/{DEFAULT_SUBSCRIPTION}"));
    for role in [READER, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR] {
        azure.assign(&operator, role, &scope);
    }
}

/// The spec of an attachment of one of them.
fn spec(world: &World, n: usize) -> Value {
    let mut spec = world.spec();
    let contoso = spec["registry"]["resourceId"].as_str().unwrap().to_owned();
    spec["registry"] = json!({"resourceId": contoso.replace("contoso", &format!("registry{n}"))});
    spec
}

/// Starts the operator with that many attachments, and waits until all are Ready.
async fn cold_start(world: &mut World, count: usize) -> std::time::Duration {
    world.stop().await;
    let applied = futures::stream::iter(0..count).map(|n| {
        let (name, spec) = (format!("a{n}"), spec(world, n));
        let world = &world;
        async move { world.apply(&name, spec).await }
    });
    let applied = applied.buffer_unordered(16).collect::<Vec<_>>().await;
    // What is made in the second of the start asks for what is newer than that.
    let made = applied.iter().filter_map(|it| Some(it.creation_timestamp()?.0)).max().unwrap();
    let old = async || (Timestamp::now() >= made + SignedDuration::from_secs(1)).then_some(());
    world.until("the attachments to be older than a second", old).await;
    world.azure.clear_journal();
    let start = Instant::now();
    world.start().await;
    let params = ListParams::default().labels(&world.settings.attachment_selector);
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(250));
    loop {
        ticks.tick().await;
        let all = world.attachments().list(&params).await.unwrap();
        let ready = all.iter().filter(|it| is_ready(it)).count();
        if ready == count {
            return start.elapsed();
        }
        assert!(start.elapsed().as_secs() < 600, "{ready} of {count} are Ready");
    }
}

fn is_ready(object: &RegistryAttachment) -> bool {
    let status = object.status.as_ref();
    status.and_then(|it| find(it, ConditionType::Ready.as_str())).is_some_and(|it| it.0 == "True")
}

/// What came of a cold start: answers of 429, and calls by kind.
fn told(world: &World) -> (usize, Vec<(Call, usize)>) {
    let calls = arm(world);
    let count = |call: Call| (call, calls.iter().filter(|it| **it == call).count());
    let kinds = [
        Call::GetRegistry,
        Call::GetCluster,
        Call::ListRoleAssignments,
        Call::PutRoleAssignment,
        Call::GetRoleAssignment,
        Call::DeleteRoleAssignment,
    ];
    let refused = world.azure.journal().iter().filter(|it| it.status == Some(429)).count();
    (refused, kinds.map(count).to_vec())
}

#[tokio::test]
async fn a_cold_start_keeps_within_the_budget_and_makes_no_call_in_vain() {
    const COUNT: usize = 60;
    let bucket = |capacity, refill_per_second| Bucket { capacity, refill_per_second };
    let limits =
        Throttling { reads: bucket(40, 20.0), writes: bucket(20, 10.0), deletes: bucket(20, 10.0) };
    // What passed the budget before a busy machine stood still arrives together with what passes it
    // afterwards. There is room for both.
    let rate = |it: Bucket| Rate { burst: it.capacity / 2, per_second: it.refill_per_second * 0.9 };
    let mut world = World::with(
        |azure| {
            azure.settings.throttling = Some(limits);
            registries(azure, COUNT);
        },
        |settings| {
            settings.intervals.resync = HALF_AN_HOUR;
            settings.budget = Budget {
                reads: rate(limits.reads),
                writes: rate(limits.writes),
                deletes: rate(limits.deletes),
            };
        },
    )
    .await;
    let took = cold_start(&mut world, COUNT).await;
    let (refused, mut calls) = told(&world);
    // One read serves all looks that were wanted within 5 s of it. On a busy machine some come later.
    let clusters = calls.remove(1);
    let most = 1 + usize::try_from(took.as_secs() / 5).unwrap();
    assert!((1..=most).contains(&clusters.1), "{clusters:?} in {took:?}");
    let expected = [
        (Call::GetRegistry, COUNT),
        (Call::ListRoleAssignments, COUNT),
        (Call::PutRoleAssignment, COUNT),
        (Call::GetRoleAssignment, COUNT),
        (Call::DeleteRoleAssignment, 0),
    ];
    assert_eq!((refused, calls), (0, expected.to_vec()), "in {took:?}");
}

/// Run by `make soak`. It prints how long it took, and how often Azure was asked.
#[tokio::test]
#[ignore = "takes minutes"]
async fn a_thousand_attachments_start_cold_without_a_single_429() {
    const COUNT: usize = 1000;
    let mut world = World::with(
        |azure| {
            azure.settings.throttling = Some(Throttling::default());
            azure.settings.latency_ms = 50;
            registries(azure, COUNT);
        },
        |settings| {
            settings.intervals.resync = HALF_AN_HOUR;
            settings.concurrency = 64;
        },
    )
    .await;
    let took = cold_start(&mut world, COUNT).await;
    let (refused, calls) = told(&world);
    println!("{COUNT} attachments are Ready after {took:?}; answers of 429: {refused}");
    println!("calls: {calls:?}, {} in all", calls.iter().map(|it| it.1).sum::<usize>());
    let metrics = world.page("/metrics").await.1;
    let passes = metrics.lines().filter(|it| it.starts_with("controller_runtime_reconcile_total"));
    passes.for_each(|it| println!("{it}"));
    assert_eq!(refused, 0);
}

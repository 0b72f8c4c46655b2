//! Two replicas, as processes of their own: one works, the other takes over, and never do both write.

use std::time::{Duration, Instant};

use acr_attach::settings::Settings;
use azure_sim::{Call, Effect, Fault};
use jiff::SignedDuration;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::Api;
use rustix::process::Signal;
use serde_json::json;

use crate::support::World;
use crate::support::replica::Replica;

/// How long a lease holds by default.
const LEASE: SignedDuration = SignedDuration::from_secs(15);

/// Azure is looked at often, so that drift is seen.
const SOON: &[&str] = &["--resync", "2s"];
/// And a lease holds for longer than a test waits.
const LONG: &[&str] = &["--resync", "2s", "--lease-duration", "10m"];

async fn lease(world: &World) -> Option<LeaseSpec> {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace());
    leases.get_opt("acr-attach").await.unwrap().and_then(|it| it.spec)
}

/// Waits until a replica of that name holds the lease.
async fn until_led_by(world: &World, name: &str) -> LeaseSpec {
    let prefix = format!("{name}_");
    world
        .until(&format!("{name} to lead"), || async {
            let spec = lease(world).await?;
            spec.holder_identity.as_ref()?.starts_with(&prefix).then_some(spec)
        })
        .await
}

/// A world with two replicas, of which `one` leads, and an attachment that is Ready.
async fn two_replicas(arguments: &[&str]) -> (World, Replica, Replica) {
    let mut world = World::new().await;
    world.stop().await;
    let one = world.replica("one", arguments).await;
    until_led_by(&world, "one").await;
    let two = world.replica("two", arguments).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    (world, one, two)
}

/// Removes the role assignment, so that somebody has something to do.
fn drift(world: &World) {
    world.azure.update(|azure| azure.role_assignments.retain(|it| it.description.is_none()));
    assert_eq!(world.pull_assignments().len(), 0);
}

async fn until_restored(world: &World) {
    let what = "the role assignment to be back";
    world.until(what, || async { (world.pull_assignments().len() == 1).then_some(()) }).await;
}

#[tokio::test]
async fn a_leader_that_is_killed_is_replaced_when_its_lease_has_run_out() {
    let (world, one, _two) = two_replicas(SOON).await;
    one.signal(Signal::KILL);
    assert_eq!(one.ended().await.code(), None);
    let renewed = lease(&world).await.unwrap().renew_time.unwrap().0;
    drift(&world);
    let spec = until_led_by(&world, "two").await;
    until_restored(&world).await;
    let taken = spec.acquire_time.as_ref().unwrap().0;
    assert!(taken.duration_since(renewed) >= LEASE, "renewed {renewed}, then {spec:?}");
    assert_eq!(spec.lease_transitions, Some(2));
}

#[tokio::test]
async fn a_leader_that_is_told_to_stop_hands_over_at_once() {
    // The other one leads before the lease has run out; `make bench` prints how soon.
    let (world, one, two) = two_replicas(LONG).await;
    one.signal(Signal::TERM);
    until_led_by(&world, "two").await;
    assert_eq!(one.ended().await.code(), Some(0));
    drift(&world);
    until_restored(&world).await;

    // The last one leaves a lease that nobody holds.
    two.signal(Signal::TERM);
    assert_eq!(two.ended().await.code(), Some(0));
    let holder = lease(&world).await.unwrap().holder_identity;
    assert_eq!(holder.as_deref(), Some(""));
}

/// Stopped in the middle of a pass that would write next, to Azure and then to the API server.
#[tokio::test]
async fn a_leader_that_slept_past_its_lease_writes_nothing_when_it_wakes() {
    let (world, one, _two) = two_replicas(SOON).await;
    world.delete("a").await;
    world.until_gone("a").await;
    // It sleeps for longer, since another one leads only after 15 s.
    let slow = Effect::Delay { milliseconds: 10_000 };
    world.azure.fault(Fault::new(Call::ListRoleAssignments, slow).once());
    world.apply("b", world.spec()).await;
    world
        .until("a pass that waits for Azure", || async {
            let journal = world.azure.journal();
            let waits = |it: &azure_sim::Entry| {
                it.call == Some(Call::ListRoleAssignments) && it.status.is_none()
            };
            journal.last().is_some_and(waits).then_some(())
        })
        .await;
    one.signal(Signal::STOP);
    until_led_by(&world, "two").await;
    world.until_ready("b").await;
    // Something that the sleeper would do at once, and the other one may not: it is suspended.
    world.patch("b", json!({"spec": {"suspend": true}})).await;
    world
        .until("the suspension to be seen", || async {
            let object = world.attachments().get(&world.name("b")).await.unwrap();
            let seen = object.status.unwrap_or_default().observed_generation;
            (seen == object.metadata.generation).then_some(())
        })
        .await;
    drift(&world);
    let (azure, cluster) = (world.azure_writes(), world.api_writes());
    one.signal(Signal::CONT);
    world
        .until("the sleeper to know", || async {
            one.log().contains("not leading any more").then_some(())
        })
        .await;
    // All that it would still do is done when it has ended.
    one.signal(Signal::TERM);
    let log = one.log();
    assert_eq!(one.ended().await.code(), Some(0), "{log}");
    assert_eq!((world.azure_writes(), world.api_writes()), (azure, cluster), "{log}");
    assert_eq!(world.pull_assignments().len(), 0, "{log}");
    assert!(until_led_by(&world, "two").await.holder_identity.is_some());
}

/// What an alert looks at: that nobody leads must be seen, also where no lease can be read.
#[tokio::test]
async fn a_replica_that_may_not_read_its_lease_says_that_it_does_not_lead() {
    let not_allowed = |settings: &mut Settings| {
        settings.election.as_mut().unwrap().lease = "other".to_owned();
    };
    let mut world = World::with(|_| {}, not_allowed).await;
    world.expect_refusals().await;
    world
        .until("the refusal", || async {
            let calls = world.cluster.calls_by(&world.user()).unwrap();
            calls.iter().any(|it| it.resource == "leases" && it.code == Some(403)).then_some(())
        })
        .await;
    let (_, metrics) = world.page("/metrics").await;
    assert!(metrics.contains(r#"leader_election_master_status{name="other"} 0"#), "{metrics}");
    assert_eq!(world.page("/readyz").await.0, 503);
}

/// For so long, in one process that must not end.
async fn outage(length: Duration) {
    let mut world = World::alone().await;
    // An API server that has just begun refuses what its rules allow.
    world.expect_refusals().await;
    let mut one = world.replica("one", SOON).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.plane.as_mut().unwrap().stop_api_server().await.unwrap();
    let end = Instant::now() + length;
    world
        .until("the leader to stop", || async {
            one.log().contains("not leading any more").then_some(())
        })
        .await;
    drift(&world);
    tokio::time::sleep_until(end.into()).await;
    assert!(one.runs(), "{}", one.log());
    // Without a lease nobody may write.
    assert_eq!(world.pull_assignments().len(), 0);
    world.plane.as_mut().unwrap().start_api_server().await.unwrap();
    until_restored(&world).await;
    world.apply("later", world.spec()).await;
    world.until_ready("later").await;
    world.delete("a").await;
    world.until_gone("a").await;
    assert!(one.runs(), "{}", one.log());
    one.signal(Signal::TERM);
    assert_eq!(one.ended().await.code(), Some(0));
}

#[tokio::test]
async fn an_api_server_that_is_away_for_a_minute_ends_no_process_and_loses_no_work() {
    outage(Duration::from_secs(60)).await;
}

#[tokio::test]
#[ignore = "takes minutes: make soak"]
async fn an_api_server_that_is_away_for_ten_minutes_ends_no_process_and_loses_no_work() {
    outage(Duration::from_secs(600)).await;
}

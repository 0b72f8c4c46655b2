//! Deleting an attachment undoes what it did, and never blocks for ever.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use azure_sim::model::{DEFAULT_SUBSCRIPTION, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR};
use azure_sim::{Call, Effect, Fault};
use http::{Method, Request, StatusCode};
use jiff::SignedDuration;
use kube::Client;
use kube::api::{Patch, PatchParams};
use kube::client::Body;
use serde_json::json;
use tokio::sync::watch;

use crate::support::{World, find, message, operator};

#[tokio::test]
async fn a_deleted_attachment_leaves_nothing() {
    let world = World::new().await;
    let before = world.azure.read(|azure| azure.role_assignments.len());
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(world.pull_assignments().len(), 0);
    assert_eq!(world.azure.read(|azure| azure.role_assignments.len()), before);
    world.until_event("a", "Normal", "RoleAssignmentDeleted").await;
}

#[tokio::test]
async fn orphaning_leaves_the_assignment() {
    let world = World::new().await;
    let mut spec = world.spec();
    spec["deletionPolicy"] = "Orphan".into();
    world.apply("a", spec).await;
    world.until_ready("a").await;
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(world.pull_assignments().len(), 1);
    assert_eq!(world.calls(Call::DeleteRoleAssignment), 0);
}

#[tokio::test]
async fn a_list_that_lags_behind_does_not_leave_the_assignment_behind() {
    let half_hour = SignedDuration::from_mins(30);
    let world = World::with(
        |azure| azure.settings.list_lag_ms = 600_000,
        |settings| settings.intervals.resync = half_hour,
    )
    .await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(world.pull_assignments().len(), 0);
}

#[tokio::test]
async fn a_finalizer_that_somebody_else_wrote_too_is_removed() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let manifest = json!({
        "apiVersion": "acr-attach.dev/v1alpha1", "kind": "RegistryAttachment",
        "metadata": {"name": world.name("a"), "finalizers": [acr_attach_core::api::FINALIZERS[0]]},
    });
    let params = PatchParams::apply("backup").force();
    let name = world.name("a");
    world.attachments().patch(&name, &params, &Patch::Apply(&manifest)).await.unwrap();
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(world.pull_assignments().len(), 0);
}

#[tokio::test]
async fn what_is_detached_and_kept_by_others_says_so() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let ours = acr_attach_core::api::FINALIZERS[0];
    let both = json!({"metadata": {"finalizers": [ours, "example.com/other"]}});
    world.patch("a", both).await;
    world.delete("a").await;
    let status = world
        .until("Detaching", || async {
            let status = world.status("a").await;
            (find(&status, "Ready")?.1 == "Detaching").then_some(status)
        })
        .await;
    assert_eq!(find(&status, "AccessGranted"), None);
    assert_eq!(status.role_assignments, None);
    assert_eq!(world.pull_assignments().len(), 0);
    world.patch("a", json!({"metadata": {"finalizers": null}})).await;
    world.until_gone("a").await;
}

#[rstest::rstest]
#[case(
    "ResourceNotFound",
    "/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso"
)]
#[case("ResourceGroupNotFound", "/resourceGroups/rg")]
#[tokio::test]
async fn a_vanished_registry_or_group_counts_as_detached(#[case] code: &str, #[case] gone: &str) {
    let world = World::new().await;
    let subscription = format!("/subscriptions/{DEFAULT_SUBSCRIPTION}");
    world.azure.update(|azure| {
        // A right on the registry itself would vanish with it.
        azure.assign(&operator(azure), ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, &subscription);
    });
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.azure.update(|azure| azure.remove_resource(&format!("{subscription}{gone}")));
    world.delete("a").await;
    world.until_gone("a").await;
    let journal = world.azure.journal();
    assert!(journal.iter().any(|it| it.code.as_deref() == Some(code)), "{journal:#?}");
}

#[tokio::test]
async fn a_refusing_azure_names_the_way_out_and_the_way_out_works() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.azure.fault(Fault::error(
        Call::DeleteRoleAssignment,
        409,
        "ScopeLocked",
        "The scope is locked.",
    ));
    world.delete("a").await;
    let status = world.until_reason("a", "Stalled", "Locked").await;
    assert!(message(&status).contains("deletionPolicy to Orphan"), "{}", message(&status));
    world.until_event("a", "Warning", "Locked").await;
    world.patch("a", json!({"spec": {"deletionPolicy": "Orphan"}})).await;
    world.until_gone("a").await;
    assert_eq!(world.pull_assignments().len(), 1);
}

#[tokio::test]
async fn what_could_not_be_deleted_is_deleted_later() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let fault = Fault::error(Call::DeleteRoleAssignment, 503, "ServiceUnavailable", "Try later.");
    world.azure.fault(fault.times(2));
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(world.pull_assignments().len(), 0);
}

#[tokio::test]
async fn a_suspended_attachment_grants_nothing_and_still_detaches() {
    let world = World::new().await;
    let mut spec = world.spec();
    spec["suspend"] = true.into();
    world.apply("a", spec.clone()).await;
    world.until_reason("a", "Ready", "Suspended").await;
    assert_eq!(world.azure.journal().len(), 0);

    spec["suspend"] = false.into();
    world.apply("a", spec.clone()).await;
    let attached = world.until_ready("a").await;
    spec["suspend"] = true.into();
    world.apply("a", spec).await;
    let status = world.until_reason("a", "Ready", "Suspended").await;
    let [before, now] = [&attached, &status].map(|it| it.conditions.clone().unwrap());
    assert_eq!(now[0].status, "True");
    assert_eq!(now[0].last_transition_time, before[0].last_transition_time);
    assert_eq!(now[1..], before[1..]);
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(world.pull_assignments().len(), 0);
}

#[tokio::test]
async fn what_goes_without_its_finalizer_leaves_no_claim() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    assert_eq!(world.pull_assignments().len(), 1);
    // As when the API server deletes it in the moment in which it gets the finalizer.
    world.patch("a", json!({"metadata": {"finalizers": null}})).await;
    world.delete("a").await;
    world.until_gone("a").await;
    world.until("no role", || async { world.pull_assignments().is_empty().then_some(()) }).await;
}

/// What was held back, and what the API server answered in the end.
#[derive(Default)]
struct Held {
    requests: AtomicUsize,
    answers: Mutex<Vec<StatusCode>>,
}

/// Holds back what is applied to the status of an attachment while `shut` is true. It is sent then, even
/// if the operator does not wait for it any more.
fn holding_back(client: Client, shut: watch::Receiver<bool>, held: Arc<Held>) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, mut shut, held) = (client.clone(), shut.clone(), Arc::clone(&held));
        async move {
            let is_status = request.uri().path().ends_with("/status");
            if request.method() != Method::PATCH || !is_status || !*shut.borrow() {
                return client.send(request).await;
            }
            held.requests.fetch_add(1, Ordering::Relaxed);
            let sending = tokio::spawn(async move {
                shut.wait_for(|it| !it).await.unwrap();
                let answer = client.send(request).await;
                held.answers.lock().unwrap().push(answer.as_ref().unwrap().status());
                answer
            });
            sending.await.unwrap()
        }
    });
    Client::new(service, namespace)
}

#[tokio::test]
async fn the_last_status_of_an_attachment_does_not_end_in_the_next_one_of_its_name() {
    let half_hour = SignedDuration::from_mins(30);
    let mut world = World::with(|_| {}, |it| it.intervals.resync = half_hour).await;
    world.stop().await;
    let (shut, is_shut) = watch::channel(false);
    let held = Arc::new(Held::default());
    world.through = Some(Box::new({
        let held = Arc::clone(&held);
        move |client| holding_back(client, is_shut.clone(), Arc::clone(&held))
    }));
    world.start().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let both = [acr_attach_core::api::FINALIZERS[0], "example.com/other"];
    world.patch("a", json!({"metadata": {"finalizers": both}})).await;
    shut.send_replace(true);
    world.delete("a").await;
    let requests = || held.requests.load(Ordering::Relaxed);
    world.until("a status to be held back", || async { (requests() > 0).then_some(()) }).await;
    world.patch("a", json!({"metadata": {"finalizers": null}})).await;
    world.until_gone("a").await;
    world.apply("a", world.spec()).await;
    let before = requests();
    shut.send_replace(false);
    let answers = || held.answers.lock().unwrap().clone();
    world.until("the answers", || async { (answers().len() >= before).then_some(()) }).await;
    assert!(answers()[..before].iter().all(|it| *it == StatusCode::CONFLICT), "{:?}", answers());
    let status = world.until_ready("a").await;
    assert_eq!(status.observed_generation, Some(1));
}

#[tokio::test]
async fn no_task_outlives_the_operator() {
    let mut world = World::new().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    world.stop().await;
    let before = tasks();
    world.start().await;
    let names = ["a", "b", "c", "d"];
    for name in names {
        world.apply(name, world.spec()).await;
        world.until_ready(name).await;
    }
    // What these hold is let go beside the reconciles, in a call that hangs.
    world.azure.fault(Fault::new(Call::Any, Effect::Hang));
    for name in names {
        world.patch(name, json!({"metadata": {"finalizers": null}})).await;
        world.delete(name).await;
        world.until_gone(name).await;
    }
    world
        .until("a call that hangs", || async {
            world.azure.journal().iter().any(|it| it.status.is_none()).then_some(())
        })
        .await;
    world.stop().await;
    world.until("all tasks to end", || async { (tasks() <= before).then_some(()) }).await;
    assert_eq!(world.pull_assignments().len(), 1);
}

#[tokio::test]
async fn switching_to_orphan_does_not_wait_for_an_azure_that_hangs() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.azure.fault(Fault::new(Call::Any, Effect::Hang));
    world.delete("a").await;
    world
        .until("a call that hangs", || async {
            world.azure.journal().iter().any(|it| it.status.is_none()).then_some(())
        })
        .await;
    world.patch("a", json!({"spec": {"deletionPolicy": "Orphan"}})).await;
    // Such a call gives up after 20 s.
    let gone = world.until_gone("a");
    tokio::time::timeout(Duration::from_secs(15), gone).await.expect("it waits for Azure");
    assert_eq!(world.pull_assignments().len(), 1);
}

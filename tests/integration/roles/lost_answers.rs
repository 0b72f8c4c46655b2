//! Role assignments that were asked for, where the answer is lost or is no use.

use acr_attach_core::api::FINALIZERS;
use azure_sim::{Call, Effect, Fault, Model};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::json;

use crate::support::{World, find, message};

/// Lists do not show what is made, and nothing looks again by itself.
async fn world() -> World {
    World::with(
        |azure: &mut Model| azure.settings.list_lag_ms = 600_000,
        |settings| {
            settings.intervals.resync = SignedDuration::from_mins(30);
            settings.intervals.visibility = SignedDuration::from_mins(1);
        },
    )
    .await
}

async fn until_made(world: &World) {
    world
        .until("the assignment", || async { (!world.pull_assignments().is_empty()).then_some(()) })
        .await;
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_one_assignment_and_makes_none_twice() {
    let world = world().await;
    world.azure.fault(Fault::new(Call::PutRoleAssignment, Effect::ApplyThenDrop).once());
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    assert_eq!(world.calls(Call::PutRoleAssignment), 0, "the only one has no answer");
    assert_eq!(world.pull_assignments().len(), 1);
}

/// Another cluster may have written at the same moment, so that one look more is due by then. The look
/// after the failure comes before that, and does not count as it.
#[rstest::rstest]
#[case::put(Fault::new(Call::PutRoleAssignment, Effect::ApplyThenDrop))]
#[case::read(Fault::error(
    Call::GetRoleAssignment,
    404,
    "RoleAssignmentNotFound",
    "It is not found."
))]
#[tokio::test]
async fn what_was_asked_for_without_an_answer_is_read_once_more_later(#[case] fault: Fault) {
    let world = World::with(
        |_| {},
        |settings| {
            settings.intervals.resync = SignedDuration::from_mins(30);
            settings.intervals.reread = SignedDuration::from_secs(20);
        },
    )
    .await;
    world.azure.fault(fault.once());
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world
        .until("the look that failed, the one that found it, and one more", || async {
            (world.calls(Call::ListRoleAssignments) == 3).then_some(())
        })
        .await;
    assert_eq!(world.pull_assignments().len(), 1);
}

#[tokio::test]
async fn what_was_made_without_an_answer_is_taken_back_when_the_attachment_goes() {
    let world = world().await;
    world.azure.fault(Fault::new(Call::PutRoleAssignment, Effect::ApplyThenDrop).once());
    world.apply("a", world.spec()).await;
    until_made(&world).await;
    world.until_reason("a", "Ready", "Unavailable").await;
    world.delete("a").await;
    world.until_gone("a").await;
    assert!(world.pull_assignments().is_empty(), "{:?}", world.pull_assignments());
}

/// 201, and then 404 (terraform-provider-azurerm issues 8584 and 9379).
#[tokio::test]
async fn what_azure_does_not_show_yet_is_looked_for_before_the_attachment_goes() {
    let world = world().await;
    let text = "The role assignment is not found.";
    let missing = Fault::error(Call::GetRoleAssignment, 404, "RoleAssignmentNotFound", text);
    world.azure.fault(missing);
    world.apply("a", world.spec()).await;
    let status = world.until_reason("a", "Ready", "Unavailable").await;
    assert!(message(&status).contains("after writing it"), "{}", message(&status));
    world.delete("a").await;
    let status = world.until_reason("a", "Ready", "Propagating").await;
    assert!(message(&status).contains("Azure does not show it"), "{status:?}");
    assert_eq!(world.pull_assignments().len(), 1);
    world.azure.clear_faults();
    world.until_gone("a").await;
    assert!(world.pull_assignments().is_empty());
}

/// An attachment by role that has just become one by pull secret.
async fn switched(lost: impl FnOnce(&World)) -> (World, String) {
    let world = World::with_pull_secrets(|settings| {
        settings.intervals.resync = SignedDuration::from_secs(2);
        settings.intervals.removal_delay = SignedDuration::ZERO;
        settings.intervals.visibility = SignedDuration::from_mins(10);
    })
    .await;
    world.azure.update(|azure| azure.settings.list_lag_ms = 600_000);
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    lost(&world);
    let mut spec = world.pull_spec(&json!({"names": [one]}));
    spec["registry"] = world.spec()["registry"].clone();
    world.apply("a", spec).await;
    world.until_secret(&one, "acr-pull").await;
    (world, one)
}

/// The roles of the nodes, and not that of the service principal.
fn of_nodes(world: &World) -> usize {
    world.pull_assignments().iter().filter(|it| it.principal_id == world.kubelet()).count()
}

async fn until_released(world: &World) {
    world
        .until("the role and the finalizer to go", || async {
            let object = world.attachments().get(&world.name("a")).await.unwrap();
            let bears = object.finalizers().contains(&FINALIZERS[0].to_owned());
            (of_nodes(world) == 0 && !bears).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_switch_of_the_method_leaves_no_role_that_lists_do_not_show_yet() {
    let (world, _) = switched(|_| {}).await;
    until_released(&world).await;
    world.until_ready("a").await;
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(of_nodes(&world), 0);
}

/// Neither a list nor a read by id shows the role; this process knows that it has made it.
#[tokio::test]
async fn what_nothing_shows_yet_keeps_its_finalizer_and_is_told_beside() {
    let text = "The role assignment is not found.";
    let missing = || Fault::error(Call::GetRoleAssignment, 404, "RoleAssignmentNotFound", text);
    let (world, _) = switched(|world| world.azure.fault(missing())).await;
    let status = world.until_reason("a", "Obsolete", "Propagating").await;
    let (_, _, text) = find(&status, "Obsolete").unwrap();
    assert!(text.contains("Azure does not show it"), "{text}");
    world.request("a", "another check").await;
    assert_eq!(find(&world.status("a").await, "Ready").unwrap().0, "True");
    assert_eq!(of_nodes(&world), 1);
    world.azure.clear_faults();
    until_released(&world).await;
    world
        .until("nothing to be obsolete", || async {
            find(&world.status("a").await, "Obsolete").is_none().then_some(())
        })
        .await;
}

/// That this process has made the role says nothing once lists show that it is gone.
#[tokio::test]
async fn what_somebody_else_has_deleted_is_not_waited_for_longer() {
    let lag = |azure: &mut Model| azure.settings.list_lag_ms = 5_000;
    let world = World::with(lag, |_| {}).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let made = world.pull_assignments()[0].created_on;
    let shown = async || (Timestamp::now() >= made + SignedDuration::from_secs(5)).then_some(());
    world.until("lists that lag behind to show it", shown).await;
    let kubelet = world.kubelet();
    world.azure.update(|azure| azure.role_assignments.retain(|it| it.principal_id != kubelet));
    world.delete("a").await;
    world.until_gone("a").await;
}

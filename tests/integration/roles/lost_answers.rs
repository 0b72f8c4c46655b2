//! Role assignments that were asked for, where the answer is lost or is no use.

use azure_sim::{Call, Effect, Fault, Model};
use jiff::SignedDuration;

use crate::support::{World, message};

/// Lists do not show what is made, and nothing looks again by itself.
async fn world() -> World {
    World::with(
        |azure: &mut Model| azure.settings.list_lag_ms = 600_000,
        |settings| settings.intervals.resync = SignedDuration::from_mins(30),
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
    assert!(message(&status).contains("no answer tells whether it was made"), "{status:?}");
    assert_eq!(world.pull_assignments().len(), 1);
    world.azure.clear_faults();
    world.until_gone("a").await;
    assert!(world.pull_assignments().is_empty());
}

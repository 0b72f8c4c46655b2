//! Another tool takes over a role assignment of ours: it is a stranger's from then on.

use acr_attach_core::api::{Ownership, RegistryAttachmentStatus};
use azure_sim::Call;
use jiff::SignedDuration;

use crate::support::{World, message};

const TAKEN_OVER: &str = "RoleAssignmentTakenOver";

/// Somebody writes another description, as tools do that make assignments under the shared name.
fn describe(world: &World, description: Option<&str>) {
    let name = world.pull_assignments()[0].name.clone();
    world.azure.update(|azure| {
        azure.assignment_mut(&name).unwrap().description = description.map(str::to_owned);
    });
}

/// Waits until status says that of the only assignment.
async fn until_owned(world: &World, ownership: Ownership) -> RegistryAttachmentStatus {
    world
        .until(&format!("the assignment to be {ownership:?}"), || async {
            let status = world.status("a").await;
            let list = status.role_assignments.as_ref()?;
            (list.len() == 1 && list[0].ownership == ownership).then_some(status)
        })
        .await
}

#[tokio::test]
async fn a_grant_that_lost_its_claims_is_used_on_said_once_and_never_deleted() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    let before = world.until_ready("a").await;
    let writes = world.azure_writes();
    describe(&world, Some("managed by terraform"));
    let after = until_owned(&world, Ownership::Existing).await;
    world.until_event("a", "Warning", TAKEN_OVER).await;
    assert_eq!(after.conditions, before.conditions);
    world.until_calls(Call::ListRoleAssignments, 3).await;
    let notes = world.notes("a", TAKEN_OVER).await;
    let [note] = &notes[..] else { panic!("told more than once: {notes:?}") };
    assert!(note.contains(&world.pull_assignments()[0].name), "{note}");

    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(world.azure_writes(), writes);
    assert_eq!(world.pull_assignments()[0].description.as_deref(), Some("managed by terraform"));
}

#[tokio::test]
async fn claims_that_are_lost_just_before_the_end_are_missed_too() {
    let half_hour = SignedDuration::from_mins(30);
    let world = World::with(|_| {}, |settings| settings.intervals.resync = half_hour).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    describe(&world, None);
    world.delete("a").await;
    world.until_gone("a").await;
    world.until_event("a", "Warning", TAKEN_OVER).await;
    assert_eq!(world.pull_assignments().len(), 1);
    assert_eq!(world.calls(Call::DeleteRoleAssignment), 0);
}

#[tokio::test]
async fn a_grant_that_was_taken_over_and_narrowed_is_in_the_way() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let name = world.pull_assignments()[0].name.clone();
    let condition = "(@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringEqualsIgnoreCase 'x')";
    world.azure.update(|azure| {
        let ours = azure.assignment_mut(&name).unwrap();
        ours.description = None;
        ours.condition = Some(condition.into());
        ours.condition_version = Some("2.0".into());
    });
    let status = world.until_reason("a", "Stalled", "NotOurs").await;
    assert!(message(&status).contains(&name), "{}", message(&status));
    world.until_event("a", "Warning", TAKEN_OVER).await;
    world.until_calls(Call::ListRoleAssignments, 3).await;
    assert_eq!(world.notes("a", TAKEN_OVER).await.len(), 1);
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(world.pull_assignments()[0].condition.as_deref(), Some(condition));
}

#[tokio::test]
async fn claims_that_come_back_make_the_grant_ours_again() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let claims = world.pull_assignments()[0].description.clone();
    describe(&world, None);
    until_owned(&world, Ownership::Existing).await;
    describe(&world, claims.as_deref());
    until_owned(&world, Ownership::Managed).await;
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(world.pull_assignments().len(), 0);
}

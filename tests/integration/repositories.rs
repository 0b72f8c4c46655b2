//! Single repositories of a registry in ABAC mode.

use azure_sim::Model;
use azure_sim::model::REPOSITORY_READER;
use serde_json::{Value, json};

use crate::world::{World, message};

fn abac(azure: &mut Model) {
    azure.registry_mut("contoso").unwrap().role_assignment_mode =
        azure_sim::model::RoleAssignmentMode::AbacRepositoryPermissions;
}

fn only(world: &World, repositories: &[&str]) -> Value {
    let mut spec = world.spec();
    spec["repositories"] = json!(repositories);
    spec
}

/// The condition of the one assignment that lets pull.
fn condition(world: &World) -> Option<String> {
    let [made] = &world.pull_assignments()[..] else { panic!("{:?}", world.pull_assignments()) };
    assert_eq!(made.role, REPOSITORY_READER);
    made.condition.clone()
}

#[tokio::test]
async fn repositories_are_a_condition_that_is_changed_in_place() {
    let world = World::with(abac, |_| {}).await;
    world.apply("a", only(&world, &["team-a/*", "team-b/app"])).await;
    world.until_ready("a").await;
    let first = condition(&world).unwrap();
    assert!(first.contains("StringStartsWithIgnoreCase 'team-a/'"), "{first}");
    assert!(first.contains("StringEqualsIgnoreCase 'team-b/app'"), "{first}");
    let name = world.pull_assignments()[0].name.clone();

    world.apply("a", only(&world, &["team-c/*"])).await;
    world.until_ready("a").await;
    let second = condition(&world).unwrap();
    assert!(second.contains("'team-c/'") && !second.contains("team-a"), "{second}");
    assert_eq!(world.pull_assignments()[0].name, name, "changed in place");

    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    assert_eq!(condition(&world), None);
    let events = world.events("a").await;
    assert!(
        events.iter().all(|(kind, _)| kind == "Normal"),
        "what was asked for is no drift: {events:?}"
    );
    assert!(events.iter().any(|(_, reason)| reason == "RoleAssignmentUpdated"), "{events:?}");
}

#[tokio::test]
async fn a_condition_that_somebody_takes_away_comes_back_with_a_warning() {
    let world = World::with(abac, |_| {}).await;
    world.apply("a", only(&world, &["team-a/*"])).await;
    world.until_ready("a").await;
    let before = condition(&world);
    let name = world.pull_assignments()[0].name.clone();
    world.azure.update(|azure| {
        let it = azure.role_assignments.iter_mut().find(|it| it.name == name).unwrap();
        (it.condition, it.condition_version) = (None, None);
    });
    world.until("the condition", || async { (condition(&world) == before).then_some(()) }).await;
    world.until_event("a", "Warning", "RoleAssignmentRestored").await;
}

#[tokio::test]
async fn two_attachments_that_disagree_are_told_and_the_first_keeps_its_condition() {
    let world = World::with(abac, |_| {}).await;
    world.apply("a", only(&world, &["team-a/*"])).await;
    world.until_ready("a").await;
    let before = condition(&world);
    world.apply("b", only(&world, &["team-b/*"])).await;
    let status = world.until_reason("b", "Stalled", "NotOurs").await;
    assert!(message(&status).contains("the same repositories"), "{}", message(&status));
    assert_eq!(condition(&world), before);
    // They agree.
    world.apply("b", only(&world, &["team-a/*"])).await;
    world.until_ready("b").await;
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(condition(&world), before);
}

#[tokio::test]
async fn a_registry_in_legacy_mode_knows_no_repositories() {
    let world = World::new().await;
    world.apply("a", only(&world, &["team-a/*"])).await;
    let status = world.until_reason("a", "Stalled", "InvalidSpec").await;
    assert!(message(&status).contains("rbac-abac"), "{}", message(&status));
    assert_eq!(world.azure_writes(), 0);
    world.azure.update(abac);
    world.until_ready("a").await;
}

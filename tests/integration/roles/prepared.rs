//! `prepareForAbac`: the role that counts after a switch of the registry's mode is assigned before it.

use acr_attach_core::api::RegistryAttachmentStatus;
use azure_sim::model::{ACR_PULL, REPOSITORY_READER, RoleAssignmentMode};
use azure_sim::{Call, Fault, Model};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::support::{World, find, message};

fn abac(azure: &mut Model) {
    azure.registry_mut("contoso").unwrap().role_assignment_mode =
        RoleAssignmentMode::AbacRepositoryPermissions;
}

fn prepared(world: &World) -> Value {
    let mut spec = world.spec();
    spec["prepareForAbac"] = true.into();
    spec
}

/// The roles that are assigned, with their conditions.
fn roles(world: &World) -> Vec<(String, Option<String>)> {
    let all = world.pull_assignments().into_iter();
    let mut roles: Vec<_> = all.map(|it| (it.role, it.condition)).collect();
    roles.sort();
    roles
}

fn is_ready(status: &RegistryAttachmentStatus) -> bool {
    find(status, "Ready").is_some_and(|(status, ..)| status == "True")
}

async fn until_roles(world: &World, expected: &[&str]) {
    world
        .until(&format!("roles {expected:?}"), || async {
            let roles = roles(world);
            roles.iter().map(|(role, _)| role).eq(expected).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_switch_of_the_mode_finds_its_role_assigned_and_takes_the_former_one_away() {
    let world = World::with(
        |_| {},
        |settings| {
            settings.intervals.resync = SignedDuration::from_secs(2);
        },
    )
    .await;
    world.apply("a", prepared(&world)).await;
    let status = world.until_ready("a").await;
    let text = message(&status);
    assert!(text.contains("AcrPull on contoso.azurecr.io is assigned"), "{text}");
    assert!(text.contains("Container Registry Repository Reader is assigned too since"), "{text}");
    let both = [ACR_PULL, REPOSITORY_READER];
    until_roles(&world, &both).await;
    let listed = status.role_assignments.unwrap();
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert!(find(&world.status("a").await, "Obsolete").is_none());

    let writes = world.calls(Call::PutRoleAssignment);
    world.azure.update(abac);
    until_roles(&world, &[REPOSITORY_READER]).await;
    assert_eq!(world.calls(Call::PutRoleAssignment), writes, "nothing had to be assigned");
    assert!(is_ready(&world.status("a").await));
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(roles(&world), []);
}

#[tokio::test]
async fn what_keeps_it_from_being_assigned_is_told_beside_and_takes_nothing_away() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.azure.fault(Fault::error(Call::PutRoleAssignment, 403, "AuthorizationFailed", "x"));
    world.apply("a", prepared(&world)).await;
    let status = world
        .until("the refusal", || async {
            let status = world.status("a").await;
            message(&status).contains("is not prepared").then_some(status)
        })
        .await;
    assert!(is_ready(&status) && find(&status, "Stalled").is_none(), "{status:?}");
    let text = message(&status);
    assert!(text.contains("let the operator's identity assign pull roles"), "{text}");
    world.azure.clear_faults();
    until_roles(&world, &[ACR_PULL, REPOSITORY_READER]).await;
    world
        .until("the remark to go", || async {
            (!message(&world.status("a").await).contains("is not prepared")).then_some(())
        })
        .await;
    world.apply("a", world.spec()).await;
    until_roles(&world, &[ACR_PULL]).await;
    assert!(is_ready(&world.status("a").await));
}

/// The switch that the advice ends in would take the right to pull.
#[tokio::test]
async fn with_repositories_a_refusal_comes_before_the_advice_to_switch() {
    let world = World::new().await;
    world.azure.fault(Fault::error(Call::PutRoleAssignment, 403, "AuthorizationFailed", "x"));
    let mut spec = prepared(&world);
    spec["repositories"] = json!(["team-a/*"]);
    world.apply("a", spec).await;
    let status = world.until_reason("a", "Stalled", "InvalidSpec").await;
    let text = message(&status);
    let order = ["assign pull roles", "do not switch the registry before", "spec.repositories"];
    let places: Vec<_> = order.map(|it| text.find(it)).into();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{text}");
    world.azure.clear_faults();
    until_roles(&world, &[REPOSITORY_READER]).await;
    world
        .until("the refusal to go", || async {
            (!message(&world.status("a").await).contains("do not switch")).then_some(())
        })
        .await;
}

#[tokio::test]
async fn repositories_are_prepared_too_and_never_open_the_whole_registry() {
    let world = World::new().await;
    let mut spec = prepared(&world);
    spec["repositories"] = json!(["team-a/*"]);
    world.apply("a", spec).await;
    let status = world.until_reason("a", "Stalled", "InvalidSpec").await;
    let text = message(&status);
    assert!(text.contains("az acr update") && !text.contains("set spec.prepareForAbac"), "{text}");
    let [(role, condition)] = &roles(&world)[..] else { panic!("{:?}", roles(&world)) };
    assert_eq!(role, REPOSITORY_READER);
    assert!(condition.as_ref().unwrap().contains("'team-a/'"), "{condition:?}");
    assert_eq!(world.status("a").await.role_assignments.unwrap().len(), 1);
    let writes = world.calls(Call::PutRoleAssignment);
    world.azure.update(abac);
    world.until_ready("a").await;
    assert_eq!(world.calls(Call::PutRoleAssignment), writes);
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(roles(&world), []);
}

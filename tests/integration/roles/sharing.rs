//! Role assignments that others made, hold too, or gave on something above the registry.

use acr_attach_core::api::Ownership;
use azure_sim::model::{ACR_PULL, DEFAULT_SUBSCRIPTION, IdCase, REPOSITORY_READER};
use azure_sim::model::{PrincipalType, RoleAssignment, RoleAssignmentMode};
use azure_sim::{Call, Model};
use serde_json::json;

use crate::support::World;

fn only_assignment(world: &World) -> RoleAssignment {
    let [made] = &world.pull_assignments()[..] else { panic!("{:?}", world.pull_assignments()) };
    made.clone()
}

#[rstest::rstest]
#[case(IdCase::Lower)]
#[case(IdCase::Upper)]
#[tokio::test]
async fn ids_in_any_case_are_the_same_ids(#[case] case: IdCase) {
    let world = World::with(|azure| azure.settings.id_case = case, |_| {}).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.until_calls(Call::ListRoleAssignments, 1).await;
    let (azure, api) = (world.azure_writes(), world.api_writes());
    world.until_calls(Call::ListRoleAssignments, 3).await;
    assert_eq!((world.azure_writes(), world.api_writes()), (azure, api));

    world.apply("b", world.spec()).await;
    world.until_ready("b").await;
    let claims = only_assignment(&world).description.unwrap();
    assert_eq!(claims.matches(',').count(), 1, "{claims}");
    world.delete("a").await;
    world.until_gone("a").await;
    let claims = only_assignment(&world).description.unwrap();
    assert_eq!(claims.matches(',').count(), 0, "{claims}");
    world.delete("b").await;
    world.until_gone("b").await;
    assert!(world.pull_assignments().is_empty());
}

#[tokio::test]
async fn what_is_changed_keeps_everything_but_claims_as_it_was_read() {
    const CONDITION: &str = "((!(ActionMatches{'Microsoft.ContainerRegistry/registries/repositories/content/read'}) AND !(ActionMatches{'Microsoft.ContainerRegistry/registries/repositories/metadata/read'})) OR (@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringStartsWithIgnoreCase 'team-a/'))";
    // Nobody whom the directory knows, as in a tenant that delegates its subscription.
    let someone = "44444444-4444-4444-8444-444444444444";
    let world = World::with(
        |azure| {
            let contoso = azure.registry_mut("contoso").unwrap();
            contoso.role_assignment_mode = RoleAssignmentMode::AbacRepositoryPermissions;
            let registry = contoso.id();
            let name = azure.assign_id(someone, REPOSITORY_READER, &registry);
            let theirs = azure.assignment_mut(&name).unwrap();
            theirs.description = Some("acr-attach claims: 0123456789ab".into());
            theirs.principal_type = PrincipalType::ForeignGroup;
            theirs.delegated_managed_identity_resource_id = Some("/subscriptions/x".into());
        },
        |_| {},
    )
    .await;
    let mut spec = world.spec();
    spec["kubeletIdentity"] = json!({"principalId": someone});
    spec["repositories"] = json!(["team-a/*"]);
    // What another cluster wrote is what ours would write.
    world.azure.update(|azure| {
        let name = azure.role_assignments.last().unwrap().name.clone();
        let theirs = azure.assignment_mut(&name).unwrap();
        theirs.condition = Some(CONDITION.into());
        theirs.condition_version = Some("2.0".into());
    });
    let before = only_assignment(&world);
    world.apply("a", spec).await;
    world.until_ready("a").await;
    let joined = only_assignment(&world);
    assert!(joined.description.as_ref().unwrap().starts_with("acr-attach claims: 0123456789ab,"));
    world.delete("a").await;
    world.until_gone("a").await;
    let left = only_assignment(&world);
    assert_eq!(left.description, before.description);
    for after in [joined, left] {
        let kept = RoleAssignment {
            description: before.description.clone(),
            updated_on: before.updated_on,
            updated_by: before.updated_by.clone(),
            ..after
        };
        assert_eq!(kept, before);
    }
    assert_eq!(world.calls(Call::PutRoleAssignment), 2);
}

/// Assigns the pull role to the kubelet identity on the whole subscription.
fn assign_above(azure: &mut Model, condition: Option<&str>) {
    let kubelet = azure.find_cluster("prod").unwrap().kubelet_identity.clone().unwrap();
    let subscription = format!("/subscriptions/{DEFAULT_SUBSCRIPTION}");
    let name = azure.assign_id(&kubelet.object_id, ACR_PULL, &subscription);
    let made = azure.assignment_mut(&name).unwrap();
    made.condition = condition.map(str::to_owned);
    made.condition_version = condition.map(|_| "2.0".to_owned());
}

#[tokio::test]
async fn a_role_from_above_is_used_and_nothing_is_written() {
    let world = World::with(|azure| assign_above(azure, None), |_| {}).await;
    world.apply("a", world.spec()).await;
    let status = world.until_ready("a").await;
    let [held] = &status.role_assignments.unwrap()[..] else { panic!("several") };
    assert_eq!(held.ownership, Ownership::Existing);
    assert_eq!(world.azure_writes(), 0);
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(world.azure_writes(), 0);
}

#[tokio::test]
async fn a_role_from_above_with_a_condition_does_not_count() {
    const NARROW: &str = "(@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringEqualsIgnoreCase 'x')";
    let world = World::with(|azure| assign_above(azure, Some(NARROW)), |_| {}).await;
    world.apply("a", world.spec()).await;
    let status = world.until_ready("a").await;
    let [held] = &status.role_assignments.unwrap()[..] else { panic!("several") };
    assert_eq!(held.ownership, Ownership::Managed);
    assert_eq!(only_assignment(&world).condition, None);
    world.delete("a").await;
    world.until_gone("a").await;
    assert!(world.pull_assignments().is_empty());
}

//! Clouds whose api-versions are older: what they hide is not guessed, and nothing is lost.

use acr_attach_core::api::{Ownership, RoleAssignmentMode};
use azure_sim::model::{ACR_PULL, REPOSITORY_READER, RoleAssignmentMode as Mode, UnknownVersion};
use azure_sim::{Call, Model};
use jiff::SignedDuration;
use serde_json::json;

use crate::support::{World, message};

const REGISTRIES: &str = "Microsoft.ContainerRegistry/registries";
const CLUSTERS: &str = "Microsoft.ContainerService/managedClusters";
const ASSIGNMENTS: &str = "Microsoft.Authorization/roleAssignments";

/// The api-versions that were asked for in such calls, with the status of the answer.
fn asked(world: &World, call: Call) -> Vec<(String, Option<u16>)> {
    let journal = world.azure.journal();
    let of_kind = journal.iter().filter(|it| it.call == Some(call));
    let version = |query: &str| {
        let parameters = query.split('&').filter_map(|it| it.strip_prefix("api-version="));
        parameters.map(str::to_owned).collect::<String>()
    };
    of_kind.map(|it| (version(&it.query), it.status)).collect()
}

fn abac(azure: &mut Model) {
    let contoso = azure.registry_mut("contoso").unwrap();
    contoso.role_assignment_mode = Mode::AbacRepositoryPermissions;
}

fn roles(world: &World) -> Vec<String> {
    let mut roles: Vec<_> = world.pull_assignments().into_iter().map(|it| it.role).collect();
    roles.sort();
    roles
}

#[rstest::rstest]
#[case(UnknownVersion::NoRegisteredProviderFound, 400)]
#[case(UnknownVersion::InvalidResourceType, 404)]
#[case(UnknownVersion::InvalidApiVersionParameter, 400)]
#[tokio::test]
async fn an_older_registry_api_is_found_once_and_used_from_then_on(
    #[case] answer: UnknownVersion,
    #[case] status_code: u16,
) {
    let world = World::with(
        |azure| {
            azure.settings.unknown_version = answer;
            azure.settings.newest_api_version(REGISTRIES, "2025-04-01");
        },
        |settings| settings.intervals.resync = SignedDuration::from_mins(30),
    )
    .await;
    world.apply("a", world.spec()).await;
    let status = world.until_ready("a").await;
    assert!(message(&status).contains("do not tell the registry's mode"), "{}", message(&status));
    assert_eq!(status.registry.unwrap().role_assignment_mode, None);
    assert_eq!(roles(&world), [ACR_PULL]);
    world.apply("b", world.spec()).await;
    world.until_ready("b").await;
    let older = || ("2025-04-01".to_owned(), Some(200));
    let expected = [("2026-01-01-preview".to_owned(), Some(status_code)), older(), older()];
    assert_eq!(asked(&world, Call::GetRegistry), expected);
}

#[tokio::test]
async fn a_mode_that_is_hidden_replaces_no_role_and_one_that_shows_does() {
    let world = World::with(abac, |_| {}).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    assert_eq!(roles(&world), [REPOSITORY_READER]);

    let versions = world.azure.read(|azure| azure.settings.api_versions.clone());
    world.azure.update(|azure| azure.settings.newest_api_version(REGISTRIES, "2025-04-01"));
    let both = [ACR_PULL, REPOSITORY_READER];
    world.until("AcrPull beside it", || async { (roles(&world) == both).then_some(()) }).await;
    // Longer than the removal delay.
    world.until_calls(Call::ListRoleAssignments, 3).await;
    assert_eq!(roles(&world), both);
    let held = world.status("a").await.role_assignments.unwrap();
    assert!(held.iter().all(|it| it.ownership == Ownership::Managed && it.remove_after.is_none()));

    // What is remembered is lost with the process.
    let mut world = world;
    world.stop().await;
    world.azure.update(|azure| azure.settings.api_versions = versions);
    world.start().await;
    world
        .until("the right role alone", || async {
            (roles(&world) == [REPOSITORY_READER]).then_some(())
        })
        .await;
    world
        .until("the mode to be told again", || async {
            let mode = world.status("a").await.registry?.role_assignment_mode?;
            (mode == RoleAssignmentMode::AbacRepositoryPermissions).then_some(())
        })
        .await;
}

#[tokio::test]
async fn repositories_are_not_opened_wide_where_the_mode_is_hidden() {
    let world =
        World::with(|azure| azure.settings.newest_api_version(REGISTRIES, "2025-04-01"), |_| {})
            .await;
    let mut spec = world.spec();
    spec["repositories"] = json!(["team/*"]);
    world.apply("a", spec).await;
    let status = world.until_reason("a", "Stalled", "Unsupported").await;
    assert!(message(&status).contains("remove spec.repositories"), "{}", message(&status));
    assert_eq!(world.azure_writes(), 0);
}

#[tokio::test]
async fn a_cluster_is_read_by_a_stable_version_where_the_preview_is_gone() {
    let world = World::with(
        |azure| azure.settings.newest_api_version(CLUSTERS, "2025-10-01"),
        |settings| settings.intervals.resync = SignedDuration::from_mins(30),
    )
    .await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let expected = [("2026-01-02-preview".to_owned(), Some(400)), ("2025-10-01".into(), Some(200))];
    assert_eq!(asked(&world, Call::GetCluster), expected);
}

#[tokio::test]
async fn a_cluster_whose_pods_pull_with_other_identities_is_not_served() {
    let world = World::new().await;
    let switch = |on: bool| {
        world.azure.update(|azure| {
            let profile =
                azure_sim::model::ServiceAccountImagePull { enabled: on, ..Default::default() };
            azure.cluster_mut("prod").unwrap().service_account_image_pull = Some(profile);
        });
    };
    switch(true);
    world.apply("a", world.spec()).await;
    let status = world.until_reason("a", "Stalled", "Unsupported").await;
    let text = message(&status);
    assert!(text.contains("image pull profile") && text.contains("PullSecret"), "{text}");
    assert_eq!(world.azure_writes(), 0);
    switch(false);
    world.until_ready("a").await;
}

#[tokio::test]
async fn role_assignments_are_never_read_by_a_version_that_hides_conditions() {
    let world = World::with(
        |azure| azure.settings.newest_api_version(ASSIGNMENTS, "2022-01-01-preview"),
        |_| {},
    )
    .await;
    world.apply("a", world.spec()).await;
    let status = world.until_reason("a", "Stalled", "Unsupported").await;
    let text = message(&status);
    assert!(
        text.contains("404 InvalidResourceType") && text.contains("update acr-attach"),
        "{text}"
    );
    assert!(asked(&world, Call::ListRoleAssignments).iter().all(|it| it.0 == "2022-04-01"));
}

#[rstest::rstest]
#[case(UnknownVersion::NoRegisteredProviderFound)]
#[case(UnknownVersion::InvalidResourceType)]
#[case(UnknownVersion::InvalidApiVersionParameter)]
#[tokio::test]
async fn role_assignments_are_listed_made_and_deleted_by_a_newer_version_where_ours_is_gone(
    #[case] answer: UnknownVersion,
) {
    let newer = "2027-01-01";
    let world = World::with(
        |azure| {
            azure.settings.unknown_version = answer;
            let versions = vec!["2015-07-01".to_owned(), newer.to_owned()];
            azure.settings.api_versions.insert(ASSIGNMENTS.to_owned(), versions);
        },
        |_| {},
    )
    .await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    assert_eq!(asked(&world, Call::PutRoleAssignment), [(newer.to_owned(), Some(201))]);
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(asked(&world, Call::DeleteRoleAssignment), [(newer.to_owned(), Some(200))]);
    assert!(world.pull_assignments().is_empty());
}

//! PUT of role assignments: what is created, changed and refused.

use azure_sim::model::{ACR_PULL, ExistsMessage, PrincipalType, REPOSITORY_READER, RepeatedPut};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{role_assignments::role_id, world::World};

const NAME: &str = "2f826ae1-1728-4c63-bbb7-a8a150a5a52d";
const OTHER: &str = "3f826ae1-1728-4c63-bbb7-a8a150a5a52d";

/// The usual grant with other or more properties; `null` takes one away.
fn changed(world: &World, changes: &[(&str, Value)]) -> Value {
    let mut properties = world.grant();
    for (name, value) in changes {
        if value.is_null() {
            properties.as_object_mut().unwrap().remove(*name);
        } else {
            properties[*name] = value.clone();
        }
    }
    properties
}

#[tokio::test]
async fn a_created_assignment_names_its_creator_only_later() {
    let world = World::new().await;
    let answer =
        world.put(NAME, changed(&world, &[("description", json!("ours"))])).await.expect(201);
    assert_eq!(answer.header("x-ms-ratelimit-remaining-subscription-global-writes"), "11999");
    let body = answer.json();
    let properties = &body["properties"];
    assert_eq!(body["name"], NAME);
    assert_eq!(body["type"], "Microsoft.Authorization/roleAssignments");
    assert_eq!(properties["scope"], world.registry.id());
    assert_eq!(properties["roleDefinitionId"], role_id(ACR_PULL));
    assert_eq!(properties["description"], "ours");
    assert_eq!(properties["createdBy"], Value::Null);
    assert_eq!(properties["updatedBy"], world.operator.object_id);
    assert_eq!(properties["condition"], Value::Null);
    assert_eq!(
        properties["createdOn"].as_str().unwrap().len(),
        "2025-11-19T01:49:22.5507039Z".len()
    );

    let later = world.read_assignment(NAME).await.expect(200).json();
    assert_eq!(later["properties"]["createdBy"], world.operator.object_id);
}

#[tokio::test]
async fn the_same_grant_under_another_name_exists_already() {
    let world = World::new().await;
    world.put(NAME, world.grant()).await.expect(201);
    let message = world.put(OTHER, world.grant()).await.expect_error(409, "RoleAssignmentExists");
    assert_eq!(
        message,
        "The role assignment already exists. The ID of the existing role assignment is \
         2f826ae117284c63bbb7a8a150a5a52d."
    );
    world.sim.update(|it| it.settings.exists_message = ExistsMessage::Plain);
    let message = world.put(OTHER, world.grant()).await.expect_error(409, "RoleAssignmentExists");
    assert_eq!(message, "The role assignment already exists.");

    // A condition makes no difference, a role does.
    let condition = json!("ActionMatches{'a'}");
    world
        .put(OTHER, changed(&world, &[("condition", condition)]))
        .await
        .expect_error(409, "RoleAssignmentExists");
    let reader = json!(role_id(REPOSITORY_READER));
    world.put(OTHER, changed(&world, &[("roleDefinitionId", reader)])).await.expect(201);
}

#[tokio::test]
async fn a_repeated_put_answers_as_the_region_does() {
    let world = World::new().await;
    world.put(NAME, world.grant()).await.expect(201);
    let created = world.read_assignment(NAME).await.json()["properties"]["createdOn"].clone();
    for (switch, status) in [(RepeatedPut::Ok, 200), (RepeatedPut::Created, 201)] {
        world.sim.update(|it| it.settings.repeated_put = switch);
        let body = world.put(NAME, world.grant()).await.expect(status).json();
        assert_eq!(body["properties"]["createdOn"], created);
    }
    world.sim.update(|it| it.settings.repeated_put = RepeatedPut::Conflict);
    let message = world.put(NAME, world.grant()).await.expect_error(409, "RoleAssignmentExists");
    assert!(message.contains(&NAME.replace('-', "")), "{message}");
    world.put(NAME, changed(&world, &[("description", json!("new"))])).await.expect(201);
}

#[tokio::test]
async fn an_update_replaces_description_and_condition_even_by_nothing() {
    let world = World::new().await;
    let condition = "@Request[Microsoft.ContainerRegistry/registries/repositories:name] \
                     StringEqualsIgnoreCase 'team/app'";
    let with = [("condition", json!(condition)), ("description", json!("ours"))];
    let body = world.put(NAME, changed(&world, &with)).await.expect(201).json();
    assert_eq!(body["properties"]["condition"], condition);
    assert_eq!(body["properties"]["conditionVersion"], "2.0");

    world.put(NAME, changed(&world, &[("description", json!("theirs"))])).await.expect(201);
    let body = world.read_assignment(NAME).await.expect(200).json();
    assert_eq!(body["properties"]["description"], "theirs");
    assert_eq!(body["properties"]["condition"], Value::Null);
    assert_eq!(body["properties"]["conditionVersion"], Value::Null);
}

#[tokio::test]
async fn who_holds_which_role_where_cannot_be_updated() {
    let world = World::with(|it| {
        it.registry("second").add();
    })
    .await;
    world.put(NAME, world.grant()).await.expect(201);
    for change in [
        ("roleDefinitionId", json!(role_id(REPOSITORY_READER))),
        ("principalId", json!(world.operator.object_id)),
        ("delegatedManagedIdentityResourceId", json!("/subscriptions/x")),
    ] {
        let message = world
            .put(NAME, changed(&world, &[change]))
            .await
            .expect_error(400, "RoleAssignmentUpdateNotPermitted");
        assert!(
            message.starts_with("Tenant ID, application ID, principal ID, and scope"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn bad_writes_are_refused_with_the_code_of_what_is_wrong() {
    let world = World::new().await;
    let user = world.sim.update(|it| it.other_principal("ann", PrincipalType::User).add());
    world.sim.update(|it| it.settings.hash_conflicts = vec![OTHER.into()]);
    let grant = |name: &'static str, value: Value| changed(&world, &[(name, value)]);
    let no_role = json!(role_id("99999999-0000-4000-8000-000000000000"));
    for (name, properties, code, text) in [
        ("no-guid", world.grant(), "InvalidRoleAssignmentId", "The role assignment ID 'no-guid'"),
        (NAME, grant("principalId", json!("x")), "InvalidPrincipalId", "The Principal ID 'x' is"),
        (
            NAME,
            grant("principalType", json!("User")),
            "UnmatchedPrincipalType",
            "The PrincipalId '",
        ),
        (NAME, grant("principalId", json!(user.object_id)), "UnmatchedPrincipalType", "The Pri"),
        (NAME, grant("principalType", json!("MSI")), "InvalidPrincipalType", "The principal type"),
        (
            NAME,
            grant("roleDefinitionId", no_role),
            "RoleDefinitionDoesNotExist",
            "The specified role definition with ID '99999999000040008000000000000000' does",
        ),
        (
            NAME,
            grant("condition", json!("nonsense")),
            "InvalidRoleAssignmentCondition",
            "The given",
        ),
        (NAME, grant("description", json!("é".repeat(513))), "BadRequestFormat", "The request"),
        (NAME, grant("principalId", Value::Null), "InvalidRequestContent", "The request content"),
        (OTHER, world.grant(), "HashConflictOnDifferentRoleAssignmentIds", "A hash conflict"),
    ] {
        let message = world.put(name, properties).await.expect_error(400, code);
        assert!(message.starts_with(text), "{message}");
    }
    assert_eq!(world.sim.read(|it| it.role_assignments.len()), 2, "nothing was written");
    world.put(NAME, grant("description", json!("é".repeat(512)))).await.expect(201);
}

#[tokio::test]
async fn a_name_that_conflicts_once_conflicts_for_ever() {
    let world = World::new().await;
    world.put(OTHER, world.grant()).await.expect(201);
    world.delete(OTHER).await.expect(200);
    world.sim.update(|it| it.settings.new_hash_conflicts = 1);
    for _ in 0..3 {
        let answer = world.put(NAME, world.grant()).await;
        answer.expect_error(400, "HashConflictOnDifferentRoleAssignmentIds");
    }
    assert_eq!(world.sim.read(|it| it.settings.hash_conflicts.clone()), [NAME]);
    world.put(OTHER, world.grant()).await.expect(201);

    // A name in use is no new one.
    world.sim.update(|it| it.settings.new_hash_conflicts = 1);
    world.put(OTHER, world.grant()).await.expect(201);
    assert_eq!(world.sim.read(|it| it.settings.new_hash_conflicts), 1);
}

#[tokio::test]
async fn conditions_need_version_2() {
    let world = World::new().await;
    let with = |version: &str| {
        let condition = json!("ActionMatches{'a'}");
        changed(&world, &[("condition", condition), ("conditionVersion", json!(version))])
    };
    world.put(NAME, with("1.0")).await.expect_error(400, "InvalidRoleAssignmentCondition");
    world.put(NAME, with("2.0")).await.expect(201);
}

#[tokio::test]
async fn a_new_principal_is_found_late_unless_its_type_is_said() {
    let world = World::new().await;
    let kubelet = world.grant()["principalId"].as_str().unwrap().to_owned();
    let untyped = || changed(&world, &[("principalType", Value::Null)]);
    world.sim.update(|it| it.principal_mut(&kubelet).unwrap().unreplicated_tries = 2);
    for _ in 0..2 {
        let message = world.put(NAME, untyped()).await.expect_error(400, "PrincipalNotFound");
        assert!(
            message.starts_with(&format!(
                "Principal {} does not exist in the directory 7e",
                kubelet.replace('-', "")
            )),
            "{message}"
        );
        assert!(message.ends_with("or Group.  See https://aka.ms/docs-principaltype"), "{message}");
    }
    let body = world.put(NAME, untyped()).await.expect(201).json();
    assert_eq!(body["properties"]["principalType"], "ServicePrincipal");

    let later = Timestamp::now() + SignedDuration::from_hours(1);
    world.sim.update(|it| it.principal_mut(&kubelet).unwrap().replicated_from = Some(later));
    world.put(NAME, untyped()).await.expect_error(400, "PrincipalNotFound");
    world.put(NAME, world.grant()).await.expect(201);
}

#[tokio::test]
async fn unknown_principals_pass_only_with_a_type_and_foreign_ones_never() {
    let other = "7e000000-0000-4000-8000-00000000000f";
    let world = World::with(|model| {
        model.add_tenant(other);
        model.application("guest").tenant(other).add();
    })
    .await;
    let unknown = json!("dddddddd-0000-4000-8000-000000000009");
    let guest = json!(world.sim.read(|it| it.principals.last().unwrap().object_id.clone()));
    let to = |id: &Value, kind: Value| {
        changed(&world, &[("principalId", id.clone()), ("principalType", kind)])
    };
    world.put(NAME, to(&unknown, Value::Null)).await.expect_error(400, "PrincipalNotFound");
    world.put(NAME, to(&unknown, json!("ServicePrincipal"))).await.expect(201);
    world
        .put(OTHER, to(&guest, json!("ServicePrincipal")))
        .await
        .expect_error(400, "PrincipalNotFound");
}

#[tokio::test]
async fn a_subscription_takes_only_so_many() {
    let world = World::with(|it| it.settings.role_assignment_limit = 3).await;
    world.put(NAME, world.grant()).await.expect(201);
    let reader = changed(&world, &[("roleDefinitionId", json!(role_id(REPOSITORY_READER)))]);
    world.put(OTHER, reader).await.expect_error(400, "RoleAssignmentLimitExceeded");
    world.put(NAME, world.grant()).await.expect(201);
}

#[tokio::test]
async fn a_write_needs_a_right_and_an_existing_registry() {
    let world = World::new().await;
    world.sim.update(|it| {
        it.assign_id(&world.operator.object_id, azure_sim::model::OWNER, "/");
        it.registries.clear();
    });
    world.put(NAME, world.grant()).await.expect_error(404, "ResourceNotFound");
    world.sim.update(|it| it.role_assignments.clear());
    world.put(NAME, world.grant()).await.expect_error(403, "AuthorizationFailed");
}

//! Registries and resource groups that have been deleted.

use azure_sim::model::{OWNER, READER, RoleAssignment};
use reqwest::Method;
use serde_json::json;

use crate::{role_assignments::path, world::World};

const NAME: &str = "b8aca42d-f5a1-511f-8f55-2bf8850d7ddb";
const GROUP: &str = "/subscriptions/50000000-0000-4000-8000-000000000001/resourceGroups/rg";

/// Everything that a client asks of a registry: the registry, its role assignments, one of them.
fn calls(world: &World) -> Vec<(Method, String)> {
    let registry = world.registry.id();
    let one = path(&registry, NAME);
    let all = one.replace(&format!("/{NAME}"), "");
    vec![
        (Method::GET, format!("{registry}?api-version=2025-11-01")),
        (Method::GET, format!("{all}&$filter=atScope()")),
        (Method::GET, one.clone()),
        (Method::PUT, one.clone()),
        (Method::DELETE, one),
    ]
}

#[tokio::test]
async fn what_is_asked_of_them_is_404_from_the_gateway() {
    let registry = "The Resource 'Microsoft.ContainerRegistry/registries/contoso' under resource \
                    group 'rg' was not found.";
    let group = "Resource group 'rg' could not be found.";
    for (whole_group, code, text) in
        [(false, "ResourceNotFound", registry), (true, "ResourceGroupNotFound", group)]
    {
        let world = World::new().await;
        world.put(NAME, world.grant()).await.expect(201);
        let gone = if whole_group { GROUP.to_owned() } else { world.registry.id() };
        world.sim.update(|it| {
            it.assign_id(&world.operator.object_id, OWNER, "/");
            it.remove_resource(&gone);
        });
        let body = json!({"properties": world.grant()});
        for (method, path) in calls(&world) {
            let answer = world.arm(method, &path, Some(&body)).await;
            assert_eq!(answer.header("x-ms-failure-cause"), "gateway");
            let message = answer.expect_error(404, code);
            assert!(message.starts_with(text), "{message}");
        }
        let at_registry = |it: &RoleAssignment| it.scope == world.registry.id();
        assert!(!world.sim.read(|it| it.role_assignments.iter().any(at_registry)));
    }
}

#[tokio::test]
async fn rights_at_the_registry_alone_go_with_it() {
    let world = World::with(|it| it.role_assignments.retain(|it| it.role != READER)).await;
    world.put(NAME, world.grant()).await.expect(201);
    world.sim.update(|it| it.remove_resource(&world.registry.id()));
    let body = json!({"properties": world.grant()});
    for (method, path) in calls(&world) {
        let answer = world.arm(method, &path, Some(&body)).await;
        let message = answer.expect_error(403, "AuthorizationFailed");
        assert!(message.contains("or the scope is invalid"), "{message}");
    }
}

#[tokio::test]
async fn a_registry_that_comes_back_has_no_grants() {
    let world = World::new().await;
    world.put(NAME, world.grant()).await.expect(201);
    world.sim.update(|it| {
        it.remove_resource(&world.registry.id());
        it.assign_id(&world.operator.object_id, OWNER, GROUP);
        it.registry("contoso").add();
    });
    world.read_assignment(NAME).await.expect_error(404, "RoleAssignmentNotFound");
    world.put(NAME, world.grant()).await.expect(201);
}

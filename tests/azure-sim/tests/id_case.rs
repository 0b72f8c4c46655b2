//! Ids in another case than they were written in.

use azure_sim::model::{ACR_PULL, IdCase};
use serde_json::Value;

use crate::{role_assignments::path, world::World};

const NAME: &str = "b8aca42d-f5a1-511f-8f55-2bf8850d7ddb";

async fn get(world: &World, path: &str) -> Value {
    world.get(path).await.expect(200).json()
}

#[tokio::test]
async fn every_id_can_be_answered_in_one_case() {
    let world = World::new().await;
    world.put(NAME, world.grant()).await.expect(201);
    let registry = world.registry.id();
    let one = path(&registry, NAME);
    let list = format!("{}&$filter=atScope()", one.replace(&format!("/{NAME}"), ""));
    let node_group = format!(
        "/subscriptions/{}/resourceGroups/{}?api-version=2021-04-01",
        world.cluster.subscription_id, world.cluster.node_resource_group
    );
    for (case, of) in [
        (IdCase::Lower, str::to_lowercase as fn(&str) -> String),
        (IdCase::Upper, str::to_uppercase),
    ] {
        world.sim.update(|it| it.settings.id_case = case);
        let written = world.put(NAME, world.grant()).await.expect(201).json();
        let body = get(&world, &one).await;
        let assignments = get(&world, &list).await["value"].as_array().unwrap().clone();
        let listed = assignments.into_iter().find(|it| it["name"] == NAME).unwrap();
        for it in [&written, &body, &listed] {
            assert_eq!(it["id"], of(&world.assignment_id(NAME)));
            assert_eq!(it["properties"]["scope"], of(&registry));
            assert_eq!(it["properties"]["principalId"], of(world.kubelet_id()));
        }
        let body = get(&world, &format!("{registry}?api-version=2025-11-01")).await;
        assert_eq!((&body["id"], &body["name"]), (&of(&registry).into(), &"contoso".into()));
        let body = get(&world, &node_group).await;
        assert_eq!(body["managedBy"], of(&world.cluster.id()));
        let body = get(&world, &format!("{}?api-version=2025-10-01", world.cluster.id())).await;
        assert_eq!(body["id"], of(&world.cluster.id()));
    }
}

#[tokio::test]
async fn a_scope_is_shown_as_whoever_assigned_the_role_wrote_it() {
    let world = World::new().await;
    let odd = world.registry.id().to_uppercase();
    let name = world.sim.update(|it| it.assign_id(world.kubelet_id(), ACR_PULL, &odd));
    let body = get(&world, &path(&world.registry.id(), &name)).await;
    assert_eq!(body["properties"]["scope"], odd);
    // It is the same grant all the same.
    world.put(NAME, world.grant()).await.expect_error(409, "RoleAssignmentExists");
}

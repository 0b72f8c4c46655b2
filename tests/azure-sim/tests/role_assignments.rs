//! Role assignments: reading, listing, deleting, and how long changes take.

use azure_sim::model::{ACR_PULL, DEFAULT_SUBSCRIPTION, LockLevel, PrincipalType, READER};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Answer, World};

const VERSION: &str = "api-version=2022-04-01";
const NAME: &str = "b8aca42d-f5a1-511f-8f55-2bf8850d7ddb";

pub fn path(scope: &str, name: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}?{VERSION}")
}

impl World {
    pub async fn put(&self, name: &str, properties: Value) -> Answer {
        let body = json!({"properties": properties});
        self.arm(Method::PUT, &path(&self.registry.id(), name), Some(&body)).await
    }

    /// Properties of a grant to the cluster's kubelet identity.
    pub fn grant(&self) -> Value {
        json!({
            "roleDefinitionId": role_id(ACR_PULL),
            "principalId": self.kubelet_id(),
            "principalType": "ServicePrincipal",
        })
    }

    /// The object id of the cluster's kubelet identity.
    pub fn kubelet_id(&self) -> &str {
        &self.cluster.kubelet_identity.as_ref().unwrap().object_id
    }

    /// The id of an assignment at the registry.
    pub fn assignment_id(&self, name: &str) -> String {
        format!("{}/providers/Microsoft.Authorization/roleAssignments/{name}", self.registry.id())
    }

    pub async fn read_assignment(&self, name: &str) -> Answer {
        self.get(&path(&self.registry.id(), name)).await
    }

    pub async fn delete(&self, name: &str) -> Answer {
        self.arm(Method::DELETE, &path(&self.registry.id(), name), None).await
    }

    async fn names(&self, filter: &str) -> Vec<String> {
        let scope = self.registry.id();
        let path = format!(
            "{scope}/providers/Microsoft.Authorization/roleAssignments?{VERSION}&$filter={filter}"
        );
        let body = self.get(&path).await.expect(200).json();
        let name = |it: &Value| it["name"].as_str().unwrap().to_owned();
        body["value"].as_array().unwrap().iter().map(name).collect()
    }
}

pub fn role_id(guid: &str) -> String {
    format!(
        "/subscriptions/{DEFAULT_SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{guid}"
    )
}

#[tokio::test]
async fn a_list_shows_what_is_at_and_above_the_scope() {
    let world = World::with(|it| it.role_assignments.retain(|it| it.role != READER)).await;
    let (registry, kubelet) = (world.registry.id(), world.grant()["principalId"].clone());
    let kubelet = kubelet.as_str().unwrap();
    let [root, own, below, other] = world.sim.update(|model| {
        let operator = model.principals.last().unwrap().clone();
        [
            model.assign(&operator, READER, "/"),
            model.assign_id(kubelet, ACR_PULL, &registry),
            model.assign_id(kubelet, ACR_PULL, &format!("{registry}/scopeMaps/x")),
            model.assign_id(kubelet, ACR_PULL, &registry.replace("contoso", "other")),
        ]
    });
    let at_scope = world.names("atScope()").await;
    assert!(at_scope.contains(&root) && at_scope.contains(&own), "{at_scope:?}");
    assert!(!at_scope.contains(&below) && !at_scope.contains(&other), "{at_scope:?}");
    let of_kubelet = world.names(&format!("principalId%20eq%20'{kubelet}'")).await;
    assert_eq!(of_kubelet, [own.clone(), below]);
    let assigned = world.names(&format!("atScope()+and+assignedTo('{kubelet}')")).await;
    assert_eq!(assigned, [own]);
}

#[tokio::test]
async fn a_role_from_above_is_shown_under_the_queried_subscription() {
    let world = World::new().await;
    let operator = world.operator.clone();
    let name = world.sim.update(|it| it.assign(&operator, READER, "/"));
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments?{VERSION}&$filter=atScope()",
        world.registry.id()
    );
    let body = world.get(&path).await.expect(200).json();
    let entry = body["value"].as_array().unwrap().iter().find(|it| it["name"] == name).unwrap();
    assert_eq!(entry["properties"]["scope"], "/");
    assert_eq!(entry["properties"]["roleDefinitionId"], role_id(READER));
    assert_eq!(entry["id"], format!("/providers/Microsoft.Authorization/roleAssignments/{name}"));
}

#[tokio::test]
async fn a_list_follows_groups_only_when_asked() {
    let world = World::new().await;
    let kubelet = world.grant()["principalId"].as_str().unwrap().to_owned();
    let name = world.sim.update(|model| {
        let group = model.other_principal("pullers", PrincipalType::Group).add();
        model.principal_mut(&kubelet).unwrap().member_of.push(group.object_id.clone());
        model.assign(&group, ACR_PULL, &world.registry.id())
    });
    assert_eq!(world.names(&format!("assignedTo('{kubelet}')")).await, [name]);
    assert_eq!(world.names(&format!("principalId eq '{kubelet}'")).await, [""; 0]);
}

#[tokio::test]
async fn reading_needs_a_right_and_an_existing_scope() {
    let world = World::new().await;
    let registry = world.registry.id();
    let list = |scope: &str| {
        format!(
            "{scope}/providers/Microsoft.Authorization/roleAssignments?{VERSION}&$filter=atScope()"
        )
    };
    world
        .get(&list(&registry.replace("contoso", "gone")))
        .await
        .expect_error(404, "ResourceNotFound");
    world.get(&format!("{}x", list(&registry))).await.expect_error(400, "InvalidFilter");
    world.read_assignment(NAME).await.expect_error(404, "RoleAssignmentNotFound");

    world.sim.update(|it| it.role_assignments.clear());
    let message = world.get(&list(&registry)).await.expect_error(403, "AuthorizationFailed");
    assert!(
        message.contains(&format!(
            "does not have authorization to perform action \
             'Microsoft.Authorization/roleAssignments/read' over scope \
             '{registry}/providers/Microsoft.Authorization'"
        )),
        "{message}"
    );
}

#[tokio::test]
async fn a_deletion_answers_with_the_object_and_then_with_nothing() {
    let world = World::new().await;
    world.put(NAME, world.grant()).await.expect(201);
    let deleted = world.delete(&NAME.to_uppercase()).await.expect(200).json();
    assert_eq!(deleted["properties"]["roleDefinitionId"], role_id(ACR_PULL));
    world.read_assignment(NAME).await.expect_error(404, "RoleAssignmentNotFound");
    let again = world.delete(NAME).await.expect(204);
    assert_eq!(again.text, "");
}

#[tokio::test]
async fn locks_stop_writes_and_deletions() {
    let world = World::new().await;
    world.put(NAME, world.grant()).await.expect(201);
    let group = format!("/subscriptions/{DEFAULT_SUBSCRIPTION}/resourceGroups/rg");
    world.sim.update(|it| it.lock(&group, LockLevel::CanNotDelete));
    world.put(NAME, world.grant()).await.expect(201);
    let message = world.delete(NAME).await.expect_error(409, "ScopeLocked");
    assert!(
        message.contains(&format!(
            "cannot perform delete operation because following scope(s) are locked: '{group}'"
        )),
        "{message}"
    );

    world.sim.update(|it| it.locks[0].level = LockLevel::ReadOnly);
    world.put(NAME, world.grant()).await.expect_error(409, "ScopeLocked");
    world.sim.update(|it| it.locks.clear());
    world.delete(NAME).await.expect(200);
}

#[tokio::test]
async fn lists_lag_behind_writes_and_deletions() {
    let world = World::with(|it| it.settings.list_lag_ms = 3_600_000).await;
    world.put(NAME, world.grant()).await.expect(201);
    assert!(!world.names("atScope()").await.contains(&NAME.to_owned()));
    world.read_assignment(NAME).await.expect(200);

    world.sim.update(|it| it.settings.list_lag_ms = 0);
    assert!(world.names("atScope()").await.contains(&NAME.to_owned()));
    world.delete(NAME).await.expect(200);
    assert!(!world.names("atScope()").await.contains(&NAME.to_owned()));
}

#[tokio::test]
async fn a_grant_takes_effect_later() {
    let world = World::new().await;
    let (id, own) = (world.registry.id(), world.operator.object_id.clone());
    world.sim.update(|it| it.settings.grant_delay_ms = 300);
    // The operator takes the right to read from nowhere but this grant.
    world.sim.update(|it| it.role_assignments.retain(|it| it.role != READER));
    let owner = json!({
        "roleDefinitionId": role_id(azure_sim::model::OWNER),
        "principalId": own,
        "principalType": "ServicePrincipal",
    });
    world.put(NAME, owner).await.expect(201);
    world.sim.update(|it| it.role_assignments.retain(|it| it.name == NAME));
    let started = std::time::Instant::now();
    let path = format!("{id}?api-version=2025-11-01");
    world.get(&path).await.expect_error(403, "AuthorizationFailed");
    while world.get(&path).await.status != 200 {
        assert!(started.elapsed() < std::time::Duration::from_secs(60), "never took effect");
    }
}

#[tokio::test]
async fn a_withdrawn_grant_counts_a_while_longer() {
    let world = World::with(|it| it.settings.grant_delay_ms = 3_600_000).await;
    let name = world.sim.read(|it| it.role_assignments[1].name.clone());
    world.put(NAME, world.grant()).await.expect(201);
    world.delete(&name).await.expect(200);
    world.put(NAME, world.grant()).await.expect(201);
    world.sim.update(|it| it.settings.grant_delay_ms = 0);
    world.put(NAME, world.grant()).await.expect_error(403, "AuthorizationFailed");
}

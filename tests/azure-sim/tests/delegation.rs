//! The operator's own role with the condition of least privilege: which grants it may make and
//! take away (Azure docs, `delegate-role-assignments-examples`).

use azure_sim::model::{ACR_PULL, ACR_PUSH, PrincipalType, READER, REPOSITORY_READER};
use serde_json::{Value, json};

use crate::{role_assignments::role_id, world::World};

const NAME: &str = "b8aca42d-f5a1-511f-8f55-2bf8850d7ddb";
const OTHER: &str = "00000000-0000-4000-8000-00000000000a";

/// Any service principal.
const KIND: &str = "PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {'ServicePrincipal'}";

/// One clause for writing, one for deleting, each naming roles and principals.
fn condition(principal: &str) -> String {
    let clause = |action: &str, source: &str| {
        format!(
            "((!(ActionMatches{{'Microsoft.Authorization/roleAssignments/{action}'}})) OR
 (@{source}[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {{{ACR_PULL}, {REPOSITORY_READER}}}
  AND @{source}[Microsoft.Authorization/roleAssignments:{principal}))"
        )
    };
    format!("{}\nAND\n{}", clause("write", "Request"), clause("delete", "Resource"))
}

fn grant_of(role: &str, principal: &str) -> Value {
    json!({
        "roleDefinitionId": role_id(role),
        "principalId": principal,
        "principalType": "ServicePrincipal",
    })
}

impl World {
    /// The operator may only give pull roles to the kubelet identity of `prod`.
    async fn delegated() -> Self {
        Self::with(|model| {
            let kubelet = model.clusters[0].kubelet_identity.clone().unwrap().object_id;
            let own = model.role_assignments.last_mut().unwrap();
            let kubelet = kubelet.to_uppercase();
            let id = format!("PrincipalId] ForAnyOfAnyValues:GuidEquals {{{kubelet}}}");
            own.condition = Some(condition(&id));
            own.condition_version = Some("2.0".into());
        })
        .await
    }

    /// The refusal of an action on the assignment of that name, word by word.
    fn refusal(&self, action: &str, name: &str) -> String {
        let (client, oid) = (self.operator.client_id.as_deref().unwrap(), &self.operator.object_id);
        format!(
            "The client '{client}' with object id '{oid}' does not have authorization or an ABAC \
             condition not fulfilled to perform action \
             'Microsoft.Authorization/roleAssignments/{action}' over scope '{}' or the scope is \
             invalid. If access was recently granted, please refresh your credentials.",
            self.assignment_id(name)
        )
    }
}

#[tokio::test]
async fn only_pull_roles_for_the_kubelet_identity_can_be_assigned() {
    let world = World::delegated().await;
    let stranger = world.operator.object_id.clone();
    for (role, principal) in [
        (ACR_PUSH, world.kubelet_id()),
        (READER, world.kubelet_id()),
        (ACR_PULL, &stranger),
        (REPOSITORY_READER, &stranger),
    ] {
        let answer = world.put(OTHER, grant_of(role, principal)).await;
        let message = answer.expect_error(403, "AuthorizationFailed");
        assert_eq!(message, world.refusal("write", OTHER));
    }
    world.put(NAME, grant_of(ACR_PULL, world.kubelet_id())).await.expect(201);
    world.put(OTHER, grant_of(REPOSITORY_READER, world.kubelet_id())).await.expect(201);

    let mut described = grant_of(ACR_PULL, world.kubelet_id());
    described["description"] = json!("ours");
    world.put(NAME, described).await.expect(201);
}

#[tokio::test]
async fn only_what_could_be_assigned_can_be_taken_away() {
    let world = World::delegated().await;
    let registry = world.registry.id();
    let [role, principal, both] = world.sim.update(|it| {
        [
            it.assign_id(world.kubelet_id(), READER, &registry),
            it.assign_id(&world.operator.object_id, ACR_PULL, &registry),
            it.assign_id(world.kubelet_id(), ACR_PULL, &registry),
        ]
    });
    for name in [&role, &principal] {
        let message = world.delete(name).await.expect_error(403, "AuthorizationFailed");
        assert_eq!(message, world.refusal("delete", name));
    }
    world.delete(&both).await.expect(200);
    world.delete(&both).await.expect(204);
}

#[tokio::test]
async fn no_role_at_all_looks_the_same_as_a_condition_that_is_not_met() {
    let world = World::delegated().await;
    world.sim.update(|it| it.role_assignments.clear());
    let message = world.put(NAME, world.grant()).await.expect_error(403, "AuthorizationFailed");
    assert_eq!(message, world.refusal("write", NAME));
}

#[tokio::test]
async fn a_condition_that_cannot_be_read_allows_nothing() {
    let world = World::delegated().await;
    world.sim.update(|it| {
        it.role_assignments.last_mut().unwrap().condition = Some("nonsense".into());
    });
    world.put(NAME, world.grant()).await.expect_error(403, "AuthorizationFailed");
}

#[tokio::test]
async fn a_condition_can_name_kinds_of_principals_instead() {
    let world = World::delegated().await;
    let user = world.sim.update(|model| {
        let own = model.role_assignments.last_mut().unwrap();
        own.condition = Some(condition(KIND));
        model.other_principal("ann", PrincipalType::User).add()
    });
    let mut grant = grant_of(ACR_PULL, &user.object_id);
    grant["principalType"] = json!("User");
    world.put(NAME, grant).await.expect_error(403, "AuthorizationFailed");
    let other = world.operator.object_id.clone();
    world.put(NAME, grant_of(ACR_PULL, &other)).await.expect(201);
    world.put(OTHER, grant_of(ACR_PUSH, &other)).await.expect(403);
}

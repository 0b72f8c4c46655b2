//! Who may what, beyond the modes: scopes, delays, actions, anonymous pull.

use azure_sim::model::{ACR_PULL, ACR_PUSH, OWNER, PrincipalType};
use reqwest::Method;
use serde_json::json;

use super::{Bench, By, NULL, PULL, pull_of, refused};
use crate::world::ARM;

#[tokio::test]
async fn roles_count_at_and_above_the_registry_and_through_groups() {
    let bench = Bench::new().await;
    let id = bench.world.registry.id();
    let group = "/subscriptions/50000000-0000-4000-8000-000000000001/resourceGroups/rg";
    let sibling = id.replace("contoso", "contoso2");
    for (scope, status) in [(&*id, 200), (group, 200), ("/", 200), (&*sibling, 401)] {
        bench.unassign();
        bench.update(|it| {
            it.assign(&bench.app, ACR_PULL, scope);
        });
        assert_eq!(bench.pull(bench.secret(), "team/app").await, status, "{scope}");
    }
    bench.unassign();
    bench.update(|model| {
        let team = model.other_principal("team", PrincipalType::Group).add();
        model.assign(&team, ACR_PULL, "/");
        model.principal_mut(&bench.app.object_id).unwrap().member_of.push(team.object_id);
    });
    assert_eq!(bench.pull(bench.secret(), "team/app").await, 200);
}

#[tokio::test]
async fn actions_follow_the_role() {
    let bench = Bench::new().await;
    let all = "repository:team/app:pull,push,delete,metadata_read,metadata_write,*,cook";
    for (role, actions) in [
        (ACR_PULL, json!(["pull", "metadata_read"])),
        (ACR_PUSH, json!(["pull", "push", "metadata_read", "metadata_write"])),
        (OWNER, json!(["pull", "push", "delete", "metadata_read", "metadata_write", "*"])),
    ] {
        bench.unassign();
        bench.assign(role);
        assert_eq!(bench.access(bench.secret(), all).await[0]["actions"], actions);
    }
}

#[tokio::test]
async fn grants_and_withdrawals_take_effect_late() {
    let bench = Bench::new().await;
    bench.update(|it| it.settings.grant_delay_ms = 3_600_000);
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/\
         00000000-0000-4000-8000-000000000001?api-version=2022-04-01",
        bench.world.registry.id()
    );
    let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{ACR_PULL}");
    let body = json!({"properties": {"roleDefinitionId": role,
        "principalId": bench.app.object_id, "principalType": "ServicePrincipal"}});
    let token = bench.world.token_of(&bench.world.operator, ARM).await;
    let url = format!("{ARM}{path}");
    let put = bench.world.send(Method::PUT, &url, Some(&token), Some(&body)).await;
    put.unwrap().expect(201);
    bench.exchange().await.expect(401);
    bench.token(bench.secret(), PULL).await.expect(401);
    bench.update(|it| it.settings.grant_delay_ms = 0);
    bench.exchange().await.expect(200);
    bench.token(bench.secret(), PULL).await.expect(200);

    let delete = bench.world.send(Method::DELETE, &url, Some(&token), None).await;
    delete.unwrap().expect(200);
    bench.token(bench.secret(), PULL).await.expect(401);
}

#[tokio::test]
async fn anonymous_pull_is_for_what_there_is() {
    let bench = Bench::new().await;
    let token = bench.token(By::Nobody, PULL).await;
    assert!(refused(token, 401, "UNAUTHORIZED").starts_with("authentication required"));
    bench.token(By::Nobody, "").await.expect(401);
    bench.update(|it| it.registry_mut("contoso").unwrap().anonymous_pull_enabled = true);
    assert_eq!(bench.access(By::Nobody, PULL).await, pull_of("team/app"));
    assert_eq!(bench.access(By::Nobody, "repository:invented:pull").await, json!([]));
    assert_eq!(bench.access(By::Nobody, "repository:team/app:push").await, json!([]));
    assert_eq!(bench.access(By::Nobody, "registry:catalog:*").await, json!([]));
    assert_eq!(bench.pull(By::Nobody, "team/app").await, 200);
    // It is no way around a wrong credential, and a right one pulls as everybody does.
    bench.token(By::Basic(NULL, "x"), PULL).await.expect(401);
    bench
        .update(|it| it.registry_mut("contoso").unwrap().role_assignment_mode = super::modes::ABAC);
    assert_eq!(bench.pull(bench.secret(), "team/app").await, 200);
}

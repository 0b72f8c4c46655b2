//! ARM's doors: token, tenant, api-version, role.

use azure_sim::model::{ACR_PULL, CONTRIBUTOR, PrincipalType, READER, UnknownVersion};
use reqwest::Method;

use crate::world::{ARM, Answer, SECRET, World};

fn registry_url(world: &World) -> String {
    format!("{ARM}{}?api-version=2025-11-01", world.registry.id())
}

async fn get_with(world: &World, token: Option<&str>) -> Answer {
    world.send(Method::GET, &registry_url(world), token, None).await.unwrap()
}

#[tokio::test]
async fn requests_without_a_good_token_are_401() {
    let world = World::new().await;
    let answer = get_with(&world, None).await;
    assert!(answer.header("www-authenticate").starts_with("Bearer authorization_uri="));
    answer.expect_error(401, "AuthenticationFailed");
    get_with(&world, Some("made.up.token")).await.expect_error(401, "InvalidAuthenticationToken");

    let graph = world.token_of(&world.operator, "https://graph.microsoft.com").await;
    let message = get_with(&world, Some(&graph))
        .await
        .expect_error(401, "InvalidAuthenticationTokenAudience");
    assert!(message.contains("'https://graph.microsoft.com'"), "{message}");
}

#[tokio::test]
async fn every_form_of_arms_audience_is_accepted() {
    let world = World::new().await;
    for resource in [ARM, "https://management.azure.com/", "https://management.core.windows.net/"] {
        let token = world.token_of(&world.operator, resource).await;
        get_with(&world, Some(&token)).await.expect(200);
    }
}

#[tokio::test]
async fn tokens_expire_by_age_and_on_command() {
    let world = World::new().await;
    let token = world.token().await;
    get_with(&world, Some(&token)).await.expect(200);
    world.sim.expire_tokens();
    let message =
        get_with(&world, Some(&token)).await.expect_error(401, "ExpiredAuthenticationToken");
    assert!(message.contains("is earlier than current UTC time"), "{message}");
    get_with(&world, Some(&world.token().await)).await.expect(200);

    world.sim.update(|it| it.settings.token_lifetimes.entra = 0);
    let token = world.token().await;
    get_with(&world, Some(&token)).await.expect_error(401, "ExpiredAuthenticationToken");
}

#[tokio::test]
async fn a_token_of_another_tenant_is_401() {
    let other = "7e000000-0000-4000-8000-00000000000f";
    let world = World::with(|model| {
        model.add_tenant(other);
        model.application("guest").tenant(other).secret(SECRET).add();
    })
    .await;
    let guest = world.sim.read(|it| it.principals.last().unwrap().clone());
    let token = world.token_of(&guest, ARM).await;
    let message =
        get_with(&world, Some(&token)).await.expect_error(401, "InvalidAuthenticationTokenTenant");
    assert!(message.contains(&format!("'https://sts.windows.net/{other}/'")), "{message}");
}

#[tokio::test]
async fn a_subscription_of_another_tenant_is_401_whatever_is_asked_of_it() {
    let (tenant, subscription) =
        ("7e000000-0000-4000-8000-00000000000f", "50000000-0000-4000-8000-00000000000f");
    let world = World::with(|model| {
        model.add_tenant(tenant);
        model.add_subscription(subscription, tenant);
        model.registry("abroad").within(subscription, "rg").add();
        model.cluster("abroad").within(subscription, "rg").add();
    })
    .await;
    let (registry, cluster) = world.sim.read(|it| {
        (it.find_registry("abroad").unwrap().id(), it.find_cluster("abroad").unwrap().id())
    });
    let assignments = format!("{registry}/providers/Microsoft.Authorization/roleAssignments");
    let registries =
        format!("/subscriptions/{subscription}/providers/Microsoft.ContainerRegistry/registries");
    for path in [
        format!("{registry}?api-version=2025-11-01"),
        format!("{cluster}?api-version=2025-10-01"),
        format!("{registries}?api-version=2025-11-01"),
        format!("{assignments}?api-version=2022-04-01&$filter=atScope()"),
    ] {
        let message = world.get(&path).await.expect_error(401, "InvalidAuthenticationTokenTenant");
        let text = format!("It must match the tenant 'https://sts.windows.net/{tenant}/'");
        assert!(message.contains(&text), "{message}");
    }
    let path = format!("{assignments}/00000000-0000-4000-8000-000000000001?api-version=2022-04-01");
    let body = serde_json::json!({"properties": world.grant()});
    let answer = world.arm(Method::PUT, &path, Some(&body)).await;
    answer.expect_error(401, "InvalidAuthenticationTokenTenant");
}

#[tokio::test]
async fn the_api_version_has_to_be_there_and_known() {
    let world = World::new().await;
    let id = world.registry.id();
    world.get(&id).await.expect_error(400, "MissingApiVersionParameter");
    let message = world
        .get(&format!("{id}?api-version=2031-01-01"))
        .await
        .expect_error(400, "NoRegisteredProviderFound");
    assert!(
        message.contains("for type 'registries'. The supported api-versions are '2017-10-01, ")
    );
    assert!(message.contains("2025-11-01"), "{message}");
    world
        .get("/subscriptions/50000000-0000-4000-8000-000000000001/resourceGroups/rg?api-version=1")
        .await
        .expect_error(400, "InvalidApiVersionParameter");
    let assignments = format!("{id}/providers/Microsoft.Authorization/roleAssignments");
    let message = world
        .get(&format!("{assignments}?api-version=2018-06-01"))
        .await
        .expect_error(404, "InvalidResourceType");
    assert!(message.contains("namespace 'Microsoft.Authorization' for api"), "{message}");
    world.sim.update(|it| {
        it.settings.unknown_version = UnknownVersion::InvalidResourceType;
    });
    world.get(&format!("{id}?api-version=1")).await.expect_error(404, "InvalidResourceType");
    world.sim.update(|it| it.settings.unknown_version = UnknownVersion::ByType);

    let kind = "microsoft.containerregistry/registries";
    world.sim.update(|it| it.settings.newest_api_version(kind, "2025-04-01"));
    let message = world
        .get(&format!("{id}?api-version=2025-11-01"))
        .await
        .expect_error(400, "NoRegisteredProviderFound");
    assert!(message.contains(", 2025-04-01'. The supported locations are '"), "{message}");
    let body = world.get(&format!("{id}?api-version=2025-04-01")).await.expect(200).json();
    assert_eq!(body["properties"].get("roleAssignmentMode"), None);
    let cluster = format!("{}?api-version=2025-10-01", world.cluster.id());
    world.get(&cluster).await.expect(200);
}

#[tokio::test]
async fn roles_count_at_their_scope_and_below() {
    let world = World::with(|it| it.role_assignments.clear()).await;
    let (id, oid) = (world.registry.id(), world.operator.object_id.clone());
    let path = format!("{id}?api-version=2025-11-01");
    let message = world.get(&path).await.expect_error(403, "AuthorizationFailed");
    let client = world.operator.client_id.as_deref().unwrap();
    assert_eq!(
        message,
        format!(
            "The client '{client}' with object id '{oid}' does not have authorization to perform \
             action 'Microsoft.ContainerRegistry/registries/read' over scope '{id}' or the scope \
             is invalid. If access was recently granted, please refresh your credentials."
        )
    );
    let group = "/subscriptions/50000000-0000-4000-8000-000000000001/resourcegroups/RG";
    for (role, scope, status) in [
        (ACR_PULL, &*id, 403),
        (READER, &format!("{group}/providers/Microsoft.ContainerRegistry/registries/other"), 403),
        (READER, &id.to_uppercase(), 200),
        (CONTRIBUTOR, group, 200),
        (READER, "/", 200),
    ] {
        world.sim.update(|it| {
            it.role_assignments.clear();
            it.assign_id(&oid, role, scope);
        });
        world.get(&path).await.expect(status);
    }
}

#[tokio::test]
async fn roles_of_groups_and_custom_roles_count() {
    let world = World::with(|it| it.role_assignments.clear()).await;
    let path = format!("{}?api-version=2025-11-01", world.registry.id());
    world.sim.update(|model| {
        let group = model.other_principal("readers", PrincipalType::Group).add();
        model.assign(&group, READER, "/");
        let member_of = &mut model.principal_mut(&world.operator.object_id).unwrap().member_of;
        member_of.push(group.object_id);
    });
    world.get(&path).await.expect(200);

    world.sim.update(|model| {
        model.role_assignments.clear();
        model.custom_roles.push(azure_sim::model::RoleDefinition {
            id: "cccccccc-0000-4000-8000-000000000000".into(),
            actions: vec!["Microsoft.ContainerRegistry/*/read".into()],
            not_actions: vec!["Microsoft.ContainerRegistry/registries/read".into()],
            ..Default::default()
        });
        let (operator, role) = (&world.operator, model.custom_roles[0].id.clone());
        model.assign(operator, &role, "/");
    });
    world.get(&path).await.expect(403);
    world.sim.update(|it| it.custom_roles[0].not_actions.clear());
    world.get(&path).await.expect(200);
    let below = "Microsoft.ContainerRegistry/registries/*/read";
    world.sim.update(|it| it.custom_roles[0].actions = vec![below.into()]);
    world.get(&path).await.expect_error(403, "AuthorizationFailed");
}

//! Registries as ARM shows them, and what is the same for every resource.

use azure_sim::model::DEFAULT_SUBSCRIPTION;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{ARM, World};

const REGISTRY_TYPE: &str = "Microsoft.ContainerRegistry/registries";

pub async fn get(world: &World, path: &str, version: &str) -> Value {
    world.get(&format!("{path}?api-version={version}")).await.expect(200).json()
}

#[tokio::test]
async fn a_registry_looks_as_recorded() {
    let world = World::with(|it| {
        it.registry("Second").abac().with(|it| it.provisioning_state = "Updating".into()).add();
    })
    .await;
    let answer = world.get(&format!("{}?api-version=2025-11-01", world.registry.id())).await;
    assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
    assert_eq!(answer.header("x-ms-ratelimit-remaining-subscription-global-reads"), "16499");
    assert!(answer.header("api-supported-versions").contains("2025-11-01"));
    assert!(answer.header("x-ms-routing-request-id").starts_with("EASTUS:"));
    for name in ["x-ms-request-id", "x-ms-correlation-request-id"] {
        assert_eq!(answer.header(name).len(), 36, "{name}");
    }
    let body = answer.expect(200).json();
    assert_eq!(body["id"], world.registry.id());
    assert_eq!(body["type"], REGISTRY_TYPE);
    assert_eq!(body["sku"], json!({"name": "Premium", "tier": "Premium"}));
    assert_eq!(body["properties"]["loginServer"], "contoso.azurecr.io");
    assert_eq!(body["properties"]["roleAssignmentMode"], "LegacyRegistryPermissions");

    // Any case of the id finds it.
    let second = world.registry.id().to_lowercase().replace("contoso", "SECOND");
    let body = get(&world, &second, "2025-11-01").await;
    assert_eq!(body["name"], "Second");
    assert_eq!(body["properties"]["provisioningState"], "Updating");
    assert_eq!(body["properties"]["roleAssignmentMode"], "AbacRepositoryPermissions");
}

#[tokio::test]
async fn old_api_versions_hide_the_mode_of_a_registry() {
    let world = World::with(|it| {
        it.registry("second").abac().add();
    })
    .await;
    let path = world.registry.id().replace("contoso", "second");
    for (version, shown) in
        [("2023-07-01", false), ("2025-11-01", true), ("2026-01-01-preview", true)]
    {
        let body = get(&world, &path, version).await;
        assert_eq!(body["properties"].get("roleAssignmentMode").is_some(), shown, "{version}");
    }
}

#[tokio::test]
async fn only_a_preview_tells_the_regional_hosts_of_a_registry() {
    const REGIONAL: &str = "contoso.westeurope.geo.azurecr.io";
    let world = World::new().await;
    let told = async || {
        let body = get(&world, &world.registry.id(), "2026-01-01-preview").await;
        let properties = &body["properties"];
        (properties["regionalEndpoints"].clone(), properties["regionalEndpointHostNames"].clone())
    };
    assert_eq!(told().await, (json!("Disabled"), json!([])));
    world.sim.update(|it| {
        it.registry_mut("contoso").unwrap().regional_endpoints = vec![REGIONAL.into()];
    });
    assert_eq!(told().await, (json!("Enabled"), json!([REGIONAL])));
    let body = get(&world, &world.registry.id(), "2025-11-01").await;
    assert_eq!(body["properties"].get("regionalEndpointHostNames"), None);
}

#[tokio::test]
async fn a_login_server_has_what_the_registry_was_made_with() {
    let world = World::with(|it| {
        it.registry("MyReg").domain_name_label("E7ggejfuhzhgedc8").add();
        it.registry("busy").with(|it| it.provisioning_state = "Creating".into()).add();
    })
    .await;
    let path = world.registry.id().replace("contoso", "myreg");
    let body = get(&world, &path, "2025-11-01").await;
    assert_eq!(body["name"], "MyReg");
    assert_eq!(body["properties"]["loginServer"], "MyReg-E7ggejfuhzhgedc8.azurecr.io");
    let url = "https://myreg-e7ggejfuhzhgedc8.azurecr.io/v2/";
    crate::world::answer(world.client.get(url)).await.unwrap().expect(401);
    let body = get(&world, &path.replace("myreg", "BUSY"), "2025-11-01").await;
    assert_eq!(body["properties"]["provisioningState"], "Creating");
}

#[tokio::test]
async fn what_does_not_exist_is_404_from_the_gateway() {
    let world = World::new().await;
    let id = world.registry.id();
    world.sim.update(|it| it.assign_id(&world.operator.object_id, azure_sim::model::READER, "/"));
    let other_subscription =
        id.replace(DEFAULT_SUBSCRIPTION, "50000000-0000-4000-8000-00000000000f");
    for (path, code, text) in [
        (
            id.replace("contoso", "missing"),
            "ResourceNotFound",
            "The Resource 'Microsoft.ContainerRegistry/registries/missing' under resource group 'rg' was not found.",
        ),
        (
            id.replace("/rg/", "/missing/"),
            "ResourceGroupNotFound",
            "Resource group 'missing' could not be found.",
        ),
        (
            other_subscription,
            "SubscriptionNotFound",
            "The subscription '50000000-0000-4000-8000-00000000000f' could not be found.",
        ),
    ] {
        let answer = world.get(&format!("{path}?api-version=2025-11-01")).await;
        assert_eq!(answer.header("x-ms-failure-cause"), "gateway");
        let message = answer.expect_error(404, code);
        assert!(message.starts_with(text), "{message}");
    }
}

#[tokio::test]
async fn lists_come_in_pages_and_the_last_may_be_empty() {
    let world = World::with(|model| {
        model.settings.page_size = 2;
        model.registry("b").add();
        model.registry("c").within(DEFAULT_SUBSCRIPTION, "elsewhere").add();
        model.registry("d").add();
    })
    .await;
    let mut url = format!(
        "{ARM}/subscriptions/{DEFAULT_SUBSCRIPTION}/providers/{REGISTRY_TYPE}?api-version=2025-11-01"
    );
    let token = world.token().await;
    let mut pages = Vec::new();
    loop {
        let body =
            world.send(Method::GET, &url, Some(&token), None).await.unwrap().expect(200).json();
        let names = |it: &Value| it["name"].as_str().unwrap().to_owned();
        pages.push(body["value"].as_array().unwrap().iter().map(names).collect::<Vec<_>>());
        let Some(next) = body["nextLink"].as_str() else { break };
        assert!(next.contains("%24skiptoken="), "{next}");
        next.clone_into(&mut url);
    }
    assert_eq!(pages, [vec!["contoso", "b"], vec!["c", "d"], vec![]]);

    let group = format!("/subscriptions/{DEFAULT_SUBSCRIPTION}/resourceGroups/elsewhere");
    let body = get(&world, &format!("{group}/providers/{REGISTRY_TYPE}"), "2025-11-01").await;
    assert_eq!(body["value"][0]["name"], "c");
    assert_eq!(body.get("nextLink"), None);
}

#[tokio::test]
async fn listing_needs_a_right_on_what_is_listed() {
    let world = World::with(|it| it.role_assignments.clear()).await;
    world.sim.update(|it| {
        it.assign_id(&world.operator.object_id, azure_sim::model::READER, &world.registry.id());
    });
    let subscription = format!("/subscriptions/{DEFAULT_SUBSCRIPTION}");
    let message = world
        .get(&format!("{subscription}/providers/{REGISTRY_TYPE}?api-version=2025-11-01"))
        .await
        .expect_error(403, "AuthorizationFailed");
    assert!(message.contains(&format!("over scope '{subscription}'")), "{message}");
}

#[tokio::test]
async fn unknown_calls_are_404_and_marked() {
    let world = World::new().await;
    let id = world.registry.id();
    for (method, path) in [
        (Method::GET, "/subscriptions?api-version=2022-12-01".to_owned()),
        (Method::PUT, format!("{id}?api-version=2025-11-01")),
        (Method::POST, format!("{id}/listCredentials?api-version=2025-11-01")),
    ] {
        world.arm(method.clone(), &path, None).await.expect_error(404, "NotFound");
        let entry = world.sim.journal().pop().unwrap();
        assert_eq!(
            (entry.known, entry.call, entry.method.as_str()),
            (false, None, method.as_str())
        );
        assert_eq!(entry.code.as_deref(), Some("NotFound"));
    }
    assert!(world.sim.journal().iter().filter(|it| it.status == Some(200)).all(|it| it.known));
}

#[tokio::test]
async fn a_removed_resource_takes_its_role_assignments_along() {
    let world = World::new().await;
    world.sim.update(|it| it.remove_resource(&world.registry.id()));
    world
        .get(&format!("{}?api-version=2025-11-01", world.registry.id()))
        .await
        .expect_error(404, "ResourceNotFound");
    assert_eq!(world.sim.read(|it| it.role_assignments.len()), 1);
}

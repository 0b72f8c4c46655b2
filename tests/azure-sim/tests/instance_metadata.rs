//! Instance metadata: tokens of the identities on the host.

use azure_sim::Model;
use serde_json::Value;

use crate::world::{ARM, Answer, World, answer};

const TOKEN: &str = "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01";

async fn ask(world: &World, query: &str) -> Answer {
    answer(world.client.get(format!("{TOKEN}{query}")).header("Metadata", "true")).await.unwrap()
}

fn resource() -> String {
    format!("&resource={ARM}")
}

fn one_identity(model: &mut Model) {
    model.managed_identity("on-host").on_host().add();
}

#[tokio::test]
async fn an_identity_is_found_by_each_of_its_ids() {
    let world = World::with(|model| {
        one_identity(model);
        model.managed_identity("second").on_host().add();
    })
    .await;
    let identity = world.sim.read(|it| it.principals.last().unwrap().clone());
    let (client, resource_id) = (identity.client_id.unwrap(), identity.resource_id.unwrap());
    for query in [
        format!("&client_id={client}"),
        format!("&object_id={}", identity.object_id),
        format!("&msi_res_id={resource_id}"),
        format!("&mi_res_id={}", resource_id.to_uppercase()),
    ] {
        let body = ask(&world, &format!("{}{query}", resource())).await.expect(200).json();
        assert_eq!(body["client_id"], client, "{query}");
        let expires_on: i64 = body["expires_on"].as_str().unwrap().parse().unwrap();
        assert!(expires_on > jiff::Timestamp::now().as_second() + 86_000);
        let token = body["access_token"].as_str().unwrap();
        let claims: Value = jsonwebtoken::dangerous::insecure_decode_claims(token).unwrap();
        assert_eq!(claims["oid"], identity.object_id);
        assert_eq!(claims["xms_mirid"], resource_id);
    }
    let text = ask(&world, &resource()).await.expect(400).text;
    assert!(text.contains("Multiple user assigned identities exist"), "{text}");
}

#[tokio::test]
async fn a_single_identity_needs_no_name_and_its_token_works() {
    let world = World::with(one_identity).await;
    let body = ask(&world, &resource()).await.expect(200).json();
    let token = body["access_token"].as_str().unwrap();
    let identity = world.sim.read(|it| it.principals.last().unwrap().clone());
    let url = format!("{ARM}{}?api-version=2025-11-01", world.registry.id());
    let get = || world.send(reqwest::Method::GET, &url, Some(token), None);
    get().await.unwrap().expect_error(403, "AuthorizationFailed");
    world.sim.update(|it| it.assign(&identity, azure_sim::model::READER, "/"));
    get().await.unwrap().expect(200);
    assert_eq!(world.sim.journal().pop().unwrap().principal, Some(identity.object_id));
}

#[tokio::test]
async fn requests_that_cannot_be_answered_are_400() {
    let world = World::with(one_identity).await;
    let app = world.operator.client_id.clone().unwrap();
    for (query, description) in [
        (format!("{}&client_id={app}", resource()), "Identity not found"),
        (String::new(), "Required query variable 'resource' is missing"),
        ("&resource=https://nowhere.example".into(), "AADSTS500011"),
    ] {
        let body = ask(&world, &query).await.expect(400).json();
        let actual = body["error_description"].as_str().unwrap();
        assert!(actual.starts_with(description), "{actual}");
    }
    let plain = world.client.get(format!("{TOKEN}{}", resource()));
    let body = answer(plain).await.unwrap().expect(400).json();
    assert_eq!(body["error_description"], "Required metadata header not specified");

    world.sim.update(|it| it.principals.iter_mut().for_each(|it| it.on_host = false));
    let body = ask(&world, &resource()).await.expect(400).json();
    assert_eq!(body["error_description"], "Identity not found");
    assert_eq!(body["error"], "invalid_request");
}

#[tokio::test]
async fn other_metadata_is_unknown() {
    let world = World::new().await;
    let url = "http://169.254.169.254/metadata/instance?api-version=2021-02-01";
    answer(world.client.get(url).header("Metadata", "true")).await.unwrap().expect(404);
    let entry = world.sim.journal().pop().unwrap();
    assert_eq!(
        (entry.known, entry.status, entry.path.as_str()),
        (false, Some(404), "/metadata/instance")
    );
}

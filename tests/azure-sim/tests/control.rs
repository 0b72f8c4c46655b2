//! The control port, the example model, and the program.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use azure_sim::{Entry, Model};
use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::world::World;

const EXAMPLE: &str = include_str!("../example.json");

async fn control(world: &World, method: Method, path: &str, body: Option<Value>) -> Value {
    let url = format!("{}{path}", world.sim.control_url());
    let mut request = Client::new().request(method, url);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    assert!(response.status().is_success(), "{path}: {}", response.status());
    let text = response.text().await.unwrap();
    if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
}

#[tokio::test]
async fn the_model_can_be_read_and_replaced() {
    let world = World::new().await;
    let mut model = control(&world, Method::GET, "/model", None).await;
    assert_eq!(
        serde_json::from_value::<Model>(model.clone()).unwrap(),
        world.sim.read(Model::clone)
    );
    model["registries"][0]["provisioningState"] = json!("Deleting");
    control(&world, Method::PUT, "/model", Some(model)).await;
    let state = world.sim.read(|it| it.registries[0].provisioning_state.clone());
    assert_eq!(state, "Deleting");
}

#[tokio::test]
async fn journal_faults_and_tokens_can_be_steered() {
    let world = World::new().await;
    let path = format!("{}?api-version=2025-11-01", world.registry.id());
    let fault = json!({"call": "GetRegistry", "times": 1, "effect": {"error": {"status": 503, "code": "X"}}});
    control(&world, Method::POST, "/faults", Some(fault)).await;
    world.get(&path).await.expect_error(503, "X");
    control(&world, Method::POST, "/faults", Some(json!({"call": "Any", "effect": "drop"}))).await;
    control(&world, Method::DELETE, "/faults", None).await;
    world.get(&path).await.expect(200);

    let journal = control(&world, Method::GET, "/journal", None).await;
    assert_eq!(serde_json::from_value::<Vec<Entry>>(journal).unwrap(), world.sim.journal());
    control(&world, Method::DELETE, "/journal", None).await;
    assert!(world.sim.journal().is_empty());

    let token = world.token().await;
    control(&world, Method::POST, "/tokens/expire", None).await;
    let url = format!("https://management.azure.com{path}");
    let answer = world.send(Method::GET, &url, Some(&token), None).await.unwrap();
    answer.expect_error(401, "ExpiredAuthenticationToken");
    let lifetimes = json!({"entra": 7, "registryRefresh": 8});
    control(&world, Method::PUT, "/tokens/lifetimes", Some(lifetimes)).await;
    let lifetimes = world.sim.read(|it| it.settings.token_lifetimes);
    assert_eq!((lifetimes.entra, lifetimes.registry_refresh), (7, 8));
    assert_eq!((lifetimes.instance_metadata, lifetimes.registry_access), (86_400, 4_500));

    let view = control(&world, Method::GET, "/role-assignments", None).await;
    assert_eq!(view[0]["role"], "Reader");
    assert_eq!(view[0]["principal"], "acr-attach");
    let path = format!("/role-assignments/{}", view[0]["name"].as_str().unwrap());
    control(&world, Method::DELETE, &path, None).await;
    let left = control(&world, Method::GET, "/role-assignments", None).await;
    assert_eq!(left.as_array().unwrap().len(), view.as_array().unwrap().len() - 1);
    let again = Client::new().delete(format!("{}{path}", world.sim.control_url()));
    assert_eq!(again.send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[test]
fn the_example_model_is_whole() {
    let model: Model = serde_json::from_str(EXAMPLE).unwrap();
    assert_eq!((model.registries.len(), model.clusters.len()), (2, 1));
    assert!(!model.role_assignments.is_empty() && !model.principals.is_empty());
    assert_eq!(model.registries[0].repositories[0].name, "team/app");
    let again = serde_json::to_value(&model).unwrap();
    assert_eq!(serde_json::from_value::<Model>(again).unwrap(), model);
    let typo = EXAMPLE.replacen("\"registries\"", "\"registrys\"", 1);
    assert!(serde_json::from_str::<Model>(&typo).is_err());
}

#[tokio::test]
async fn the_program_serves_the_example_until_it_is_told_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let (model, ca) = (folder.path().join("model.json"), folder.path().join("ca.pem"));
    std::fs::write(&model, EXAMPLE).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_azure-sim"))
        .args(["--model".as_ref(), model.as_os_str(), "--ca-file".as_ref(), ca.as_os_str()])
        .args(["--direct", "127.0.0.1:0", "--instance-metadata", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let value = |name: &str| {
        let mut words = line.split_whitespace();
        words.find_map(|it| it.strip_prefix(name)).unwrap().to_owned()
    };
    assert!(std::fs::read_to_string(&ca).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(value("proxy=").starts_with("http://127.0.0.1:"));
    let response = reqwest::get(format!("{}/model", value("control="))).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.json::<Model>().await.unwrap().registries[0].name, "contoso");

    let certificate = Certificate::from_pem(&std::fs::read(&ca).unwrap()).unwrap();
    let address = value("direct=").parse().unwrap();
    let client = Client::builder().no_proxy().tls_certs_only([certificate]);
    let client = client.resolve("contoso.azurecr.io", address).build().unwrap();
    let response = client.get("https://contoso.azurecr.io/v2/").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let url = format!("http://{}/metadata/identity/oauth2/token", value("instance-metadata="));
    assert_eq!(client.get(url).send().await.unwrap().status(), StatusCode::BAD_REQUEST);

    let id = program.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(program.wait().unwrap().success());
}

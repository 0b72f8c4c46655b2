//! The same calls without an operator: read the registry, list, assign, read back, as many at
//! once as the operator makes.

use std::time::{Duration, Instant};

use futures::StreamExt;
use reqwest::{Client, Method, Proxy};
use serde_json::{Value, json};
use uuid::Uuid;

use super::support::{SECRET, World, operator};

/// As many passes of the operator speak to Azure Resource Manager at once.
const AT_ONCE: usize = 8;
const AUTHORIZATION: &str = "providers/Microsoft.Authorization";
const ACR_PULL: &str = "7f951dda-4ed3-4680-a7ca-43fe172d538d";

/// Assigns the role on each registry that these name, and tells how long that took. The objects are created too,
/// since the operator's time counts that.
pub async fn attach_all(world: &World, specs: Vec<Value>) -> Duration {
    let azure = client(world);
    let start = Instant::now();
    let token = token(world, &azure).await;
    let cluster = world.spec()["kubeletIdentity"]["clusterResourceId"].clone();
    let (azure, token) = (&azure, &token);
    let call = |method, path, body| send(azure, token, method, path, body);
    call(Method::GET, format!("{}?api-version=2025-02-01", cluster.as_str().unwrap()), None).await;
    let (jobs, results) = tokio::sync::mpsc::unbounded_channel();
    let assigning = async {
        let ids = as_stream(results);
        ids.for_each_concurrent(AT_ONCE, |id: String| async move {
            let assignments = format!("{id}/{AUTHORIZATION}/roleAssignments");
            let version = "api-version=2022-04-01";
            call(Method::GET, format!("{id}?api-version=2025-11-01"), None).await;
            call(Method::GET, format!("{assignments}?$filter=atScope()&{version}"), None).await;
            let one = format!("{assignments}/{}?{version}", Uuid::new_v4());
            let role = format!("{AUTHORIZATION}/roleDefinitions/{ACR_PULL}");
            let subscription = id.split("/resourceGroups").next().unwrap_or_default();
            let body = json!({"properties": {
                "roleDefinitionId": format!("{subscription}/{role}"),
                "principalId": world.kubelet(), "principalType": "ServicePrincipal",
            }});
            call(Method::PUT, one.clone(), Some(body)).await;
            call(Method::GET, one, None).await;
        })
        .await;
    };
    let creating = async {
        for (n, spec) in specs.into_iter().enumerate() {
            let id = spec["registry"]["resourceId"].as_str().unwrap().to_owned();
            world.apply(&format!("a{n}"), spec).await;
            jobs.send(id).unwrap();
        }
        drop(jobs);
    };
    tokio::join!(creating, assigning);
    start.elapsed()
}

fn as_stream(
    mut ids: tokio::sync::mpsc::UnboundedReceiver<String>,
) -> impl futures::Stream<Item = String> {
    futures::stream::poll_fn(move |context| ids.poll_recv(context))
}

fn client(world: &World) -> Client {
    let certificate = reqwest::Certificate::from_pem(world.azure.ca_pem().as_bytes()).unwrap();
    let proxy = Proxy::all(world.azure.proxy_url()).unwrap();
    Client::builder().proxy(proxy).tls_certs_only([certificate]).build().unwrap()
}

async fn token(world: &World, azure: &Client) -> String {
    let (tenant, client) = world.azure.read(|azure| {
        let operator = operator(azure);
        (operator.tenant_id.clone(), operator.client_id.clone().unwrap())
    });
    let form = format!(
        "grant_type=client_credentials&client_id={client}&client_secret={SECRET}&scope=https%3A%2F%2Fmanagement.azure.com%2F.default"
    );
    let answer = azure
        .post(format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await
        .unwrap();
    let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

async fn send(azure: &Client, token: &str, method: Method, path: String, body: Option<Value>) {
    let request = azure.request(method, format!("https://management.azure.com{path}"));
    let request = request.header("authorization", format!("Bearer {token}"));
    let request = match body {
        Some(body) => request.header("content-type", "application/json").body(body.to_string()),
        None => request,
    };
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.bytes().await.unwrap();
}

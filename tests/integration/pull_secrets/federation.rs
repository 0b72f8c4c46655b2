//! Service principals without a client secret: the operator's own token of the cluster stands in
//! for one.

use std::path::PathBuf;
use std::time::Duration;

use azure_sim::model::{ACR_PULL, FederatedCredential};
use azure_sim::{Call, Model};
use serde_json::{Value, json};

use crate::support::secrets::{login, puller};
use crate::support::{World, message};

/// A world whose operator has a token of the cluster, and signs in itself by a client secret.
async fn world() -> (World, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let world = with_token_file(Some(file.clone())).await;
    let lifetime = Duration::from_secs(600);
    let (namespace, audience) = (world.namespace(), FederatedCredential::AUDIENCE);
    let token = world.cluster.service_account_token(&namespace, "acr-attach", audience, lifetime);
    std::fs::write(&file, token.await.unwrap()).unwrap();
    let key = std::fs::read_to_string(world.cluster.service_account_public_key()).unwrap();
    let issuer = world.cluster.service_account_issuer().to_owned();
    world.azure.update(|azure| azure.add_token_issuer(&issuer, &key));
    (world, folder)
}

async fn with_token_file(file: Option<PathBuf>) -> World {
    let model = |azure: &mut Model| {
        let puller = azure.application("puller").add();
        let registry = azure.find_registry("contoso").unwrap().id();
        azure.assign(&puller, ACR_PULL, &registry);
    };
    World::with(model, |settings| settings.token_file = file).await
}

fn spec(world: &World, namespaces: &Value) -> Value {
    let mut spec = world.pull_spec(namespaces);
    spec["pullSecret"]["servicePrincipal"].as_object_mut().unwrap().remove("clientSecretRef");
    spec
}

/// Lets the operator's token stand for the service principal.
fn federate(world: &World) {
    let issuer = world.cluster.service_account_issuer().to_owned();
    let subject = format!("system:serviceaccount:{}:acr-attach", world.namespace());
    world.azure.update(|azure| {
        let client = puller(azure).client_id;
        let it = azure.principals.iter_mut().find(|it| it.client_id == client).unwrap();
        it.federated_credentials = vec![FederatedCredential {
            issuer,
            subject,
            audience: FederatedCredential::AUDIENCE.to_owned(),
        }];
    });
}

#[tokio::test]
async fn no_secret_is_needed_anywhere() {
    let (mut world, _folder) = world().await;
    federate(&world);
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", spec(&world, &json!({"names": [one]}))).await;
    let status = world.until_ready("a").await;
    let (user, _) = login(&world.until_secret(&one, "acr-pull").await);
    assert_eq!(user, "00000000-0000-0000-0000-000000000000");
    assert!(status.pull_secret.unwrap().renew_at.is_some());
    assert!(world.secrets(&world.namespace()).get_opt("puller").await.unwrap().is_none());

    let (exchanges, writes) = (world.calls(Call::RegistryExchange), world.api_writes());
    world.stop().await;
    world.start().await;
    world
        .until("readiness", || async { (world.page("/readyz").await.0 == 200).then_some(()) })
        .await;
    world
        .apply("b", spec(&world, &json!({"names": [world.namespace_with("two", json!({})).await]})))
        .await;
    world.until_ready("b").await;
    assert_eq!(world.calls(Call::RegistryExchange), exchanges + 1, "only that of b");
    let of_b = world.api_writes() - writes;
    assert!(of_b > 0);
    assert_eq!(login(&world.until_secret(&one, "acr-pull").await).0, user);
}

#[tokio::test]
async fn the_role_is_assigned_to_a_federated_principal_too() {
    let (world, _folder) = world().await;
    federate(&world);
    world.azure.update(|azure| {
        let puller = puller(azure).object_id;
        azure.role_assignments.retain(|it| it.principal_id != puller);
    });
    let one = world.namespace_with("one", json!({})).await;
    let mut spec = spec(&world, &json!({"names": [one]}));
    spec["registry"] = world.spec()["registry"].clone();
    spec["pullSecret"]["assignRole"] = true.into();
    world.apply("a", spec).await;
    world.until_ready("a").await;
    assert_eq!(world.pull_assignments().len(), 1);
}

#[tokio::test]
async fn a_credential_that_does_not_match_shows_what_to_enter() {
    let (world, _folder) = world().await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", spec(&world, &json!({"names": [one]}))).await;
    let status = world.until_reason("a", "Ready", "AuthenticationFailed").await;
    let text = message(&status);
    let issuer = format!(r#""issuer":"{}""#, world.cluster.service_account_issuer());
    let subject = format!(r#""subject":"system:serviceaccount:{}:acr-attach""#, world.namespace());
    let client = world.azure.read(|azure| puller(azure).client_id.unwrap());
    let command = format!("az ad app federated-credential create --id {client}");
    for part in [&issuer, &subject, r#""audiences":["api://AzureADTokenExchange"]"#, &command] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    federate(&world);
    world.until_ready("a").await;
}

#[tokio::test]
async fn without_a_token_it_says_how_the_operator_gets_one() {
    let world = with_token_file(None).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", spec(&world, &json!({"names": [one]}))).await;
    let status = world.until_reason("a", "Ready", "AuthenticationFailed").await;
    for word in ["AZURE_FEDERATED_TOKEN_FILE", "clientSecretRef"] {
        assert!(message(&status).contains(word), "{}", message(&status));
    }
    assert_eq!(world.azure.journal().len(), 0);
}

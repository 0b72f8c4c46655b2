//! Azure's own SDK, unchanged, through the proxy.

use std::{fmt, sync::Arc};

use azure_core::{
    credentials::{Secret, TokenCredential},
    http::{ClientMethodOptions, ClientOptions, RetryOptions, Transport},
};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions,
    ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId,
};
use azure_sim::model::FederatedCredential;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::json;

use crate::world::{SECRET, TENANT, World};

const SCOPE: &str = "https://management.azure.com/.default";
const ISSUER: &str = "https://oidc.example/";
const SUBJECT: &str = "system:serviceaccount:a:b";

fn options(world: &World) -> ClientOptions {
    ClientOptions {
        transport: Some(Transport::new(Arc::new(world.client.clone()))),
        retry: RetryOptions::none(),
        ..ClientOptions::default()
    }
}

/// The token lets the SDK's caller read the registry.
async fn check(world: &World, credential: Arc<dyn TokenCredential>) {
    let token = credential.get_token(&[SCOPE], None).await.unwrap();
    let url = format!("https://management.azure.com{}?api-version=2025-11-01", world.registry.id());
    let token = token.token.secret();
    world.send(reqwest::Method::GET, &url, Some(token), None).await.unwrap().expect(200);
    assert!(world.sim.journal().iter().all(|it| it.known));
}

#[tokio::test]
async fn client_secret_credential_works_and_shows_entras_error() {
    let world = World::new().await;
    let credential = |secret: &str| {
        ClientSecretCredential::new(
            TENANT,
            world.operator.client_id.clone().unwrap(),
            Secret::new(secret.to_owned()),
            Some(ClientSecretCredentialOptions { client_options: options(&world) }),
        )
        .unwrap()
    };
    check(&world, credential(SECRET)).await;
    let error = credential("wrong").get_token(&[SCOPE], None).await.unwrap_err();
    assert_eq!(
        world.sim.journal().pop().unwrap().code.as_deref(),
        Some("AADSTS7000215"),
        "{error:?}"
    );
}

#[derive(Debug)]
struct Signed(String);

#[async_trait::async_trait]
impl ClientAssertion for Signed {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.clone())
    }
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a signed assertion")
    }
}

#[tokio::test]
async fn client_assertion_credential_works() {
    let key = KeyPair::generate().unwrap();
    let world = World::with(|model| {
        model.add_token_issuer(ISSUER, &key.public_key_pem());
        model.principals.last_mut().unwrap().federated_credentials.push(FederatedCredential {
            issuer: ISSUER.into(),
            subject: SUBJECT.into(),
            audience: FederatedCredential::AUDIENCE.into(),
        });
    })
    .await;
    let exp = jiff::Timestamp::now().as_second() + 600;
    let claims =
        json!({"iss": ISSUER, "sub": SUBJECT, "aud": FederatedCredential::AUDIENCE, "exp": exp});
    let signing = EncodingKey::from_ec_der(key.serialized_der());
    let assertion =
        jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &signing).unwrap();
    let credential = ClientAssertionCredential::new(
        TENANT.to_owned(),
        world.operator.client_id.clone().unwrap(),
        Signed(assertion),
        Some(ClientAssertionCredentialOptions { client_options: options(&world) }),
    )
    .unwrap();
    check(&world, credential).await;
}

#[tokio::test]
async fn managed_identity_credential_works() {
    let world = World::new().await;
    let operator = world.operator.object_id.clone();
    world.sim.update(|it| it.principal_mut(&operator).unwrap().on_host = true);
    let client_id = world.operator.client_id.clone().unwrap();
    let credential = ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
        user_assigned_id: Some(UserAssignedId::ClientId(client_id)),
        client_options: options(&world),
    }))
    .unwrap();
    check(&world, credential).await;
}

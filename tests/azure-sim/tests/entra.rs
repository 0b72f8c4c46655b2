//! Entra: who gets a token, and what the errors look like.

use azure_sim::model::{ClientSecret, FederatedCredential};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use serde_json::{Value, json};

use crate::world::{ARM, Answer, SECRET, TENANT, World};

const ISSUER: &str = "https://oidc.example/cluster/";
const SUBJECT: &str = "system:serviceaccount:acr-attach:acr-attach";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn in_an_hour() -> i64 {
    Timestamp::now().as_second() + 3_600
}

/// Checks an error answer down to its lines.
#[track_caller]
fn check(answer: Answer, status: u16, error: &str, number: u64) {
    let body = answer.expect(status).json();
    assert_eq!((&body["error"], &body["error_codes"]), (&json!(error), &json!([number])), "{body}");
    let description = body["error_description"].as_str().unwrap();
    let lines: Vec<_> = description.split("\r\n").collect();
    assert!(lines[0].starts_with(&format!("AADSTS{number}: ")), "{description}");
    for (line, start) in lines[1..].iter().zip(["Trace ID: ", "Correlation ID: ", "Timestamp: "]) {
        assert!(line.starts_with(start), "{description}");
    }
    assert_eq!(body["correlation_id"], lines[2]["Correlation ID: ".len()..]);
}

async fn by_secret(world: &World, changes: &[(&str, &str)]) -> Answer {
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_id", world.operator.client_id.as_deref().unwrap()),
        ("client_secret", SECRET),
        ("scope", "https://management.azure.com/.default"),
    ];
    for change in changes {
        form.retain(|it| it.0 != change.0);
        form.push(*change);
    }
    world.ask_token(TENANT, &form).await
}

#[tokio::test]
async fn a_secret_gives_a_token_that_tells_who_it_is_for() {
    let world = World::new().await;
    let body = by_secret(&world, &[]).await.expect(200).json();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 3_599);

    let token = body["access_token"].as_str().unwrap();
    let claims: Value = jsonwebtoken::dangerous::insecure_decode_claims(token).unwrap();
    assert_eq!(claims["oid"], world.operator.object_id.as_str());
    assert_eq!(claims["appid"], world.operator.client_id.as_deref().unwrap());
    assert_eq!(claims["tid"], TENANT);
    assert_eq!(claims["aud"], ARM);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3_600);
}

#[tokio::test]
async fn the_life_of_tokens_can_be_set() {
    let world = World::with(|it| it.settings.token_lifetimes.entra = 20).await;
    assert_eq!(by_secret(&world, &[]).await.expect(200).json()["expires_in"], 19);
}

#[tokio::test]
async fn bad_requests_have_entras_errors() {
    let world = World::new().await;
    let other_app = "99999999-0000-4000-8000-000000000000";
    for (changes, status, error, number) in [
        (&[("client_secret", "wrong")][..], 401, "invalid_client", 7_000_215),
        (&[("client_id", other_app)], 400, "unauthorized_client", 700_016),
        (&[("client_secret", "x"), ("scope", "")], 400, "invalid_request", 900_144),
        (&[("scope", "https://management.azure.com/")], 400, "invalid_scope", 1_002_012),
        (&[("scope", "https://nowhere.example/.default")], 400, "invalid_resource", 500_011),
        (&[("grant_type", "password")], 400, "unsupported_grant_type", 70_003),
    ] {
        check(by_secret(&world, changes).await, status, error, number);
    }
    let unknown = "11111111-2222-4333-8444-555555555555";
    let form = [("grant_type", "client_credentials")];
    check(world.ask_token(unknown, &form).await, 400, "invalid_request", 90_002);
    let client_id = world.operator.client_id.as_deref().unwrap();
    let form =
        [form[0], ("client_id", client_id), ("scope", "https://management.azure.com/.default")];
    check(world.ask_token(TENANT, &form).await, 401, "invalid_client", 7_000_216);
}

#[tokio::test]
async fn a_secret_counts_between_its_arrival_and_its_expiry() {
    let world = World::new().await;
    let set = |change: fn(&mut ClientSecret)| {
        world.sim.update(|model| {
            let secret = &mut model.principal_mut(&world.operator.object_id).unwrap().secrets[0];
            *secret = ClientSecret { value: SECRET.into(), ..ClientSecret::default() };
            change(secret);
        });
    };
    set(|it| it.expires_on = Some(Timestamp::now() - SignedDuration::from_secs(1)));
    check(by_secret(&world, &[]).await, 401, "invalid_client", 7_000_222);
    set(|it| it.accepted_from = Some(Timestamp::now() + SignedDuration::from_hours(1)));
    check(by_secret(&world, &[]).await, 401, "invalid_client", 7_000_215);
    set(|it| it.accepted_from = Some(Timestamp::now() - SignedDuration::from_secs(1)));
    by_secret(&world, &[]).await.expect(200);
}

#[tokio::test]
async fn a_tenant_may_not_know_the_registry_audience() {
    let world = World::new().await;
    let scope = [("scope", "https://containerregistry.azure.net/.default")];
    by_secret(&world, &scope).await.expect(200);
    world.sim.update(|it| {
        it.tenants[0].unknown_resources = vec!["https://containerregistry.azure.net".into()];
    });
    check(by_secret(&world, &scope).await, 400, "invalid_resource", 500_011);
}

/// A world whose operator is federated with an issuer that signs with `key`.
async fn federated(key: &KeyPair) -> World {
    World::with(|model| {
        model.add_token_issuer(ISSUER, &key.public_key_pem());
        model.principals.last_mut().unwrap().federated_credentials.push(FederatedCredential {
            issuer: ISSUER.into(),
            subject: SUBJECT.into(),
            audience: FederatedCredential::AUDIENCE.into(),
        });
    })
    .await
}

fn sign(key: &KeyPair, claims: &Value) -> String {
    let (algorithm, key) = if key.is_compatible(&PKCS_RSA_SHA256) {
        (Algorithm::RS256, EncodingKey::from_rsa_pem(key.serialize_pem().as_bytes()).unwrap())
    } else {
        (Algorithm::ES256, EncodingKey::from_ec_der(key.serialized_der()))
    };
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
}

async fn by_assertion(world: &World, assertion: &str) -> Answer {
    by_secret(world, &[("client_assertion", assertion), ("client_assertion_type", JWT_BEARER)])
        .await
}

#[tokio::test]
async fn a_signed_assertion_is_as_good_as_a_secret() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_RSA_SHA256] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let world = federated(&key).await;
        for audience in
            [json!(FederatedCredential::AUDIENCE), json!(["x", FederatedCredential::AUDIENCE])]
        {
            let claims =
                json!({"iss": ISSUER, "sub": SUBJECT, "aud": audience, "exp": in_an_hour()});
            by_assertion(&world, &sign(&key, &claims)).await.expect(200);
        }
    }
}

#[tokio::test]
async fn assertions_are_judged_claim_by_claim() {
    let key = KeyPair::generate().unwrap();
    let world = federated(&key).await;
    let good = json!({"iss": ISSUER, "sub": SUBJECT, "aud": FederatedCredential::AUDIENCE, "exp": in_an_hour()});
    let upper = SUBJECT.to_uppercase();
    let now = Timestamp::now().as_second();
    for (name, value, status, error, number) in [
        ("iss", json!("https://oidc.example/cluster"), 401, "invalid_client", 700_211),
        ("sub", json!("system:serviceaccount:default:default"), 401, "invalid_client", 700_213),
        ("sub", json!(upper), 401, "invalid_client", 7_002_138),
        ("aud", json!("https://kubernetes.default.svc"), 401, "invalid_client", 700_212),
        ("exp", json!(now - 10), 401, "invalid_client", 700_024),
        ("nbf", json!(now + 600), 401, "invalid_client", 700_024),
    ] {
        let mut claims = good.clone();
        claims[name] = value;
        check(by_assertion(&world, &sign(&key, &claims)).await, status, error, number);
    }
    let stranger = KeyPair::generate().unwrap();
    check(by_assertion(&world, &sign(&stranger, &good)).await, 401, "invalid_client", 50_013);
    check(by_assertion(&world, "no.jwt.atall").await, 400, "invalid_request", 50_027);

    world.sim.update(|it| it.token_issuers.clear());
    check(by_assertion(&world, &sign(&key, &good)).await, 400, "invalid_request", 90_061);
    world.sim.update(|it| {
        it.principal_mut(&world.operator.object_id).unwrap().federated_credentials.clear();
    });
    check(by_assertion(&world, &sign(&key, &good)).await, 400, "invalid_request", 70_021);
}

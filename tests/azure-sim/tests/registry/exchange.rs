//! Entra tokens for refresh tokens.

use azure_sim::model::{ACR_DELETE, ACR_PULL, LegacyRoleCheck, OWNER, REPOSITORY_READER};
use reqwest::Method;
use serde_json::json;

use super::{ACR, Bench, By, HOST, NO_RIGHT, NULL, PULL, claims, pull_of, refused, text};
use crate::world::{ARM, SECRET, TENANT};

#[tokio::test]
async fn a_refresh_token_tells_what_it_is() {
    let bench = Bench::pulling().await;
    let answer = bench.exchange().await.expect(200);
    assert_eq!(answer.header("x-ms-correlation-request-id").len(), 36);
    assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
    let claims = claims(&text(&answer, "refresh_token"));
    assert_eq!(claims["iss"], "Azure Container Registry");
    assert_eq!(claims["aud"], HOST);
    assert_eq!(claims["grant_type"], "refresh_token");
    assert_eq!(claims["tenant"], TENANT);
    assert_eq!(claims["permissions"]["actions"], json!(["read"]));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 10_800);
    assert_eq!(claims["jti"].as_str().unwrap().len(), 36);

    bench.assign(OWNER);
    let all = super::claims(&bench.refresh_token().await);
    assert_eq!(all["permissions"]["actions"], json!(["read", "write", "delete"]));
    bench.update(|it| it.settings.token_lifetimes.registry_refresh = 20);
    let short = super::claims(&bench.refresh_token().await);
    assert_eq!(short["exp"].as_i64().unwrap() - short["iat"].as_i64().unwrap(), 20);
}

#[tokio::test]
async fn the_form_of_the_kubelets_credential_provider_is_taken() {
    let bench = Bench::pulling().await;
    let token = bench.world.token_of(&bench.app, ARM).await;
    let both = [("grant_type", "access_token_refresh_token"), ("refresh_token", &*token)];
    bench.exchange_with(&token, &both).await.expect(200);
    bench.exchange_with(&token, &[("tenant", "")]).await.expect(200);
    for changes in [
        [("grant_type", "refresh_token")],
        [("grant_type", "password")],
        [("service", "fabrikam.azurecr.io")],
    ] {
        bench.exchange_with(&token, &changes).await.expect(400);
    }
    bench
        .post("/oauth2/exchange", &[("grant_type", "access_token"), ("service", HOST)])
        .await
        .expect(400);
    bench.send(Method::GET, "/oauth2/exchange", By::Nobody).await.expect(404);
}

#[tokio::test]
async fn only_good_entra_tokens_of_the_registrys_tenant_are_taken() {
    let other = "7e000000-0000-4000-8000-00000000000f";
    let bench = Bench::with(|model| {
        model.add_tenant(other);
        let guest = model.application("guest").tenant(other).secret(SECRET).add();
        model.assign(&guest, ACR_PULL, "/");
        model.application("puller").secret(SECRET).add();
    })
    .await;
    bench.assign(ACR_PULL);
    let good = bench.world.token_of(&bench.app, ACR).await;
    let wrong_tenant = bench.exchange_with(&good, &[("tenant", other)]).await;
    refused(wrong_tenant, 401, "UNAUTHORIZED");
    refused(bench.exchange_with("made.up.token", &[]).await, 401, "UNAUTHORIZED");
    let guest = bench
        .world
        .sim
        .read(|it| it.principals.iter().find(|it| it.display_name == "guest").unwrap().clone());
    let foreign = bench.world.token_of(&guest, ACR).await;
    for tenant in [TENANT, other] {
        let answer = bench.exchange_with(&foreign, &[("tenant", tenant)]).await;
        refused(answer, 401, "UNAUTHORIZED");
    }
    bench.exchange_with(&good, &[]).await.expect(200);
    bench.world.sim.expire_tokens();
    refused(bench.exchange_with(&good, &[]).await, 401, "UNAUTHORIZED");
}

#[tokio::test]
async fn the_registrys_policy_decides_about_arms_audience() {
    let bench = Bench::pulling().await;
    let arm = bench.world.token_of(&bench.app, ARM).await;
    let acr = bench.world.token_of(&bench.app, ACR).await;
    let graph = bench.world.token_of(&bench.app, "https://graph.microsoft.com").await;
    for (allowed, token, status) in [
        (true, &arm, 200),
        (true, &acr, 200),
        (true, &graph, 401),
        (false, &arm, 401),
        (false, &acr, 200),
    ] {
        bench.update(|it| it.registry_mut("contoso").unwrap().arm_audience_allowed = allowed);
        bench.exchange_with(token, &[]).await.expect(status);
    }
}

#[tokio::test]
async fn legacy_mode_refuses_who_has_no_role() {
    let bench = Bench::new().await;
    assert_eq!(refused(bench.exchange().await, 401, "UNAUTHORIZED"), NO_RIGHT);
    bench.assign(REPOSITORY_READER);
    bench.exchange().await.expect(401);
    bench.assign(ACR_DELETE);
    bench.exchange().await.expect(200);
}

#[tokio::test]
async fn legacy_mode_can_look_at_roles_later_instead() {
    let bench = Bench::new().await;
    bench.update(|it| it.settings.legacy_role_check = LegacyRoleCheck::Token);
    let token = bench.refresh_token().await;
    refused(bench.token(By::Basic(NULL, &token), PULL).await, 401, "UNAUTHORIZED");
    bench.assign(ACR_PULL);
    assert_eq!(bench.access(By::Basic(NULL, &token), PULL).await, pull_of("team/app"));
    bench.unassign();
    bench.token(By::Basic(NULL, &token), PULL).await.expect(401);

    bench.update(|it| it.settings.legacy_role_check = LegacyRoleCheck::Both);
    bench.exchange().await.expect(401);
    bench.assign(ACR_PULL);
    let token = bench.refresh_token().await;
    bench.token(By::Basic(NULL, &token), PULL).await.expect(200);
    bench.unassign();
    bench.token(By::Basic(NULL, &token), PULL).await.expect(401);
}

#[tokio::test]
async fn abac_mode_exchanges_for_whoever_entra_knows() {
    let bench = Bench::new().await;
    bench
        .update(|it| it.registry_mut("contoso").unwrap().role_assignment_mode = super::modes::ABAC);
    let token = bench.refresh_token().await;
    assert_eq!(claims(&token)["permissions"]["actions"], json!([]));
    assert_eq!(bench.access(By::Basic(NULL, &token), PULL).await, json!([]));
}

#[tokio::test]
async fn instance_metadata_gives_tokens_that_can_be_exchanged() {
    let bench = Bench::with(|model| {
        model.managed_identity("kubelet").on_host().add();
    })
    .await;
    bench.assign(ACR_PULL);
    let url = "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01\
               &resource=https%3A%2F%2Fcontainerregistry.azure.net";
    let request = bench.world.client.get(url).header("Metadata", "true");
    let answer = crate::world::answer(request).await.unwrap().expect(200);
    let token = text(&answer, "access_token");
    bench.exchange_with(&token, &[]).await.expect(200);
}

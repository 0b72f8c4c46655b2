//! Which credentials get access tokens, and for how long.

use azure_sim::model::{ACR_PULL, ClientSecret};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Bench, By, HOST, NO_RIGHT, NULL, PULL, claims, pull_of, refused, text};
use crate::world::SECRET;

#[tokio::test]
async fn a_refresh_token_and_a_client_secret_are_equally_good() {
    let bench = Bench::pulling().await;
    let refresh = bench.refresh_token().await;
    for by in [By::Basic(NULL, &refresh), bench.secret()] {
        let claims = claims(&bench.access_token(by, PULL).await);
        assert_eq!(claims["access"], pull_of("team/app"));
        assert_eq!(claims["grant_type"], "access_token");
        assert_eq!(
            (&claims["iss"], &claims["aud"]),
            (&json!("Azure Container Registry"), &json!(HOST))
        );
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 4_500);
        assert_eq!(bench.access(by, "").await, json!([]));
        assert_eq!(bench.pull(by, "team/app").await, 200);
    }
}

#[tokio::test]
async fn without_a_role_neither_is_good_in_legacy_mode() {
    let bench = Bench::new().await;
    for scope in ["", PULL] {
        let answer = bench.token(bench.secret(), scope).await;
        assert_eq!(refused(answer, 401, "UNAUTHORIZED"), NO_RIGHT);
    }
    bench.assign(ACR_PULL);
    bench.token(bench.secret(), "").await.expect(200);
}

#[tokio::test]
async fn wrong_names_and_secrets_are_401() {
    let bench = Bench::pulling().await;
    let id = bench.client_id();
    let unknown = "99999999-0000-4000-8000-000000000000";
    for (user, password, message) in [
        (id, "wrong", "Invalid clientid or client secret."),
        (unknown, SECRET, "Invalid clientid or client secret."),
        ("contoso", SECRET, "aad access token with sp failed client id must be guid"),
        (NULL, SECRET, NO_RIGHT),
    ] {
        for scope in ["", PULL] {
            let answer = bench.token(By::Basic(user, password), scope).await;
            assert_eq!(refused(answer, 401, "UNAUTHORIZED"), message, "{user}");
        }
    }
    bench.token(By::Bearer("x"), PULL).await.expect(401);
}

#[tokio::test]
async fn a_secret_is_judged_as_entra_judges_it() {
    let bench = Bench::pulling().await;
    let oid = &bench.app.object_id;
    let (past, future) = (
        Timestamp::now() - SignedDuration::from_secs(1),
        Timestamp::now() + SignedDuration::from_hours(1),
    );
    for (expires_on, accepted_from, status) in [
        (Some(past), None, 401),
        (Some(future), None, 200),
        (None, Some(future), 401),
        (None, Some(past), 200),
    ] {
        bench.update(|it| {
            let secret = ClientSecret { value: SECRET.into(), expires_on, accepted_from };
            it.principal_mut(oid).unwrap().secrets = vec![secret];
        });
        bench.token(bench.secret(), PULL).await.expect(status);
    }
}

#[tokio::test]
async fn a_service_principal_of_another_tenant_is_unknown() {
    let other = "7e000000-0000-4000-8000-00000000000f";
    let bench = Bench::with(|model| {
        model.add_tenant(other);
        model.application("guest").tenant(other).secret(SECRET).add();
    })
    .await;
    bench.assign(ACR_PULL);
    let message = refused(bench.token(bench.secret(), PULL).await, 401, "UNAUTHORIZED");
    assert_eq!(message, "Invalid clientid or client secret.");
}

#[tokio::test]
async fn tokens_end_by_age_and_on_command() {
    let bench = Bench::pulling().await;
    let refresh = bench.refresh_token().await;
    let access = bench.access_token(By::Basic(NULL, &refresh), PULL).await;
    bench.token(By::Basic(NULL, &refresh), PULL).await.expect(200);
    bench.get("/v2/", By::Bearer(&access)).await.expect(200);
    bench.world.sim.expire_tokens();
    bench.token(By::Basic(NULL, &refresh), PULL).await.expect(401);
    bench.get("/v2/", By::Bearer(&access)).await.expect(401);

    bench.update(|it| it.settings.token_lifetimes.registry_refresh = 0);
    let refresh = bench.refresh_token().await;
    bench.token(By::Basic(NULL, &refresh), PULL).await.expect(401);
    bench.update(|it| it.settings.token_lifetimes.registry_access = 0);
    let access = bench.access_token(bench.secret(), PULL).await;
    bench.get("/v2/", By::Bearer(&access)).await.expect(401);
}

#[tokio::test]
async fn a_refresh_token_outlives_the_role_that_it_was_given_for() {
    let bench = Bench::pulling().await;
    let refresh = bench.refresh_token().await;
    bench.unassign();
    assert_eq!(bench.pull(By::Basic(NULL, &refresh), "team/app").await, 200);
    assert_eq!(
        bench.access(By::Basic(NULL, &refresh), "repository:team/app:push").await,
        json!([])
    );
    assert_eq!(bench.pull(bench.secret(), "team/app").await, 401);
    bench.exchange().await.expect(401);
}

#[tokio::test]
async fn a_form_takes_refresh_tokens_and_no_passwords() {
    let bench = Bench::pulling().await;
    let refresh = bench.refresh_token().await;
    let form = [("service", HOST), ("scope", PULL), ("refresh_token", &*refresh)];
    let good = [&[("grant_type", "refresh_token")], &form[..]].concat();
    let answer = bench.post("/oauth2/token", &good).await.expect(200);
    assert_eq!(claims(&text(&answer, "access_token"))["access"], pull_of("team/app"));

    for (user, password) in [(NULL, &*refresh), (bench.client_id(), SECRET)] {
        let password = [("username", user), ("password", password), ("grant_type", "password")];
        let answer = bench.post("/oauth2/token", &[&password, &form[..2]].concat()).await;
        assert_eq!(answer.expect(400).text, "");
    }
    let wrong = [("grant_type", "refresh_token"), form[0], ("refresh_token", "x")];
    refused(bench.post("/oauth2/token", &wrong).await, 401, "UNAUTHORIZED");
    bench.post("/oauth2/token", &good[..1]).await.expect(400);
    bench.post("/oauth2/token", &good[..2]).await.expect(400);
}

#[tokio::test]
async fn a_request_can_name_several_scopes_in_both_ways() {
    let bench = Bench::pulling().await;
    let other = "repository:other:pull";
    let both = json!([pull_of("team/app")[0], pull_of("other")[0]]);
    let path = format!("/oauth2/token?service={HOST}&scope={PULL}&scope={other}");
    let answer = bench.get(&path, bench.secret()).await.expect(200);
    assert_eq!(claims(&text(&answer, "access_token"))["access"], both);
    let path = format!("/oauth2/token?service={HOST}&scope={PULL}%20{other}");
    let answer = bench.get(&path, bench.secret()).await.expect(200);
    assert_eq!(claims(&text(&answer, "access_token"))["access"], both);
    bench.get(&format!("/oauth2/token?scope={PULL}"), bench.secret()).await.expect(400);
    bench.get("/oauth2/token?service=other.azurecr.io", bench.secret()).await.expect(400);
}

#[tokio::test]
async fn an_access_token_is_a_password_for_what_it_allows() {
    let bench = Bench::pulling().await;
    let token = bench.access_token(bench.secret(), PULL).await;
    assert_eq!(bench.pull(By::Basic(NULL, &token), "team/app").await, 200);
    assert_eq!(bench.access(By::Basic(NULL, &token), "repository:other:pull").await, json!([]));
    assert_eq!(bench.pull(By::Basic(NULL, &token), "other").await, 401);
}

#[tokio::test]
async fn a_token_of_one_registry_is_none_of_another() {
    let bench = Bench::with(|model| {
        model.registry("fabrikam").repository("team/app", &["v1"]).add();
    })
    .await;
    bench.update(|it| {
        it.assign(&bench.app, ACR_PULL, "/");
    });
    let refresh = bench.refresh_token().await;
    let access = bench.access_token(bench.secret(), PULL).await;
    let client = &bench.world.client;
    let url = "https://fabrikam.azurecr.io/oauth2/token?service=fabrikam.azurecr.io";
    for (password, status) in [(&*refresh, 401), (SECRET, 200)] {
        let user = if password == SECRET { bench.client_id() } else { NULL };
        let request = client.get(url).basic_auth(user, Some(password));
        crate::world::answer(request).await.unwrap().expect(status);
    }
    let request = client.get("https://fabrikam.azurecr.io/v2/").bearer_auth(access);
    crate::world::answer(request).await.unwrap().expect(401);
}

//! A registry that is pulled from regional hosts too.

use reqwest::Method;

use super::{Bench, By, HOST, PULL, refused, text};
use crate::world::answer;

const REGIONAL: &str = "contoso.westeurope.geo.azurecr.io";

#[tokio::test]
async fn a_regional_endpoint_gives_tokens_for_the_login_server() {
    let bench = Bench::pulling().await;
    let get = |path: &str, by: By<'_>| {
        let request = bench.world.client.request(Method::GET, format!("https://{REGIONAL}{path}"));
        let request = match by {
            By::Nobody => request,
            By::Bearer(token) => request.bearer_auth(token),
            By::Basic(user, password) => request.basic_auth(user, Some(password)),
        };
        answer(request)
    };
    get("/v2/", By::Nobody).await.unwrap_err();
    bench.update(|it| {
        it.registry_mut("contoso").unwrap().regional_endpoints = vec![REGIONAL.into()];
    });
    let challenge = get("/v2/", By::Nobody).await.unwrap().expect(401);
    assert_eq!(
        challenge.header("www-authenticate"),
        format!(r#"Bearer realm="https://{REGIONAL}/oauth2/token",service="{HOST}""#)
    );
    let path = |service: &str| format!("/oauth2/token?service={service}&scope={PULL}");
    let other = get(&path(REGIONAL), bench.secret()).await.unwrap();
    other.expect(400);
    let token = get(&path(HOST), bench.secret()).await.unwrap().expect(200);
    let token = text(&token, "access_token");
    // Good at every host of the registry.
    let manifest = "/v2/team/app/manifests/v1";
    get(manifest, By::Bearer(&token)).await.unwrap().expect(200);
    bench.get(manifest, By::Bearer(&token)).await.expect(200);
    refused(get(manifest, By::Bearer("x")).await.unwrap(), 401, "UNAUTHORIZED");
}

//! `/v2/`: challenges, manifests, tags, the catalog.

use azure_sim::model::{
    ACR_DELETE, REPOSITORY_CATALOG_LISTER, REPOSITORY_READER, RoleAssignmentMode,
};
use reqwest::Method;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Bench, By, HOST, NULL, PULL, refused};
use crate::world::SECRET;

const BASE: &str =
    r#"Bearer realm="https://contoso.azurecr.io/oauth2/token",service="contoso.azurecr.io""#;
const MANIFEST: &str = "/v2/team/app/manifests/v1";

#[tokio::test]
async fn ping_wants_a_credential() {
    let bench = Bench::pulling().await;
    let answer = bench.get("/v2/", By::Nobody).await;
    assert_eq!(answer.header("www-authenticate"), BASE);
    assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
    let message = refused(answer, 401, "UNAUTHORIZED");
    assert!(message.ends_with("https://aka.ms/acr/authorization for more information."));

    let refresh = bench.refresh_token().await;
    for bad in [By::Bearer("x"), By::Bearer(&refresh)] {
        let answer = bench.get("/v2/", bad).await.expect(401);
        assert_eq!(answer.header("www-authenticate"), format!("{BASE},error=\"invalid_token\""));
    }
    let answer = bench.get("/v2/", By::Basic(bench.client_id(), "wrong")).await.expect(401);
    assert_eq!(answer.header("www-authenticate"), "Basic realm=\"Azure Container Registry\"");

    let access = bench.access_token(bench.secret(), "").await;
    for good in [By::Bearer(&access), By::Basic(NULL, &refresh), bench.secret()] {
        bench.get("/v2/", good).await.expect(200);
    }
}

#[tokio::test]
async fn an_index_lists_a_manifest_for_each_platform() {
    let bench = Bench::pulling().await;
    bench.update(|it| {
        let tag = &mut it.registry_mut("contoso").unwrap().repositories[0].tags[0];
        tag.platforms = vec!["linux/amd64".into(), "linux/arm/v7".into()];
    });
    let token = bench.access_token(bench.secret(), PULL).await;
    let index = bench.get(MANIFEST, By::Bearer(&token)).await.expect(200);
    assert_eq!(index.header("content-type"), "application/vnd.oci.image.index.v1+json");
    let manifests = index.json()["manifests"].as_array().unwrap().clone();
    let platforms: Vec<_> = manifests.iter().map(|it| it["platform"].clone()).collect();
    let arm = json!({"os": "linux", "architecture": "arm", "variant": "v7"});
    assert_eq!(platforms, [json!({"os": "linux", "architecture": "amd64"}), arm]);
    for manifest in &manifests {
        let digest = manifest["digest"].as_str().unwrap();
        let path = format!("/v2/team/app/manifests/{digest}");
        let found = bench.get(&path, By::Bearer(&token)).await.expect(200);
        assert_eq!(found.header("content-type"), "application/vnd.oci.image.manifest.v1+json");
        assert_eq!(manifest["size"], found.text.len());
    }
}

#[tokio::test]
async fn challenges_name_the_scope() {
    let bench = Bench::pulling().await;
    for (path, kind, name, action) in [
        (MANIFEST, "repository", "team/app", "pull"),
        ("/v2/team/app/tags/list", "repository", "team/app", "metadata_read"),
        ("/v2/_catalog", "registry", "catalog", "*"),
    ] {
        let answer = bench.get(path, By::Nobody).await.expect(401);
        let scope = format!("{BASE},scope=\"{kind}:{name}:{action}\"");
        assert_eq!(answer.header("www-authenticate"), scope);
        let detail = json!([{"Type": kind, "Name": name, "Action": action}]);
        assert_eq!(answer.json()["errors"][0]["detail"], detail);

        let other = bench.access_token(bench.secret(), "repository:other:pull").await;
        let answer = bench.get(path, By::Bearer(&other)).await.expect(401);
        let challenge = format!("{scope},error=\"insufficient_scope\"");
        assert_eq!(answer.header("www-authenticate"), challenge);
    }
}

#[tokio::test]
async fn a_manifest_can_be_had_by_tag_and_by_digest() {
    let bench = Bench::pulling().await;
    let token = bench.access_token(bench.secret(), PULL).await;
    for by in [By::Bearer(&token), bench.secret()] {
        let got = bench.get(MANIFEST, by).await.expect(200);
        let media = "application/vnd.oci.image.manifest.v1+json";
        assert_eq!((got.header("content-type"), &got.json()["mediaType"]), (media, &json!(media)));
        let hex = Sha256::digest(&got.text)
            .iter()
            .fold(String::new(), |hex, it| format!("{hex}{it:02x}"));
        let digest = format!("sha256:{hex}");
        assert_eq!(got.header("docker-content-digest"), digest);

        let path = format!("/v2/team/app/manifests/{digest}");
        assert_eq!(bench.get(&path, by).await.expect(200).text, got.text);
        let head = bench.send(Method::HEAD, MANIFEST, by).await.expect(200);
        assert_eq!(head.header("docker-content-digest"), digest);
        assert_eq!(head.header("content-length"), got.text.len().to_string());
        assert_eq!(head.text, "");
    }
    let given = bench.get("/v2/other/manifests/v1", bench.secret()).await.expect(200);
    assert_eq!(given.header("docker-content-digest"), "sha256:0123");
    bench.get("/v2/other/manifests/sha256:0123", bench.secret()).await.expect(200);
}

#[tokio::test]
async fn the_config_that_a_made_up_manifest_names_is_the_only_blob() {
    let bench = Bench::pulling().await;
    let manifest = bench.get(MANIFEST, bench.secret()).await.expect(200).json();
    let digest = manifest["config"]["digest"].as_str().unwrap();
    let path = format!("/v2/team/app/blobs/{digest}");
    let got = bench.get(&path, bench.secret()).await.expect(200);
    assert_eq!((got.text.as_str(), got.header("docker-content-digest")), ("{}", digest));
    let head = bench.send(Method::HEAD, &path, bench.secret()).await.expect(200);
    assert_eq!((head.header("content-length"), head.text.as_str()), ("2", ""));
    let other = bench.get("/v2/team/app/blobs/sha256:99", bench.secret()).await;
    assert_eq!(other.json()["errors"][0]["detail"], "sha256:99");
    refused(other, 404, "BLOB_UNKNOWN");
    let invented = format!("/v2/invented/blobs/{digest}");
    refused(bench.get(&invented, bench.secret()).await, 404, "NAME_UNKNOWN");
    bench.get(&path, By::Nobody).await.expect(401);
}

#[tokio::test]
async fn what_is_not_there_is_404_for_those_who_may_look() {
    let bench = Bench::pulling().await;
    let answer = bench.get("/v2/team/app/manifests/v9", bench.secret()).await;
    assert_eq!(answer.json()["errors"][0]["detail"], json!({"Tag": "v9"}));
    assert_eq!(refused(answer, 404, "MANIFEST_UNKNOWN"), "manifest tagged by \"v9\" is not found");
    let digest = bench.get("/v2/team/app/manifests/sha256:99", bench.secret()).await;
    refused(digest, 404, "MANIFEST_UNKNOWN");
    for path in ["/v2/invented/manifests/v1", "/v2/invented/tags/list"] {
        let answer = bench.get(path, bench.secret()).await;
        assert_eq!(answer.json()["errors"][0]["detail"], json!({"name": "invented"}));
        refused(answer, 404, "NAME_UNKNOWN");
        bench.get(path, By::Nobody).await.expect(401);
    }
    bench.get("/v3/", bench.secret()).await.expect(404);
}

#[tokio::test]
async fn tags_and_repositories_come_in_pages() {
    let bench = Bench::pulling().await;
    let tags = bench.get("/v2/team/app/tags/list", bench.secret()).await.expect(200);
    assert_eq!(tags.json(), json!({"name": "team/app", "tags": ["v1", "v2", "v3"]}));
    assert_eq!(tags.header("link"), "");
    let page = bench.get("/v2/team/app/tags/list?n=2", bench.secret()).await.expect(200);
    assert_eq!(page.json()["tags"], json!(["v1", "v2"]));
    let link = page.header("link");
    assert_eq!(link, "</v2/team/app/tags/list?last=v2&n=2&orderby=>; rel=\"next\"");
    let next = &link[1..link.find('>').unwrap()];
    let page = bench.get(next, bench.secret()).await.expect(200);
    assert_eq!((&page.json()["tags"], page.header("link")), (&json!(["v3"]), ""));

    let catalog = bench.get("/v2/_catalog", bench.secret()).await.expect(200);
    assert_eq!(catalog.json(), json!({"repositories": ["other", "team/app"]}));
    let page = bench.get("/v2/_catalog?n=1", bench.secret()).await.expect(200);
    assert_eq!(page.header("link"), "</v2/_catalog?last=other&n=1&orderby=>; rel=\"next\"");
}

#[tokio::test]
async fn tags_need_one_of_two_actions_and_the_catalog_its_own() {
    let bench = Bench::pulling().await;
    for (scope, tags, catalog) in [
        (PULL, 200, 401),
        ("repository:team/app:metadata_read", 200, 401),
        ("repository:other:pull", 401, 401),
        ("registry:catalog:*", 401, 200),
    ] {
        let token = bench.access_token(bench.secret(), scope).await;
        bench.get("/v2/team/app/tags/list", By::Bearer(&token)).await.expect(tags);
        bench.get("/v2/_catalog", By::Bearer(&token)).await.expect(catalog);
    }
    let token = bench.access_token(bench.secret(), "repository:team/app:metadata_read").await;
    bench.get(MANIFEST, By::Bearer(&token)).await.expect(401);

    bench.unassign();
    bench.assign(ACR_DELETE);
    bench.get("/v2/_catalog", bench.secret()).await.expect(401);
    let abac = RoleAssignmentMode::AbacRepositoryPermissions;
    bench.update(|it| it.registry_mut("contoso").unwrap().role_assignment_mode = abac);
    for (role, catalog, manifest) in
        [(REPOSITORY_READER, 401, 200), (REPOSITORY_CATALOG_LISTER, 200, 401)]
    {
        bench.unassign();
        bench.assign(role);
        bench.get("/v2/_catalog", bench.secret()).await.expect(catalog);
        bench.get(MANIFEST, bench.secret()).await.expect(manifest);
    }
}

#[tokio::test]
async fn login_servers_follow_the_model_and_the_cloud() {
    use azure_sim::{AzureSim, Model, model::Cloud};
    for (cloud, suffix) in [(Cloud::UsGovernment, "azurecr.us"), (Cloud::China, "azurecr.cn")] {
        let mut model = Model::default_tenant();
        model.settings.cloud = cloud;
        let server = format!("Contoso-e7ggejfuhzhgedc8.{suffix}");
        model.registry("contoso").with(|it| it.login_server.clone_from(&server)).add();
        let sim = AzureSim::start(model).await.unwrap();
        let client = crate::world::client(&sim);
        let url = format!("https://{}/v2/", server.to_lowercase());
        let answer = crate::world::answer(client.get(url)).await.unwrap().expect(401);
        assert!(answer.header("www-authenticate").contains("service=\"contoso-e7gg"));
        client.get(format!("https://contoso.{suffix}/v2/")).send().await.unwrap_err();
    }
}

#[tokio::test]
async fn a_registry_that_goes_away_takes_its_connections_along() {
    let bench = Bench::pulling().await;
    bench.get("/v2/", bench.secret()).await.expect(200);
    bench.update(|it| it.remove_resource(&bench.world.registry.id()));
    bench.get("/v2/", By::Basic(bench.client_id(), SECRET)).await.expect(404);
    let fresh = crate::world::client(&bench.world.sim);
    fresh.get(format!("https://{HOST}/v2/")).send().await.unwrap_err();
    assert_eq!(bench.world.sim.journal().pop().unwrap().status, Some(502));
}

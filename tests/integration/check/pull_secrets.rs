//! Pull secrets as they are found, and what the kubelet makes of them.

use super::*;

#[tokio::test]
async fn without_any_credential_every_way_to_one_is_told() {
    let bench = Bench::new().await;
    let words = [
        "service account default names no pull secret",
        "the node has no managed identity",
        "lets nobody pull without a credential",
    ];
    bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);

    bench.login(&bench.client(), CLIENT_SECRET).await;
    bench.world.set_pull_secrets_of(&bench.namespace, "default", &[]).await;
    let words = [
        "Secret acr-pull is there, and service account default does not name it",
        "kubectl patch serviceaccount",
    ];
    bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);
    // A pod that names it itself needs no entry in the account.
    let checked = bench.check(&["--image", "app:v1", "--pull-secret", "acr-pull"]).await;
    checked.well("pull secret acr-pull (user");

    let secrets = bench.world.secrets(&bench.namespace);
    secrets.delete("acr-pull", &kube::api::DeleteParams::default()).await.unwrap();
    bench.world.set_pull_secrets_of(&bench.namespace, "default", &["acr-pull"]).await;
    let words = ["Secret acr-pull, which service account default names, does not exist"];
    bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);
    bench.asked_nothing_more();
}

#[tokio::test]
async fn an_entry_without_a_user_name_is_nobody_s() {
    let bench = Bench::new().await;
    bench.login("", WRONG).await;
    let words =
        ["an entry for contoso.azurecr.io without a user name", "lets nobody pull", "Put the user"];
    bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);
    bench.world.azure.update(|azure| registry(azure).anonymous_pull_enabled = true);
    let checked = bench.check(&["--image", "app:v1"]).await;
    checked.well("nobody's: contoso.azurecr.io lets anybody pull");
}

#[tokio::test]
async fn a_pull_secret_is_read_as_the_kubelet_reads_it() {
    let bench = Bench::new().await;
    let client = bench.client();
    let entry = |password: &str| json!({"username": client, "password": password});
    // The old form, and a glob that is less specific.
    let config = json!({"*.azurecr.io": entry(WRONG), "https://contoso.azurecr.io/v2/app": entry(CLIENT_SECRET)});
    bench.pull_secret("kubernetes.io/dockercfg", &config).await;
    let checked = bench.check(&["--image", "app:v1"]).await;
    checked.well("pull secret acr-pull");
    assert!(!checked.step("token").contains("refused"), "{}", checked.text);
    bench.check(&[]).await.ended(6, "token", &["secret is wrong"]);

    replace(
        &bench,
        "kubernetes.io/dockerconfigjson",
        &json!({"auths": {"*.*.azurecr.io": entry(CLIENT_SECRET)}}),
    )
    .await;
    let words = ["has no entry for contoso.azurecr.io, only for *.*.azurecr.io"];
    bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);

    replace(
        &bench,
        "kubernetes.io/dockerconfigjson",
        &json!({"auths": {"[c]ontoso.azurecr.io": entry(CLIENT_SECRET)}}),
    )
    .await;
    let words = ["only for [c]ontoso.azurecr.io", "a * in it stays between two dots"];
    bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);

    let broken = json!({"auths": {"other.example": {"auth": WRONG}, SERVER: entry(CLIENT_SECRET)}});
    replace(&bench, "kubernetes.io/dockerconfigjson", &broken).await;
    let words = ["the entry for other.example", "the kubelet gives up"];
    bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);

    replace(&bench, "Opaque", &broken).await;
    let words = ["is of type Opaque, which the kubelet passes over"];
    bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);
}

/// Another Secret of that name: a type is never changed.
async fn replace(bench: &Bench, secret_type: &str, config: &Value) {
    bench.world.delete_secret(&bench.namespace, "acr-pull").await;
    bench.pull_secret(secret_type, config).await;
}

#[tokio::test]
async fn the_kubelet_compares_capital_letters() {
    let bench = Bench::new().await;
    bench.login(&bench.client(), CLIENT_SECRET).await;
    let words = [
        "has no entry for Contoso.azurecr.io, only for contoso.azurecr.io",
        "tells capital letters from small ones",
        "small letters",
    ];
    let checked = bench.check(&["--image", "Contoso.azurecr.io/app:v1"]).await;
    checked.ended(5, "credential", &words);
    bench.check(&["--image", "contoso.azurecr.io/app:v1"]).await.well("pull secret acr-pull");

    // A glob takes any first label, and the node's identity is asked for by one too.
    let entry = json!({"username": bench.client(), "password": CLIENT_SECRET});
    replace(&bench, "kubernetes.io/dockerconfigjson", &json!({"auths": {"*.azurecr.io": entry}}))
        .await;
    let checked = bench.check(&["--image", "Contoso.azurecr.io/app:v1"]).await;
    checked.well("pull secret acr-pull");
    assert!(checked.text.starts_with("Contoso.azurecr.io/app:v1, "), "{}", checked.text);
    let words = ["the node's identity is not asked for", "contoso.AzureCR.io is written with some"];
    let checked = bench.check(&["--image", "contoso.AzureCR.io/app:v1"]).await;
    checked.ended(5, "credential", &words);
}

#[tokio::test]
async fn keys_are_read_whatever_their_case() {
    let bench = Bench::new().await;
    let entry = json!({"Username": bench.client(), "Password": CLIENT_SECRET, "Email": "x"});
    let config = json!({"Auths": {SERVER: entry}});
    bench.pull_secret("kubernetes.io/dockerconfigjson", &config).await;
    bench.check(&["--image", "app:v1"]).await.well("pull secret acr-pull");
}

#[tokio::test]
async fn what_makes_the_kubelet_give_up_is_told_with_its_place() {
    let bench = Bench::new().await;
    let good = STANDARD.encode(format!("{}:{CLIENT_SECRET}", bench.client()));
    let lost = format!("{}=", STANDARD.encode("x:marker12").trim_end_matches('='));
    for (config, words) in [
        (
            json!({"auths": {SERVER: {"auth": good}, "other.example": {"auth": lost}}}),
            "the entry for other.example has an auth that is base64 with too few =",
        ),
        (
            json!({"auths": {SERVER: {"auth": good, "email": 5}}}),
            "the entry for contoso.azurecr.io has as email a number",
        ),
        (
            json!({"auths": {SERVER: {"auth": good}}, "HttpHeaders": {"X-Retry": 3}}),
            "HttpHeaders has as X-Retry a number",
        ),
        (json!({"auths": [SERVER]}), "auths is a list"),
    ] {
        bench.pull_secret("kubernetes.io/dockerconfigjson", &config).await;
        let checked = bench.check(&["--image", "app:v1"]).await;
        checked.ended(5, "credential", &[words, "the kubelet gives up"]);
        assert!(!checked.text.contains("marker"), "{}", checked.text);
    }
}

#[tokio::test]
async fn a_helper_that_the_kubelet_does_not_run_is_told() {
    let bench = Bench::new().await;
    for (config, words) in [
        (
            json!({"auths": {}, "credHelpers": {SERVER: "acr-env"}}),
            "no program that credHelpers names",
        ),
        (json!({"auths": {SERVER: {}}, "credsStore": "desktop"}), "does not read credsStore"),
    ] {
        bench.pull_secret("kubernetes.io/dockerconfigjson", &config).await;
        bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &[words, "user name"]);
    }
}

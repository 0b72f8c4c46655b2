//! Whose user name a pull secret holds, and what its characters are.

use super::*;

#[tokio::test]
async fn an_identity_token_is_not_read_and_that_is_told() {
    let bench = Bench::new().await;
    let empty = STANDARD.encode(format!("{TOKEN_USER}:"));
    for entry in [
        json!({"auth": empty, "identitytoken": "eyJ.x.y"}),
        json!({"username": TOKEN_USER, "identitytoken": "eyJ.x.y"}),
    ] {
        let config = json!({"auths": {SERVER: entry}});
        bench.pull_secret("kubernetes.io/dockerconfigjson", &config).await;
        let checked = bench.check(&["--image", "app:v1"]).await;
        let words = ["the kubelet does not read identitytoken", "into password in Secret acr-pull"];
        checked.ended(6, "token", &words);
        assert!(!checked.text.contains("CredentialFresh"), "{}", checked.text);
    }
    // Without a user name nothing is shown at all.
    let config = json!({"auths": {SERVER: {"registrytoken": "eyJ.x.y"}}});
    bench.pull_secret("kubernetes.io/dockerconfigjson", &config).await;
    let words = ["without a user name", "the kubelet does not read registrytoken"];
    bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);
}

#[tokio::test]
async fn what_to_do_depends_on_the_kind_of_user() {
    let bench = Bench::new().await;
    for (user, words) in [
        ("contoso", "az acr credential show --name contoso"),
        ("ci-pull", "az acr token credential generate --name ci-pull --registry contoso"),
    ] {
        bench.login(user, WRONG).await;
        let checked = bench.check(&["--image", "app:v1"]).await;
        checked.ended(6, "token", &["refused (401)", words]);
        assert!(!checked.text.contains("az ad app"), "{}", checked.text);
    }
}

#[tokio::test]
async fn characters_that_came_by_accident_are_told() {
    let bench = Bench::new().await;
    let pair = format!("{}:{CLIENT_SECRET}", bench.client());
    let utf16: Vec<_> = pair.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (auth, words) in [
        (format!("{pair}\n").into_bytes(), "ends with a line break"),
        (utf16, "UTF-16"),
        ([b"\xef\xbb\xbf", pair.as_bytes()].concat(), "byte order mark"),
    ] {
        let config = json!({"auths": {SERVER: {"auth": STANDARD.encode(auth)}}});
        bench.pull_secret("kubernetes.io/dockerconfigjson", &config).await;
        let checked = bench.check(&["--image", "app:v1"]).await;
        checked.ended(6, "token", &[words, "Make Secret acr-pull anew"]);
        assert!(!checked.text.contains("secret is wrong"), "{}", checked.text);
    }
}

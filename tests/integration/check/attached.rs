//! A pod that has a credential: which one it is, and what is wrong with it.

use super::*;

#[tokio::test]
async fn attached_by_pull_secret_it_names_the_pull_secret_in_both_forms() {
    let bench = Bench::of(World::with(with_image, |_| {}).await).await;
    let Bench { world, namespace } = &bench;
    world.put_client_secret(CLIENT_SECRET).await;
    let client = bench.client();
    let forms =
        [("RegistryToken", "a registry token"), ("ClientSecret", &*format!("user {client}"))];
    for (form, login) in forms {
        let mut spec = world.pull_spec(&json!({"names": [namespace]}));
        spec["pullSecret"]["credential"] = form.into();
        world.apply("a", spec).await;
        world.until_ready("a").await;
        world.until_pull_secrets_of(namespace, "default", &["acr-pull"]).await;
        let checked = bench.check(&["--image", "app:v1"]).await;
        checked.well(&format!("pull secret acr-pull of service account default, {login}"));
        assert!(checked.step("manifest").contains("app:v1 is there, sha256:"), "{}", checked.text);
    }
    assert_eq!(world.calls(Call::InstanceMetadata), 0, "a pull secret was enough");
    bench.asked_nothing_more();
}

#[tokio::test]
async fn attached_by_kubelet_identity_it_names_the_identity_in_both_modes() {
    let bench = Bench::of(World::with(with_image, |_| {}).await).await;
    let world = &bench.world;
    let kubelet = world.kubelet();
    world.azure.update(|azure| on_host(azure, &kubelet));
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let image = ["--image", "contoso.azurecr.io/app:v1"];
    let identity = format!("the node's identity {kubelet}");
    bench.check(&image).await.well(&identity);
    // Without an image there is less to say.
    let checked = bench.check(&[]).await;
    checked.well(&identity);
    assert!(checked.step("manifest").starts_with("skipped "), "{}", checked.text);

    world.azure.update(|azure| {
        registry(azure).role_assignment_mode = RoleAssignmentMode::AbacRepositoryPermissions;
    });
    world
        .until("the role for that mode", || async {
            let role = |it: &azure_sim::model::RoleAssignment| it.role == REPOSITORY_READER;
            world.pull_assignments().iter().any(role).then_some(())
        })
        .await;
    bench.check(&image).await.well(&identity);
    bench.asked_nothing_more();
}

#[tokio::test]
async fn an_expired_token_is_told_with_its_time() {
    let bench = Bench::new().await;
    let part = |it: &Value| URL_SAFE_NO_PAD.encode(it.to_string());
    let token = [part(&json!({"alg": "ES256"})), part(&json!({"exp": 1_700_000_000})), "x".into()];
    bench.login(TOKEN_USER, &token.join(".")).await;
    let checked = bench.check(&["--image", "app:v1"]).await;
    let words =
        ["a registry token", "refused (401)", "ended at 2023-11-14T22:13:20Z", "CredentialFresh"];
    checked.ended(6, "token", &words);
    bench.asked_nothing_more();
}

#[tokio::test]
async fn a_wrong_secret_and_a_lack_of_rights_are_told_apart() {
    let bench = Bench::new().await;
    let client = bench.client();
    bench.login(&client, WRONG).await;
    let words = ["the client id or its secret is wrong", "az ad app credential reset", &client];
    bench.check(&["--image", "app:v1"]).await.ended(6, "token", &words);

    bench.login(&client, CLIENT_SECRET).await;
    bench.world.azure.update(|azure| azure.role_assignments.retain(|it| it.role != ACR_PULL));
    let words = ["or has no role there", "az role assignment create", &client];
    bench.check(&["--image", "app:v1"]).await.ended(6, "token", &words);
}

#[tokio::test]
async fn in_abac_mode_a_repository_outside_is_told() {
    let bench = Bench::with(abac).await;
    bench.login(&bench.client(), CLIENT_SECRET).await;
    bench.check(&["--image", "app:v1"]).await.well("pull secret acr-pull");
    for answer in [OutsideRights::EmptyAccess, OutsideRights::Unauthorized] {
        bench.world.azure.update(|azure| azure.settings.outside_rights = answer);
        let words = ["accepted, and may not pull other", "Container Registry Repository Reader"];
        bench.check(&["--image", "other:v1"]).await.ended(6, "token", &words);
    }
}

#[tokio::test]
async fn where_anybody_may_pull_a_pull_secret_that_is_refused_still_is_in_the_way() {
    let bench = Bench::with(|azure| registry(azure).anonymous_pull_enabled = true).await;
    bench
        .check(&["--image", "app:v1"])
        .await
        .well("nobody's: contoso.azurecr.io lets anybody pull");
    let words = ["names no pull secret", "Name an image with --image"];
    bench.check(&[]).await.ended(5, "credential", &words);
    bench.login(&bench.client(), WRONG).await;
    bench.check(&["--image", "app:v1"]).await.ended(6, "token", &["refused (401)"]);
}

#[tokio::test]
async fn a_registry_that_answers_oddly_is_told_without_what_it_says() {
    let bench = Bench::new().await;
    bench.login(&bench.client(), CLIENT_SECRET).await;
    let echo = Fault::error(Call::RegistryToken, 503, "UNAVAILABLE", CLIENT_SECRET);
    for (fault, words) in [
        (echo, "answers 503"),
        (Fault::new(Call::RegistryToken, Effect::Garbage), "there is no token in it"),
        (Fault::new(Call::RegistryToken, Effect::Huge { bytes: 1 << 20 }), "larger than 256 KiB"),
        (Fault::new(Call::RegistryToken, Effect::Drop), "breaks off"),
    ] {
        bench.world.azure.clear_faults();
        bench.world.azure.fault(fault);
        bench.check(&["--image", "app:v1"]).await.ended(6, "token", &[words]);
    }
}

#[tokio::test]
async fn a_right_that_the_check_does_not_have_is_named() {
    let bench = Bench::new().await;
    for (flag, resource) in [("--service-account", "serviceaccounts"), ("--pull-secret", "secrets")]
    {
        let checked = bench.check(&[flag, "builder"]).await;
        let rule = format!("resources: [{resource}], resourceNames: [builder], verbs: [get]");
        checked.ended(1, "credential", &["the API server answers 403", &rule, &bench.namespace]);
    }
    let checked = bench.check(&["--namespace", "default"]).await;
    checked.ended(1, "credential", &["the API server answers 403", "in namespace default"]);
}

//! The node's identity, by instance metadata.

use super::*;

#[tokio::test]
async fn instance_metadata_that_cannot_be_asked_is_no_failure_by_itself() {
    let bench = Bench::new().await;
    for effect in [Effect::Hang, Effect::Drop, Effect::Garbage] {
        bench.world.azure.clear_faults();
        bench.world.azure.fault(Fault::new(Call::InstanceMetadata, effect));
        let words = [
            "cannot be asked from this pod",
            "may still be what the kubelet uses",
            "az aks check-acr",
        ];
        bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);
    }
    bench.login(&bench.client(), CLIENT_SECRET).await;
    bench.check(&["--image", "app:v1"]).await.well("pull secret acr-pull");
}

#[tokio::test]
async fn of_several_identities_of_a_node_one_is_named() {
    let bench = Bench::with(|azure| {
        node(azure, "kubelet", Some(ACR_PULL));
        node(azure, "addon", None);
    })
    .await;
    let words = ["the node has several identities", "--kubelet-identity"];
    bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);
    let kubelet = Model::default_tenant().managed_identity("kubelet").add();
    let addon = Model::default_tenant().managed_identity("addon").add();
    for id in [&kubelet.client_id.unwrap(), &kubelet.object_id] {
        let checked = bench.check(&["--image", "app:v1", "--kubelet-identity", id]).await;
        checked.well(&format!("the node's identity {}", kubelet.object_id));
    }
    let words = ["gets no token (401)", &format!("--assignee-object-id {}", addon.object_id)];
    let checked = bench.check(&["--kubelet-identity", &addon.object_id]).await;
    checked.ended(6, "token", &words);
    let unknown = "40000000-0000-4000-8000-000000000001";
    let words = [unknown, "--kubelet-identity"];
    bench.check(&["--kubelet-identity", unknown]).await.ended(5, "credential", &words);
}

#[tokio::test]
async fn an_identity_that_nobody_named_may_be_another_than_the_kubelet_s() {
    let bench = Bench::with(|azure| _ = node(azure, "addon", None)).await;
    let addon = Model::default_tenant().managed_identity("addon").add();
    let image = ["--image", "app:v1"];
    let checked = bench.check(&image).await;
    checked.ended(
        6,
        "token",
        &["gets no token (401)", "else name the kubelet's own by --kubelet-identity"],
    );
    let chosen = format!("{}; instance metadata chose that identity", addon.object_id);
    assert!(checked.step("credential").contains(&chosen), "{}", checked.text);

    let checked =
        bench.check(&[&image[..], &["--kubelet-identity", &addon.object_id]].concat()).await;
    checked.ended(6, "token", &["gets no token (401)"]);
    assert!(!checked.text.contains("--kubelet-identity"), "{}", checked.text);
}

#[tokio::test]
async fn a_tenant_that_does_not_know_registries_gets_a_token_for_azure_resource_manager() {
    let bench = Bench::with(|azure| {
        node(azure, "kubelet", Some(ACR_PULL));
        let audience = "https://containerregistry.azure.net".to_owned();
        azure
            .tenants
            .iter_mut()
            .find(|it| it.tenant_id == DEFAULT_TENANT)
            .unwrap()
            .unknown_resources
            .push(audience);
    })
    .await;
    bench.check(&["--image", "app:v1"]).await.well("the node's identity");
}

#[tokio::test]
async fn with_a_credential_of_the_node_an_anonymous_one_is_tried_too() {
    let bench = Bench::with(|azure| {
        registry(azure).anonymous_pull_enabled = true;
        // Exchanged, and refused afterwards.
        azure.settings.legacy_role_check = LegacyRoleCheck::Token;
        node(azure, "kubelet", None);
    })
    .await;
    bench.login(&bench.client(), WRONG).await;
    let checked = bench.check(&["--image", "app:v1"]).await;
    checked.well("then the node's identity");
    let token = checked.step("token");
    assert!(token.contains("anybody may pull app"), "{token}");
    assert_eq!(token.matches("refused (401)").count(), 2, "{token}");
}

#[tokio::test]
async fn an_identity_that_was_taken_from_the_nodes_is_told() {
    let bench = Bench::with(|azure| _ = node(azure, "kubelet", Some(ACR_PULL))).await;
    let kubelet = Model::default_tenant().managed_identity("kubelet").add();
    let arguments = ["--image", "app:v1", "--kubelet-identity", &kubelet.object_id];
    bench.check(&arguments).await.well("the node's identity");
    bench.world.azure.update(|azure| {
        azure.principals.iter_mut().for_each(|it| it.on_host = false);
    });
    let words = [&format!("the node has no identity {}", kubelet.object_id), "az aks update"];
    bench.check(&arguments).await.ended(5, "credential", &words);
}

#[tokio::test]
async fn what_a_node_needs_for_the_host_is_told_beside_its_identity() {
    const DASH: &str = "contoso-e7ggejfuhzhgedc8.azurecr.io";
    const REGIONAL: &str = "contoso.westeurope.geo.azurecr.io";
    let bench = Bench::with(|azure| {
        let contoso = registry(azure);
        contoso.login_server = DASH.into();
        contoso.regional_endpoints = vec![REGIONAL.into(), SERVER.into()];
        node(azure, "kubelet", Some(ACR_PULL));
    })
    .await;
    let hosts = [
        (DASH, Some("a host with a dash needs v1.30.10")),
        (REGIONAL, Some("a regional host needs *.*.geo.azurecr.*")),
        (SERVER, None),
    ];
    for (host, needs) in hosts {
        let checked = bench.check(&["--registry", host, "--image", "app:v1"]).await;
        checked.well("the node's identity");
        let token = checked.step("token");
        assert_eq!(needs.is_some(), token.contains("a node lacks that"), "{token}");
        assert!(needs.is_none_or(|it| token.contains(it)), "{token}");
    }
}

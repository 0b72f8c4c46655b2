//! The way to the registry, and how it answers.

use super::*;

#[tokio::test]
async fn a_host_that_is_not_there_is_told_by_who_resolves_it() {
    let bench = Bench::new().await;
    let checked = bench.check(&["--registry", "contosso.azurecr.io"]).await;
    checked.ended(3, "tls", &["the proxy does not connect", "az acr show --name contosso"]);
    let name = checked.step("name");
    let proxy = bench.world.azure.proxy_url();
    assert!(name.starts_with("skipped ") && name.contains(proxy), "{name}");

    let folder = tempfile::tempdir().unwrap();
    let mut command = bench.program(&folder, &["--registry", "contoso.invalid"]).await;
    command.env_remove("HTTPS_PROXY");
    let checked = bench.outcome(command).await;
    checked.ended(2, "name", &["contoso.invalid cannot be resolved", "privatelink.azurecr.io"]);
    assert!(checked.step("tls").contains("since name failed"), "{}", checked.text);
}

#[tokio::test]
async fn a_certificate_that_nobody_trusted_vouches_for_is_told() {
    let bench = Bench::new().await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = bench.program(&folder, &[]).await;
    command.env_remove("ACR_ATTACH_CA_FILE");
    let checked = bench.outcome(command).await;
    checked.ended(3, "tls", &["nobody that is trusted here vouches", "--ca-file"]);
}

#[tokio::test]
async fn a_firewall_is_told_wherever_it_answers() {
    let bench = Bench::with(|azure| {
        node(azure, "kubelet", Some(ACR_PULL));
        registry(azure).network_rule_set.default_action = NetworkDefaultAction::Deny;
        azure.settings.client_address = Some("203.0.113.7".parse().unwrap());
    })
    .await;
    let words = [
        "the firewall of contoso.azurecr.io does not admit address 203.0.113.7",
        "az acr network-rule add --name contoso --ip-address 203.0.113.7",
        "zone privatelink.azurecr.io",
    ];
    // At the exchange of the node's token.
    bench.check(&["--image", "app:v1"]).await.ended(4, "token", &words);
    // Where a pull secret is shown.
    bench.login(&bench.client(), CLIENT_SECRET).await;
    bench.check(&["--image", "app:v1"]).await.ended(4, "token", &words);
    // Where nothing is.
    bench.login("", WRONG).await;
    bench.world.azure.update(|azure| {
        azure.principals.iter_mut().for_each(|it| it.on_host = false);
    });
    bench.check(&["--image", "app:v1"]).await.ended(4, "credential", &words);
    // At once.
    bench.world.azure.update(|azure| {
        azure.settings.firewall_answer = FirewallAnswer::Everywhere;
    });
    bench.check(&["--image", "app:v1"]).await.ended(4, "challenge", &words);
}

#[tokio::test]
async fn a_regional_endpoint_is_asked_for_the_service_that_it_names() {
    const REGIONAL: &str = "contoso.westeurope.geo.azurecr.io";
    let bench = Bench::with(|azure| {
        registry(azure).regional_endpoints = vec![REGIONAL.into()];
        node(azure, "kubelet", Some(ACR_PULL));
    })
    .await;
    let arguments = ["--registry", REGIONAL, "--image", "app:v1"];
    bench.check(&arguments).await.well("the node's identity");
    let entry = json!({"username": bench.client(), "password": CLIENT_SECRET});
    let config = json!({"auths": {REGIONAL: entry}});
    bench.pull_secret("kubernetes.io/dockerconfigjson", &config).await;
    let checked = bench.check(&arguments).await;
    checked.well("pull secret acr-pull");
    assert!(checked.step("manifest").contains("app:v1 is there"), "{}", checked.text);
}

#[tokio::test]
async fn what_is_no_registry_is_told() {
    let bench = Bench::new().await;
    bench.world.azure.fault(Fault::new(Call::RegistryPing, Effect::Garbage).once());
    bench.check(&[]).await.ended(4, "challenge", &["answers 200, which no registry does"]);
    bench.world.azure.fault(Fault::new(Call::RegistryPing, Effect::Hang).once());
    bench.check(&[]).await.ended(4, "challenge", &["no answer within 10 s"]);
    bench.world.azure.fault(Fault::new(Call::RegistryPing, Effect::Drop).once());
    bench.check(&[]).await.ended(4, "challenge", &["breaks off"]);
}

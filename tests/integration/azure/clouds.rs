//! The other clouds of Azure: their hosts, audiences and suffixes.

use acr_attach_azure::Cloud;
use acr_attach_core::spec::policy::Domains;
use azure_sim::model;
use serde_json::json;

use crate::support::World;
use crate::support::secrets::{CLIENT_SECRET, with_puller};

#[rstest::rstest]
#[case(
    Cloud::UsGovernment,
    model::Cloud::UsGovernment,
    "contoso.azurecr.us",
    "login.microsoftonline.us"
)]
#[case(Cloud::China, model::Cloud::China, "contoso.azurecr.cn", "login.chinacloudapi.cn")]
#[tokio::test]
async fn both_methods_work_in(
    #[case] cloud: Cloud,
    #[case] simulated: model::Cloud,
    #[case] server: &str,
    #[case] authority: &str,
) {
    let world = World::with(
        |azure| {
            azure.settings.cloud = simulated;
            let contoso = azure.registry_mut("contoso").unwrap();
            contoso.login_server = server.to_owned();
            with_puller(azure);
        },
        |settings| {
            settings.cloud = cloud;
            settings.policy.login_server_suffixes =
                Domains::default().or(cloud.login_server_suffix());
        },
    )
    .await;
    world.put_client_secret(CLIENT_SECRET).await;
    world.apply("role", world.spec()).await;
    let status = world.until_ready("role").await;
    assert_eq!(status.registry.unwrap().login_server.as_deref(), Some(server));
    let one = world.namespace_with("one", json!({})).await;
    let mut spec = world.pull_spec(&json!({"names": [one]}));
    spec["registry"] = json!({"loginServer": server});
    world.apply("secret", spec).await;
    world.until_ready("secret").await;
    world.until_secret(&one, "acr-pull").await;
    let journal = world.azure.journal();
    assert!(journal.iter().any(|it| it.host == authority), "no sign-in at {authority}");
    assert!(
        !journal.iter().any(|it| it.host.ends_with("azure.com") || it.host.ends_with("azurecr.io"))
    );
}

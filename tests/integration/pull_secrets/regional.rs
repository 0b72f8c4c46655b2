//! A registry that is pulled from regional hosts too: pull secrets have an entry for each.

use azure_sim::Call;
use azure_sim::model::READER;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::roles::finding::{aks_node, group_of_prod, reader_of_all, with_nodes};
use crate::support::secrets::{SERVER, login};
use crate::support::{World, message, operator};

const REGISTRIES: &str = "Microsoft.ContainerRegistry/registries";
const WEST: &str = "contoso.westeurope.geo.azurecr.io";
const NORTH: &str = "contoso.northeurope.geo.azurecr.io";

fn set(world: &World, hosts: &[&str]) {
    world.azure.update(|azure| {
        let hosts = hosts.iter().map(|&it| it.into()).collect();
        azure.registry_mut("contoso").unwrap().regional_endpoints = hosts;
    });
}

/// The spec with the registry by its id, so that Azure tells its hosts.
fn by_id(world: &World, namespace: &str) -> Value {
    world.azure.update(|azure| {
        let (operator, id) = (operator(azure), azure.find_registry("contoso").unwrap().id());
        azure.assign(&operator, READER, &id);
    });
    let mut spec = world.pull_spec(&json!({"names": [namespace]}));
    spec["registry"] = world.spec()["registry"].clone();
    spec
}

/// The hosts in the pull secret of that namespace, and whether all have the same login.
async fn hosts(world: &World, namespace: &str) -> Vec<String> {
    let secret = world.until_secret(namespace, "acr-pull").await;
    let data = &secret.data.as_ref().unwrap()[".dockerconfigjson"].0;
    let config: Value = serde_json::from_slice(data).unwrap();
    let entries = config["auths"].as_object().unwrap();
    assert!(entries.values().all(|it| *it == entries[SERVER]), "other logins");
    entries.keys().cloned().collect()
}

async fn until_hosts(world: &World, namespace: &str, expected: &[&str]) {
    let what = format!("a pull secret for {expected:?}");
    world
        .until(&what, || async { (hosts(world, namespace).await == expected).then_some(()) })
        .await;
}

/// Asks for a look now.
async fn look(world: &World, request: &str) {
    let annotations = json!({"reconcile.fluxcd.io/requestedAt": request});
    world.patch("a", json!({"metadata": {"annotations": annotations}})).await;
    world
        .until("the request to be handled", || async {
            let handled = world.status("a").await.last_handled_reconcile_at;
            (handled.as_deref() == Some(request)).then_some(())
        })
        .await;
}

#[tokio::test]
async fn each_host_has_an_entry_and_another_host_makes_one_write() {
    let mut world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", by_id(&world, &one)).await;
    world.until_ready("a").await;
    assert_eq!(hosts(&world, &one).await, [SERVER]);
    let before = world.until_secret(&one, "acr-pull").await;

    set(&world, &[WEST, NORTH]);
    look(&world, "1").await;
    until_hosts(&world, &one, &[SERVER, NORTH, WEST]).await;
    let status = world.until_ready("a").await;
    let told = status.registry.unwrap().regional_login_servers.unwrap();
    assert_eq!(told, [NORTH, WEST]);
    let after = world.until_secret(&one, "acr-pull").await;
    assert_eq!(before.uid(), after.uid(), "it is changed in place");
    assert_eq!(world.calls(Call::RegistryExchange), 2);

    // The order in which Azure lists them is none, and neither is a restart a reason to write.
    set(&world, &[NORTH, WEST]);
    look(&world, "2").await;
    world.stop().await;
    world.start().await;
    look(&world, "3").await;
    let last = world.until_secret(&one, "acr-pull").await;
    assert_eq!(last.resource_version(), after.resource_version());

    set(&world, &[WEST]);
    look(&world, "4").await;
    until_hosts(&world, &one, &[SERVER, WEST]).await;
}

#[tokio::test]
async fn an_older_api_version_takes_no_host_away() {
    let mut world = World::with_pull_secrets(|_| {}).await;
    set(&world, &[WEST]);
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", by_id(&world, &one)).await;
    world.until_ready("a").await;
    let before = world.until_secret(&one, "acr-pull").await;
    assert_eq!(hosts(&world, &one).await, [SERVER, WEST]);
    world.azure.update(|azure| azure.settings.newest_api_version(REGISTRIES, "2025-11-01"));
    look(&world, "1").await;
    world.stop().await;
    world.start().await;
    look(&world, "2").await;
    let after = world.until_secret(&one, "acr-pull").await;
    assert_eq!(login(&before), login(&after));
    assert_eq!(hosts(&world, &one).await, [SERVER, WEST]);
}

#[tokio::test]
async fn a_host_that_the_policy_does_not_allow_gets_no_credential() {
    let world = World::with_pull_secrets(|_| {}).await;
    set(&world, &[WEST, "contoso.westeurope.geo.azurecr.example"]);
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", by_id(&world, &one)).await;
    world.until_ready("a").await;
    assert_eq!(hosts(&world, &one).await, [SERVER, WEST]);
}

#[tokio::test]
async fn nodes_that_may_not_know_a_host_with_a_dash_are_a_remark() {
    let node = |kubelet: &str| {
        let mut node = aks_node(&group_of_prod());
        node["kubelet"] = kubelet.into();
        node
    };
    for (kubelet, is_said) in [("v1.32.9", true), ("v1.33.2", false)] {
        let nodes = [node(kubelet), node("v1.34.1")];
        let world = with_nodes(
            &nodes,
            |azure| {
                reader_of_all(azure);
                let server = "contoso-e7ggejfuhzhgedc8.azurecr.io";
                azure.registry_mut("contoso").unwrap().login_server = server.into();
            },
            |_| {},
        )
        .await;
        world.apply("a", world.spec()).await;
        let status = world.until_ready("a").await;
        let text = message(&status);
        assert_eq!(text.contains("az aks nodepool upgrade --node-image-only"), is_said, "{text}");
        assert_eq!(text.contains(&format!("a node runs {kubelet}")), is_said, "{text}");
    }
}

#[tokio::test]
async fn nodes_that_may_not_know_a_regional_host_are_a_remark() {
    let node = |image: &str| {
        let mut node = aks_node(&group_of_prod());
        node["labels"]["kubernetes.azure.com/node-image-version"] = image.into();
        node
    };
    let (old, new) =
        ("AKSUbuntu-2204gen2containerd-202607.21.0", "AKSUbuntu-2204gen2containerd-202608.12.0");
    for (image, is_said) in [(old, true), (new, false)] {
        let world = with_nodes(&[node(image), node(new)], reader_of_all, |_| {}).await;
        set(&world, &[WEST]);
        world.apply("a", world.spec()).await;
        let status = world.until_ready("a").await;
        let text = message(&status);
        assert_eq!(text.contains(&format!("a node has image {image}")), is_said, "{text}");
        assert_eq!(text.contains("*.*.geo.azurecr.*"), is_said, "{text}");
    }
}

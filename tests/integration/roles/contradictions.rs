//! What contradicts an attachment that holds is said, and changes nothing.

use azure_sim::model::{ACR_PULL, DEFAULT_SUBSCRIPTION};
use serde_json::json;

use crate::roles::finding::{aks_node, group_of_prod, reader_of_all, with_nodes};
use crate::support::{World, find, message};

async fn until_said(world: &World, remark: &str) -> String {
    world
        .until(&format!("a message with {remark}"), || async {
            let status = world.status("a").await;
            let ready = find(&status, "Ready").is_some_and(|it| it.0 == "True");
            (ready && message(&status).contains(remark)).then(|| message(&status).to_owned())
        })
        .await
}

#[tokio::test]
async fn what_was_only_assigned_is_not_called_pulled() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    let status = world.until_ready("a").await;
    let text = message(&status);
    assert!(text.starts_with("AcrPull on contoso.azurecr.io is assigned to identity"), "{text}");
    assert!(!text.contains("can be pulled"), "{text}");
}

#[tokio::test]
async fn nodes_of_another_cluster_than_the_one_that_is_named_are_a_remark() {
    let world = with_nodes(&[aks_node("MC_elsewhere_eastus")], |_| {}, |_| {}).await;
    world.apply("a", world.spec()).await;
    let text = until_said(&world, "check kubeletIdentity.clusterResourceId").await;
    let here =
        format!("in resource group mc_elsewhere_eastus of subscription {DEFAULT_SUBSCRIPTION}");
    assert!(text.contains(&here) && text.ends_with(&group_of_prod()), "{text}");
}

#[tokio::test]
async fn nodes_of_the_cluster_that_is_named_are_none() {
    let group = group_of_prod();
    let nodes = [aks_node(&group), aks_node(&group.to_uppercase())];
    let world = with_nodes(&nodes, |_| {}, |_| {}).await;
    world.apply("a", world.spec()).await;
    let status = world.until_ready("a").await;
    assert!(!message(&status).contains("clusterResourceId"), "{}", message(&status));
}

#[tokio::test]
async fn a_client_id_in_place_of_an_object_id_is_a_remark_with_the_right_one() {
    let world = with_nodes(&[aks_node(&group_of_prod())], reader_of_all, |_| {}).await;
    let identity =
        world.azure.read(|azure| azure.find_cluster("prod").unwrap().kubelet_identity.clone());
    let identity = identity.unwrap();
    let mut spec = json!({"registry": world.spec()["registry"]});
    spec["kubeletIdentity"] = json!({"principalId": identity.client_id});
    world.apply("a", spec).await;
    let text = until_said(&world, "is the client id of the kubelet identity").await;
    assert!(text.contains(&identity.object_id), "{text}");
    // Azure takes it: a request that says what kind of principal it is about is not looked up.
    let made = world.pull_assignments();
    assert!(made.iter().any(|it| it.role == ACR_PULL && it.principal_id == identity.client_id));
}

/// Without a right to read the cluster: AKS writes the client id into a label of each node.
#[tokio::test]
async fn a_client_id_is_a_remark_where_only_the_nodes_tell_it() {
    let mut node = aks_node(&group_of_prod());
    let client = "66666666-6666-4666-8666-666666666666";
    node["labels"]["kubernetes.azure.com/kubelet-identity-client-id"] = client.into();
    let world = with_nodes(&[node], |_| {}, |_| {}).await;
    let mut spec = json!({"registry": world.spec()["registry"], "method": "KubeletIdentity"});
    spec["kubeletIdentity"] = json!({"principalId": client});
    world.apply("a", spec).await;
    let text = until_said(&world, "is the client id of the kubelet identity").await;
    assert!(text.contains(&format!("az ad sp show --id {client} --query id")), "{text}");
    let calls = world.azure.journal();
    let mut of_cluster = calls.iter().filter(|it| it.path.contains("managedClusters"));
    assert!(
        of_cluster.all(|it| it.status.is_some_and(|it| it == 403)),
        "Azure told of the cluster"
    );
}

#[tokio::test]
async fn a_registry_that_takes_no_tokens_of_older_nodes_is_a_remark() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    let status = world.until_ready("a").await;
    assert!(!message(&status).contains("azureADAuthenticationAsArmPolicy"));
    world.azure.update(|azure| azure.registry_mut("contoso").unwrap().arm_audience_allowed = false);
    until_said(&world, "azureADAuthenticationAsArmPolicy is disabled").await;
}

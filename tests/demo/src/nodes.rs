//! Node objects as AKS makes them. The demo's control plane has no machines; by these the operator
//! finds out which cluster it is in.

use anyhow::{Context as _, Result};
use azure_sim::model::Cluster;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client, api::PostParams};
use serde_json::json;

/// Adds one for each node pool of the cluster.
///
/// # Errors
/// When the API server refuses one.
pub async fn add(cluster: &Cluster, client: Client) -> Result<()> {
    let nodes = Api::<Node>::all(client);
    for pool in &cluster.agent_pools {
        let node = node(cluster, &pool.name)?;
        nodes.create(&PostParams::default(), &node).await.context("cannot add a node")?;
    }
    Ok(())
}

fn node(cluster: &Cluster, pool: &str) -> Result<Node> {
    let Cluster { subscription_id, node_resource_group, .. } = cluster;
    let machines = format!(
        "/subscriptions/{subscription_id}/resourceGroups/{node_resource_group}/providers/Microsoft.Compute/virtualMachineScaleSets/aks-{pool}-vmss"
    );
    Ok(serde_json::from_value(json!({
        "metadata": {
            "name": format!("aks-{pool}-vmss000000"),
            "labels": {
                "kubernetes.azure.com/agentpool": pool,
                "kubernetes.azure.com/cluster": node_resource_group,
                "kubernetes.azure.com/managedby": "aks",
            },
        },
        "spec": {"providerID": format!("azure://{machines}/virtualMachines/0")},
    }))?)
}

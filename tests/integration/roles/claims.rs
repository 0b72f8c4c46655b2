//! Claims: what they are made of, and how they are replaced where that changes.

use acr_attach_core::api::RegistryAttachmentStatus;
use azure_sim::{Call, Fault};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::finding::{aks_node, group_of_prod, put_node, reader_of_all, with_nodes};
use crate::support::{World, find, message};

/// A world whose nodes are of AKS, or which has none yet.
async fn world(has_nodes: bool) -> World {
    let nodes = has_nodes.then(|| aks_node(&group_of_prod()));
    with_nodes(nodes.as_slice(), reader_of_all, |_| {}).await
}

/// The claims on the role of the nodes.
fn claims(world: &World) -> Vec<String> {
    let kubelet = world.kubelet();
    let found = world.pull_assignments().into_iter().find(|it| it.principal_id == kubelet);
    let text = found.and_then(|it| it.description).unwrap_or_default();
    let list = text.trim_start_matches("acr-attach claims: ");
    list.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

async fn claim(world: &World, name: &str) -> String {
    world.status(name).await.claim.unwrap()
}

fn is_ready(status: &RegistryAttachmentStatus) -> bool {
    find(status, "Ready").is_some_and(|it| it.0 == "True")
}

/// Waits until status shows another claim than that, and Azure shows it too.
async fn until_replaced(world: &World, name: &str, before: &str) -> String {
    world
        .until(&format!("another claim than {before}"), || async {
            let claim = claim(world, name).await;
            let all = claims(world);
            (claim != before && all.contains(&claim) && !all.contains(&before.to_owned()))
                .then_some(claim)
        })
        .await
}

#[tokio::test]
async fn the_claim_of_an_aks_cluster_outlives_a_cluster_that_is_built_anew() {
    let mut here = world(true).await;
    here.apply("a", here.spec()).await;
    here.until_ready("a").await;
    let before = claims(&here);
    assert_eq!(before, [claim(&here, "a").await]);
    // The cluster goes without detaching anything.
    here.stop().await;
    let mut there = World::rebuilt(&here).await;
    put_node(&there, "n0", &aks_node(&group_of_prod())).await;
    there.start().await;
    let writes = there.azure_writes();
    there.apply("a", there.spec()).await;
    there.until_ready("a").await;
    assert_eq!((claims(&there), there.azure_writes()), (before, writes));
    there.delete("a").await;
    there.until_gone("a").await;
    assert_eq!(claims(&there), [""; 0]);
}

/// A manifest with the id of a cluster may be applied in two of them.
#[tokio::test]
async fn an_id_that_a_user_wrote_makes_no_claim() {
    let mut here = world(false).await;
    here.apply("a", here.spec()).await;
    here.until_ready("a").await;
    let mut there = World::rebuilt(&here).await;
    there.start().await;
    there.apply("a", there.spec()).await;
    there.until_ready("a").await;
    assert_ne!(claim(&here, "a").await, claim(&there, "a").await);
    there.until("both claims", || async { (claims(&there).len() == 2).then_some(()) }).await;
    here.stop().await;
}

#[tokio::test]
async fn a_claim_is_replaced_where_it_stands_once_the_cluster_is_known() {
    let world = world(false).await;
    for name in ["a", "b"] {
        world.apply(name, world.spec()).await;
        world.until_ready(name).await;
    }
    let (first, second) = (claim(&world, "a").await, claim(&world, "b").await);
    assert_eq!(claims(&world), [first.clone(), second.clone()]);
    put_node(&world, "n0", &aks_node(&group_of_prod())).await;
    let denied = Fault::error(Call::PutRoleAssignment, 403, "AuthorizationFailed", "x");
    world.azure.fault(denied);
    world.request("a", "the nodes are there").await;
    let status = world.until_reason("a", "Obsolete", "AccessDenied").await;
    assert!(is_ready(&status), "the role holds all the same: {}", message(&status));
    world.azure.clear_faults();
    let next = until_replaced(&world, "a", &first).await;
    let other = until_replaced(&world, "b", &second).await;
    assert_eq!(claims(&world), [next, other]);
    world.until_event("a", "Normal", "RoleAssignmentUpdated").await;
    world
        .until("nothing to be obsolete", || async {
            find(&world.status("a").await, "Obsolete").is_none().then_some(())
        })
        .await;
    for name in ["a", "b"] {
        world.delete(name).await;
        world.until_gone(name).await;
    }
    assert_eq!(claims(&world), [""; 0]);
}

#[tokio::test]
async fn detaching_knows_the_claim_of_before() {
    let mut world = world(false).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.stop().await;
    put_node(&world, "n0", &aks_node(&group_of_prod())).await;
    world.delete("a").await;
    world.start().await;
    world.until_gone("a").await;
    assert_eq!(claims(&world), [""; 0]);
}

#[tokio::test]
async fn a_claim_that_cannot_be_known_is_waited_for() {
    let mut world = world(true).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let made = claims(&world);
    world.stop().await;
    // Status is lost, and the nodes are away.
    let lost = json!({"status": null});
    let params = PatchParams::default();
    let name = world.name("a");
    world.attachments().patch_status(&name, &params, &Patch::Merge(&lost)).await.unwrap();
    let nodes: Api<Node> = Api::all(world.client.clone());
    nodes.delete("n0", &DeleteParams::default()).await.unwrap();
    world.delete("a").await;
    world.start().await;
    let status = world.until_reason("a", "Ready", "Undetermined").await;
    assert!(message(&status).contains("can tell the claim of attachment"), "{}", message(&status));
    let before = world.calls(Call::ListRoleAssignments);
    world.until_calls(Call::ListRoleAssignments, before + 2).await;
    assert_eq!(claims(&world), made, "the guess of the first reconcile is no claim");
    put_node(&world, "n0", &aks_node(&group_of_prod())).await;
    world.until_gone("a").await;
    assert_eq!(claims(&world), [""; 0]);
}

//! What somebody asks for, or changes, is answered by what Azure says after that.

use azure_sim::model::KubeletIdentity;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::support::World;

const NEXT: &str = "44444444-4444-4444-8444-444444444444";

/// Another kubelet identity, of which the read of a moment ago knows nothing.
fn replace_identity(world: &World) {
    world.azure.update(|azure| {
        let cluster = azure.cluster_mut("prod").unwrap();
        let group = cluster.node_resource_group.clone();
        let identity = KubeletIdentity::named(&cluster.subscription_id, &group, "next", NEXT);
        cluster.kubelet_identity = Some(identity);
    });
}

async fn until_next_has_role(world: &World) {
    world
        .until("the role of the next identity", || async {
            world.pull_assignments().iter().any(|it| it.principal_id == NEXT).then_some(())
        })
        .await;
}

/// The cluster was read for an attachment, and then its kubelet identity was replaced.
async fn with_a_replaced_identity() -> World {
    let world =
        World::with(|_| {}, |settings| settings.intervals.resync = SignedDuration::from_mins(30))
            .await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    replace_identity(&world);
    world
}

#[rstest::rstest]
#[case::a_request(json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "now"}}}))]
#[case::a_new_generation(json!({"spec": {"deletionPolicy": "Orphan"}}))]
#[tokio::test]
async fn the_cluster_is_read_anew_although_it_was_read_a_moment_ago(#[case] patch: Value) {
    let world = with_a_replaced_identity().await;
    world.patch("a", patch).await;
    until_next_has_role(&world).await;
}

#[tokio::test]
async fn a_new_attachment_takes_nothing_that_was_read_before_it_was_made() {
    let world = with_a_replaced_identity().await;
    world.apply("b", world.spec()).await;
    until_next_has_role(&world).await;
}

//! Transitions: what changes without an event is checked more often than the resync.

use azure_sim::model::KubeletIdentity;
use jiff::SignedDuration;

use crate::support::World;

const NEXT: &str = "44444444-4444-4444-8444-444444444444";

/// Nothing but the transition brings the operator back in time.
#[tokio::test]
async fn a_cluster_that_settles_is_noticed_long_before_the_resync() {
    let world = World::with(
        |_| {},
        |settings| {
            settings.intervals.resync = SignedDuration::from_mins(30);
            settings.intervals.reread = SignedDuration::from_mins(30);
            settings.intervals.removal_delay = SignedDuration::ZERO;
            settings.intervals.transition = SignedDuration::from_secs(1);
        },
    )
    .await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.azure.update(|azure| {
        let cluster = azure.cluster_mut("prod").unwrap();
        let group = cluster.node_resource_group.clone();
        let identity = KubeletIdentity::named(&cluster.subscription_id, &group, "next", NEXT);
        cluster.kubelet_identity = Some(identity);
        cluster.agent_pools[0].provisioning_state = "Upgrading".into();
    });
    world
        .until("both roles", || async { (world.pull_assignments().len() == 2).then_some(()) })
        .await;
    world.azure.update(|azure| {
        azure.cluster_mut("prod").unwrap().agent_pools[0].provisioning_state = "Succeeded".into();
    });
    world
        .until("the former role to go", || async {
            let held = world.pull_assignments();
            (held.len() == 1 && held[0].principal_id == NEXT).then_some(())
        })
        .await;
}

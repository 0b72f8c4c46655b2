//! Two clusters whose nodes pull with one identity share its role assignment, and neither takes it
//! from the other.

use azure_sim::{Call, Effect, Fault};
use jiff::SignedDuration;

use crate::support::World;

/// The claims on the one assignment that there is.
fn claims(world: &World) -> Vec<String> {
    let held = world.pull_assignments();
    assert!(held.len() <= 1, "{held:?}");
    let description = held.first().and_then(|it| it.description.clone()).unwrap_or_default();
    let list = description.trim_start_matches("acr-attach claims: ");
    list.split(',').map(str::to_owned).filter(|it| !it.is_empty()).collect()
}

async fn until_claims(world: &World, count: usize) {
    let what = format!("{count} claims");
    world.until(&what, || async { (claims(world).len() == count).then_some(()) }).await;
}

#[tokio::test]
async fn an_attachment_of_one_name_in_two_clusters_is_two_attachments() {
    let mut here = World::new().await;
    let there = World::beside(&here).await;
    here.apply("a", here.spec()).await;
    there.apply("a", there.spec()).await;
    let (ours, theirs) = (here.until_ready("a").await, there.until_ready("a").await);
    assert_ne!(ours.claim, theirs.claim);
    until_claims(&here, 2).await;

    // Neither a restart nor a look writes anything.
    let writes = here.azure_writes();
    here.stop().await;
    here.start().await;
    here.until_calls(Call::ListRoleAssignments, 4).await;
    assert_eq!(here.azure_writes(), writes);

    here.delete("a").await;
    here.until_gone("a").await;
    assert_eq!(claims(&there), [theirs.claim.unwrap()]);
    there.until_ready("a").await;
    there.delete("a").await;
    there.until_gone("a").await;
    assert_eq!(claims(&there), Vec::<String>::new());
}

#[tokio::test]
async fn a_claim_that_the_other_cluster_overwrote_in_the_same_moment_is_put_back() {
    let here =
        World::with(|_| {}, |settings| settings.intervals.resync = SignedDuration::from_secs(5))
            .await;
    let there = World::beside(&here).await;
    // Both have listed nothing before either has made it.
    let delay = Effect::Delay { milliseconds: 3_000 };
    here.azure.fault(Fault::new(Call::PutRoleAssignment, delay).times(2));
    tokio::join!(here.apply("a", here.spec()), there.apply("a", there.spec()));
    here.until_ready("a").await;
    there.until_ready("a").await;
    until_claims(&here, 2).await;
    assert_eq!(here.calls(Call::DeleteRoleAssignment), 0);
}

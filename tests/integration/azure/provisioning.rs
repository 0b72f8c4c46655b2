//! What Azure is doing to a registry, and what that means for those who pull from it.

use azure_sim::Call;

use crate::support::{World, find, message};

fn set_state(world: &World, state: &str) {
    world.azure.update(|azure| {
        azure.registry_mut("contoso").unwrap().provisioning_state = state.into();
    });
}

#[rstest::rstest]
#[case("Updating")]
#[case("")]
#[tokio::test]
async fn a_registry_that_is_updated_or_tells_no_state_stays_attached(#[case] state: &str) {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    let before = world.until_ready("a").await;
    set_state(&world, state);
    world.until_calls(Call::GetRegistry, 3).await;
    assert_eq!(world.status("a").await.conditions, before.conditions);
    world.apply("b", world.spec()).await;
    world.until_ready("b").await;
}

#[rstest::rstest]
#[case("Failed")]
#[case("Canceled")]
#[tokio::test]
async fn a_registry_whose_last_change_failed_is_used_and_says_so(#[case] state: &str) {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    set_state(&world, state);
    let text = format!("provisioningState is {state}: its last change did not succeed");
    let status = world
        .until("the remark", || async {
            let status = world.status("a").await;
            message(&status).contains(&text).then_some(status)
        })
        .await;
    assert_eq!(find(&status, "Ready").unwrap().0, "True");
    assert!(message(&status).contains("az acr update --name contoso"), "{}", message(&status));
    world.apply("b", world.spec()).await;
    world.until_ready("b").await;
    set_state(&world, "Succeeded");
    world
        .until("the remark to go", || async {
            (!message(&world.status("a").await).contains(&text)).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_registry_that_is_being_deleted_is_not_ready_and_keeps_its_role() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    set_state(&world, "Deleting");
    let status = world.until_reason("a", "Ready", "Propagating").await;
    let text = message(&status);
    assert!(text.contains("its provisioningState is Deleting"), "{text}");
    assert!(text.contains("delete this attachment, or create the registry again"), "{text}");
    world.until_reason("a", "Stalled", "Propagating").await;
    assert_eq!(world.pull_assignments().len(), 1);
    world.delete("a").await;
    world.until_gone("a").await;
    assert!(world.pull_assignments().is_empty());
}

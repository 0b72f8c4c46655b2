//! What no role helps against: deny assignments, and subscriptions that are disabled or unregistered.

use azure_sim::model::{DEFAULT_SUBSCRIPTION, DenyAssignment};

use crate::world::World;

const NAME: &str = "b8aca42d-f5a1-511f-8f55-2bf8850d7ddb";

#[tokio::test]
async fn a_deny_assignment_strikes_everybody_that_it_does_not_exclude() {
    let world = World::new().await;
    let operator = world.operator.object_id.clone();
    let denial = DenyAssignment {
        id: "6e1f0ce95642acaf15775e7f2b8011aa".into(),
        name: "Deny assignment '6e1f' created by Deployment Stack '/subscriptions/s/x'".into(),
        scope: format!("/subscriptions/{DEFAULT_SUBSCRIPTION}"),
        actions: vec!["*/write".into(), "*/delete".into()],
        excluded_principals: Vec::new(),
    };
    world.sim.update(|it| it.deny_assignments.push(denial.clone()));
    let refused = world.put(NAME, world.grant()).await;
    let message = refused.expect_error(403, "DenyAssignmentAuthorizationFailed");
    let end = format!(
        "; however, the access is denied because of the deny assignment with name '{}' and Id \
         '{}' at scope '{}'.",
        denial.name, denial.id, denial.scope
    );
    assert!(message.contains("has permission to perform action") && message.ends_with(&end));
    world.get(&format!("{}?api-version=2025-11-01", world.registry.id())).await.expect(200);

    world.sim.update(|it| it.deny_assignments[0].excluded_principals.push(operator));
    world.put(NAME, world.grant()).await.expect(201);
}

#[tokio::test]
async fn a_disabled_subscription_can_be_read_and_not_written() {
    let world = World::new().await;
    let disable = |on| {
        world.sim.update(|it| it.subscription_mut(DEFAULT_SUBSCRIPTION).unwrap().disabled = on);
    };
    disable(true);
    world.get(&format!("{}?api-version=2025-11-01", world.registry.id())).await.expect(200);
    let refused = world.put(NAME, world.grant()).await;
    let message = refused.expect_error(409, "ReadOnlyDisabledSubscription");
    assert!(message.contains("is disabled and therefore marked as read only"), "{message}");
    disable(false);
    world.put(NAME, world.grant()).await.expect(201);
}

#[tokio::test]
async fn a_subscription_knows_only_what_it_is_registered_for() {
    let world = World::new().await;
    world.sim.update(|it| {
        let known = it.subscription_mut(DEFAULT_SUBSCRIPTION).unwrap();
        known.unregistered.push("Microsoft.ContainerRegistry".into());
    });
    let registry = world.get(&format!("{}?api-version=2025-11-01", world.registry.id())).await;
    let message = registry.expect_error(409, "MissingSubscriptionRegistration");
    assert!(message.contains("namespace 'Microsoft.ContainerRegistry'"), "{message}");
    world.get(&format!("{}?api-version=2025-02-01", world.cluster.id())).await.expect(200);
    world.put(NAME, world.grant()).await.expect(201);
}

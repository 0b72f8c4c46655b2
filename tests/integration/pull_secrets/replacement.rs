//! What replaces what: another name, or a role in place of pull secrets and the other way round.

use azure_sim::{Call, Fault};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::renewal::{by_id, often, until_renewed};
use crate::support::secrets::login;
use crate::support::{World, find};

/// An attachment by pull secret in one namespace whose credential lives `life` seconds, and that a role is
/// yet to replace: Azure refuses to assign one. Returns the namespace and the spec.
async fn replaced_by_a_refused_role(life: u32) -> (World, String, Value) {
    let world = World::with_pull_secrets(often).await;
    world.azure.update(|azure| azure.settings.token_lifetimes.registry_refresh = life);
    let one = world.namespace_with("one", json!({})).await;
    let mut spec = by_id(&world, &json!({"names": [one]}));
    world.apply("a", spec.clone()).await;
    world.until_ready("a").await;
    world.azure.fault(Fault::error(Call::PutRoleAssignment, 403, "AuthorizationFailed", "x"));
    spec["method"] = "KubeletIdentity".into();
    spec["kubeletIdentity"] = world.spec()["kubeletIdentity"].clone();
    world.apply("a", spec.clone()).await;
    world.until_reason("a", "Ready", "AccessDenied").await;
    (world, one, spec)
}

/// Waits until the credential of a namespace was renewed once more.
async fn until_renewed_once_more(world: &World, namespace: &str) {
    let before = login(&world.until_secret(namespace, "acr-pull").await);
    until_renewed(world, namespace, &before).await;
}

#[tokio::test]
async fn another_name_replaces_the_old_one_without_a_gap() {
    let world = World::with_pull_secrets(|settings| {
        often(settings);
        // So that both are seen.
        settings.intervals.removal_delay = SignedDuration::from_secs(15);
        settings.policy.secret_names = "acr-pull,other".parse().unwrap();
    })
    .await;
    let one = world.namespace_with("one", json!({})).await;
    let mut spec = world.pull_spec(&json!({"names": [one]}));
    world.apply("a", spec.clone()).await;
    world.until_ready("a").await;
    world.until_pull_secrets_of(&one, "default", &["acr-pull"]).await;
    spec["pullSecret"]["secretName"] = "other".into();
    world.apply("a", spec).await;
    world.until_pull_secrets_of(&one, "default", &["acr-pull", "other"]).await;
    world.until_secret(&one, "other").await;
    world.until_secret(&one, "acr-pull").await;
    world.until_pull_secrets_of(&one, "default", &["other"]).await;
    world.until_no_secret(&one, "acr-pull").await;
    world.until_ready("a").await;
    world.until_event("a", "Normal", "PullSecretDeleted").await;
    world.until_event("a", "Normal", "ServiceAccountDetached").await;
}

#[tokio::test]
async fn what_a_role_is_yet_to_replace_is_still_renewed() {
    let (world, one, _) = replaced_by_a_refused_role(6).await;
    for _ in 0..2 {
        until_renewed_once_more(&world, &one).await;
    }
    world.azure.clear_faults();
    world.until_ready("a").await;
    world.until_no_secret(&one, "acr-pull").await;
}

#[tokio::test]
async fn what_a_role_is_yet_to_replace_is_renewed_while_the_attachment_is_suspended() {
    let (mut world, one, mut spec) = replaced_by_a_refused_role(8).await;
    spec["suspend"] = true.into();
    world.apply("a", spec).await;
    world.until_reason("a", "Ready", "Suspended").await;
    until_renewed_once_more(&world, &one).await;
    // What the operator knows of the registry after a start is what status tells.
    world.stop().await;
    world.start().await;
    until_renewed_once_more(&world, &one).await;
    assert_eq!(find(&world.status("a").await, "Ready").unwrap().1, "Suspended");
    assert_eq!(world.pull_assignments().len(), 1, "the puller's own");
}

#[tokio::test]
async fn a_renewal_that_fails_while_the_attachment_is_suspended_is_tried_again() {
    let (world, one, mut spec) = replaced_by_a_refused_role(8).await;
    spec["suspend"] = true.into();
    world.apply("a", spec).await;
    world.until_reason("a", "Ready", "Suspended").await;
    let outage = Fault::error(Call::RegistryExchange, 503, "UNAVAILABLE", "x");
    world.azure.fault(outage.once());
    let failed = |it: &azure_sim::Entry| {
        it.call == Some(Call::RegistryExchange) && it.status.is_some_and(|it| it == 503)
    };
    world
        .until("a renewal that failed", || async {
            world.azure.journal().iter().any(failed).then_some(())
        })
        .await;
    for _ in 0..2 {
        until_renewed_once_more(&world, &one).await;
    }
}

#[tokio::test]
async fn a_role_stays_while_the_pods_of_a_namespace_cannot_use_the_secret_instead() {
    let world = World::with_pull_secrets(often).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply_pull_secrets_of(&one, &["of-git"]).await;
    world.apply("a", by_id(&world, &json!({"names": [one]}))).await;
    world.until_reason("a", "Ready", "ExternallyManaged").await;
    world.until_secret(&one, "acr-pull").await;
    // Longer than the removal delay.
    world.until_calls(Call::ListRoleAssignments, 3).await;
    assert_eq!(world.pull_assignments().len(), 2, "the puller's own, and ours");
    world.apply_pull_secrets_of(&one, &["of-git", "acr-pull"]).await;
    world.until_ready("a").await;
    world
        .until("the role to be released", || async {
            (world.pull_assignments().len() == 1).then_some(())
        })
        .await;
}

//! Namespaces are served on their own: whatever Azure does, whatever else is wrong with a spec, and
//! whichever namespace refuses.

use acr_attach_core::api::RegistryAttachmentStatus;
use azure_sim::{Call, Effect, Fault};
use jiff::SignedDuration;
use kube::api::PostParams;
use serde_json::json;

use crate::support::secrets::{CLIENT_SECRET, login, with_puller};
use crate::support::{World, find, message};

fn condition(status: &RegistryAttachmentStatus, type_: &str) -> (String, String) {
    let found = find(status, type_).map(|(status, reason, _)| (status.into(), reason.into()));
    found.unwrap_or_default()
}

/// An attachment that finds its registry by its id, with a token that lives for so many seconds.
fn by_id(world: &World, namespaces: &serde_json::Value) -> serde_json::Value {
    let mut spec = world.pull_spec(namespaces);
    spec["registry"] = world.spec()["registry"].clone();
    spec
}

#[tokio::test]
async fn a_new_namespace_has_its_entry_while_azure_hangs() {
    let world = World::with_pull_secrets(|settings| {
        settings.policy.account_names = "default,builder".parse().unwrap();
    })
    .await;
    for call in [Call::Token, Call::RegistryExchange, Call::GetRegistry] {
        world.azure.fault(Fault::new(call, Effect::Hang));
    }
    let (one, team) = (world.namespace_with("one", json!({})).await, world.team("x"));
    let chosen = json!({"names": [one], "selector": {"matchLabels": {"team": team}}});
    let mut spec = by_id(&world, &chosen);
    spec["pullSecret"]["serviceAccounts"] = json!(["default", "builder"]);
    world.apply("a", spec).await;
    world.until_pull_secrets_of(&one, "default", &["acr-pull"]).await;
    // The first call still hangs, and nothing of Azure is known.
    let two = world.namespace_with("two", json!({"team": team})).await;
    world.until_pull_secrets_of(&two, "default", &["acr-pull"]).await;
    let builder = serde_json::from_value(json!({"metadata": {"name": "builder"}})).unwrap();
    world.accounts(&two).create(&PostParams::default(), &builder).await.unwrap();
    world.until_pull_secrets_of(&two, "builder", &["acr-pull"]).await;
    assert!(world.secrets(&two).get_opt("acr-pull").await.unwrap().is_none());
    world.azure.clear_faults();
    world.until_secret(&two, "acr-pull").await;
}

/// Waits until the token in a namespace was renewed so often.
async fn until_lives(world: &World, namespace: &str, lives: usize) {
    for _ in 0..lives {
        let before = login(&world.until_secret(namespace, "acr-pull").await);
        world
            .until("another credential", || async {
                let found = world.secrets(namespace).get("acr-pull").await.unwrap();
                (login(&found) != before).then_some(())
            })
            .await;
    }
}

#[tokio::test]
async fn three_lives_of_a_token_are_renewed_under_a_spec_that_has_become_invalid() {
    let world = World::with_pull_secrets(|_| {}).await;
    world.azure.update(|azure| azure.settings.token_lifetimes.registry_refresh = 8);
    let (one, team) = (world.namespace_with("one", json!({})).await, world.team("x"));
    let chosen = json!({"names": [one], "selector": {"matchLabels": {"team": team}}});
    let mut spec = by_id(&world, &chosen);
    world.apply("a", spec.clone()).await;
    world.until_ready("a").await;
    // The registry has no repository permissions.
    spec["repositories"] = json!(["team-a/*"]);
    world.apply("a", spec).await;
    let status = world.until_ready_is("a", "False").await;
    assert_eq!(condition(&status, "CredentialFresh").0, "True", "{}", message(&status));
    until_lives(&world, &one, 3).await;
    let two = world.namespace_with("two", json!({"team": team})).await;
    world.until_secret(&two, "acr-pull").await;
    world.until_pull_secrets_of(&two, "default", &["acr-pull"]).await;
    assert_eq!(condition(&world.status("a").await, "Ready").0, "False");
}

#[tokio::test]
async fn three_lives_of_a_token_are_renewed_under_a_setting_that_forbids_a_service_account() {
    let mut world = World::with_pull_secrets(|settings| {
        settings.policy.account_names = "default,builder".parse().unwrap();
    })
    .await;
    world.azure.update(|azure| azure.settings.token_lifetimes.registry_refresh = 8);
    let (one, team) = (world.namespace_with("one", json!({})).await, world.team("x"));
    let chosen = json!({"names": [one], "selector": {"matchLabels": {"team": team}}});
    let mut spec = world.pull_spec(&chosen);
    spec["pullSecret"]["serviceAccounts"] = json!(["default", "builder"]);
    world.apply("a", spec).await;
    world.until_ready("a").await;
    world.stop().await;
    world.settings.policy.account_names = "default".parse().unwrap();
    world.start().await;
    let status = world.until_reason("a", "Ready", "NotAllowed").await;
    assert!(message(&status).contains("builder"), "{}", message(&status));
    until_lives(&world, &one, 3).await;
    assert_eq!(condition(&world.status("a").await, "CredentialFresh").0, "True");
    // Nothing new is done for a spec that is not allowed.
    let two = world.namespace_with("two", json!({"team": team})).await;
    until_lives(&world, &one, 1).await;
    assert!(world.secrets(&two).get_opt("acr-pull").await.unwrap().is_none());
}

#[tokio::test]
async fn what_may_not_be_served_any_more_is_left_alone_and_its_end_is_told() {
    let mut world = World::with(with_puller, |settings| {
        settings.policy.secret_names = "acr-pull,other".parse().unwrap();
    })
    .await;
    world.put_client_secret(CLIENT_SECRET).await;
    let one = world.namespace_with("one", json!({})).await;
    let mut spec = world.pull_spec(&json!({"names": [one]}));
    spec["pullSecret"]["secretName"] = "other".into();
    world.apply("a", spec).await;
    world.until_ready("a").await;
    let before = login(&world.until_secret(&one, "other").await);
    let expires = world.status("a").await.pull_secret.unwrap().expires_at.unwrap();
    world.stop().await;
    // The registry may not be attached any more; the names still may be used.
    world.settings.policy.registries = "fabrikam.azurecr.io".parse().unwrap();
    world.start().await;
    let status = world.until_reason("a", "CredentialFresh", "NotAllowed").await;
    let (is, _, text) = find(&status, "CredentialFresh").unwrap();
    assert!(is == "False" && text.contains(&format!("is good until {expires}")), "{text}");
    assert_eq!(login(&world.until_secret(&one, "other").await), before);
    assert_eq!(world.pull_secrets_of(&one, "default").await, ["other"]);
}

#[tokio::test]
async fn detaching_right_after_a_start_takes_out_what_was_added_before() {
    let mut world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_ready("a").await;
    world.until_pull_secrets_of(&one, "default", &["acr-pull"]).await;
    world.stop().await;
    world.delete("a").await;
    world.start().await;
    world.until_gone("a").await;
    assert!(world.pull_secrets_of(&one, "default").await.is_empty());
}

#[tokio::test]
async fn the_older_of_two_attachments_keeps_a_name_and_leaves_it_to_the_other_in_place() {
    let world = World::with_pull_secrets(|settings| {
        settings.intervals.conflict_retry = SignedDuration::from_hours(1);
    })
    .await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_ready("a").await;
    world.apply("b", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_reason("b", "Stalled", "NotOurs").await;
    world.delete("a").await;
    world.until_gone("a").await;
    world.until_ready("b").await;
    assert_eq!(world.pull_secrets_of(&one, "default").await, ["acr-pull"]);
    let secret = world.until_secret(&one, "acr-pull").await;
    let owners = secret.metadata.owner_references.unwrap_or_default();
    assert!(owners.iter().any(|it| it.name == world.name("b")), "{owners:?}");
}

//! A pull secret from the creation of its attachment to the end.

use azure_sim::Call;
use control_plane::audit::AuditEvent;
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::json;

use crate::support::secrets::{CLIENT_SECRET, login, puller};
use crate::support::{World, find, message};

#[tokio::test]
async fn a_named_namespace_gets_a_token_that_the_registry_takes() {
    let world = World::with_pull_secrets(|_| {}).await;
    let namespace = world.namespace_with("apps", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [namespace]}))).await;
    let status = world.until_ready("a").await;
    let secret = world.until_secret(&namespace, "acr-pull").await;
    assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/dockerconfigjson"));
    let (user, token) = login(&secret);
    assert_eq!(user, "00000000-0000-0000-0000-000000000000");
    assert!(!token.is_empty() && token != CLIENT_SECRET);
    world.until_pull_secrets_of(&namespace, "default", &["acr-pull"]).await;
    let shown = status.pull_secret.clone().unwrap();
    assert_eq!(shown.served.as_deref(), Some("1/1"));
    assert!(shown.expires_at.is_some() && shown.renew_at.is_some());
    assert_eq!(find(&status, "PullSecretsReady").unwrap().0, "True");
    assert_eq!(find(&status, "CredentialFresh").unwrap().0, "True");
    assert_eq!(find(&status, "AccessGranted"), None);
    assert!(message(&status).starts_with("contoso.azurecr.io can be pulled from"));
    assert_eq!((world.calls(Call::Token), world.calls(Call::RegistryExchange)), (1, 1));

    let uid = world.attachments().get(&world.name("a")).await.unwrap().uid();
    let owner = &secret.owner_references()[0];
    assert_eq!((Some(&owner.uid), owner.block_owner_deletion), (uid.as_ref(), None));

    world.delete("a").await;
    world.until_gone("a").await;
    world.until_pull_secrets_of(&namespace, "default", &[]).await;
    world.until_no_secret(&namespace, "acr-pull").await;
}

#[tokio::test]
async fn a_client_secret_is_written_as_kubectl_would() {
    let world = World::with_pull_secrets(|_| {}).await;
    let namespace = world.namespace_with("apps", json!({})).await;
    let mut spec = world.pull_spec(&json!({"names": [namespace]}));
    spec["pullSecret"]["credential"] = "ClientSecret".into();
    world.apply("a", spec).await;
    let status = world.until_ready("a").await;
    let client = world.azure.read(|azure| puller(azure).client_id).unwrap();
    let secret = world.until_secret(&namespace, "acr-pull").await;
    assert_eq!(login(&secret), (client, CLIENT_SECRET.to_owned()));
    assert_eq!(status.pull_secret.unwrap().expires_at, None);
    assert_eq!(world.calls(Call::RegistryExchange), 0);
}

#[tokio::test]
async fn a_newly_labelled_namespace_gets_the_same_credential_without_a_call_to_azure() {
    let world = World::with_pull_secrets(|_| {}).await;
    let first = world.namespace_with("one", json!({"team": world.id})).await;
    let second = world.namespace_with("two", json!({})).await;
    let choice = json!({"selector": {"matchLabels": {"team": world.id}}});
    world.apply("a", world.pull_spec(&choice)).await;
    world.until_ready("a").await;
    let before = login(&world.until_secret(&first, "acr-pull").await);
    let calls = world.azure.journal().len();
    world.namespace_with("two", json!({"team": world.id})).await;
    let secret = world.until_secret(&second, "acr-pull").await;
    world.until_pull_secrets_of(&second, "default", &["acr-pull"]).await;
    assert_eq!(login(&secret), before);
    assert_eq!(world.azure.journal().len(), calls);

    // It leaves again, and takes everything with it.
    world.namespace_with("two", json!({})).await;
    world.until_no_secret(&second, "acr-pull").await;
    world.until_pull_secrets_of(&second, "default", &[]).await;
    world.until_secret(&first, "acr-pull").await;
}

#[tokio::test]
async fn a_deleted_secret_comes_back() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_ready("a").await;
    let uid = world.delete_secret(&one, "acr-pull").await;
    let api = world.secrets(&one);
    world
        .until("another Secret", || async {
            let found = api.get_opt("acr-pull").await.unwrap();
            found.is_some_and(|it| it.uid() != Some(uid.clone())).then_some(())
        })
        .await;
    world.until_event("a", "Warning", "PullSecretRestored").await;
}

#[tokio::test]
async fn a_restart_with_good_secrets_calls_nobody_and_writes_nothing() {
    let mut world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_ready("a").await;
    world.until_pull_secrets_of(&one, "default", &["acr-pull"]).await;
    world.stop().await;
    let (calls, stopped) = (world.azure.journal().len(), Timestamp::now());
    world.start().await;
    world
        .until("a pass", || async {
            let text = world.page("/metrics").await.1;
            let line = r#"controller_runtime_reconcile_total{controller="registryattachment",result="success"}"#;
            text.contains(line).then_some(())
        })
        .await;
    // Whatever follows the first pass has time while another attachment comes and goes.
    world.apply("b", world.spec()).await;
    world.until_ready("b").await;
    world.delete("b").await;
    world.until_gone("b").await;
    let journal = world.azure.journal();
    let at_registries = |it: &&azure_sim::Entry| {
        matches!(it.call, Some(Call::RegistryExchange | Call::RegistryToken))
    };
    assert_eq!(journal[calls..].iter().filter(at_registries).count(), 0);
    let written = world.writes();
    let b = world.name("b");
    let is_new = |it: &&AuditEvent| it.time > stopped && it.name != b && it.resource != "events";
    let written: Vec<_> = written.iter().filter(is_new).collect();
    assert!(written.is_empty(), "{written:#?}");
}

#[tokio::test]
async fn a_wrong_client_secret_is_told_and_a_right_one_is_taken_at_once() {
    let world = World::with_pull_secrets(|_| {}).await;
    world.put_client_secret("wrong").await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    let status = world.until_reason("a", "Ready", "AuthenticationFailed").await;
    assert!(message(&status).contains("AADSTS7000215"), "{}", message(&status));
    assert!(message(&status).contains("Secret puller in namespace"), "{}", message(&status));
    assert!(world.secrets(&one).get_opt("acr-pull").await.unwrap().is_none());
    world.put_client_secret(CLIENT_SECRET).await;
    world.until_ready("a").await;
}

#[tokio::test]
async fn a_wrong_new_client_secret_leaves_the_good_pull_secrets() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_ready("a").await;
    let before = login(&world.until_secret(&one, "acr-pull").await);
    world.put_client_secret("wrong").await;
    let status = world.until_reason("a", "CredentialFresh", "AuthenticationFailed").await;
    assert_eq!(find(&status, "Ready").unwrap().0, "True");
    assert_eq!(login(&world.until_secret(&one, "acr-pull").await), before);
}

#[tokio::test]
async fn a_strangers_secret_is_left_alone_until_it_goes() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    let stranger = world.put_secret(&one, "acr-pull", json!({"mine": "keep"})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    let status = world.until_reason("a", "Stalled", "NotOurs").await;
    assert!(message(&status).contains("did not make"), "{}", message(&status));
    let found = world.secrets(&one).get("acr-pull").await.unwrap();
    assert_eq!(found.resource_version(), stranger.resource_version());
    assert!(world.pull_secrets_of(&one, "default").await.is_empty());
    world.delete_secret(&one, "acr-pull").await;
    world.until_ready("a").await;
}

#[tokio::test]
async fn a_missing_namespace_is_counted_and_served_when_it_comes() {
    let world = World::with_pull_secrets(|_| {}).await;
    let there = world.namespace_with("one", json!({})).await;
    let missing = world.team("two");
    world.apply("a", world.pull_spec(&json!({"names": [there, missing]}))).await;
    let status = world.until_ready("a").await;
    assert_eq!(status.pull_secret.as_ref().unwrap().served.as_deref(), Some("1/2"));
    assert!(message(&status).contains("does not exist yet"), "{}", message(&status));
    world.namespace_with("two", json!({})).await;
    world.until_secret(&missing, "acr-pull").await;
}

#[tokio::test]
async fn tokens_are_renewed_at_half_their_life_in_place() {
    let world = World::with_pull_secrets(|_| {}).await;
    world.azure.update(|azure| azure.settings.token_lifetimes.registry_refresh = 6);
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_ready("a").await;
    let first = world.until_secret(&one, "acr-pull").await;
    let api = world.secrets(&one);
    let second = world
        .until("a renewed token", || async {
            let found = api.get("acr-pull").await.unwrap();
            (login(&found) != login(&first)).then_some(found)
        })
        .await;
    assert_eq!(first.uid(), second.uid());
    world.until_event("a", "Normal", "PullSecretRotated").await;
}

#[tokio::test]
async fn after_a_restart_a_new_namespace_is_served_and_no_other_is_written() {
    let mut world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({"team": world.id})).await;
    let by_label = json!({"selector": {"matchLabels": {"team": world.id}}});
    world.apply("a", world.pull_spec(&by_label)).await;
    world.until_ready("a").await;
    world.until_pull_secrets_of(&one, "default", &["acr-pull"]).await;
    let before = world.until_secret(&one, "acr-pull").await;
    world.stop().await;
    world.start().await;
    let two = world.namespace_with("two", json!({"team": world.id})).await;
    let late = world.until_secret(&two, "acr-pull").await;
    world.until_pull_secrets_of(&two, "default", &["acr-pull"]).await;
    // Nobody knows any more what the first one holds, so that it is neither copied nor replaced.
    assert_ne!(login(&late), login(&before));
    let after = world.until_secret(&one, "acr-pull").await;
    assert_eq!(after.resource_version(), before.resource_version());
    world.until_ready("a").await;
}

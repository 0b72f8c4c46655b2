//! What a registry says of a credential, and what does not disturb a wait.

use acr_attach::settings::Settings;
use azure_sim::model::{REPOSITORY_READER, RoleAssignmentMode};
use azure_sim::{Call, Fault};
use jiff::SignedDuration;
use kube::api::{Api, DeleteParams};
use serde_json::json;

use crate::support::secrets::{CLIENT_SECRET, login, puller};
use crate::support::{World, find, message};

/// Looks often at what holds.
fn often(settings: &mut Settings) {
    settings.intervals.resync = SignedDuration::from_secs(2);
}

/// The spec with the registry by its id, so that its mode is known.
fn by_id(world: &World, namespace: &str) -> serde_json::Value {
    let mut spec = world.pull_spec(&json!({"names": [namespace]}));
    spec["registry"] = world.spec()["registry"].clone();
    spec
}

fn switch(world: &World, mode: RoleAssignmentMode, with_role: bool) {
    world.azure.update(|azure| {
        let id = azure.find_registry("contoso").unwrap().id();
        azure.registry_mut(&id).unwrap().role_assignment_mode = mode;
        if with_role {
            let puller = puller(azure);
            azure.assign(&puller, REPOSITORY_READER, &id);
        }
    });
}

#[tokio::test]
async fn in_abac_mode_a_login_is_no_proof() {
    let world = World::with_pull_secrets(|_| {}).await;
    switch(&world, RoleAssignmentMode::AbacRepositoryPermissions, false);
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", by_id(&world, &one)).await;
    let status = world.until_ready("a").await;
    assert!(message(&status).contains("not proven"), "{}", message(&status));

    let two = world.namespace_with("two", json!({})).await;
    switch(&world, RoleAssignmentMode::AbacRepositoryPermissions, true);
    let mut spec = by_id(&world, &two);
    spec["pullSecret"]["credential"] = "ClientSecret".into();
    world.apply("b", spec).await;
    let status = world.until_ready("b").await;
    assert!(!message(&status).contains("not proven"), "{}", message(&status));
}

#[tokio::test]
async fn where_anybody_may_pull_nothing_is_proven() {
    let world = World::with_pull_secrets(|_| {}).await;
    world.azure.update(|azure| {
        let id = azure.find_registry("contoso").unwrap().id();
        let registry = azure.registry_mut(&id).unwrap();
        registry.anonymous_pull_enabled = true;
        // The one that is asked for exists here, so that anybody may pull it.
        registry.repositories.push(azure_sim::model::Repository {
            name: "acr-attach-probe".into(),
            tags: Vec::new(),
        });
    });
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    let status = world.until_ready("a").await;
    assert!(message(&status).contains("anybody may pull"), "{}", message(&status));
}

#[tokio::test]
async fn a_proof_that_breaks_off_proves_nothing() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    // The first request for access is with the credential, the second without.
    let broken = Fault::error(Call::RegistryToken, 503, "UNAVAILABLE", "x");
    let slow = azure_sim::Effect::Delay { milliseconds: 1 };
    world.azure.fault(Fault::new(Call::RegistryToken, slow).once());
    world.azure.fault(broken);
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_reason("a", "Ready", "Unavailable").await;
    assert!(world.secrets(&one).get_opt("acr-pull").await.unwrap().is_none());
}

#[tokio::test]
async fn a_switch_of_the_mode_by_somebody_else_is_followed_at_the_next_look() {
    let world = World::with_pull_secrets(often).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", by_id(&world, &one)).await;
    world.until_ready("a").await;
    let before = login(&world.until_secret(&one, "acr-pull").await);
    switch(&world, RoleAssignmentMode::AbacRepositoryPermissions, true);
    world
        .until("another token", || async {
            (login(&world.secrets(&one).get("acr-pull").await.unwrap()) != before).then_some(())
        })
        .await;
}

/// A proxy on the way answers in the registry's place, for as long as it likes, or the registry fails.
#[rstest::rstest]
#[case(403)]
#[case(404)]
#[case(503)]
#[tokio::test]
async fn a_proof_that_fails_says_nothing_of_a_credential_that_was_accepted(#[case] status: u16) {
    let world = World::with_pull_secrets(often).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_ready("a").await;
    let before = login(&world.until_secret(&one, "acr-pull").await);
    let elsewhere = Fault::error(Call::RegistryToken, status, "FORBIDDEN", "by a proxy");
    world.azure.fault(elsewhere);
    let said = |word: &'static str, there: bool| {
        let world = &world;
        async move {
            world
                .until(&format!("a message with or without {word}"), || async {
                    let status = world.status("a").await;
                    assert_eq!(find(&status, "Ready").unwrap().0, "True", "{status:?}");
                    assert_eq!(find(&status, "Stalled"), None);
                    (message(&status).contains(word) == there).then_some(())
                })
                .await;
        }
    };
    said("not proven again now", true).await;
    // Longer than the patience, and more looks than may be missed.
    world.until_calls(Call::RegistryToken, 4).await;
    said("not proven again now", true).await;
    assert_eq!(login(&world.secrets(&one).get("acr-pull").await.unwrap()), before);
    world.azure.clear_faults();
    said("not proven again now", false).await;
}

#[tokio::test]
async fn a_credential_that_cannot_be_proven_is_good_until_it_ends_and_no_longer() {
    let world = World::with_pull_secrets(often).await;
    world.azure.update(|azure| azure.settings.token_lifetimes.registry_refresh = 20);
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    let status = world.until_ready("a").await;
    for call in [Call::RegistryToken, Call::RegistryExchange] {
        world.azure.fault(Fault::error(call, 503, "UNAVAILABLE", "x"));
    }
    let end = status.pull_secret.unwrap().expires_at.unwrap();
    let status = world
        .until("Ready to turn", || async {
            let status = world.status("a").await;
            (find(&status, "Ready").unwrap().0 != "True").then_some(status)
        })
        .await;
    assert!(jiff::Timestamp::now() >= end.parse().unwrap(), "{end}: {status:?}");
    assert_eq!(find(&status, "Ready").unwrap().0, "False", "{status:?}");
}

#[tokio::test]
async fn a_token_that_the_registry_voided_is_replaced_at_the_next_look() {
    let world = World::with_pull_secrets(often).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_ready("a").await;
    let before = login(&world.until_secret(&one, "acr-pull").await);
    world.azure.expire_tokens();
    world
        .until("another token", || async {
            (login(&world.secrets(&one).get("acr-pull").await.unwrap()) != before).then_some(())
        })
        .await;
}

/// Neither events of the cluster nor a new client secret: on a busy machine the watch shows the Secret
/// only after a pass has used it.
#[tokio::test]
async fn nothing_in_the_cluster_puts_off_or_hastens_what_azure_asked_to_wait_for() {
    const PAUSE: u32 = 20;
    let world = World::with_pull_secrets(|_| {}).await;
    world.azure.fault(Fault::throttled(Call::RegistryExchange, PAUSE).once());
    let one = world.namespace_with("one", json!({"team": world.id})).await;
    let choice = json!({"names": [one], "selector": {"matchLabels": {"team": world.id}}});
    world.apply("a", world.pull_spec(&choice)).await;
    world.until_reason("a", "Ready", "Throttled").await;
    let more = json!({"clientSecret": CLIENT_SECRET, "more": "than that"});
    world.put_secret(&world.namespace(), "puller", more).await;
    // Each of these is an event that concerns the attachment.
    let what = "Ready, while namespaces change all the time";
    world
        .until(what, || async {
            world.namespace_with("other", json!({"at": uuid::Uuid::new_v4().to_string()})).await;
            (find(&world.status("a").await, "Ready")?.0 == "True").then_some(())
        })
        .await;
    let mut journal = world.azure.journal();
    journal.retain(|it| it.call == Some(Call::RegistryExchange));
    let [refused, given] = &journal[..] else { panic!("{journal:#?}") };
    let apart = given.time.duration_since(refused.time);
    assert!(apart >= SignedDuration::from_secs(PAUSE.into()), "{apart:?}");
}

#[tokio::test]
async fn trouble_in_one_namespace_keeps_no_other_from_being_renewed() {
    let world = World::with_pull_secrets(|_| {}).await;
    world.azure.update(|azure| azure.settings.token_lifetimes.registry_refresh = 6);
    let one = world.namespace_with("one", json!({})).await;
    let two = world.namespace_with("two", json!({})).await;
    world.put_secret(&two, "acr-pull", json!({"mine": "keep"})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one, two]}))).await;
    world.until_reason("a", "Stalled", "NotOurs").await;
    let before = login(&world.until_secret(&one, "acr-pull").await);
    world
        .until("a renewed token", || async {
            (login(&world.secrets(&one).get("acr-pull").await.unwrap()) != before).then_some(())
        })
        .await;
}

#[tokio::test]
async fn suspended_it_serves_no_new_namespace_and_asks_nobody() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    let two = world.namespace_with("two", json!({})).await;
    let mut spec = world.pull_spec(&json!({"names": [one]}));
    world.apply("a", spec.clone()).await;
    world.until_ready("a").await;
    spec["suspend"] = true.into();
    spec["pullSecret"]["namespaces"] = json!({"names": [one, two]});
    world.apply("a", spec.clone()).await;
    world
        .until("the new generation to be seen", || async {
            (world.status("a").await.observed_generation == Some(2)).then_some(())
        })
        .await;
    let calls = world.azure.journal().len();
    // Another attachment comes and goes meanwhile: the proof that there was time.
    world.apply("b", world.spec()).await;
    world.until_ready("b").await;
    world.delete("b").await;
    world.until_gone("b").await;
    let journal = world.azure.journal();
    let asked = journal[calls..].iter().filter(|it| it.call == Some(Call::RegistryToken)).count();
    assert_eq!(asked, 0);
    assert!(world.secrets(&two).get_opt("acr-pull").await.unwrap().is_none());
    let status = world.status("a").await;
    assert_eq!(find(&status, "Ready").unwrap().0, "False", "two is not served");
    assert_eq!(status.pull_secret.unwrap().served.as_deref(), Some("1/2"));
    spec["suspend"] = false.into();
    world.apply("a", spec).await;
    world.until_secret(&two, "acr-pull").await;
}

#[tokio::test]
async fn without_pull_secrets_a_role_is_attached_and_detached_as_ever() {
    let world = World::with(|_| {}, |settings| settings.policy.pull_secrets = false).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.delete("a").await;
    world.until_gone("a").await;
    assert!(world.pull_assignments().is_empty());
    let by_us = world.cluster.calls_by(&world.user()).unwrap();
    assert!(!by_us.iter().any(|it| ["secrets", "serviceaccounts"].contains(&it.resource.as_str())));
}

#[tokio::test]
async fn a_namespace_that_is_being_deleted_is_said_and_blocks_nothing() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    let two = world.namespace_with("two", json!({})).await;
    // Something that nobody removes keeps it terminating.
    let manifest = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "stays", "finalizers": ["example.org/stays"]},
    });
    let params = kube::api::PatchParams::apply("user").force();
    let patch = kube::api::Patch::Apply(&manifest);
    world.secrets(&two).patch("stays", &params, &patch).await.unwrap();
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(world.client.clone());
    namespaces.delete(&two, &DeleteParams::default()).await.unwrap();
    world.apply("a", world.pull_spec(&json!({"names": [one, two]}))).await;
    let status = world.until_ready("a").await;
    assert_eq!(status.pull_secret.as_ref().unwrap().served.as_deref(), Some("1/2"));
    assert!(message(&status).contains("is being deleted"), "{}", message(&status));
    let free = json!({"metadata": {"finalizers": null}});
    let patch = kube::api::Patch::Merge(&free);
    let params = kube::api::PatchParams::default();
    world.secrets(&two).patch("stays", &params, &patch).await.unwrap();
}

#[tokio::test]
async fn a_regional_endpoint_is_asked_for_the_service_that_it_names() {
    const REGIONAL: &str = "contoso.westeurope.geo.azurecr.io";
    let world = World::with_pull_secrets(|_| {}).await;
    world.azure.update(|azure| {
        azure.registry_mut("contoso").unwrap().regional_endpoints = vec![REGIONAL.into()];
    });
    let one = world.namespace_with("one", json!({})).await;
    let mut spec = world.pull_spec(&json!({"names": [one]}));
    spec["registry"] = json!({"loginServer": REGIONAL});
    for credential in ["RegistryToken", "ClientSecret"] {
        spec["pullSecret"]["credential"] = credential.into();
        world.apply("a", spec.clone()).await;
        world.until_ready("a").await;
    }
    assert_eq!(world.calls(Call::RegistryPing), 1, "its name is asked for once");
}

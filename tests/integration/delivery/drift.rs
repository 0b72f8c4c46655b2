//! Pull secrets and service accounts that somebody else changes.

use acr_attach_core::api::RegistryAttachment;
use azure_sim::Call;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{LocalObjectReference, Secret, ServiceAccount};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::secrets::login;
use crate::support::{World, find, message};

/// A world with an attachment that is Ready, and the namespace that it serves.
async fn attached() -> (World, String) {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_ready("a").await;
    world.until_pull_secrets_of(&one, "default", &["acr-pull"]).await;
    (world, one)
}

async fn change(world: &World, namespace: &str, patch: &Value) -> Secret {
    let params = PatchParams::default();
    world.secrets(namespace).patch("acr-pull", &params, &Patch::Merge(patch)).await.unwrap()
}

#[tokio::test]
async fn whatever_is_edited_is_put_right_in_place() {
    let (world, one) = attached().await;
    let before = world.until_secret(&one, "acr-pull").await;
    // Three, as others decide from the fourth on.
    let edits = [
        json!({"stringData": {".dockerconfigjson": "{\"auths\":{}}"}}),
        json!({"metadata": {"annotations": {"acr-attach.dev/renew": "2099-01-01T00:00:00Z"}}}),
        json!({"metadata": {
            "labels": {"app.kubernetes.io/managed-by": null},
            "annotations": {"acr-attach.dev/digest": null},
        }}),
    ];
    for edit in edits {
        change(&world, &one, &edit).await;
        let what = format!("the Secret to be put right after {edit}");
        world
            .until(&what, || async {
                let found = world.secrets(&one).get("acr-pull").await.unwrap();
                let renew = found.annotations().get("acr-attach.dev/renew");
                let right = found.annotations().contains_key("acr-attach.dev/digest")
                    && found.labels().get("app.kubernetes.io/managed-by").is_some()
                    && renew.is_some_and(|it| !it.starts_with("2099"))
                    && found.data.as_ref()?[".dockerconfigjson"].0.len() > 100;
                (right && found.uid() == before.uid()).then_some(())
            })
            .await;
    }
    world.until_event("a", "Warning", "PullSecretRestored").await;
    let metrics = world.page("/metrics").await.1;
    assert!(metrics.contains(r#"drift_corrections_total{kind="secret"}"#), "{metrics}");
}

#[tokio::test]
async fn what_others_add_to_a_secret_stays_when_it_is_renewed() {
    let world = World::with_pull_secrets(|_| {}).await;
    world.azure.update(|azure| azure.settings.token_lifetimes.registry_refresh = 8);
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_ready("a").await;
    let theirs = json!({"metadata": {"labels": {"team": "x"}, "annotations": {"note": "y"}}});
    let before = change(&world, &one, &theirs).await;
    let renewed = world
        .until("a renewal", || async {
            let found = world.until_secret(&one, "acr-pull").await;
            (login(&found) != login(&before)).then_some(found)
        })
        .await;
    assert_eq!(renewed.labels().get("team").unwrap(), "x");
    assert_eq!(renewed.annotations().get("note").unwrap(), "y");
    // Nor were they a reason to write it.
    let events = world.events("a").await;
    assert!(events.iter().all(|(_, reason)| reason != "PullSecretRestored"), "{events:?}");
}

#[tokio::test]
async fn a_secret_that_lost_its_owner_is_taken_up_again() {
    let (world, one) = attached().await;
    let before = world.until_secret(&one, "acr-pull").await;
    let name = world.name("a");
    let orphan: RegistryAttachment = world.attachments().get(&name).await.unwrap();
    let params = DeleteParams {
        propagation_policy: Some(kube::api::PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    world.attachments().delete(&name, &params).await.unwrap();
    world.until_gone("a").await;
    let what = "the Secret without an owner";
    world
        .until(what, || async {
            let found = world.secrets(&one).get("acr-pull").await.unwrap();
            found.owner_references().is_empty().then_some(())
        })
        .await;
    world.apply("a", serde_json::to_value(&orphan.spec).unwrap()).await;
    world.until_ready("a").await;
    let uid = world.attachments().get(&name).await.unwrap().uid().unwrap();
    let after = world.until_secret(&one, "acr-pull").await;
    assert_eq!(after.uid(), before.uid(), "the Secret is changed in place");
    assert_eq!(after.owner_references()[0].uid, uid);
    assert_eq!(after.labels()["acr-attach.dev/attachment"], uid);
}

#[tokio::test]
async fn an_entry_that_is_taken_out_comes_back_until_that_is_a_fight() {
    let world = World::with_pull_secrets(|settings| {
        settings.intervals.resync = SignedDuration::from_secs(2);
    })
    .await;
    let one = world.namespace_with("one", json!({})).await;
    world.until_account(&one).await;
    // The API server keeps field managers of an object only once something was applied, or created with fields.
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": one, "labels": {"team": "x"}},
    });
    world.apply_object(&account, &PatchParams::apply("user")).await.unwrap();
    let mut spec = world.pull_spec(&json!({"names": [one]}));
    spec["registry"] = world.spec()["registry"].clone();
    world.apply("a", spec).await;
    world.until_ready("a").await;
    world.until_pull_secrets_of(&one, "default", &["acr-pull"]).await;
    let take_out = async || {
        let patch = json!({"imagePullSecrets": [{"name": "of-platform"}]});
        let params =
            PatchParams { field_manager: Some("platform".to_owned()), ..PatchParams::default() };
        world.accounts(&one).patch("default", &params, &Patch::Merge(&patch)).await.unwrap();
    };
    for _ in 0..3 {
        take_out().await;
        world.until_pull_secrets_of(&one, "default", &["of-platform", "acr-pull"]).await;
    }
    take_out().await;
    let status = world.until_reason("a", "Stalled", "ExternallyManaged").await;
    let advice = format!(
        "add `- name: acr-pull` to imagePullSecrets of service account default in namespace {one} where field manager platform takes it from"
    );
    let text = message(&status);
    assert!(text.starts_with(&advice) && text.contains("took the entry out 4 times"), "{text}");
    let checks = world.calls(Call::GetRegistry);
    world
        .until("two checks of Azure more", || async {
            let status = world.status("a").await;
            assert_eq!(find(&status, "Ready").unwrap().0, "False", "{status:?}");
            (world.calls(Call::GetRegistry) >= checks + 3).then_some(())
        })
        .await;
    assert_eq!(world.pull_secrets_of(&one, "default").await, ["of-platform"]);
    world.until_event("a", "Warning", "ExternallyManaged").await;
    // The other writer puts it in.
    world.set_pull_secrets_of(&one, "default", &["acr-pull"]).await;
    world.until_ready("a").await;
    let events = world.events("a").await;
    let told = events.iter().filter(|(_, reason)| reason == "ExternallyManaged").count();
    assert_eq!(told, 1, "{events:?}");
}

#[tokio::test]
async fn entries_of_others_keep_their_place_and_survive_us() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    world.until_account(&one).await;
    world.set_pull_secrets_of(&one, "default", &["first", "second"]).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_ready("a").await;
    world.until_pull_secrets_of(&one, "default", &["first", "second", "acr-pull"]).await;
    world.set_pull_secrets_of(&one, "default", &["first", "acr-pull", "third"]).await;
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(world.pull_secrets_of(&one, "default").await, ["first", "third"]);
    let account = world.accounts(&one).get("default").await.unwrap();
    assert!(!account.annotations().keys().any(|it| it.contains("acr-attach")));
}

#[tokio::test]
async fn an_entry_that_was_there_before_us_stays_after_us() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    world.until_account(&one).await;
    world.set_pull_secrets_of(&one, "default", &["acr-pull"]).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_ready("a").await;
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(world.pull_secrets_of(&one, "default").await, ["acr-pull"]);
}

#[tokio::test]
async fn late_service_accounts_are_followed_and_dropped_ones_are_freed() {
    let world = World::with_pull_secrets(|settings| {
        settings.policy.account_names = "default,builder".parse().unwrap();
    })
    .await;
    let one = world.namespace_with("one", json!({})).await;
    let mut spec = world.pull_spec(&json!({"names": [one]}));
    spec["pullSecret"]["serviceAccounts"] = json!(["default", "builder"]);
    world.apply("a", spec.clone()).await;
    let told = "; service account builder does not exist in 1 namespace";
    let status = world.until_ready("a").await;
    assert!(message(&status).contains(told), "{}", message(&status));
    let late: ServiceAccount =
        serde_json::from_value(json!({"metadata": {"name": "builder"}})).unwrap();
    world.accounts(&one).create(&PostParams::default(), &late).await.unwrap();
    world.until_pull_secrets_of(&one, "builder", &["acr-pull"]).await;
    world
        .until("nothing to be told of builder", || async {
            (!message(&world.status("a").await).contains(told)).then_some(())
        })
        .await;

    spec["pullSecret"]["serviceAccounts"] = json!(["builder"]);
    world.apply("a", spec.clone()).await;
    world.until_pull_secrets_of(&one, "default", &[]).await;
    assert_eq!(world.pull_secrets_of(&one, "builder").await, ["acr-pull"]);

    spec["pullSecret"]["serviceAccounts"] = json!([]);
    world.apply("a", spec).await;
    world.until_pull_secrets_of(&one, "builder", &[]).await;
    let status = world.until_ready("a").await;
    assert_eq!(find(&status, "PullSecretsReady").unwrap().0, "True");
    world.until_secret(&one, "acr-pull").await;
    // With no entry left there is nothing that the object has to wait for.
    world
        .until("no finalizer", || async {
            let object = world.attachments().get(&world.name("a")).await.unwrap();
            object.finalizers().is_empty().then_some(())
        })
        .await;
}

#[tokio::test]
async fn what_an_attachment_leaves_that_goes_without_its_finalizer_is_taken_out() {
    let (world, one) = attached().await;
    // As when the API server deletes it in the moment in which it gets the finalizer.
    world.patch("a", json!({"metadata": {"finalizers": null}})).await;
    world.delete("a").await;
    world.until_gone("a").await;
    world.until_pull_secrets_of(&one, "default", &[]).await;
    world.until_no_secret(&one, "acr-pull").await;
}

/// Adds entries to the list of service account `default`, one after the other, as a controller
/// does that reads, changes and replaces the object, and reads it again where that is refused.
async fn hammer(world: &World, namespace: &str, entries: &[String]) {
    let api = world.accounts(namespace);
    for entry in entries {
        loop {
            let mut account = api.get("default").await.unwrap();
            let list = account.image_pull_secrets.get_or_insert_default();
            list.push(LocalObjectReference { name: entry.clone() });
            match api.replace("default", &PostParams::default(), &account).await {
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                answer => break drop(answer.unwrap()),
            }
        }
    }
}

#[tokio::test]
async fn a_writer_that_hammers_the_same_list_loses_nothing_and_neither_do_we() {
    let (world, one) = attached().await;
    let entries: Vec<String> = (0..100).map(|n| format!("theirs-{n}")).collect();
    let ours = async {
        let mut rounds = 0;
        loop {
            rounds += 1;
            world.delete("a").await;
            world.until_gone("a").await;
            let list = world.pull_secrets_of(&one, "default").await;
            assert!(!list.contains(&"acr-pull".to_owned()), "{list:?}");
            world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
            world
                .until("our entry", || async {
                    let list = world.pull_secrets_of(&one, "default").await;
                    list.contains(&"acr-pull".to_owned()).then_some(())
                })
                .await;
            // As long as they write, and twice at least.
            let list = world.pull_secrets_of(&one, "default").await;
            if rounds >= 2 && list.contains(entries.last().unwrap()) {
                break;
            }
        }
    };
    tokio::join!(hammer(&world, &one, &entries), ours);
    let mut list = world.pull_secrets_of(&one, "default").await;
    let before = list.len();
    list.retain(|it| it != "acr-pull");
    assert_eq!((list.as_slice(), before), (entries.as_slice(), entries.len() + 1));
}

//! Settings that allow fewer names than before: what was made under the others is removed where the
//! operator's rules still let it, and told where they do not.

use acr_attach::settings::Settings;
use acr_attach_core::api::ABANDON_ENTRIES;
use jiff::SignedDuration;
use kube::api::PatchParams;
use serde_json::{Value, json};

use crate::support::{World, find, message};

/// Settings with rights of their own.
fn wide(settings: &mut Settings) {
    // Only a look reads what no watch shows.
    settings.intervals.resync = SignedDuration::from_secs(2);
    settings.policy.secret_names = "acr-pull,other".parse().unwrap();
    settings.policy.account_names = "builder,default,runner".parse().unwrap();
}

fn narrow(settings: &mut Settings) {
    settings.policy.account_names = "default,runner".parse().unwrap();
}

/// An attachment that serves two accounts of a namespace, and was Ready when the operator stopped.
async fn attached() -> (World, String, Value) {
    let world = World::with_pull_secrets(wide).await;
    let one = world.namespace_with("one", json!({})).await;
    world.until_account(&one).await;
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "builder", "namespace": one},
    });
    world.apply_object(&account, &PatchParams::apply("user")).await.unwrap();
    let mut spec = world.pull_spec(&json!({"names": [one]}));
    spec["pullSecret"]["serviceAccounts"] = json!(["builder", "default"]);
    world.apply("a", spec.clone()).await;
    world.until_ready("a").await;
    for account in ["builder", "default"] {
        world.until_pull_secrets_of(&one, account, &["acr-pull"]).await;
    }
    until_named(&world, (&["acr-pull"], &["builder", "default"])).await;
    (world, one, spec)
}

/// Waits until status tells these names of Secrets and service accounts.
async fn until_named(world: &World, (secrets, accounts): (&[&str], &[&str])) {
    world
        .until(&format!("status to name {secrets:?} and {accounts:?}"), || async {
            let status = world.status("a").await;
            let secrets_now = status.secret_names.unwrap_or_default();
            let accounts_now = status.service_account_names.unwrap_or_default();
            (secrets_now == secrets && accounts_now == accounts).then_some(())
        })
        .await;
}

async fn finalizers(world: &World) -> Option<Vec<String>> {
    world.attachments().get(&world.name("a")).await.unwrap().metadata.finalizers
}

/// Starts the operator again with the narrow settings.
async fn restart(world: &mut World, change: impl FnOnce(&mut Settings)) {
    world.stop().await;
    change(&mut world.settings);
    world.start().await;
}

#[tokio::test]
async fn entries_under_a_name_that_is_not_allowed_any_more_are_taken_out() {
    let (mut world, one, mut spec) = attached().await;
    restart(&mut world, narrow).await;
    // The spec still asks for it: what serves stays, and is said not to be allowed.
    world.until_reason("a", "Ready", "NotAllowed").await;
    world.until_pull_secrets_of(&one, "builder", &["acr-pull"]).await;
    spec["pullSecret"]["serviceAccounts"] = json!(["default"]);
    world.apply("a", spec).await;
    world.until_pull_secrets_of(&one, "builder", &[]).await;
    world.until_ready("a").await;
    world.until_pull_secrets_of(&one, "default", &["acr-pull"]).await;
    world.delete("a").await;
    world.until_gone("a").await;
}

#[tokio::test]
async fn a_secret_under_a_name_that_is_not_allowed_any_more_is_deleted() {
    let (mut world, one, mut spec) = attached().await;
    restart(&mut world, |settings| {
        settings.policy.secret_names = "other".parse().unwrap();
    })
    .await;
    spec["pullSecret"]["secretName"] = "other".into();
    world.apply("a", spec).await;
    for account in ["builder", "default"] {
        world.until_pull_secrets_of(&one, account, &["other"]).await;
    }
    world.until_no_secret(&one, "acr-pull").await;
    until_named(&world, (&["other"], &["builder", "default"])).await;
    world.until_ready("a").await;
}

/// What `helm upgrade` with fewer names does: the rules lose them together with the settings.
#[tokio::test]
async fn entries_that_the_rules_do_not_reach_are_told_and_hold_the_object() {
    let (mut world, one, mut spec) = attached().await;
    world.expect_refusals().await;
    world.stop().await;
    narrow(&mut world.settings);
    world.grant_rights().await;
    let right = json!({
        "verb": "list", "group": "", "resource": "serviceaccounts", "name": "builder",
    });
    world.until_allowed(&right, false).await;
    spec["pullSecret"]["serviceAccounts"] = json!(["default"]);
    world.apply("a", spec.clone()).await;
    world.start().await;
    let status = world
        .until("Ready, and Obsolete beside it", || async {
            let status = world.status("a").await;
            let ready = find(&status, "Ready")?.0 == "True";
            (ready && find(&status, "Obsolete")?.1 == "NotAllowed").then_some(status)
        })
        .await;
    let (_, _, text) = find(&status, "Obsolete").unwrap();
    for word in
        ["add builder to chart value pullSecrets.serviceAccounts", "service accounts named builder"]
    {
        assert!(text.contains(word), "{text}");
    }
    world.until_event("a", "Warning", "NotAllowed").await;
    until_named(&world, (&["acr-pull"], &["builder", "default"])).await;
    // What happens in the cluster takes nothing from that, nor does another operator.
    let before = finalizers(&world).await;
    spec["pullSecret"]["serviceAccounts"] = json!([]);
    world.apply("a", spec).await;
    world.until_pull_secrets_of(&one, "default", &[]).await;
    world.stop().await;
    world.start().await;
    world.rotate_client_secret("another-client-secret").await;
    world.delete_secret(&one, "acr-pull").await;
    world.until_secret(&one, "acr-pull").await;
    until_named(&world, (&["acr-pull"], &["builder"])).await;
    assert_eq!(find(&world.status("a").await, "Obsolete").unwrap().1, "NotAllowed");
    assert_eq!(finalizers(&world).await, before);
    // Deleted, it says so too, and waits.
    world.delete("a").await;
    let status = world.until_reason("a", "Ready", "NotAllowed").await;
    assert!(message(&status).contains("abandon-entries=true"), "{}", message(&status));
    world.until_pull_secrets_of(&one, "builder", &["acr-pull"]).await;
    let abandon = |value: &str| json!({"metadata": {"annotations": {ABANDON_ENTRIES: value}}});
    world.patch("a", abandon("no")).await;
    world.request("a", "with another value").await;
    world.patch("a", abandon("true")).await;
    world.until_gone("a").await;
    world.until_event("a", "Warning", "ServiceAccountsAbandoned").await;
    assert_eq!(world.pull_secrets_of(&one, "builder").await, ["acr-pull"]);
}

//! Which changes of the Secret that holds a client secret count, and which do not.

use azure_sim::Call;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::support::secrets::{CLIENT_SECRET, login};
use crate::support::{World, find, message};

/// An attachment that serves two namespaces.
async fn attached() -> (World, [String; 2]) {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    let two = world.namespace_with("two", json!({})).await;
    let mut spec = world.pull_spec(&json!({"names": [one, two]}));
    spec["registry"] = world.spec()["registry"].clone();
    world.apply("a", spec).await;
    world.until_ready("a").await;
    (world, [one, two])
}

/// What External Secrets, Reloader and the like do to a Secret at each refresh (external-secrets#2495).
#[tokio::test]
async fn a_refresh_that_changes_no_client_secret_asks_and_writes_nothing() {
    let (world, [one, two]) = attached().await;
    let before = world.until_secret(&one, "acr-pull").await;
    let (calls, writes) = (world.azure.journal().len(), world.api_writes());
    let puller = world.secrets(&world.namespace());
    for n in 0..10 {
        let refresh = json!({
            "metadata": {"annotations": {"reconcile.external-secrets.io/data-hash": n.to_string()}},
            "stringData": {"clientSecret": format!("{CLIENT_SECRET}\n"), "more": n.to_string()},
        });
        let (params, refresh) = (PatchParams::default(), Patch::Merge(&refresh));
        puller.patch("puller", &params, &refresh).await.unwrap();
    }
    // The watch shows this one after all the others.
    world.rotate_client_secret("another-client-secret").await;
    for namespace in [&one, &two] {
        world
            .until("another credential", || async {
                let found = world.secrets(namespace).get("acr-pull").await.unwrap();
                (login(&found) != login(&before)).then_some(())
            })
            .await;
    }
    world
        .until("the look to end", || async {
            (find(&world.status("a").await, "CredentialFresh")?.0 == "True").then_some(())
        })
        .await;
    assert_eq!(world.calls(Call::RegistryExchange), 2, "one for each client secret");
    let journal = world.azure.journal();
    let registry = |it: &&azure_sim::Entry| it.call == Some(Call::GetRegistry);
    assert_eq!(journal[calls..].iter().filter(registry).count(), 1, "{:#?}", &journal[calls..]);
    let written = world.writes();
    let secrets = written.iter().filter(|it| it.resource == "secrets").count();
    assert_eq!(secrets, 4, "two Secrets, and each of them once more");
    assert!(world.api_writes() <= writes + 3, "and status once");
}

#[tokio::test]
async fn a_secret_that_is_made_anew_with_the_same_client_secret_serves() {
    let (world, [one, _]) = attached().await;
    let before = login(&world.until_secret(&one, "acr-pull").await);
    world.delete_secret(&world.namespace(), "puller").await;
    let gone = ("False", "NotFound");
    until_fresh(&world, gone).await;
    world.put_client_secret(CLIENT_SECRET).await;
    until_fresh(&world, ("True", "Attached")).await;
    world
        .until("one credential made from it", || async {
            let found = world.secrets(&one).get("acr-pull").await.unwrap();
            (login(&found) != before).then_some(())
        })
        .await;
    assert_eq!(world.calls(Call::RegistryExchange), 2);
}

/// While the credential in use is good, a key that is taken away is told as a missing Secret is.
#[tokio::test]
async fn a_key_that_is_taken_away_is_told_while_the_credential_is_good() {
    let (world, [one, _]) = attached().await;
    let before = login(&world.until_secret(&one, "acr-pull").await);
    let patch = json!({"data": {"clientSecret": null, "password": "eA=="}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
    world.secrets(&world.namespace()).patch("puller", &params, &patch).await.unwrap();
    let text = until_fresh(&world, ("False", "NotFound")).await;
    assert!(text.contains("it has no such key, and these: password"), "{text}");
    let status = world.status("a").await;
    assert_eq!(find(&status, "Ready").unwrap().0, "True", "{}", message(&status));
    assert_eq!(login(&world.until_secret(&one, "acr-pull").await), before);
    assert_eq!(world.calls(Call::RegistryExchange), 1);
}

/// Waits until condition `CredentialFresh` has that status and reason, and returns its message.
async fn until_fresh(world: &World, expected: (&str, &str)) -> String {
    world
        .until(&format!("CredentialFresh to be {expected:?}"), || async {
            let status = world.status("a").await;
            let (state, reason, text) = find(&status, "CredentialFresh")?;
            ((state, reason) == expected).then(|| text.to_owned())
        })
        .await
}

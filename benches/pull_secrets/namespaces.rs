//! Many namespaces of one label: made before the clock starts, and brought back to how they were.

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::support::World;

/// The name of the pull secret that attachments make unless they say otherwise.
pub const SECRET: &str = "acr-pull";
/// How many objects are prepared at once. Nobody measures that.
pub const AT_ONCE: usize = 32;

/// What marks the namespaces that are counted.
pub fn labels(world: &World) -> Value {
    json!({"team": world.id})
}

/// Makes so many, and waits until each has its service account `default`.
pub async fn make(world: &World, count: usize) -> Vec<String> {
    let made = futures::stream::iter(0..count).map(|n| async move {
        let name = world.namespace_with(&format!("n{n}"), labels(world)).await;
        world.until_account(&name).await;
        name
    });
    made.buffer_unordered(AT_ONCE).collect().await
}

/// How many pull secrets there are, and how many service accounts name one.
pub async fn served(world: &World) -> (usize, usize) {
    let secrets: Api<Secret> = Api::all(world.client.clone());
    let accounts: Api<ServiceAccount> = Api::all(world.client.clone());
    let named = |name: &str| ListParams::default().fields(&format!("metadata.name={name}"));
    let secrets = secrets.list(&named(SECRET)).await.unwrap().items.len();
    let accounts = accounts.list(&named("default")).await.unwrap();
    let has_entry = |it: &&ServiceAccount| {
        it.image_pull_secrets.iter().flatten().any(|entry| entry.name == SECRET)
    };
    (secrets, accounts.iter().filter(has_entry).count())
}

/// Takes out the pull secrets and the entries that are left, whoever made them, and waits for
/// garbage collection, which may be at it too.
pub async fn clear(world: &World, names: &[String]) {
    let clearing = futures::stream::iter(names).for_each_concurrent(AT_ONCE, |name| async move {
        let patch = json!({"imagePullSecrets": null, "metadata": {"annotations": null}});
        let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
        world.accounts(name).patch("default", &params, &patch).await.unwrap();
        // It may be gone already.
        let _ = world.secrets(name).delete(SECRET, &DeleteParams::default()).await;
    });
    clearing.await;
    world
        .until("nothing to be left", || async {
            let (secrets, entries) = served(world).await;
            // One is that of the attachment that tells when the operator is at work.
            (secrets <= 1 && entries <= 1).then_some(())
        })
        .await;
}

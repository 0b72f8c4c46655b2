//! The same writes without an operator: an attachment, an entry in each service account, a Secret
//! in each namespace, as many at once as the operator makes.

use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::namespaces::SECRET;
use super::support::World;

/// As many writes of one pass are on their way at once.
const WRITES: usize = 16;

/// Serves those namespaces with Secrets like this one, and tells how long that took.
pub async fn serve(world: &World, spec: Value, like: &Secret, names: &[String]) -> Duration {
    // With the operator's rights: those of an administrator are judged faster.
    let account = world.cluster.service_account(&world.namespace(), "acr-attach").await.unwrap();
    let client = world.cluster.client(account).await.unwrap();
    let start = Instant::now();
    let uid = world.apply("teams", spec).await.uid().unwrap();
    let manifest = manifest(like, &world.name("teams"), &uid);
    let (client, uid, manifest) = (&client, &uid, &manifest);
    let entries = futures::stream::iter(names);
    entries.for_each_concurrent(WRITES, |it| add_entry(client, it, uid)).await;
    let secrets = futures::stream::iter(names);
    secrets.for_each_concurrent(WRITES, |it| write_secret(client, it, manifest)).await;
    start.elapsed()
}

async fn add_entry(client: &Client, namespace: &str, uid: &str) {
    let mark = format!("pull-secrets.acr-attach.dev/{SECRET}");
    let patch = json!([
        {"op": "test", "path": "/imagePullSecrets", "value": null},
        {"op": "add", "path": "/imagePullSecrets", "value": [{"name": SECRET}]},
        {"op": "test", "path": "/metadata/annotations", "value": null},
        {"op": "add", "path": "/metadata/annotations", "value": {mark: uid}},
    ]);
    let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams::default();
    accounts.patch("default", &params, &Patch::Json::<()>(patch)).await.unwrap();
}

async fn write_secret(client: &Client, namespace: &str, manifest: &Value) {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams::apply("bare");
    secrets.patch(SECRET, &params, &Patch::Apply(manifest)).await.unwrap();
}

/// What the operator writes, for another attachment.
fn manifest(like: &Secret, owner: &str, uid: &str) -> Value {
    let mut labels = like.labels().clone();
    labels.insert("acr-attach.dev/attachment".to_owned(), uid.to_owned());
    let mut reference = json!(like.owner_references()[0]);
    reference["name"] = owner.into();
    reference["uid"] = uid.into();
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": like.type_, "data": like.data,
        "metadata": {
            "name": SECRET, "labels": labels, "annotations": like.annotations(),
            "ownerReferences": [reference],
        },
    })
}

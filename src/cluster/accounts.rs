//! Reduces service accounts to what decisions need, and builds the patches that change them.

use acr_attach_core::snapshot::cluster::ServiceAccount;
use k8s_openapi::api::core::v1::ServiceAccount as Stored;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::cache::Key;

/// The prefix of the annotation that marks an entry as added by acr-attach. The name of the pull secret
/// follows; the value is the uid of the attachment.
const MARK: &str = "pull-secrets.acr-attach.dev/";
/// The annotation in which `kubectl apply` keeps the manifest that it applied last.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const LIST: &str = "imagePullSecrets";
/// Field managers of tools that apply manifests. If the manifest holds the list, each run of the tool
/// resets the list to the manifest. Other managers that apply the list, such as a platform that adds
/// its own entry to each service account, leave the entries of others alone.
///
/// The tools name themselves so: Flux (`kustomize-controller`, `helm-controller`, `flux`), Argo CD,
/// `kubectl apply --server-side`, Helm 4, Terraform (`kubernetes_manifest`), Config Sync, kluctl.
const APPLIERS: [&str; 9] = [
    "kustomize-controller",
    "helm-controller",
    "flux",
    "argocd-controller",
    "kubectl",
    "helm",
    "Terraform",
    "configsync",
    "kluctl",
];
/// Pulumi's field managers: this prefix and a random suffix (pulumi-kubernetes pull request 2271).
const APPLIER_PREFIX: &str = "pulumi-kubernetes";

/// Reduces a service account to what decisions need.
pub fn reduce(account: &Stored) -> Option<(Key, ServiceAccount)> {
    let (namespace, name) = (account.namespace()?, account.name_any());
    let marks = account.annotations().iter().filter_map(|(key, uid)| {
        key.strip_prefix(MARK).map(|secret| (secret.to_owned(), uid.clone()))
    });
    let list = account.image_pull_secrets.as_ref();
    let reduced = ServiceAccount {
        namespace: namespace.clone(),
        name: name.clone(),
        pull_secrets: list.map(|list| list.iter().map(|it| it.name.clone()).collect()),
        marks: marks.collect(),
        is_annotated: account.metadata.annotations.is_some(),
        applied_by: applied_by(account),
        written_by: written_by(account),
    };
    Some(((namespace, name), reduced))
}

/// Returns the tool that applies the list from its manifest, if there is one.
fn applied_by(account: &Stored) -> Option<String> {
    let managers = managers(account).filter(|it| it.operation.as_deref() == Some("Apply"));
    let is_tool = |it: &&String| APPLIERS.contains(&it.as_str()) || it.starts_with(APPLIER_PREFIX);
    let applier = managers.filter_map(|it| it.manager.as_ref()).find(is_tool).cloned();
    let last = account.annotations().get(LAST_APPLIED);
    let last = last.and_then(|it| serde_json::from_str::<Value>(it).ok());
    let by_kubectl = last.is_some_and(|it| it.get(LIST).is_some());
    applier.or_else(|| by_kubectl.then(|| "kubectl apply".to_owned()))
}

/// Returns the field manager that wrote the list last, if the object names one.
fn written_by(account: &Stored) -> Option<String> {
    managers(account).max_by_key(|it| it.time.as_ref().map(|it| it.0))?.manager.clone()
}

/// Returns the records of field managers that own the list or a part of it.
fn managers(account: &Stored) -> impl Iterator<Item = &ManagedFieldsEntry> {
    let field = format!("f:{LIST}");
    let all = account.managed_fields().iter();
    all.filter(move |it| it.fields_v1.as_ref().is_some_and(|it| it.0.get(&field).is_some()))
}

/// Builds the patch that appends an entry and marks it. The API server refuses the patch if the list
/// has changed since it was read, because field ownership does not keep two writers of the list apart.
pub fn add(account: &ServiceAccount, secret: &str, uid: &str) -> Value {
    let list = account.pull_secrets.as_ref();
    let list = list.map(|list| list.iter().map(|it| entry(it)).collect::<Vec<_>>());
    let mut operations = vec![json!({"op": "test", "path": format!("/{LIST}"), "value": list})];
    match &account.pull_secrets {
        // A deleted attachment added the entry: only the mark changes.
        Some(_) if account.names(secret) => {}
        Some(_) => operations.push(json!({
            "op": "add", "path": format!("/{LIST}/-"), "value": entry(secret),
        })),
        None => operations.push(json!({
            "op": "add", "path": format!("/{LIST}"), "value": [entry(secret)],
        })),
    }
    if account.is_annotated {
        operations.push(json!({"op": "add", "path": mark(secret), "value": uid}));
    } else {
        let annotations = json!({format!("{MARK}{secret}"): uid});
        operations.push(json!({"op": "test", "path": "/metadata/annotations", "value": null}));
        operations
            .push(json!({"op": "add", "path": "/metadata/annotations", "value": annotations}));
    }
    Value::Array(operations)
}

/// Whether an account still needs [`add`] after others changed it since the plan read it.
///
/// An entry that another writer added in between is not taken over. Only an entry that the plan found
/// with the mark of a deleted attachment is, if it still bears that mark.
pub fn is_to_gain(now: &ServiceAccount, planned: &ServiceAccount, secret: &str, uid: &str) -> bool {
    let of_gone = planned.marks.get(secret).filter(|it| *it != uid);
    !now.names(secret) || (of_gone.is_some() && now.marks.get(secret) == of_gone)
}

/// Builds the patch that removes an entry and its mark. It does not test the rest of the list.
pub fn remove(account: &ServiceAccount, secret: &str, uid: &str) -> Value {
    let mut operations = Vec::new();
    let mut list = account.pull_secrets.iter().flatten();
    if let Some(at) = list.position(|it| it == secret) {
        let path = format!("/{LIST}/{at}");
        operations.push(json!({"op": "test", "path": path, "value": entry(secret)}));
        operations.push(json!({"op": "remove", "path": path}));
    }
    operations.push(json!({"op": "test", "path": mark(secret), "value": uid}));
    operations.push(json!({"op": "remove", "path": mark(secret)}));
    Value::Array(operations)
}

/// Builds an entry as the API server stores it, without an empty name.
fn entry(name: &str) -> Value {
    if name.is_empty() { json!({}) } else { json!({"name": name}) }
}

/// Returns the JSON pointer to a mark (RFC 6901).
fn mark(secret: &str) -> String {
    let name = format!("{MARK}{secret}").replace('~', "~0").replace('/', "~1");
    format!("/metadata/annotations/{name}")
}

#[cfg(test)]
mod tests;

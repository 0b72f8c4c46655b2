//! Service accounts as Kubernetes stores them, to what decisions need and back.

use acr_attach_core::snapshot::cluster::ServiceAccount;
use k8s_openapi::api::core::v1::ServiceAccount as Stored;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::mirror::Key;

/// Marks an entry that we added: the name of the pull secret follows, the value is the uid of
/// the attachment.
const MARK: &str = "pull-secrets.acr-attach.dev/";
/// What `kubectl apply` keeps of what was applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const LIST: &str = "imagePullSecrets";
/// Field managers of tools that apply manifests: each run sets a list that the manifest holds to
/// what the manifest says. Other managers that apply the list, such as a platform that adds an entry
/// of its own to each service account, leave the entries of others alone.
///
/// As these tools name themselves: Flux (`kustomize-controller`, `helm-controller`, `flux`), Argo CD,
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
/// Pulumi adds a random suffix (pulumi-kubernetes pull request 2271).
const APPLIER_PREFIX: &str = "pulumi-kubernetes";

/// A service account without what does not matter.
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

/// The tool that keeps the list as its manifest says, if one does.
fn applied_by(account: &Stored) -> Option<String> {
    let managers = managers(account).filter(|it| it.operation.as_deref() == Some("Apply"));
    let is_tool = |it: &&String| APPLIERS.contains(&it.as_str()) || it.starts_with(APPLIER_PREFIX);
    let applier = managers.filter_map(|it| it.manager.as_ref()).find(is_tool).cloned();
    let last = account.annotations().get(LAST_APPLIED);
    let last = last.and_then(|it| serde_json::from_str::<Value>(it).ok());
    let by_kubectl = last.is_some_and(|it| it.get(LIST).is_some());
    applier.or_else(|| by_kubectl.then(|| "kubectl apply".to_owned()))
}

/// The field manager that wrote the list last, as far as the object tells.
fn written_by(account: &Stored) -> Option<String> {
    managers(account).max_by_key(|it| it.time.as_ref().map(|it| it.0))?.manager.clone()
}

/// The managers of the list.
fn managers(account: &Stored) -> impl Iterator<Item = &ManagedFieldsEntry> {
    let field = format!("f:{LIST}");
    let all = account.managed_fields().iter();
    all.filter(move |it| it.fields_v1.as_ref().is_some_and(|it| it.0.get(&field).is_some()))
}

/// The patch that adds an entry at the end and marks it. The API server refuses it if the list is
/// not as it was read: the list has no owner here that would keep two writers apart.
pub fn add(account: &ServiceAccount, secret: &str, uid: &str) -> Value {
    let list = account.pull_secrets.as_ref();
    let list = list.map(|list| list.iter().map(|it| entry(it)).collect::<Vec<_>>());
    let mut operations = vec![json!({"op": "test", "path": format!("/{LIST}"), "value": list})];
    match &account.pull_secrets {
        // An attachment that is gone has added it: only the mark changes.
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

/// Whether an account that others changed after the plan read it still needs [`add`].
///
/// An entry that somebody else added in between stays theirs. Only an entry that bears the mark which
/// the plan found, of an attachment that is gone, is still to be taken over.
pub fn is_to_gain(now: &ServiceAccount, planned: &ServiceAccount, secret: &str, uid: &str) -> bool {
    let of_gone = planned.marks.get(secret).filter(|it| *it != uid);
    !now.names(secret) || (of_gone.is_some() && now.marks.get(secret) == of_gone)
}

/// The patch that takes an entry out again, with its mark. What others do to the rest of the list
/// is no reason to refuse it.
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

/// An entry as the API server stores it: it leaves an empty name out.
fn entry(name: &str) -> Value {
    if name.is_empty() { json!({}) } else { json!({"name": name}) }
}

/// The path of a mark (RFC 6901).
fn mark(secret: &str) -> String {
    let name = format!("{MARK}{secret}").replace('~', "~0").replace('/', "~1");
    format!("/metadata/annotations/{name}")
}

#[cfg(test)]
mod tests;

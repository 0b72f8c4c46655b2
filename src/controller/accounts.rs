//! Service accounts as Kubernetes stores them, to what decisions need and back.

use k8s_openapi::api::core::v1::ServiceAccount as Stored;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::mirror::Key;
use crate::domain::cluster::ServiceAccount;

/// Marks an entry that we added: the name of the pull secret follows, the value is the uid of
/// the attachment.
const MARK: &str = "pull-secrets.acr-attach.dev/";
/// What `kubectl apply` keeps of what was applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const LIST: &str = "imagePullSecrets";

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
        is_list_applied: is_list_applied(account),
    };
    Some(((namespace, name), reduced))
}

/// Whether a tool applies that list: such a tool sets it to what it knows each time.
fn is_list_applied(account: &Stored) -> bool {
    let field = format!("f:{LIST}");
    let applied = account.managed_fields().iter().any(|it| {
        it.operation.as_deref() == Some("Apply")
            && it.fields_v1.as_ref().is_some_and(|it| it.0.get(&field).is_some())
    });
    let last = account.annotations().get(LAST_APPLIED);
    let last = last.and_then(|it| serde_json::from_str::<Value>(it).ok());
    applied || last.is_some_and(|it| it.get(LIST).is_some())
}

/// The patch that adds an entry at the end and marks it. It does nothing if the list is not as
/// it was read: lists have no owner here that would keep two writers apart.
pub fn add(account: &ServiceAccount, secret: &str, uid: &str) -> Value {
    let mut operations = vec![as_read(account)];
    match &account.pull_secrets {
        // Of an attachment that is gone: only the mark changes.
        Some(_) if account.names(secret) => {}
        Some(_) => operations.push(json!({
            "op": "add", "path": format!("/{LIST}/-"), "value": {"name": secret},
        })),
        None => operations.push(json!({
            "op": "add", "path": format!("/{LIST}"), "value": [{"name": secret}],
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

/// The patch that takes an entry of ours out again, with its mark.
pub fn remove(account: &ServiceAccount, secret: &str, uid: &str) -> Value {
    let mut operations = vec![as_read(account)];
    let mut list = account.pull_secrets.iter().flatten();
    if let Some(at) = list.position(|it| it == secret) {
        operations.push(json!({"op": "remove", "path": format!("/{LIST}/{at}")}));
    }
    operations.push(json!({"op": "test", "path": mark(secret), "value": uid}));
    operations.push(json!({"op": "remove", "path": mark(secret)}));
    Value::Array(operations)
}

fn as_read(account: &ServiceAccount) -> Value {
    let list = account.pull_secrets.as_ref();
    let list = list.map(|list| list.iter().map(|it| json!({"name": it})).collect::<Vec<_>>());
    json!({"op": "test", "path": format!("/{LIST}"), "value": list})
}

/// The path of a mark (RFC 6901).
fn mark(secret: &str) -> String {
    let name = format!("{MARK}{secret}").replace('~', "~0").replace('/', "~1");
    format!("/metadata/annotations/{name}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn account(manifest: &Value) -> ServiceAccount {
        let stored: Stored = serde_json::from_value(manifest.clone()).unwrap();
        reduce(&stored).unwrap().1
    }

    /// The account after a patch, as the API server applies it.
    fn patched(manifest: &Value, patch: Value) -> Value {
        let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
        let mut after = manifest.clone();
        json_patch::patch(&mut after, &patch).unwrap();
        after
    }

    fn manifest() -> Value {
        json!({"metadata": {
            "namespace": "a", "name": "default", "annotations": {"team": "x"},
        }, "imagePullSecrets": [{"name": "first"}]})
    }

    #[test]
    fn an_entry_comes_last_and_goes_without_a_trace() {
        let before = manifest();
        let with = patched(&before, add(&account(&before), "acr-pull", "uid"));
        assert_eq!(with["imagePullSecrets"], json!([{"name": "first"}, {"name": "acr-pull"}]));
        assert!(account(&with).is_marked("acr-pull", "uid"));
        assert_eq!(patched(&with, remove(&account(&with), "acr-pull", "uid")), before);
    }

    #[test]
    fn an_entry_that_is_there_is_only_marked() {
        let mut before = manifest();
        before["metadata"]["annotations"]["pull-secrets.acr-attach.dev/first"] = "dead".into();
        let after = patched(&before, add(&account(&before), "first", "uid"));
        assert_eq!(after["imagePullSecrets"], before["imagePullSecrets"]);
        assert!(account(&after).is_marked("first", "uid"));
    }

    #[test]
    fn what_others_added_meanwhile_is_not_lost() {
        let read = account(&manifest());
        let mut now = manifest();
        now["imagePullSecrets"] = json!([{"name": "first"}, {"name": "second"}]);
        let patch: json_patch::Patch =
            serde_json::from_value(add(&read, "acr-pull", "uid")).unwrap();
        json_patch::patch(&mut now.clone(), &patch).unwrap_err();
    }

    #[test]
    fn whoever_applies_the_list_owns_it() {
        let mut by_kubectl = manifest();
        by_kubectl["metadata"]["annotations"][LAST_APPLIED] =
            json!({"imagePullSecrets": []}).to_string().into();
        assert!(account(&by_kubectl).is_list_applied);
        let mut by_flux = manifest();
        by_flux["metadata"]["managedFields"] = json!([
            {"manager": "flux", "operation": "Apply", "fieldsV1": {"f:imagePullSecrets": {}}},
        ]);
        assert!(account(&by_flux).is_list_applied);
        by_flux["metadata"]["managedFields"][0]["operation"] = "Update".into();
        assert!(!account(&by_flux).is_list_applied);
        by_kubectl["metadata"]["annotations"][LAST_APPLIED] = json!({}).to_string().into();
        assert!(!account(&by_kubectl).is_list_applied);
    }
    /// What somebody does to a list of names.
    #[derive(Clone, Debug)]
    enum Edit {
        /// Somebody else adds an entry there.
        Insert(usize, u8),
        /// Somebody else takes one out, if it is not ours.
        Delete(usize),
        /// We read the object.
        Read,
        /// We add our entry, by what we read last.
        Add,
        /// We take it out again, by what we read last.
        Remove,
    }

    fn any_edit() -> impl Strategy<Value = Edit> {
        prop_oneof![
            (0usize..9, any::<u8>()).prop_map(|(at, n)| Edit::Insert(at, n)),
            (0usize..9).prop_map(Edit::Delete),
            Just(Edit::Read),
            Just(Edit::Add),
            Just(Edit::Remove),
        ]
    }

    fn names(manifest: &Value) -> Vec<String> {
        account(manifest).pull_secrets.unwrap_or_default()
    }

    /// Without ours.
    fn of_others(manifest: &Value) -> Vec<String> {
        names(manifest).into_iter().filter(|it| it != OURS).collect()
    }

    fn set(manifest: &mut Value, names: &[String]) {
        let list = names.iter().map(|it| json!({"name": it})).collect();
        manifest["imagePullSecrets"] = Value::Array(list);
    }

    const OURS: &str = "acr-pull";

    proptest! {
        #[test]
        fn whatever_others_do_meanwhile_their_entries_and_their_order_stay(
            edits in prop::collection::vec(any_edit(), 1..40),
        ) {
            let mut now = manifest();
            let mut read = account(&now);
            let mut theirs = of_others(&now);
            for edit in edits {
                let mut list = names(&now);
                let by_us = match edit {
                    Edit::Insert(at, n) => {
                        let at = at.min(list.len());
                        let before = list[..at].iter().filter(|it| *it != OURS).count();
                        list.insert(at, format!("theirs-{n}"));
                        theirs.insert(before, format!("theirs-{n}"));
                        set(&mut now, &list);
                        None
                    }
                    Edit::Delete(at) => {
                        if let Some(name) = list.get(at).cloned().filter(|it| it != OURS) {
                            let before = list[..at].iter().filter(|it| *it != OURS).count();
                            prop_assert_eq!(theirs.remove(before), name);
                            list.remove(at);
                            set(&mut now, &list);
                        }
                        None
                    }
                    Edit::Read => {
                        read = account(&now);
                        None
                    }
                    Edit::Add => Some(add(&read, OURS, "uid")),
                    Edit::Remove => Some(remove(&read, OURS, "uid")),
                };
                if let Some(patch) = by_us {
                    // A patch applies as a whole or not at all.
                    let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
                    let mut after = now.clone();
                    if json_patch::patch(&mut after, &patch).is_ok() {
                        now = after;
                    }
                }
                prop_assert_eq!(&of_others(&now), &theirs);
                prop_assert!(names(&now).len() <= theirs.len() + 1, "ours is there twice");
            }
            // From whatever there is, what we read now can be undone.
            if account(&now).is_marked(OURS, "uid") {
                now = patched(&now, remove(&account(&now), OURS, "uid"));
                prop_assert!(!names(&now).contains(&OURS.to_owned()));
                prop_assert_eq!(&of_others(&now), &theirs);
            }
        }
    }
}

//! Status fields that the definition in the cluster, of an older release, does not declare.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use acr_attach_core::api::RegistryAttachmentStatus;
use serde_json::{Value, json};

/// The fields that the API server has refused, by their paths below `status`, such as
/// `registry.loginServer`. A name that holds a list stands for each of its items.
#[derive(Clone, Default)]
pub(crate) struct Undeclared(Arc<Mutex<BTreeSet<String>>>);

impl Undeclared {
    /// Records the fields that a refusal names, and removes them from the status. Returns whether the
    /// status had any of them.
    ///
    /// The API server refuses an apply patch with such a field as a whole.
    pub fn learn(&self, refusal: &kube::Error, status: &mut Value) -> bool {
        let kube::Error::Api(refusal) = refusal else { return false };
        let mut removed = false;
        for field in named(&refusal.message) {
            removed |= remove(status, &field);
            if self.lock().insert(field.clone()) {
                tracing::warn!(
                    field,
                    "the definition of RegistryAttachment is older than the operator; apply that of its release"
                );
            }
        }
        removed
    }

    /// Returns the status without these fields.
    pub fn without(&self, status: RegistryAttachmentStatus) -> RegistryAttachmentStatus {
        let fields = self.lock();
        if fields.is_empty() {
            return status;
        }
        let mut value = json!(status);
        for field in fields.iter() {
            remove(&mut value, field);
        }
        serde_json::from_value(value).unwrap_or(status)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The paths of the fields that a refusal names, below `status` and without what stands in brackets:
/// `.status.roleAssignments[0].usedBy` gives `roleAssignments.usedBy`.
fn named(message: &str) -> impl Iterator<Item = String> {
    let fields = message.split(".status.").skip(1);
    fields.filter_map(|it| {
        let (path, _) = it.split_once(": field not declared in schema")?;
        let parts = path.split('[').map(|it| it.split_once(']').map_or(it, |(_, rest)| rest));
        Some(parts.collect())
    })
}

/// Removes a field by its path, from each item of a list. Returns whether the field was there.
fn remove(value: &mut Value, path: &str) -> bool {
    match (value, path.split_once('.')) {
        (Value::Array(items), _) => {
            items.iter_mut().fold(false, |removed, it| remove(it, path) | removed)
        }
        (Value::Object(fields), None) => fields.remove(path).is_some(),
        (Value::Object(fields), Some((name, rest))) => {
            fields.get_mut(name).is_some_and(|it| remove(it, rest))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use kube::core::response::Status;

    use super::*;

    fn refusal(message: &str) -> kube::Error {
        kube::Error::Api(Status::failure(message, "").boxed())
    }

    #[test]
    fn what_a_refusal_names_is_left_out_from_then_on() {
        let before = json!({"claim": "x", "secretNames": ["a"], "registry": {"loginServer": "s"}});
        let mut status = before.clone();
        let fields = Undeclared::default();
        let text = "failed to create typed patch object (/a; acr-attach.dev/v1alpha1, Kind=RegistryAttachment): errors:\n  .status.registry.loginServer: field not declared in schema\n  .status.secretNames: field not declared in schema";
        assert!(fields.learn(&refusal(text), &mut status));
        assert_eq!(status, json!({"claim": "x", "registry": {}}));
        assert!(!fields.learn(&refusal(text), &mut status), "it would be refused for ever");
        assert!(!fields.learn(&refusal("something else"), &mut status));
        let mut listed = json!({"roleAssignments": [{"id": "a", "usedBy": "Nodes"}, {"id": "b"}]});
        let text = "failed to create typed patch object (/a): .status.roleAssignments[0].usedBy: field not declared in schema";
        assert!(fields.learn(&refusal(text), &mut listed));
        assert_eq!(listed, json!({"roleAssignments": [{"id": "a"}, {"id": "b"}]}));
        let key = ".status.conditions[type=\"a.b\"].extra: field not declared in schema";
        assert_eq!(named(key).collect::<Vec<_>>(), ["conditions.extra"]);
        let told = fields.without(serde_json::from_value(before).unwrap());
        assert_eq!((told.claim.as_deref(), told.secret_names), (Some("x"), None));
    }
}

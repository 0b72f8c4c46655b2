//! The Secrets in the operator's namespace that hold client secrets, reduced to what decisions need.

use std::collections::BTreeMap;

use acr_attach_core::pull_secrets::keyed_digest;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::cache::{CacheChange, Key};

/// A Secret that may hold client secrets, without its content.
///
/// Holds digests instead of the resource version: controllers such as External Secrets rewrite Secrets
/// at each refresh without changing a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialSeen {
    /// Its name.
    pub name: String,
    /// By key: the digest of the client secret, or that the value is unusable.
    digests: BTreeMap<String, Result<String, Unusable>>,
}

/// Marks a value that is no client secret: it is empty, or not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unusable;

impl CredentialSeen {
    /// Reduces a Secret; `None` for one without a uid, before the API server has stored it.
    #[must_use]
    pub fn of(secret: &Secret) -> Option<Self> {
        let uid = secret.uid()?;
        let data = secret.data.iter().flatten();
        let digests = data.map(|(key, value)| {
            let digest = text(value).map(|it| keyed_digest(&uid, it));
            (key.clone(), digest.ok_or(Unusable))
        });
        Some(Self { name: secret.name_any(), digests: digests.collect() })
    }

    /// Returns the digest of the client secret under that key.
    ///
    /// # Errors
    /// When there is no client secret there. The text says what the Secret holds instead, by names of
    /// keys and without values.
    pub fn digest(&self, key: &str) -> Result<&str, String> {
        match self.digests.get(key) {
            Some(Ok(digest)) => Ok(digest),
            Some(Err(Unusable)) => Err("it is empty, or no text".to_owned()),
            None if self.digests.is_empty() => Err("it has no keys at all".to_owned()),
            None => {
                let keys: Vec<_> = self.digests.keys().map(String::as_str).collect();
                Err(format!("it has no such key, and these: {}", keys.join(", ")))
            }
        }
    }
}

/// Returns the client secret in the value of a key: trimmed text, since `echo` adds a line break.
#[must_use]
pub fn text(value: &ByteString) -> Option<&str> {
    let text = std::str::from_utf8(&value.0).ok()?.trim();
    (!text.is_empty()).then_some(text)
}

/// Returns the cache entry for a Secret.
pub(crate) fn reduce(secret: &Secret) -> Option<(Key, CredentialSeen)> {
    let seen = CredentialSeen::of(secret)?;
    Some(((secret.namespace()?, seen.name.clone()), seen))
}

/// Whether a change adds or removes the Secret, or changes the client secret under that key.
#[must_use]
pub fn concerns(change: &CacheChange<CredentialSeen>, key: &str) -> bool {
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => before.digest(key).ok() != after.digest(key).ok(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(uid: &str, version: &str, data: &serde_json::Value) -> CredentialSeen {
        let secret = json!({
            "metadata": {"name": "sp", "namespace": "n", "uid": uid, "resourceVersion": version},
            "data": data,
        });
        CredentialSeen::of(&serde_json::from_value(secret).unwrap()).unwrap()
    }

    #[test]
    fn only_another_value_or_another_secret_has_another_digest() {
        let first = seen("u", "1", &json!({"clientSecret": "YWJj"}));
        assert_eq!(first, seen("u", "2", &json!({"clientSecret": "YWJj"})));
        assert_eq!(first, seen("u", "2", &json!({"clientSecret": "YWJjCg=="})));
        assert_ne!(first, seen("u", "2", &json!({"clientSecret": "YWJk"})));
        // Tenants see digests in annotations. Keyed by the uid, these cannot be compared with guesses.
        assert_ne!(first, seen("v", "2", &json!({"clientSecret": "YWJj"})));
        assert!(!format!("{first:?}").contains("abc"));
    }

    #[test]
    fn a_change_concerns_the_key_that_it_changes() {
        let at = |data: serde_json::Value| Some(seen("u", "1", &data));
        let concerned = |before, after| {
            let change = CacheChange { key: (String::new(), String::new()), before, after };
            concerns(&change, "clientSecret")
        };
        let first = json!({"clientSecret": "YWJj", "other": "YWJj"});
        assert!(!concerned(
            at(first.clone()),
            at(json!({"clientSecret": "YWJj", "other": "eA=="}))
        ));
        assert!(concerned(at(first.clone()), at(json!({"clientSecret": "eA=="}))));
        assert!(concerned(at(first.clone()), at(json!({"clientSecret": ""}))));
        assert!(concerned(at(first.clone()), None) && concerned(None, at(first)));
    }

    #[test]
    fn what_is_there_instead_is_told_without_values() {
        let why = |data: serde_json::Value, key| seen("u", "1", &data).digest(key).unwrap_err();
        assert_eq!(
            why(json!({"a": "YWJj", "b": "eA=="}), "c"),
            "it has no such key, and these: a, b"
        );
        assert_eq!(why(json!({}), "c"), "it has no keys at all");
        assert_eq!(why(json!({"c": "IA=="}), "c"), "it is empty, or no text");
        assert_eq!(why(json!({"c": "/w=="}), "c"), "it is empty, or no text");
    }
}

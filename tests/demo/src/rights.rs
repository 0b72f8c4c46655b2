//! The operator's service account, its rights and its fences, of what the chart renders.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::operator::PULL_SECRET_NAMES;

/// What the chart renders, with its namespace before it.
pub const FILES: [&str; 2] = ["deploy/base/namespace.yaml", "deploy/base/acr-attach.yaml"];

/// Not the Deployment: here the program runs without a pod.
const KINDS: [&str; 8] = [
    "Namespace",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];

/// The only name of pull secrets that the chart allows by default, in rules and policies.
const ALLOWED: &str = r#"["acr-pull"]"#;

/// What of these files is the operator's, for the names that the demo allows.
///
/// # Errors
/// When that is not YAML.
pub fn rights(texts: &[String]) -> Result<Value> {
    let names: Vec<_> = PULL_SECRET_NAMES.split(',').collect();
    let mut items = Vec::new();
    for text in texts {
        let text = text.replace(ALLOWED, &json!(names).to_string());
        let objects: Vec<Value> =
            serde_saphyr::from_multiple(&text).context("the rights are no YAML")?;
        items.extend(objects.into_iter().filter(|it| KINDS.iter().any(|kind| it["kind"] == *kind)));
    }
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": items}))
}

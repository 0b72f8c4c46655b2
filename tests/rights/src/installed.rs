//! The rights that a manifest gives to a service account.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

/// One verb on one resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Right {
    /// Where it counts.
    pub reach: Reach,
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource in plural, with `/` and the subresource if it is about one.
    pub resource: String,
    /// The Kubernetes verb.
    pub verb: String,
    /// The objects that it is about; all of them, if empty.
    pub names: Vec<String>,
}

/// Where a right counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reach {
    /// In that namespace. Sorts first: what is narrower answers before what is wider.
    Namespace(String),
    /// In the operator's own namespace, whatever its name.
    Own,
    /// Everywhere.
    Cluster,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if !self.names.is_empty() {
            write!(f, " named {}", self.names.join(", "))?;
        }
        match &self.reach {
            Reach::Cluster => Ok(()),
            Reach::Own => f.write_str(" in the operator's namespace"),
            Reach::Namespace(name) => write!(f, " in namespace {name}"),
        }
    }
}

#[derive(Deserialize)]
struct Document {
    kind: String,
    metadata: Metadata,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(rename = "roleRef")]
    role: Option<RoleRef>,
    #[serde(default)]
    subjects: Vec<Subject>,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    resource_names: Vec<String>,
    verbs: Vec<String>,
}

#[derive(Deserialize)]
struct RoleRef {
    kind: String,
    name: String,
}

#[derive(Deserialize)]
struct Subject {
    name: String,
    #[serde(default)]
    namespace: String,
}

/// The rights that are bound to that service account, the narrower ones first.
///
/// # Errors
/// When the text is not a sequence of Kubernetes objects.
pub fn rights(manifest: &str, account: &str) -> Result<Vec<Right>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(manifest)?;
    let documents: Vec<Document> = documents
        .into_iter()
        .filter(|it| it["apiVersion"].as_str().is_some_and(|it| it.starts_with("rbac.")))
        .map(serde_json::from_value)
        .collect::<Result<_, _>>()?;
    let mut rights = BTreeSet::new();
    for binding in &documents {
        let subject = binding.subjects.iter().find(|it| it.name == account);
        let (Some(role), Some(subject)) = (&binding.role, subject) else { continue };
        let is_role = |it: &&Document| {
            it.kind == role.kind
                && it.metadata.name == role.name
                && (role.kind == "ClusterRole"
                    || it.metadata.namespace == binding.metadata.namespace)
        };
        let reach = match binding.metadata.namespace.as_str() {
            "" => Reach::Cluster,
            it if it == subject.namespace => Reach::Own,
            it => Reach::Namespace(it.to_owned()),
        };
        for rule in documents.iter().filter(is_role).flat_map(|it| &it.rules) {
            rights.extend(rule.each(&reach));
        }
    }
    Ok(rights.into_iter().collect())
}

impl Rule {
    fn each(&self, reach: &Reach) -> Vec<Right> {
        let mut rights = Vec::new();
        for group in &self.api_groups {
            for resource in &self.resources {
                rights.extend(self.verbs.iter().map(|verb| Right {
                    reach: reach.clone(),
                    group: group.clone(),
                    resource: resource.clone(),
                    verb: verb.clone(),
                    names: self.resource_names.clone(),
                }));
            }
        }
        rights
    }
}

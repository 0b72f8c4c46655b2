//! The observed state: `status`, and the closed sets of words in it.
//!
//! Status is no database. If status is lost, the next reconcile rebuilds it from Azure and the cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What holds at the moment, as of `observedGeneration`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct RegistryAttachmentStatus {
    /// The generation that this status speaks of; -1 until the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The value of the annotation reconcile.fluxcd.io/requestedAt that was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,

    /// The method in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<MethodInUse>,

    /// The mark of this attachment, its claim, in the descriptions of role assignments that
    /// acr-attach made: 12 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,

    /// The registry as found in Azure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistryStatus>,

    /// The kubelet identity that holds the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubelet_identity: Option<KubeletIdentityStatus>,

    /// The role assignments by which the registry can be pulled from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_assignments: Option<Vec<RoleAssignmentStatus>>,

    /// The pull secret and the namespaces it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret: Option<PullSecretStatus>,

    /// The names of the Secrets that this attachment has made in the cluster. `*`: more than 64. What
    /// the settings stop allowing is found by these, and removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub secret_names: Option<Vec<String>>,

    /// The names of the service accounts in which this attachment has added entries. `*`: more than 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub service_account_names: Option<Vec<String>>,

    /// `Ready` always; `Reconciling`, `Stalled` and `Obsolete` only while True; `AccessGranted`,
    /// `PullSecretsReady` and `CredentialFresh` where the attachment has such a part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Option<Vec<Condition>>,
}

/// The registry as found in Azure.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct RegistryStatus {
    /// The Azure resource id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    /// The host that images are pulled from, lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_server: Option<String>,
    /// The hosts of its regional endpoints, lower case, where it has some and Azure tells them. Pull secrets have
    /// an entry for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regional_login_servers: Option<Vec<String>>,
    /// Which roles the registry honours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_assignment_mode: Option<RoleAssignmentMode>,
}

/// Which roles a registry honours, in Azure's words (`properties.roleAssignmentMode`, api-version
/// 2025-11-01). `AbacRepositoryPermissions` is mode "RBAC Registry + ABAC Repository Permissions",
/// in which `AcrPull` means nothing.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoleAssignmentMode {
    /// `AcrPull` and its family, for whole registries.
    LegacyRegistryPermissions,
    /// The Repository roles, if wished with conditions for single repositories.
    AbacRepositoryPermissions,
    /// A word of a newer version.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// The kubelet identity that holds the role.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct KubeletIdentityStatus {
    /// The Azure resource id of the managed cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_resource_id: Option<String>,
    /// The object id of the identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    /// What it is, where it was read from the cluster.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub identity_type: Option<IdentityType>,
    /// The object ids of managed identities that AKS has replaced by this one and that still hold a role by
    /// this attachment. No node pulls with them once the cluster is settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub replaced_principal_ids: Option<Vec<String>>,
}

/// What a kubelet identity is.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdentityType {
    /// A managed identity. AKS upgrades the node pools when it replaces one.
    ManagedIdentity,
    /// The service principal of the cluster. Nodes go on with it until their pool is upgraded.
    ServicePrincipal,
    /// A word of a newer version.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// One role assignment.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct RoleAssignmentStatus {
    /// The Azure resource id of the role assignment.
    pub id: String,
    /// The name of the role.
    pub role: String,
    /// The object id of the identity that holds the role.
    pub principal_id: String,
    /// `Managed`: acr-attach made it for this attachment, and removes it. `Existing`: somebody else
    /// made it; it is used, and never changed or deleted.
    pub ownership: Ownership,
    /// Which pulls have used the identity. `Nodes` stays once nodes have pulled with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<RoleUser>,
    /// When this assignment, which is no longer needed, will be removed. RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove_after: Option<String>,
}

/// Whose a role assignment is.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ownership {
    /// It bears this attachment's claim.
    Managed,
    /// Somebody else made it. It is used, and never changed or deleted.
    Existing,
    /// A word of a newer version.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Which pulls use the identity of a role assignment.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoleUser {
    /// The kubelets of nodes.
    Nodes,
    /// The pull secrets of this attachment.
    PullSecrets,
    /// A word of a newer version.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// The pull secret and the namespaces it serves.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct PullSecretStatus {
    /// The name of the Secret in each namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many namespaces have the pull secret, of how many that are to have it, such as 12/12.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<String>,
    /// When the credential in use ends. RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When it will be renewed. RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_at: Option<String>,
    /// Namespaces that could not be served, at most 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10))]
    pub failing: Option<Vec<NamespaceFailure>>,
}

/// Why a namespace is not served.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct NamespaceFailure {
    /// The namespace.
    pub namespace: String,
    /// Why, by one of the words that are reasons of conditions.
    pub reason: String,
    /// What to do, what was tried, and what came back.
    pub message: String,
}

/// The method that an attachment uses.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MethodInUse {
    /// A role assignment for the kubelet identity.
    KubeletIdentity,
    /// A pull secret for a service principal.
    PullSecret,
    /// A word of a newer version.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

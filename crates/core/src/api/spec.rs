//! The desired state: `spec`, with its schema and the rules that the API server checks.

use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pull_secret::PullSecretSpec;
use super::status::RegistryAttachmentStatus;

/// What the cluster should be attached to, and how.
#[expect(clippy::duplicated_attributes, reason = "columns have fields of the same name")]
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[kube(
    crates(kube_core = "::kube_core"),
    group = "acr-attach.dev",
    version = "v1alpha1",
    kind = "RegistryAttachment",
    plural = "registryattachments",
    shortname = "regatt",
    category = "acr",
    status = "RegistryAttachmentStatus",
    doc = "Keeps the cluster attached to an Azure Container Registry: on AKS by a role assignment for the kubelet identity, elsewhere by a pull secret for a service principal.",
    printcolumn(name = "Method", type_ = "string", json_path = ".status.method"),
    printcolumn(name = "Registry", type_ = "string", json_path = ".status.registry.loginServer"),
    printcolumn(
        name = "Namespaces",
        type_ = "string",
        description = "Namespaces that have the pull secret, of those that are to have it",
        json_path = ".status.pullSecret.served"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Expires",
        type_ = "string",
        description = "When the credential in the pull secrets ends",
        priority = 1,
        json_path = ".status.pullSecret.expiresAt"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("self.method != 'PullSecret' || has(self.pullSecret)", "method PullSecret needs pullSecret: name the service principal and the namespaces there"),
    validation = ("!has(self.registry.loginServer) || self.method != 'KubeletIdentity'", "method KubeletIdentity assigns a role and so must find the registry in Azure: give registry.resourceId or registry.name instead of registry.loginServer"),
    validation = ("!has(self.registry.loginServer) || !has(self.pullSecret) || !self.pullSecret.assignRole", "pullSecret.assignRole must find the registry in Azure: give registry.resourceId or registry.name instead of registry.loginServer"),
    validation = ("!has(self.registry.loginServer) || !has(self.repositories) || size(self.repositories) == 0", "repositories are a condition of a role assignment: give registry.resourceId or registry.name instead of registry.loginServer"),
    validation = ("!self.prepareForAbac || !has(self.registry.loginServer)", "prepareForAbac keeps a role assigned and so must find the registry in Azure: give registry.resourceId or registry.name instead of registry.loginServer"),
    validation = ("!self.prepareForAbac || self.method != 'PullSecret' || !has(self.pullSecret) || self.pullSecret.assignRole", "prepareForAbac keeps a role assigned, and so method PullSecret needs it together with pullSecret.assignRole: set that to true, or assign Container Registry Repository Reader to the service principal by hand")
)]
pub struct RegistryAttachmentSpec {
    /// The registry to attach, by exactly one of `resourceId`, `name` and `loginServer`. Immutable.
    /// The operator may allow some registries only: chart value `policy.allowedRegistries`. Example:
    /// `{name: contoso}`.
    #[x_kube(validation = ("self == oldSelf", "registry is immutable: create a second attachment for the other registry (pull secrets: with another pullSecret.secretName), wait until it is Ready, then delete this one"))]
    pub registry: RegistrySpec,

    /// How to attach. `KubeletIdentity`, for AKS: the pull role for the identity of the nodes.
    /// `PullSecret`, for any cluster: a Secret in namespaces. `Auto` (default): decided once by the
    /// nodes, `KubeletIdentity` on AKS, `PullSecret` where the cluster is certainly not AKS.
    #[serde(default)]
    pub method: MethodChoice,

    /// Which identity the nodes pull with. Default: that of the AKS cluster that the nodes belong
    /// to. Example: `{clusterResourceId: /subscriptions/.../managedClusters/prod}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubelet_identity: Option<KubeletIdentitySpec>,

    /// The repositories that may be pulled, each by its name or by a prefix that ends in `/*`.
    /// Default: all. The registry must have the role assignment permissions mode "RBAC Registry +
    /// ABAC Repository Permissions", or nothing is attached. Example: `[team-a/*, base/nginx]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 256)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = ("self.all(r, r.matches('^[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(/[*])?$'))", "each repository is a name such as team-a/app or a prefix such as team-a/*: lower-case letters, digits, and . _ - / between them")
    )]
    pub repositories: Option<Vec<String>>,

    /// True: on a registry in mode "RBAC Registry Permissions", Container Registry Repository Reader is
    /// kept assigned beside `AcrPull`. Azure ignores it there, and honours it from the moment at which the
    /// registry is switched to "RBAC Registry + ABAC Repository Permissions". Then `AcrPull` is taken back.
    /// Default: false.
    #[serde(default)]
    pub prepare_for_abac: bool,

    /// The pull secret: whose credential it holds and where it is written. Method `PullSecret`
    /// needs it. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret: Option<PullSecretSpec>,

    /// What becomes of role assignments when this object is deleted. `Delete` (default): they are
    /// taken back. `Orphan`: they stay. Pull secrets are deleted in any case.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// True: nothing is granted, removed or attached. Credentials in use are still renewed, and
    /// deleting still detaches. Default: false.
    #[serde(default)]
    pub suspend: bool,
}

/// Names the registry.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("[has(self.resourceId), has(self.name), has(self.loginServer)].filter(x, x).size() == 1", "give exactly one of resourceId, name and loginServer"),
    validation = ("!has(self.subscriptionId) || has(self.name)", "subscriptionId goes with name only: a resourceId contains its subscription, a loginServer needs none")
)]
pub struct RegistrySpec {
    /// The Azure resource id of the registry, in any subscription of the cluster's tenant:
    /// `az acr show --name contoso --query id`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    #[x_kube(validation = (
        "self.matches(r'^(?i)/subscriptions/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/resourceGroups/[-_.()\\p{L}\\p{Nd}]{1,90}/providers/Microsoft[.]ContainerRegistry/registries/[a-z0-9]{5,50}$')",
        "resourceId has the form /subscriptions/<id>/resourceGroups/<group>/providers/Microsoft.ContainerRegistry/registries/<name>; az acr show --name <name> --query id prints it"
    ))]
    pub resource_id: Option<String>,

    /// The name of the registry, looked for in one subscription: `subscriptionId`, else the AKS
    /// cluster's, else the operator's (chart value `azure.subscriptionId`). The operator's identity
    /// must be allowed to read that subscription. Default: none. Example: `contoso`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 50))]
    #[x_kube(validation = ("self.matches('^[a-zA-Z0-9]{5,50}$')", "name is the name of a registry: 5 to 50 letters and digits, without .azurecr.io"))]
    pub name: Option<String>,

    /// The subscription in which `name` is looked for, a GUID: `az account show --query id`.
    /// Default: see `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    #[x_kube(validation = ("self.matches('^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')", "subscriptionId is a GUID"))]
    pub subscription_id: Option<String>,

    /// The host that images are pulled from, for pull secrets: the operator then needs no rights in
    /// Azure. The operator must allow hosts outside the cloud's domain: chart value
    /// `policy.loginServerSuffixes`. Default: none. Example: `contoso.azurecr.io`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = (
        "self.matches('^(?i)([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?[.])+[a-z]{2,63}$')",
        "loginServer is a host name such as myregistry.azurecr.io: no scheme, user, port or path, and no address"
    ))]
    pub login_server: Option<String>,
}

/// How the cluster is attached, as asked for.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MethodChoice {
    /// Decided once, by whether the cluster is AKS.
    #[default]
    Auto,
    /// A role assignment for the cluster's kubelet identity.
    KubeletIdentity,
    /// A pull secret for a service principal.
    PullSecret,
    /// A word of a newer version. Such an object can still be read and cleaned up.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Where the kubelet identity comes from.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct KubeletIdentitySpec {
    /// The Azure resource id of the AKS cluster:
    /// `az aks show --resource-group rg --name prod --query id`. The operator's identity must be
    /// allowed to read it. Default: found by the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    #[x_kube(validation = (
        "self.matches(r'^(?i)/subscriptions/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/resourceGroups/[-_.()\\p{L}\\p{Nd}]{1,90}/providers/Microsoft[.]ContainerService/managedClusters/[a-z0-9]([-_a-z0-9]{0,61}[a-z0-9])?$')",
        "clusterResourceId has the form /subscriptions/<id>/resourceGroups/<group>/providers/Microsoft.ContainerService/managedClusters/<name>; az aks show --name <cluster> --resource-group <group> --query id prints it"
    ))]
    pub cluster_resource_id: Option<String>,

    /// The object id of the identity, a GUID, where it cannot be read from the cluster. Of another
    /// cluster `az aks show --resource-group rg --name prod --query identityProfile.kubeletidentity.objectId` prints it. It wins over
    /// `clusterResourceId`. Default: none; the cluster tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    #[x_kube(validation = ("self.matches('^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')", "principalId is the object id of the identity, a GUID"))]
    pub principal_id: Option<String>,
}

/// What becomes of role assignments when the object goes.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeletionPolicy {
    /// The claim is taken back, and an assignment without claims is deleted.
    #[default]
    Delete,
    /// Role assignments stay as they are.
    Orphan,
    /// A word of a newer version.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

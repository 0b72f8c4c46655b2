//! The part of `spec` that describes a pull secret.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose credential a pull secret holds, and where it is written.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "self.credential != 'ClientSecret' || has(self.servicePrincipal.clientSecretRef)",
    "credential ClientSecret writes the service principal's secret and so needs servicePrincipal.clientSecretRef"
))]
pub struct PullSecretSpec {
    /// The service principal whose credential the pull secret holds. It needs role `AcrPull` on
    /// the registry, or Container Registry Repository Reader where the registry has repository
    /// permissions.
    pub service_principal: ServicePrincipalSpec,

    /// True: the operator also keeps the pull role assigned to the service principal. Its own
    /// identity must be allowed to assign roles on the registry. Default: false.
    #[serde(default)]
    pub assign_role: bool,

    /// What the pull secret holds. `RegistryToken` (default): a token of the registry, which lives
    /// about 3 hours and is renewed at half its life. `ClientSecret`: the service principal's id
    /// and secret; needs `clientSecretRef`.
    #[serde(default)]
    pub credential: CredentialForm,

    /// The name of the pull secret in each namespace. Default: `acr-pull`. The operator must
    /// allow any other name: chart value `pullSecrets.names`. Example: `acr-pull-fabrikam`.
    #[serde(default = "default_secret_name")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')", "secretName is the name of a Secret: lower-case letters, digits, - and ."))]
    pub secret_name: String,

    /// The namespaces that get the pull secret, by name, by label, or both. Example:
    /// `{names: [shop], selector: {matchLabels: {acr-pull: contoso}}}`.
    pub namespaces: NamespaceChoice,

    /// The service accounts whose imagePullSecrets get the pull secret's name. Default:
    /// `[default]`. `[]`: none. `["*"]`: all of those namespaces. The operator must allow any other
    /// name than `default`: chart value `pullSecrets.serviceAccounts`. Example: `[default, builder]`.
    #[serde(default = "default_service_accounts")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 253)))]
    // Atomic, not a set: applied on the server's side, a set that loses its last item is as good
    // as absent, and would get its default back.
    #[x_kube(
        merge_strategy = ListMerge::Atomic,
        validation = ("self.all(a, self.exists_one(b, a == b))", "serviceAccounts names one twice"),
        validation = ("self.all(a, a == '*' || a.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$'))", "each of serviceAccounts is the name of a service account, or * for all"),
        validation = ("!('*' in self) || size(self) == 1", "* names all service accounts and stands alone")
    )]
    pub service_accounts: Vec<String>,
}

/// The service principal whose credential is written.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase")]
pub struct ServicePrincipalSpec {
    /// The id of its tenant (directory), a GUID: `az account show --query tenantId`.
    #[schemars(length(max = 36))]
    #[x_kube(validation = ("self.matches('^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')", "tenantId is a GUID"))]
    pub tenant_id: String,

    /// The application (client) id, a GUID: the `appId` that `az ad sp create-for-rbac` prints.
    #[schemars(length(max = 36))]
    #[x_kube(validation = ("self.matches('^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')", "clientId is the application id, a GUID"))]
    pub client_id: String,

    /// The object id of the service principal (not of its application), a GUID, for `assignRole`:
    /// `az ad sp show --id <client id> --query id`. Default: what the service principal's own
    /// token says, else Microsoft Graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    #[x_kube(validation = ("self.matches('^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')", "objectId is a GUID"))]
    pub object_id: Option<String>,

    /// Where the client secret is: a key of a Secret in the operator's namespace. Example:
    /// `{name: acr-sp, key: clientSecret}`. Default: none; the service principal trusts the
    /// operator's service account by a federated credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_ref: Option<SecretKeyRef>,
}

/// One key of a Secret in the operator's namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
pub struct SecretKeyRef {
    /// The name of the Secret. Example: `acr-sp`.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = ("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')", "name is the name of a Secret in the operator's namespace"))]
    pub name: String,

    /// The key in it whose value is the client secret. Example: `clientSecret`.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = ("self.matches('^[-._a-zA-Z0-9]+$')", "key is a key of that Secret: letters, digits, - _ and ."))]
    pub key: String,
}

/// The form of the credential in a pull secret.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CredentialForm {
    /// A refresh token of the registry.
    #[default]
    RegistryToken,
    /// The service principal's id and secret.
    ClientSecret,
    /// A word of a newer version.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Namespaces, by name, by label, or both.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[x_kube(validation = ("has(self.names) || has(self.selector)", "give names, selector or both: selector {} means every namespace but the system's"))]
pub struct NamespaceChoice {
    /// Namespaces by name. Those that do not exist yet are served when they come. Default:
    /// none. Example: `[shop]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 63)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = ("self.all(n, n.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))", "each of names is the name of a namespace")
    )]
    pub names: Option<Vec<String>>,

    /// Namespaces by label. `{}` means all but kube-system, kube-public and kube-node-lease.
    /// Default: none. Example: `{matchLabels: {acr-pull: contoso}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub selector: Option<LabelSelector>,
}

fn default_secret_name() -> String {
    "acr-pull".to_owned()
}

fn default_service_accounts() -> Vec<String> {
    vec!["default".to_owned()]
}

//! The calls that the simulator knows, as faults and the journal name them.

use serde::{Deserialize, Serialize};

/// A kind of request.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Call {
    /// Every request, unknown ones included; only for faults.
    Any,
    /// Entra: `POST /{tenant}/oauth2/v2.0/token`.
    Token,
    /// Instance metadata: `GET /metadata/identity/oauth2/token`.
    InstanceMetadata,
    /// ARM: GET of a registry.
    GetRegistry,
    /// ARM: registries of a subscription or resource group.
    ListRegistries,
    /// ARM: GET of a managed cluster.
    GetCluster,
    /// ARM: managed clusters of a subscription or resource group.
    ListClusters,
    /// ARM: GET of a resource group.
    GetResourceGroup,
    /// ARM: role assignments at a scope.
    ListRoleAssignments,
    /// ARM: GET of a role assignment.
    GetRoleAssignment,
    /// ARM: PUT of a role assignment.
    PutRoleAssignment,
    /// ARM: DELETE of a role assignment.
    DeleteRoleAssignment,
    /// Graph: service principals that a filter selects.
    ListServicePrincipals,
    /// Graph: GET of a service principal by its application id.
    GetServicePrincipal,
    /// Registry: `/v2/`.
    RegistryPing,
    /// Registry: `POST /oauth2/exchange`, an Entra token for a refresh token.
    RegistryExchange,
    /// Registry: GET or POST of `/oauth2/token`, a credential for an access token.
    RegistryToken,
    /// Registry: GET or HEAD of a manifest.
    RegistryManifest,
    /// Registry: GET or HEAD of a blob.
    RegistryBlob,
    /// Registry: tags of a repository.
    RegistryTags,
    /// Registry: the list of repositories.
    RegistryCatalog,
}

impl Call {
    /// Whether the call can change something.
    #[must_use]
    pub fn is_write(self) -> bool {
        matches!(self, Self::PutRoleAssignment | Self::DeleteRoleAssignment)
    }
}

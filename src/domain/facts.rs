//! What was read in Azure.

use jiff::Timestamp;
use uuid::Uuid;

use super::claims::Claims;
use super::names::{AssignmentId, ClusterId, LoginServer, PrincipalId, RegistryId};
pub use crate::api::RoleAssignmentMode;

/// A registry.
#[derive(Clone, Debug, PartialEq)]
pub struct Registry {
    /// Its resource id as Azure writes it.
    pub id: RegistryId,
    /// The host that images are pulled from.
    pub login_server: LoginServer,
    /// Which roles it honours; `None` where Azure hides it, as api-versions before 2025-11-01 do.
    pub mode: Option<RoleAssignmentMode>,
    /// What Azure is doing to it, in Azure's words; `Succeeded` when nothing.
    pub provisioning_state: String,
}

impl Registry {
    /// Whether it can be used. While it is being changed it can.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        ["Succeeded", "Updating"].iter().any(|it| it.eq_ignore_ascii_case(&self.provisioning_state))
    }
}

/// A managed cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Its resource id as Azure writes it.
    pub id: ClusterId,
    /// The identity that its nodes pull with. Absent on clusters with a service principal.
    pub kubelet_identity: Option<PrincipalId>,
    /// The client id of its service principal, on clusters that have one.
    pub service_principal: Option<String>,
    /// The resource group that holds its nodes.
    pub node_resource_group: Option<String>,
    /// Whether pods pull with identities of their service accounts, instead of the kubelet's.
    pub pulls_by_service_account: bool,
    /// Whether the cluster and all its node pools are as configured. While they are not, nodes
    /// may still use a former kubelet identity.
    pub settled: bool,
}

/// A role assignment on a registry or on something above it.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleAssignment {
    /// Its id, which contains the scope.
    pub id: AssignmentId,
    /// The role, by the last segment of its definition's id.
    pub role: Uuid,
    /// The role definition's id as Azure wrote it.
    pub role_definition_id: String,
    /// Who holds the role.
    pub principal: PrincipalId,
    /// What kind of identity that is, in Azure's words.
    pub principal_type: Option<String>,
    /// What narrows it; absent: nothing does.
    pub condition: Option<String>,
    /// The language of the condition.
    pub condition_version: Option<String>,
    /// The resource whose identity it is, for grants across tenants.
    pub delegated_managed_identity_resource_id: Option<String>,
    /// Free text. Ours bears claims.
    pub description: Option<String>,
    /// When it was made.
    pub created_on: Option<Timestamp>,
    /// When it was last changed.
    pub updated_on: Option<Timestamp>,
}

impl RoleAssignment {
    /// The claims in its description; `None` if it is not ours.
    #[must_use]
    pub fn claims(&self) -> Option<Claims> {
        self.description.as_deref().and_then(Claims::read)
    }
}

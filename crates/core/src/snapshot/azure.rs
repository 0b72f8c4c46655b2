//! What was read in Azure.

use jiff::Timestamp;
use uuid::Uuid;

pub use crate::api::RoleAssignmentMode;
use crate::ids::{AssignmentId, ClusterId, LoginServer, PrincipalId, RegistryId};
use crate::roles::claims::Claims;

/// A registry.
#[derive(Clone, Debug, PartialEq)]
pub struct Registry {
    /// Its resource id as Azure writes it.
    pub id: RegistryId,
    /// The host that images are pulled from.
    pub login_server: LoginServer,
    /// The hosts of its regional endpoints, which images are pulled from too; `None` where Azure hides them, as
    /// api-versions before 2026-01-01-preview do.
    pub regional: Option<Vec<LoginServer>>,
    /// Which roles it honours; `None` where Azure hides it, as api-versions before 2025-11-01 do.
    pub mode: Option<RoleAssignmentMode>,
    /// What Azure is doing to it, in Azure's words; `Succeeded` when nothing.
    pub provisioning_state: String,
    /// Whether tokens for Azure Resource Manager can be exchanged there for its own
    /// (`policies.azureADAuthenticationAsArmPolicy`); else only tokens for registries can.
    pub accepts_arm_tokens: bool,
}

/// What Azure is doing to a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provisioning {
    /// Nothing: it is as it was asked for. Or something that does not stop it from being used.
    Usable,
    /// The last change failed or was given up. The registry stays as it was before.
    ChangeFailed,
    /// It is being made, or something that is not known here is done to it.
    NotReady,
    /// It is being deleted.
    Deleting,
}

impl Registry {
    /// What Azure is doing to it.
    ///
    /// A registry has the states Creating, Updating, Deleting, Succeeded, Failed and Canceled
    /// (azure-rest-api-specs, `Microsoft.ContainerRegistry`, `ProvisioningState`). While it is
    /// Updating it serves pulls and takes role assignments: a change of its SKU, its network rules
    /// or its mode is no outage, and an attachment that turned unready for each would only cry
    /// wolf. Failed and Canceled end a change as Succeeded does: nothing brings the registry out
    /// of them but another change. A resource without a state has reached its end
    /// (azure-resource-manager-rpc, "Asynchronous operations").
    #[must_use]
    pub fn provisioning(&self) -> Provisioning {
        match &*self.provisioning_state.to_ascii_lowercase() {
            "" | "succeeded" | "updating" => Provisioning::Usable,
            "failed" | "canceled" => Provisioning::ChangeFailed,
            "deleting" => Provisioning::Deleting,
            _ => Provisioning::NotReady,
        }
    }
}

/// A managed cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Its resource id as Azure writes it.
    pub id: ClusterId,
    /// The identity that its nodes pull with. Absent on clusters with a service principal.
    pub kubelet_identity: Option<PrincipalId>,
    /// The client id of that identity.
    pub kubelet_client: Option<Uuid>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("Succeeded", Provisioning::Usable)]
    #[case("UPDATING", Provisioning::Usable)]
    #[case("", Provisioning::Usable)]
    #[case("Failed", Provisioning::ChangeFailed)]
    #[case("Canceled", Provisioning::ChangeFailed)]
    #[case("Creating", Provisioning::NotReady)]
    #[case("Moving", Provisioning::NotReady)]
    #[case("Deleting", Provisioning::Deleting)]
    fn a_registry_is_used_unless_it_comes_or_goes(
        #[case] state: &str,
        #[case] provisioning: Provisioning,
    ) {
        let id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso";
        let registry = Registry {
            id: id.parse().unwrap(),
            login_server: "contoso.azurecr.io".parse().unwrap(),
            regional: None,
            mode: None,
            provisioning_state: state.into(),
            accepts_arm_tokens: true,
        };
        assert_eq!(registry.provisioning(), provisioning);
    }
}

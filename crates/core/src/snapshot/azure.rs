//! Resources of Azure, reduced to what decisions need.

use jiff::Timestamp;
use uuid::Uuid;

pub use crate::api::RoleAssignmentMode;
use crate::ids::{AssignmentId, ClusterId, LoginServer, PrincipalId, RegistryId};
use crate::roles::claims::Claims;

/// A registry.
#[derive(Clone, Debug, PartialEq)]
pub struct Registry {
    /// The resource id, as Azure writes it.
    pub id: RegistryId,
    /// The host that images are pulled from.
    pub login_server: LoginServer,
    /// The hosts of its regional endpoints, which images are pulled from too. `None` where the api-version
    /// does not tell them: those before 2026-01-01-preview.
    pub regional: Option<Vec<LoginServer>>,
    /// Which roles the registry honours. `None` where the api-version does not tell: those before
    /// 2025-11-01.
    pub mode: Option<RoleAssignmentMode>,
    /// Azure's provisioningState; `Succeeded` when no change is under way.
    pub provisioning_state: String,
    /// Whether the registry accepts a token whose audience is Azure Resource Manager, and returns a token of its
    /// own for it (`policies.azureADAuthenticationAsArmPolicy`). Otherwise it accepts only tokens whose
    /// audience is registries.
    pub accepts_arm_tokens: bool,
}

/// What a registry's provisioningState means for attachments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provisioning {
    /// No change is under way, or one during which the registry can be used.
    Usable,
    /// The last change failed or was canceled. The registry stays as it was before.
    ChangeFailed,
    /// The registry is being created, or in an unknown state.
    NotReady,
    /// The registry is being deleted.
    Deleting,
}

impl Registry {
    /// Classifies the provisioningState.
    ///
    /// A registry has the states Creating, Updating, Deleting, Succeeded, Failed and Canceled
    /// (azure-rest-api-specs, `Microsoft.ContainerRegistry`, `ProvisioningState`). A registry that is
    /// Updating serves pulls and takes role assignments: a change of SKU, network rules or mode is no
    /// outage, so the attachment stays Ready. Failed and Canceled end a change as Succeeded does, and
    /// last until the next change. A resource without a state has reached its final one
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
    /// The resource id, as Azure writes it.
    pub id: ClusterId,
    /// The object id of the identity that nodes pull with; `None` on clusters with a service principal.
    pub kubelet_identity: Option<PrincipalId>,
    /// The client id of that identity.
    pub kubelet_client: Option<Uuid>,
    /// The client id of the service principal, on clusters that have one.
    pub service_principal: Option<String>,
    /// The name of the resource group that holds the nodes.
    pub node_resource_group: Option<String>,
    /// Whether pods pull with identities of their service accounts instead of the kubelet's.
    pub pulls_by_service_account: bool,
    /// Whether the cluster and all its node pools are as configured. Otherwise nodes may still use a
    /// former kubelet identity.
    pub settled: bool,
}

/// A role assignment on a registry or on a scope above it.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleAssignment {
    /// The id, which contains the scope.
    pub id: AssignmentId,
    /// The last segment of the role definition's id.
    pub role: Uuid,
    /// The role definition's id as Azure wrote it.
    pub role_definition_id: String,
    /// The object id of the identity that holds the role.
    pub principal: PrincipalId,
    /// Azure's principalType, such as `ServicePrincipal`.
    pub principal_type: Option<String>,
    /// The condition that narrows the role; `None` for no condition.
    pub condition: Option<String>,
    /// The version of the condition's language.
    pub condition_version: Option<String>,
    /// The resource of a managed identity, for grants across tenants.
    pub delegated_managed_identity_resource_id: Option<String>,
    /// Free text. acr-attach writes claims there.
    pub description: Option<String>,
    /// When the assignment was created (UTC).
    pub created_on: Option<Timestamp>,
    /// When the assignment was last changed (UTC).
    pub updated_on: Option<Timestamp>,
}

impl RoleAssignment {
    /// The claims in the description; `None` if acr-attach did not make the assignment.
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

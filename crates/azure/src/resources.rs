//! Registries and managed clusters in Azure Resource Manager.

use acr_attach_core::ids::{ClusterId, LoginServer, RegistryId};
use acr_attach_core::snapshot::azure::{Cluster, Registry, RoleAssignmentMode};
use serde::Deserialize;

use super::Reader;
use super::arm::Call;
use super::error::{Attempt, Error, Subject};
use super::permission::READER;

/// The first version that shows the hosts of regional endpoints. No stable version did when this was
/// written. If Azure removes the preview, a stable version replaces it.
const REGISTRIES: &str = "2026-01-01-preview";
/// The first stable version that shows the role assignment mode. Older versions omit it silently.
const FIRST_WITH_MODE: &str = "2025-11-01";
/// The first version that shows whether service accounts pull with identities of their own. No
/// stable version did when this was written. If Azure removes the preview, a stable version replaces
/// it.
const MANAGED_CLUSTERS: &str = "2026-01-02-preview";

/// A registry as Azure Resource Manager returns it.
#[derive(Deserialize)]
struct StoredRegistry {
    id: String,
    properties: RegistryProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegistryProperties {
    login_server: String,
    regional_endpoint_host_names: Option<Vec<String>>,
    role_assignment_mode: Option<RoleAssignmentMode>,
    #[serde(default)]
    provisioning_state: String,
    #[serde(default)]
    policies: Policies,
}

#[derive(Default, Deserialize)]
struct Policies {
    #[serde(default, rename = "azureADAuthenticationAsArmPolicy")]
    arm_tokens: Policy,
}

#[derive(Default, Deserialize)]
struct Policy {
    status: Option<String>,
}

impl Reader {
    /// Reads a registry.
    ///
    /// # Errors
    /// When Azure does not answer, refuses, or has no such registry.
    pub async fn registry(&self, id: &RegistryId) -> Result<Registry, Error> {
        let attempt = Attempt {
            operation: "reading registry",
            target: id.to_string(),
            action: "Microsoft.ContainerRegistry/registries/read",
            role: READER,
            ..Attempt::default()
        };
        let path = format!("{id}?api-version={REGISTRIES}");
        let call = Call::get(&attempt, path);
        let wire: StoredRegistry = self.arm.read(&call).await?;
        let version = self.arm.version(&call.path);
        let shows_mode = version.as_str() >= FIRST_WITH_MODE;
        let no_regions = (version.as_str() >= REGISTRIES).then(Vec::new);
        let regional = wire.properties.regional_endpoint_host_names.or(no_regions);
        let default_mode = shows_mode.then_some(RoleAssignmentMode::LegacyRegistryPermissions);
        let unreadable = |error| Error::unreadable(&attempt, error);
        let arm_tokens = wire.properties.policies.arm_tokens.status;
        Ok(Registry {
            id: wire.id.parse().map_err(unreadable)?,
            login_server: wire.properties.login_server.parse().map_err(unreadable)?,
            regional: regional.map(|it| hosts(&it)),
            mode: wire.properties.role_assignment_mode.or(default_mode),
            provisioning_state: wire.properties.provisioning_state,
            accepts_arm_tokens: arm_tokens.is_none_or(|it| !it.eq_ignore_ascii_case("disabled")),
        })
    }

    /// Reads a managed cluster. Concurrent callers share the read.
    ///
    /// # Errors
    /// When Azure does not answer, refuses, or has no such cluster.
    pub async fn cluster(&self, id: &ClusterId) -> Result<Cluster, Error> {
        self.reads.clusters.get(id, self.not_before, self.read_cluster(id)).await
    }

    async fn read_cluster(&self, id: &ClusterId) -> Result<Cluster, Error> {
        let attempt = Attempt {
            subject: Subject::Cluster,
            operation: "reading cluster",
            target: id.to_string(),
            action: "Microsoft.ContainerService/managedClusters/read",
            role: READER,
            ..Attempt::default()
        };
        let path = format!("{id}?api-version={MANAGED_CLUSTERS}");
        let wire: ClusterWire = self.arm.read(&Call::get(&attempt, path)).await?;
        let properties = wire.properties;
        let settled = properties
            .agent_pool_profiles
            .iter()
            .map(|it| it.provisioning_state.as_deref())
            .chain([properties.provisioning_state.as_deref()])
            .all(|state| state == Some("Succeeded"));
        let identity = properties.identity_profile.and_then(|it| it.kubeletidentity);
        let kubelet_client = identity.as_ref().and_then(|it| it.client_id.as_ref()?.parse().ok());
        let kubelet_identity = identity
            .and_then(|it| it.object_id)
            .map(|it| it.parse())
            .transpose()
            .map_err(|error| Error::unreadable(&attempt, error))?;
        let client = properties.service_principal_profile.and_then(|it| it.client_id);
        Ok(Cluster {
            // A cluster with a managed identity has `msi` as its client id.
            service_principal: client.filter(|it| !it.eq_ignore_ascii_case("msi")),
            node_resource_group: properties.node_resource_group,
            id: wire.id.parse().map_err(|error| Error::unreadable(&attempt, error))?,
            kubelet_identity,
            kubelet_client,
            settled,
            pulls_by_service_account: properties
                .security_profile
                .and_then(|it| it.service_account_image_pull_profile)
                .is_some_and(|it| it.enabled),
        })
    }
}

/// The valid host names, sorted, because Azure may list them in any order.
fn hosts(names: &[String]) -> Vec<LoginServer> {
    let mut hosts: Vec<_> = names.iter().filter_map(|it| it.parse().ok()).collect();
    hosts.sort();
    hosts
}

#[derive(Deserialize)]
struct ClusterWire {
    id: String,
    properties: ClusterProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClusterProperties {
    provisioning_state: Option<String>,
    #[serde(default)]
    agent_pool_profiles: Vec<AgentPoolProfile>,
    identity_profile: Option<IdentityProfile>,
    service_principal_profile: Option<ServicePrincipalProfile>,
    node_resource_group: Option<String>,
    security_profile: Option<SecurityProfile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecurityProfile {
    service_account_image_pull_profile: Option<ServiceAccountImagePullProfile>,
}

#[derive(Deserialize)]
struct ServiceAccountImagePullProfile {
    #[serde(default)]
    enabled: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServicePrincipalProfile {
    client_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AgentPoolProfile {
    provisioning_state: Option<String>,
}

#[derive(Deserialize)]
struct IdentityProfile {
    kubeletidentity: Option<KubeletIdentity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KubeletIdentity {
    object_id: Option<String>,
    client_id: Option<String>,
}

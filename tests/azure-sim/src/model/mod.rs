//! What Azure holds at this moment: directories, subscriptions, resources and role assignments.
//!
//! The model is plain data. Tests change it directly, the faces of the simulator answer from it,
//! and [`Model`] as JSON is what the binary is seeded with.

mod add;
mod assignments;
mod deny;
mod directory;
mod kubelet_update;
mod registries;
mod resources;
mod roles;
pub(crate) mod scope;
mod settings;
mod versions;

use serde::{Deserialize, Serialize};

pub use add::Add;
pub(crate) use assignments::Change;
pub use assignments::{Lock, LockLevel, RoleAssignment};
pub use deny::DenyAssignment;
pub use directory::{
    APPLICATION_READ_ALL, ClientSecret, FederatedCredential, Principal, PrincipalType, Tenant,
    TokenIssuer,
};
pub use registries::{
    NetworkDefaultAction, NetworkRuleSet, Registry, Repository, RoleAssignmentMode, Tag,
};
pub use resources::{
    AgentPool, Cluster, KubeletIdentity, ResourceGroup, ServiceAccountImagePull, Subscription,
};
pub(crate) use roles::matches_pattern;
pub use roles::{
    ACR_DELETE, ACR_PULL, ACR_PUSH, CONTRIBUTOR, OWNER, READER, REPOSITORY_CATALOG_LISTER,
    REPOSITORY_CONTRIBUTOR, REPOSITORY_READER, REPOSITORY_WRITER,
    ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, RoleDefinition, USER_ACCESS_ADMINISTRATOR,
};
pub use settings::{
    Bucket, Cloud, ExistsMessage, FirewallAnswer, IdCase, LegacyRoleCheck, OutsideRights,
    RepeatedPut, Settings, Throttling, TokenLifetimes, UnknownVersion,
};

/// The tenant of [`Model::default_tenant`].
pub const DEFAULT_TENANT: &str = "7e000000-0000-4000-8000-000000000001";
/// The subscription of [`Model::new`].
pub const DEFAULT_SUBSCRIPTION: &str = "50000000-0000-4000-8000-000000000001";
/// The resource group of [`Model::new`].
pub const DEFAULT_RESOURCE_GROUP: &str = "rg";
/// The Azure region of everything that does not name one.
pub const DEFAULT_LOCATION: &str = "eastus";

/// Everything the simulated Azure knows.
///
/// [`Model::default`] is an empty Azure; [`Model::new`] has a tenant, a subscription and a
/// resource group to put things into. Ids are compared without regard to case.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Model {
    /// How the service behaves: cloud, lags, limits, wording.
    #[serde(default)]
    pub settings: Settings,
    /// Entra directories.
    #[serde(default)]
    pub tenants: Vec<Tenant>,
    /// Identity providers outside Azure whose tokens a federated credential can name.
    #[serde(default)]
    pub token_issuers: Vec<TokenIssuer>,
    /// Service principals, managed identities, users and groups.
    #[serde(default)]
    pub principals: Vec<Principal>,
    /// Subscriptions.
    #[serde(default)]
    pub subscriptions: Vec<Subscription>,
    /// Resource groups.
    #[serde(default)]
    pub resource_groups: Vec<ResourceGroup>,
    /// Container registries.
    #[serde(default)]
    pub registries: Vec<Registry>,
    /// Managed clusters (AKS).
    #[serde(default)]
    pub clusters: Vec<Cluster>,
    /// Role definitions beyond the built-in ones.
    #[serde(default)]
    pub custom_roles: Vec<RoleDefinition>,
    /// Role assignments, at any scope.
    #[serde(default)]
    pub role_assignments: Vec<RoleAssignment>,
    /// Resource locks.
    #[serde(default)]
    pub locks: Vec<Lock>,
    /// Deny assignments, at any scope.
    #[serde(default)]
    pub deny_assignments: Vec<DenyAssignment>,
    /// Role assignments written through ARM, newest last; what lags are computed from.
    #[serde(skip)]
    pub(crate) changes: Vec<Change>,
}

impl Model {
    /// Creates an Azure with one tenant, one subscription and one resource group.
    #[must_use]
    pub fn new(tenant_id: &str) -> Self {
        Self {
            tenants: vec![Tenant::new(tenant_id)],
            subscriptions: vec![Subscription {
                subscription_id: DEFAULT_SUBSCRIPTION.into(),
                tenant_id: tenant_id.into(),
                display_name: "Simulated".into(),
                ..Subscription::default()
            }],
            resource_groups: vec![ResourceGroup::new(DEFAULT_SUBSCRIPTION, DEFAULT_RESOURCE_GROUP)],
            ..Self::default()
        }
    }

    /// Creates the Azure of [`Model::new`] in [`DEFAULT_TENANT`].
    #[must_use]
    pub fn default_tenant() -> Self {
        Self::new(DEFAULT_TENANT)
    }

    pub(crate) fn tenant(&self, id: &str) -> Option<&Tenant> {
        self.tenants.iter().find(|it| {
            it.tenant_id.eq_ignore_ascii_case(id)
                || it.domains.iter().any(|domain| domain.eq_ignore_ascii_case(id))
        })
    }

    pub(crate) fn subscription(&self, id: &str) -> Option<&Subscription> {
        self.subscriptions.iter().find(|it| it.subscription_id.eq_ignore_ascii_case(id))
    }

    pub(crate) fn resource_group(&self, subscription: &str, name: &str) -> Option<&ResourceGroup> {
        self.resource_groups.iter().find(|it| {
            it.subscription_id.eq_ignore_ascii_case(subscription) && scope::is_same(&it.name, name)
        })
    }

    /// The subscription with this id, to change it.
    pub fn subscription_mut(&mut self, id: &str) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|it| it.subscription_id.eq_ignore_ascii_case(id))
    }

    /// The principal with this object id.
    #[must_use]
    pub fn principal(&self, object_id: &str) -> Option<&Principal> {
        self.principals.iter().find(|it| it.object_id.eq_ignore_ascii_case(object_id))
    }

    /// The principal with this object id, to change it.
    pub fn principal_mut(&mut self, object_id: &str) -> Option<&mut Principal> {
        self.principals.iter_mut().find(|it| it.object_id.eq_ignore_ascii_case(object_id))
    }

    /// The registry with this resource id or name.
    #[must_use]
    pub fn find_registry(&self, id_or_name: &str) -> Option<&Registry> {
        self.registries.iter().find(|it| {
            scope::is_same(&it.id(), id_or_name) || it.name.eq_ignore_ascii_case(id_or_name)
        })
    }

    /// The registry with this resource id or name, to change it.
    pub fn registry_mut(&mut self, id_or_name: &str) -> Option<&mut Registry> {
        self.registries.iter_mut().find(|it| {
            scope::is_same(&it.id(), id_or_name) || it.name.eq_ignore_ascii_case(id_or_name)
        })
    }

    /// The registry that is pulled from this host.
    pub(crate) fn registry_at(&self, host: &str) -> Option<&Registry> {
        self.registries.iter().find(|it| it.is_at(host))
    }

    /// The tenant that a subscription trusts.
    pub(crate) fn tenant_of(&self, subscription_id: &str) -> Option<&Tenant> {
        self.tenant(&self.subscription(subscription_id)?.tenant_id)
    }

    /// The cluster with this resource id or name.
    #[must_use]
    pub fn find_cluster(&self, id_or_name: &str) -> Option<&Cluster> {
        self.clusters.iter().find(|it| {
            scope::is_same(&it.id(), id_or_name) || it.name.eq_ignore_ascii_case(id_or_name)
        })
    }

    /// The cluster with this resource id or name, to change it.
    pub fn cluster_mut(&mut self, id_or_name: &str) -> Option<&mut Cluster> {
        self.clusters.iter_mut().find(|it| {
            scope::is_same(&it.id(), id_or_name) || it.name.eq_ignore_ascii_case(id_or_name)
        })
    }

    /// Deletes a registry, cluster or resource group with everything below it, role assignments
    /// included, as ARM does.
    pub fn remove_resource(&mut self, id: &str) {
        let gone = |it: &str| scope::is_within(it, id);
        self.registries.retain(|it| !gone(&it.id()));
        self.clusters.retain(|it| !gone(&it.id()));
        self.resource_groups.retain(|it| !gone(&it.id()));
        self.role_assignments.retain(|it| !gone(&it.scope));
    }
}

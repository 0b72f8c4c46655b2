//! Putting things into the model in a few words.

mod clusters;

use super::{
    ClientSecret, DEFAULT_RESOURCE_GROUP, DEFAULT_SUBSCRIPTION, DEFAULT_TENANT, Lock, LockLevel,
    Model, Principal, PrincipalType, Registry, Repository, ResourceGroup, RoleAssignmentMode,
    Subscription, Tag, Tenant, TokenIssuer, scope::stable_guid,
};

/// Something about to be put into a [`Model`]: set what matters, then call `add`.
#[derive(Debug)]
#[must_use = "nothing is in the model until `add` is called"]
pub struct Add<'a, T> {
    model: &'a mut Model,
    item: T,
}

impl<T> Add<'_, T> {
    /// Sets any field.
    pub fn with(mut self, change: impl FnOnce(&mut T)) -> Self {
        change(&mut self.item);
        self
    }
}

impl Model {
    /// Starts a registry in the first subscription and its first resource group.
    pub fn registry(&mut self, name: &str) -> Add<'_, Registry> {
        let (subscription_id, resource_group) = self.home();
        let item = Registry {
            subscription_id,
            resource_group,
            name: name.into(),
            login_server: format!(
                "{}.{}",
                name.to_ascii_lowercase(),
                self.settings.cloud.acr_suffix()
            ),
            ..Registry::default()
        };
        Add { model: self, item }
    }

    /// Starts an application's service principal; its ids follow from the name.
    pub fn application(&mut self, name: &str) -> Add<'_, Principal> {
        let item = Principal {
            object_id: stable_guid(&["object", name]),
            client_id: Some(stable_guid(&["client", name])),
            tenant_id: self.home_tenant(),
            display_name: name.into(),
            ..Principal::default()
        };
        Add { model: self, item }
    }

    /// Starts a user-assigned managed identity; its ids follow from the name.
    pub fn managed_identity(&mut self, name: &str) -> Add<'_, Principal> {
        let (subscription, group) = self.home();
        let resource_id = identity_id(&subscription, &group, name);
        self.application(name).with(|it| it.resource_id = Some(resource_id))
    }

    /// Starts a user, group or other principal that cannot ask for tokens here.
    pub fn other_principal(&mut self, name: &str, kind: PrincipalType) -> Add<'_, Principal> {
        self.application(name).with(|it| (it.client_id, it.principal_type) = (None, kind))
    }

    /// Adds another tenant.
    pub fn add_tenant(&mut self, tenant_id: &str) {
        self.tenants.push(Tenant::new(tenant_id));
    }

    /// Adds another subscription that trusts `tenant_id`.
    pub fn add_subscription(&mut self, subscription_id: &str, tenant_id: &str) {
        self.subscriptions.push(Subscription {
            subscription_id: subscription_id.into(),
            tenant_id: tenant_id.into(),
            ..Subscription::default()
        });
    }

    /// Adds a resource group, unless it is there.
    pub fn add_resource_group(&mut self, subscription_id: &str, name: &str) {
        if self.resource_group(subscription_id, name).is_none() {
            self.resource_groups.push(ResourceGroup::new(subscription_id, name));
        }
    }

    /// Adds an identity provider whose tokens federated credentials can name.
    pub fn add_token_issuer(&mut self, issuer: &str, public_key_pem: &str) {
        self.token_issuers
            .push(TokenIssuer { issuer: issuer.into(), public_keys: vec![public_key_pem.into()] });
    }

    /// Adds a lock.
    pub fn lock(&mut self, scope: &str, level: LockLevel) {
        self.locks.push(Lock { scope: scope.into(), level });
    }

    fn home(&self) -> (String, String) {
        let subscription = self.subscriptions.first().map(|it| it.subscription_id.clone());
        let group = self.resource_groups.first().map(|it| it.name.clone());
        (
            subscription.unwrap_or_else(|| DEFAULT_SUBSCRIPTION.into()),
            group.unwrap_or_else(|| DEFAULT_RESOURCE_GROUP.into()),
        )
    }

    fn home_tenant(&self) -> String {
        let tenant = self.tenants.first().map(|it| it.tenant_id.clone());
        tenant.unwrap_or_else(|| DEFAULT_TENANT.into())
    }
}

impl Add<'_, Registry> {
    /// Puts the registry into the mode with repository permissions.
    pub fn abac(self) -> Self {
        self.with(|it| it.role_assignment_mode = RoleAssignmentMode::AbacRepositoryPermissions)
    }

    /// Puts a repository with these tags into it.
    pub fn repository(self, name: &str, tags: &[&str]) -> Self {
        let tag = |name: &&str| Tag { name: (*name).into(), ..Tag::default() };
        let tags = tags.iter().map(tag).collect();
        self.with(|it| it.repositories.push(Repository { name: name.into(), tags }))
    }

    /// Gives it a login server with a domain-name label, as registries have that were made with
    /// one: `name-hash.azurecr.io`. The case stays as it is written: ARM's own example shows
    /// capitals (`RegistryGet.json`, 2025-11-01).
    pub fn domain_name_label(self, hash: &str) -> Self {
        let suffix = self.model.settings.cloud.acr_suffix();
        self.with(|it| it.login_server = format!("{}-{hash}.{suffix}", it.name))
    }

    /// Puts it into another subscription or resource group.
    pub fn within(self, subscription_id: &str, resource_group: &str) -> Self {
        self.with(|it| {
            it.subscription_id = subscription_id.into();
            it.resource_group = resource_group.into();
        })
    }

    /// Adds it, with its resource group.
    #[expect(clippy::must_use_candidate, reason = "adding is the point, the copy a by-product")]
    pub fn add(self) -> Registry {
        self.model.add_resource_group(&self.item.subscription_id, &self.item.resource_group);
        self.model.registries.push(self.item.clone());
        self.item
    }
}

fn identity_id(subscription: &str, group: &str, name: &str) -> String {
    format!(
        "/subscriptions/{subscription}/resourcegroups/{group}/providers/\
         Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
    )
}

impl Add<'_, Principal> {
    /// Adds a client secret that does not expire.
    pub fn secret(self, value: &str) -> Self {
        self.with(|it| {
            it.secrets.push(ClientSecret { value: value.into(), ..ClientSecret::default() });
        })
    }

    /// Adds a federated credential with the usual audience.
    pub fn federated(self, issuer: &str, subject: &str) -> Self {
        self.with(|it| it.federate(issuer, subject))
    }

    /// Grants it an app role of Microsoft Graph, such as [`super::APPLICATION_READ_ALL`].
    pub fn app_role(self, name: &str) -> Self {
        self.with(|it| it.app_roles.push(name.into()))
    }

    /// Lets instance metadata give out its tokens.
    pub fn on_host(self) -> Self {
        self.with(|it| it.on_host = true)
    }

    /// Puts it into another tenant.
    pub fn tenant(self, tenant_id: &str) -> Self {
        self.with(|it| it.tenant_id = tenant_id.into())
    }

    /// Adds it.
    #[expect(clippy::must_use_candidate, reason = "adding is the point, the copy a by-product")]
    pub fn add(self) -> Principal {
        self.model.principals.push(self.item.clone());
        self.item
    }
}

//! Who comes with which credential.

use super::{
    Context,
    error::Refusal,
    rights::Rights,
    tokens::{Kind, RegistryToken},
};
use crate::{
    azure::Azure,
    entra,
    http::Request,
    model::{LegacyRoleCheck, RoleAssignmentMode, scope::is_guid},
};

/// The user name for a token in the place of a password.
const TOKEN_USER: &str = "00000000-0000-0000-0000-000000000000";

/// Who a credential is for, and what they may do.
#[derive(Debug)]
pub(super) struct Identity {
    /// Their object id; absent for anonymous pulls.
    pub(super) principal: Option<String>,
    /// Their name in tokens.
    pub(super) subject: String,
    pub(super) rights: Rights,
}

/// The principal that a request's credential names, whether or not it is accepted.
pub(crate) fn caller(azure: &Azure, request: &Request) -> Option<String> {
    if let Some((user, password)) = request.basic() {
        if user == TOKEN_USER {
            return azure.registry_tokens().holder(&password);
        }
        let model = azure.model();
        let is = |id: &String| id.eq_ignore_ascii_case(&user);
        let found = model.principals.iter().find(|it| it.client_id.as_ref().is_some_and(is));
        return found.map(|it| it.object_id.clone());
    }
    if let Some(token) = request.bearer() {
        return azure.registry_tokens().holder(token);
    }
    if let Some(token) = request.field("access_token") {
        return azure.tokens().find(&token).map(|it| it.claims.oid.clone());
    }
    azure.registry_tokens().holder(&request.field("refresh_token")?)
}

impl Context<'_> {
    /// Who comes with user name and password: a token of this registry, or a service principal's
    /// client id and secret.
    ///
    /// # Errors
    /// 401.
    pub(super) fn basic(&self, user: &str, password: &str) -> Result<Identity, Refusal> {
        if user == TOKEN_USER {
            return match self.access_token(password) {
                Some(identity) => Ok(identity),
                None => self.refresh_token(password),
            };
        }
        self.service_principal(user, password)
    }

    /// Who comes with a refresh token.
    ///
    /// # Errors
    /// 401, also for one without any permission in legacy mode.
    pub(super) fn refresh_token(&self, text: &str) -> Result<Identity, Refusal> {
        let RegistryToken { kind, principal, subject, .. } =
            self.own_token(text).ok_or_else(Refusal::unauthorized)?;
        let Kind::Refresh { permissions, .. } = kind else { return Err(Refusal::unauthorized()) };
        let id = principal.as_deref().unwrap_or_default();
        let rights = match self.registry.role_assignment_mode {
            RoleAssignmentMode::AbacRepositoryPermissions => Rights::Repositories(id.into()),
            RoleAssignmentMode::LegacyRegistryPermissions => {
                Rights::Registry(match self.model.settings.legacy_role_check {
                    LegacyRoleCheck::Exchange => permissions,
                    LegacyRoleCheck::Token | LegacyRoleCheck::Both => self.permissions(id),
                })
            }
        };
        Identity { principal, subject, rights }.with_any_right()
    }

    /// Who comes with an access token.
    pub(super) fn access_token(&self, text: &str) -> Option<Identity> {
        let RegistryToken { kind, principal, subject, .. } = self.own_token(text)?;
        let Kind::Access(access) = kind else { return None };
        Some(Identity { principal, subject, rights: Rights::Issued(access) })
    }

    /// A good token of this registry in the mode that it is in.
    fn own_token(&self, text: &str) -> Option<RegistryToken> {
        let tokens = self.azure.registry_tokens();
        let token = tokens.good(text, self.now)?;
        let is_own = token.login_server == self.registry.service()
            && token.mode == self.registry.role_assignment_mode;
        is_own.then(|| token.clone())
    }

    /// Who comes with client id and secret, checked as Entra does for the registry's tenant.
    fn service_principal(&self, client_id: &str, secret: &str) -> Result<Identity, Refusal> {
        if !is_guid(client_id) {
            return Err(Refusal::not_a_client_id());
        }
        let tenant = self.model.tenant_of(&self.registry.subscription_id);
        let principal = tenant
            .and_then(|it| entra::service_principal(self.model, it, client_id))
            .ok_or_else(Refusal::wrong_secret)?;
        entra::check_secret(principal, secret).map_err(|_| Refusal::wrong_secret())?;
        let id = &principal.object_id;
        let rights = match self.registry.role_assignment_mode {
            RoleAssignmentMode::AbacRepositoryPermissions => Rights::Repositories(id.clone()),
            RoleAssignmentMode::LegacyRegistryPermissions => Rights::Registry(self.permissions(id)),
        };
        let subject = client_id.to_ascii_lowercase();
        Identity { principal: Some(id.clone()), subject, rights }.with_any_right()
    }

    /// Who comes without a credential.
    ///
    /// # Errors
    /// 401 unless the registry allows anonymous pulls.
    pub(super) fn anonymous(&self) -> Result<Identity, Refusal> {
        if !self.registry.anonymous_pull_enabled {
            return Err(Refusal::unauthorized());
        }
        let subject = "anonymous".into();
        Ok(Identity { principal: None, subject, rights: Rights::Anonymous })
    }
}

impl Identity {
    /// In legacy mode a principal without any role at the registry is refused outright.
    fn with_any_right(self) -> Result<Self, Refusal> {
        match &self.rights {
            Rights::Registry(permissions) if permissions.is_empty() => Err(Refusal::unauthorized()),
            _ => Ok(self),
        }
    }
}

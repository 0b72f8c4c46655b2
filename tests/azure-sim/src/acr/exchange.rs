//! `POST /oauth2/exchange`: an Entra access token for a refresh token of the registry.

use hyper::StatusCode;
use serde_json::json;

use super::{
    Context,
    error::Refusal,
    tokens::{Kind, RegistryToken},
};
use crate::{
    hosts::Resource,
    http::Reply,
    model::{LegacyRoleCheck, RoleAssignmentMode},
    tokens::Claims,
};

/// The first is what the documentation asks for, the second what the kubelet's credential
/// provider sends.
const GRANTS: [&str; 2] = ["access_token", "access_token_refresh_token"];

/// Exchanges. In legacy mode whoever has no role at the registry is refused (recorded with
/// `Azure/aks-canipull`); with repository permissions exchange says nothing about rights (Azure
/// docs, `container-registry-rbac-abac-repository-permissions`).
pub(super) fn exchange(context: &Context<'_>) -> Result<Reply, Refusal> {
    let Context { azure, model, registry, request, now } = context;
    let grant = request.field("grant_type").unwrap_or_default();
    if !GRANTS.contains(&&*grant) {
        return Err(Refusal::bad_request("UNSUPPORTED_GRANT_TYPE"));
    }
    context.check_service(request.field("service").as_deref())?;
    let token =
        request.field("access_token").ok_or_else(|| Refusal::bad_request("NO_ACCESS_TOKEN"))?;
    let claims = context.entra_token(&token)?;
    let mode = registry.role_assignment_mode;
    let permissions = match mode {
        RoleAssignmentMode::LegacyRegistryPermissions => context.permissions(&claims.oid),
        RoleAssignmentMode::AbacRepositoryPermissions => Vec::new(),
    };
    if mode == RoleAssignmentMode::LegacyRegistryPermissions
        && model.settings.legacy_role_check != LegacyRoleCheck::Token
        && permissions.is_empty()
    {
        return Err(Refusal::unauthorized());
    }
    let token = RegistryToken {
        kind: Kind::Refresh { tenant: claims.tid, permissions },
        login_server: registry.service(),
        mode,
        principal: Some(claims.oid),
        subject: claims.appid,
    };
    let lifetime = model.settings.token_lifetimes.registry_refresh;
    let token = azure.registry_tokens().issue(token, lifetime, *now);
    let token = token.map_err(|it| Refusal::internal(&it.to_string()))?;
    Ok(Reply::json(StatusCode::OK, &json!({"refresh_token": token})))
}

impl Context<'_> {
    /// Checks that a request names this registry, as its challenge does.
    ///
    /// # Errors
    /// 400; what a registry answers was not seen.
    pub(super) fn check_service(&self, service: Option<&str>) -> Result<(), Refusal> {
        let is_own = service.is_some_and(|it| it.eq_ignore_ascii_case(&self.registry.login_server));
        if is_own { Ok(()) } else { Err(Refusal::bad_request("WRONG_SERVICE")) }
    }

    /// The claims of an Entra token that this registry accepts: good, of its own tenant and the
    /// one that the request names, and for an audience that its policy allows.
    fn entra_token(&self, text: &str) -> Result<Claims, Refusal> {
        let issued = self.azure.tokens().find(text).cloned();
        let issued = issued.filter(|it| self.now < it.expires).ok_or_else(Refusal::unauthorized)?;
        let audience = match self.model.settings.cloud.resource(&issued.claims.aud) {
            Some(Resource::ContainerRegistry) => true,
            Some(Resource::Arm) => self.registry.arm_audience_allowed,
            Some(Resource::Graph) | None => false,
        };
        let is_of = |tenant: &str| {
            let tenant = self.model.tenant(tenant);
            tenant.is_some_and(|it| it.tenant_id.eq_ignore_ascii_case(&issued.claims.tid))
        };
        let own = self.model.subscription(&self.registry.subscription_id);
        let tenant = own.is_some_and(|it| is_of(&it.tenant_id))
            && self.request.field("tenant").is_none_or(|it| it.is_empty() || is_of(&it));
        if audience && tenant { Ok(issued.claims) } else { Err(Refusal::unauthorized()) }
    }
}

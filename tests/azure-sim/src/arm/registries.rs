//! Microsoft.ContainerRegistry: GET and lists of registries, in the shape of the recordings of
//! cloud-provider-azure (`registryclient/testdata`) and the examples of the API spec, `RegistryGet.json` of 2025-11-01
//! and 2026-01-01-preview.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::{
    Context,
    error::ArmError,
    operation::{Container, Resource},
    paging,
};
use crate::{
    http::Reply,
    model::{Registry, scope::is_same},
};

pub(super) const TYPE: &str = "Microsoft.ContainerRegistry/registries";
const READ: &str = "Microsoft.ContainerRegistry/registries/read";
/// Older versions do not show the mode.
const FIRST_WITH_MODE: &str = "2025-11-01";
/// Older versions, and the stable ones that there are, do not show regional endpoints.
const FIRST_WITH_REGIONS: &str = "2026-01-01-preview";

pub(super) fn get(context: &Context<'_>, wanted: &Resource) -> Result<Reply, ArmError> {
    let Resource { subscription, group, name } = wanted;
    let id =
        format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/{TYPE}/{name}");
    context.authorize(READ, &id)?;
    context.check_scope_exists(&id)?;
    let registry = context
        .model
        .registries
        .iter()
        .find(|it| it.name.eq_ignore_ascii_case(name) && is_same(&it.id(), &id))
        .ok_or_else(|| ArmError::resource_not_found(TYPE, name, group))?;
    Ok(reply(context, json_of(context, registry)))
}

pub(super) fn list(context: &Context<'_>, container: &Container) -> Result<Reply, ArmError> {
    let all = context.contained(READ, container, &context.model.registries, Registry::id)?;
    let all = all.into_iter().map(|it| json_of(context, it)).collect();
    Ok(reply(context, paging::page(context, all)?))
}

impl Context<'_> {
    /// The items of a subscription or group, if the caller may list there.
    pub(super) fn contained<'a, T>(
        &self,
        action: &str,
        container: &Container,
        items: &'a [T],
        id: impl Fn(&T) -> String,
    ) -> Result<Vec<&'a T>, ArmError> {
        let mut scope = format!("/subscriptions/{}", container.subscription);
        if let Some(group) = &container.group {
            scope = format!("{scope}/resourceGroups/{group}");
        }
        self.authorize(action, &scope)?;
        self.check_scope_exists(&scope)?;
        let within = |it: &&T| crate::model::scope::is_within(&id(it), &scope);
        Ok(items.iter().filter(within).collect())
    }
}

fn reply(context: &Context<'_>, body: Value) -> Reply {
    let versions = context.model.settings.api_versions.get(TYPE);
    let versions = versions.map(|it| it.join(", ")).unwrap_or_default();
    Reply::json(StatusCode::OK, &context.in_id_case(body))
        .header("api-supported-versions", versions)
}

fn json_of(context: &Context<'_>, registry: &Registry) -> Value {
    let mut properties = properties(registry);
    let version = context.request.parameter("api-version").unwrap_or_default();
    if version.as_str() >= FIRST_WITH_MODE {
        properties["roleAssignmentMode"] = json!(registry.role_assignment_mode);
    }
    if version.as_str() >= FIRST_WITH_REGIONS {
        let hosts = &registry.regional_endpoints;
        let state = if hosts.is_empty() { "Disabled" } else { "Enabled" };
        properties["regionalEndpoints"] = json!(state);
        properties["regionalEndpointHostNames"] = json!(hosts);
    }
    json!({
        "sku": {"name": registry.sku, "tier": registry.sku},
        "type": TYPE,
        "id": registry.id(),
        "name": registry.name,
        "location": registry.location,
        "tags": registry.tags,
        "properties": properties,
    })
}

fn properties(registry: &Registry) -> Value {
    let status = |on: bool| json!({"status": if on { "enabled" } else { "disabled" }});
    let mut properties = json!({
        "loginServer": registry.login_server,
        "creationDate": "2024-05-01T08:00:00.0000000Z",
        "provisioningState": registry.provisioning_state,
        "adminUserEnabled": false,
        "policies": {
            "quarantinePolicy": status(false),
            "trustPolicy": {"type": "Notary", "status": "disabled"},
            "retentionPolicy": {"days": 7, "status": "disabled"},
            "exportPolicy": status(true),
            "azureADAuthenticationAsArmPolicy": status(registry.arm_audience_allowed),
        },
        "encryption": status(false),
        "dataEndpointEnabled": false,
        "dataEndpointHostNames": [],
        "privateEndpointConnections": [],
        "publicNetworkAccess": if registry.public_network_access { "Enabled" } else { "Disabled" },
        "networkRuleBypassOptions": "AzureServices",
        "zoneRedundancy": "Disabled",
        "anonymousPullEnabled": registry.anonymous_pull_enabled,
    });
    if registry.sku == "Premium" {
        properties["networkRuleSet"] = json!({
            "defaultAction": registry.network_rule_set.default_action,
            "ipRules": ip_rules(registry),
        });
    }
    properties
}

fn ip_rules(registry: &Registry) -> Vec<Value> {
    let rules = &registry.network_rule_set.ip_rules;
    rules.iter().map(|it| json!({"action": "Allow", "value": it})).collect()
}

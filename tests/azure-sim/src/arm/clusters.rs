//! Microsoft.ContainerService: GET and lists of managed clusters, with the quirks of the
//! recordings of cloud-provider-azure (`managedclusterclient/testdata`): `resourcegroups` in
//! lower case, `ManagedClusters` in the type, a pretty-printed body without a charset.

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
    model::{
        AgentPool, Cluster,
        scope::{is_same, stable_guid},
    },
};

pub(super) const TYPE: &str = "Microsoft.ContainerService/managedClusters";
/// The first version of the API spec that has `serviceAccountImagePullProfile`; no stable version
/// had it until 2026-08 (`aks/CommonModels.tsp`).
const FIRST_WITH_IMAGE_PULL: &str = "2026-01-02-preview";
const READ: &str = "Microsoft.ContainerService/managedClusters/read";

pub(super) fn get(context: &Context<'_>, wanted: &Resource) -> Result<Reply, ArmError> {
    let Resource { subscription, group, name } = wanted;
    let id =
        format!("/subscriptions/{subscription}/resourcegroups/{group}/providers/{TYPE}/{name}");
    context.authorize(READ, &id)?;
    context.check_scope_exists(&id)?;
    let cluster = context
        .model
        .clusters
        .iter()
        .find(|it| it.name.eq_ignore_ascii_case(name) && is_same(&it.id(), &id))
        .ok_or_else(|| ArmError::resource_not_found(TYPE, name, group))?;
    Ok(reply(context, json_of(context, cluster)))
}

pub(super) fn list(context: &Context<'_>, container: &Container) -> Result<Reply, ArmError> {
    let all = context.contained(READ, container, &context.model.clusters, Cluster::id)?;
    let all = all.into_iter().map(|it| json_of(context, it)).collect();
    Ok(reply(context, paging::page(context, all)?))
}

fn reply(context: &Context<'_>, body: Value) -> Reply {
    let body = context.in_id_case(body);
    Reply::text(StatusCode::OK, "application/json", format!("{body:#}"))
}

fn json_of(context: &Context<'_>, cluster: &Cluster) -> Value {
    let mut body = json!({
        "id": cluster.id(),
        "location": cluster.location,
        "name": cluster.name,
        "type": "Microsoft.ContainerService/ManagedClusters",
        "properties": properties(context, cluster),
        "sku": {"name": "Base", "tier": "Standard"},
    });
    if let Some(principal) = &cluster.control_plane_principal_id {
        let tenant = context.model.subscription(&cluster.subscription_id);
        body["identity"] = json!({
            "type": "SystemAssigned",
            "principalId": principal,
            "tenantId": tenant.map(|it| &it.tenant_id),
        });
    }
    body
}

fn properties(context: &Context<'_>, cluster: &Cluster) -> Value {
    let mut issuer = json!({"enabled": cluster.oidc_issuer_url.is_some()});
    if let Some(url) = &cluster.oidc_issuer_url {
        issuer["issuerURL"] = json!(url);
    }
    let mut properties = json!({
        "provisioningState": cluster.provisioning_state,
        "powerState": {"code": "Running"},
        "kubernetesVersion": "1.34",
        "currentKubernetesVersion": "1.34.1",
        "dnsPrefix": cluster.name,
        "fqdn": format!("{}-abc.hcp.{}.azmk8s.io", cluster.name, cluster.location),
        "agentPoolProfiles": cluster.agent_pools.iter().map(pool).collect::<Vec<_>>(),
        "servicePrincipalProfile": {"clientId": cluster.service_principal_client_id},
        "nodeResourceGroup": cluster.node_resource_group,
        "enableRBAC": true,
        "oidcIssuerProfile": issuer,
        "securityProfile": security_profile(context, cluster),
        "resourceUID": stable_guid(&["cluster", &cluster.id()]).replace('-', "")[..24],
    });
    if let Some(identity) = &cluster.kubelet_identity {
        properties["identityProfile"] = json!({"kubeletidentity": {
            "resourceId": identity.resource_id,
            "clientId": identity.client_id,
            "objectId": identity.object_id,
        }});
    }
    properties
}

/// Versions that do not know a property hide it.
fn security_profile(context: &Context<'_>, cluster: &Cluster) -> Value {
    let version = context.request.parameter("api-version").unwrap_or_default();
    let known = version.ends_with("-preview") && version.as_str() >= FIRST_WITH_IMAGE_PULL;
    let Some(profile) = cluster.service_account_image_pull.as_ref().filter(|_| known) else {
        return json!({});
    };
    let mut shown = json!({"enabled": profile.enabled});
    if let Some(identity) = &profile.default_managed_identity_id {
        shown["defaultManagedIdentityId"] = json!(identity);
    }
    json!({"serviceAccountImagePullProfile": shown})
}

fn pool(pool: &AgentPool) -> Value {
    json!({
        "name": pool.name,
        "count": pool.count,
        "vmSize": "Standard_D4s_v5",
        "type": "VirtualMachineScaleSets",
        "mode": "System",
        "osType": "Linux",
        "provisioningState": pool.provisioning_state,
        "powerState": {"code": "Running"},
    })
}

//! Microsoft.Resources: GET of a resource group.

use hyper::StatusCode;
use serde_json::json;

use super::{Context, error::ArmError};
use crate::http::Reply;

pub(super) const TYPE: &str = "Microsoft.Resources/resourceGroups";
const READ: &str = "Microsoft.Resources/subscriptions/resourceGroups/read";

pub(super) fn get(
    context: &Context<'_>,
    subscription: &str,
    name: &str,
) -> Result<Reply, ArmError> {
    context.authorize(READ, &format!("/subscriptions/{subscription}/resourceGroups/{name}"))?;
    let group = context
        .model
        .resource_group(subscription, name)
        .ok_or_else(|| ArmError::group_not_found(name))?;
    let mut body = json!({
        "id": group.id(),
        "name": group.name,
        "type": TYPE,
        "location": group.location,
        "tags": group.tags,
        "properties": {"provisioningState": "Succeeded"},
    });
    if let Some(managed_by) = &group.managed_by {
        body["managedBy"] = json!(managed_by);
    }
    Ok(Reply::json(StatusCode::OK, &context.in_id_case(body)))
}

//! Microsoft.Authorization: role assignments (`authorization-RoleAssignmentsCalls.json`,
//! 2022-04-01; recordings of azure-service-operator and azure-cli).

mod filter;
mod put;
mod valid;

use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Value, json};

use self::filter::Filter;
pub(super) use self::put::put;
use super::{Context, error::ArmError};
use crate::{
    condition::Attempt,
    http::Reply,
    model::{
        PrincipalType, RoleAssignment,
        scope::{is_within, subscription_id},
    },
};

pub(super) const TYPE: &str = "Microsoft.Authorization/roleAssignments";
const READ: &str = "Microsoft.Authorization/roleAssignments/read";
const DELETE: &str = "Microsoft.Authorization/roleAssignments/delete";

const ROLE_ATTRIBUTE: &str = "Microsoft.Authorization/roleAssignments:RoleDefinitionId";
const PRINCIPAL_ATTRIBUTE: &str = "Microsoft.Authorization/roleAssignments:PrincipalId";
const TYPE_ATTRIBUTE: &str = "Microsoft.Authorization/roleAssignments:PrincipalType";

pub(super) fn list(context: &Context<'_>, scope: &str) -> Result<Reply, ArmError> {
    let shown = format!("{}/providers/Microsoft.Authorization", scope.trim_end_matches('/'));
    let attempt = Attempt { action: READ, ..Attempt::default() };
    context.authorize_attempt(&attempt, scope, &shown)?;
    context.check_scope_exists(scope)?;
    let filter = Filter::parse(context.request.parameter("$filter").as_deref())?;
    let lag = Duration::from_millis(context.model.settings.list_lag_ms);
    let value: Vec<_> = context
        .model
        .assignments_before(lag, context.now)
        .iter()
        .filter(|it| filter.selects(context.model, scope, it))
        .map(|it| json_of(it, scope))
        .collect();
    Ok(reply(context, StatusCode::OK, json!({"value": value})))
}

pub(super) fn get(context: &Context<'_>, scope: &str, name: &str) -> Result<Reply, ArmError> {
    context.authorize(READ, &id(scope, name))?;
    context.check_scope_exists(scope)?;
    let assignment = find(context, scope, name);
    let assignment = assignment.ok_or_else(|| ArmError::role_assignment_not_found(name))?;
    Ok(reply(context, StatusCode::OK, json_of(assignment, scope)))
}

pub(super) fn delete(
    context: &mut Context<'_>,
    scope: &str,
    name: &str,
) -> Result<Reply, ArmError> {
    let id = id(scope, name);
    let Some(existing) = find(context, scope, name).cloned() else {
        context.authorize(DELETE, &id).or_else(|error| {
            // A condition on what is deleted cannot be judged when there is nothing.
            if context.may_delete_something(scope) { Ok(()) } else { Err(error) }
        })?;
        context.check_scope_exists(scope)?;
        return Ok(Reply::empty(StatusCode::NO_CONTENT));
    };
    let attempt = Attempt { action: DELETE, request: Vec::new(), resource: attributes(&existing) };
    context.authorize_attempt(&attempt, &id, &id)?;
    if let Some(lock) = context.model.lock_on(scope, true) {
        return Err(ArmError::scope_locked(&id, "delete", &lock.scope));
    }
    context.model.delete_assignment(&existing.name, context.now);
    Ok(reply(context, StatusCode::OK, json_of(&existing, scope)))
}

fn reply(context: &Context<'_>, status: StatusCode, body: Value) -> Reply {
    Reply::json(status, &context.in_id_case(body))
}

impl Context<'_> {
    /// Whether a role of the caller allows deletions here, conditions aside.
    fn may_delete_something(&self, scope: &str) -> bool {
        self.model.role_assignments.iter().any(|it| {
            self.holds(it)
                && is_within(scope, &it.scope)
                && self.model.role(&it.role).is_some_and(|role| role.allows(DELETE))
        })
    }
}

fn find<'a>(context: &'a Context<'_>, scope: &str, name: &str) -> Option<&'a RoleAssignment> {
    context.model.role_assignments.iter().find(|it| it.is(scope, name))
}

fn id(scope: &str, name: &str) -> String {
    format!("{}/providers/{TYPE}/{name}", scope.trim_end_matches('/'))
}

/// What conditions can ask of an assignment.
fn attributes(assignment: &RoleAssignment) -> Vec<(&'static str, String)> {
    vec![
        (ROLE_ATTRIBUTE, assignment.role.clone()),
        (PRINCIPAL_ATTRIBUTE, assignment.principal_id.clone()),
        (TYPE_ATTRIBUTE, type_name(assignment.principal_type)),
    ]
}

fn type_name(kind: PrincipalType) -> String {
    format!("{kind:?}")
}

/// The wire form; role definitions are shown under the subscription that was asked, also for
/// assignments from above it.
fn json_of(assignment: &RoleAssignment, queried: &str) -> Value {
    let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{}", assignment.role);
    let role = match subscription_id(queried) {
        Some(subscription) => format!("/subscriptions/{subscription}{role}"),
        None => role,
    };
    let time = |it: jiff::Timestamp| it.strftime("%Y-%m-%dT%H:%M:%S.%6f0Z").to_string();
    json!({
        "properties": {
            "roleDefinitionId": role,
            "principalId": assignment.principal_id,
            "principalType": type_name(assignment.principal_type),
            "scope": assignment.scope,
            "condition": assignment.condition,
            "conditionVersion": assignment.condition_version,
            "createdOn": time(assignment.created_on),
            "updatedOn": time(assignment.updated_on),
            "createdBy": assignment.created_by,
            "updatedBy": assignment.updated_by,
            "delegatedManagedIdentityResourceId": assignment.delegated_managed_identity_resource_id,
            "description": assignment.description,
        },
        "id": assignment.id(),
        "type": TYPE,
        "name": assignment.name,
    })
}

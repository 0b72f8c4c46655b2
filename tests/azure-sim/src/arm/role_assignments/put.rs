//! PUT of a role assignment: create, or change description and condition.

use hyper::StatusCode;
use serde::Deserialize;

use super::{attributes, id, json_of, reply, valid};
use crate::{
    arm::{Context, error::ArmError},
    condition::Attempt,
    http::Reply,
    model::{
        ExistsMessage, PrincipalType, RepeatedPut, RoleAssignment,
        scope::{dashless, is_same, last_segment, subscription_id},
    },
};

const WRITE: &str = "Microsoft.Authorization/roleAssignments/write";

#[derive(Deserialize)]
struct Body {
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    role_definition_id: String,
    principal_id: String,
    principal_type: Option<String>,
    description: Option<String>,
    condition: Option<String>,
    condition_version: Option<String>,
    delegated_managed_identity_resource_id: Option<String>,
}

pub(in crate::arm) fn put(
    context: &mut Context<'_>,
    scope: &str,
    name: &str,
) -> Result<Reply, ArmError> {
    let properties = read(context)?;
    let wanted = wanted(context, scope, name, &properties)?;
    let id = id(scope, name);
    let attempt = Attempt { action: WRITE, request: attributes(&wanted), resource: Vec::new() };
    context.authorize_attempt(&attempt, &id, &id)?;
    context.check_scope_exists(scope)?;
    if let Some(lock) = context.model.lock_on(scope, false) {
        return Err(ArmError::scope_locked(&id, "write", &lock.scope));
    }
    valid::check(context, &wanted)?;
    valid::check_hash(context.model, &wanted.name)?;
    let has_type = properties.principal_type.is_some();
    valid::check_principal(context.model, &wanted, has_type, context.now)?;
    write(context, scope, wanted)
}

fn read(context: &Context<'_>) -> Result<Properties, ArmError> {
    let body: Body = serde_json::from_slice(&context.request.body).map_err(|it| {
        let message =
            format!("The request content was invalid and could not be deserialized: '{it}'.");
        ArmError::bad_request("InvalidRequestContent", message)
    })?;
    Ok(body.properties)
}

/// The assignment that the request describes.
fn wanted(
    context: &Context<'_>,
    scope: &str,
    name: &str,
    properties: &Properties,
) -> Result<RoleAssignment, ArmError> {
    let principal_type = match &properties.principal_type {
        Some(text) => principal_type(text)?,
        None => context
            .model
            .principal(&properties.principal_id)
            .map(|it| it.principal_type)
            .unwrap_or_default(),
    };
    let condition = properties.condition.clone().filter(|it| !it.trim().is_empty());
    // 2.0 is the default and the only public version (Azure docs, `conditions-faq`).
    let version = properties.condition_version.clone().unwrap_or_else(|| "2.0".into());
    Ok(RoleAssignment {
        name: name.to_ascii_lowercase(),
        scope: match scope.trim_end_matches('/') {
            "" => "/".into(),
            scope => scope.into(),
        },
        role: last_segment(&properties.role_definition_id).to_ascii_lowercase(),
        principal_id: properties.principal_id.clone(),
        principal_type,
        condition_version: condition.is_some().then_some(version),
        condition,
        description: properties.description.clone(),
        delegated_managed_identity_resource_id: properties
            .delegated_managed_identity_resource_id
            .clone(),
        created_on: context.now,
        updated_on: context.now,
        created_by: Some(context.caller.principal.clone()),
        updated_by: Some(context.caller.principal.clone()),
    })
}

fn principal_type(text: &str) -> Result<PrincipalType, ArmError> {
    use PrincipalType::{Device, ForeignGroup, Group, ServicePrincipal, User};
    let known = [User, Group, ServicePrincipal, ForeignGroup, Device];
    known.into_iter().find(|it| format!("{it:?}").eq_ignore_ascii_case(text)).ok_or_else(|| {
        let message = format!(
            "The principal type '{text}' is not valid: it must be 'User', 'Group' or 'ServicePrincipal'."
        );
        ArmError::bad_request("InvalidPrincipalType", message)
    })
}

/// Stores the assignment, unless another one is in the way.
fn write(
    context: &mut Context<'_>,
    scope: &str,
    wanted: RoleAssignment,
) -> Result<Reply, ArmError> {
    let all = &context.model.role_assignments;
    // Names are unique across subscriptions.
    let own = all.iter().find(|it| it.name.eq_ignore_ascii_case(&wanted.name)).cloned();
    if let Some(own) = own {
        return update(context, scope, own, wanted);
    }
    if let Some(other) = all.iter().find(|it| same_grant(it, &wanted)) {
        return Err(exists(context.model.settings.exists_message, other));
    }
    let subscription = subscription_id(scope);
    let taken = all.iter().filter(|it| same_subscription(subscription, &it.scope)).count();
    if taken >= context.model.settings.role_assignment_limit {
        // The status was not seen; the code and the text were.
        let message = "No more role assignments can be created.";
        return Err(ArmError::bad_request("RoleAssignmentLimitExceeded", message));
    }
    context.model.put_assignment(wanted.clone(), context.now);
    // The answer to a creation does not name its creator yet; later reads do.
    let answer = RoleAssignment { created_by: None, ..wanted };
    Ok(reply(context, StatusCode::CREATED, json_of(&answer, scope)))
}

fn update(
    context: &mut Context<'_>,
    scope: &str,
    own: RoleAssignment,
    wanted: RoleAssignment,
) -> Result<Reply, ArmError> {
    let same_delegation =
        own.delegated_managed_identity_resource_id == wanted.delegated_managed_identity_resource_id;
    if !same_grant(&own, &wanted) || !same_delegation {
        return Err(ArmError::bad_request(
            "RoleAssignmentUpdateNotPermitted",
            "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
        ));
    }
    let unchanged = own.description == wanted.description && own.condition == wanted.condition;
    let settings = &context.model.settings;
    let status = match settings.repeated_put {
        RepeatedPut::Conflict if unchanged => return Err(exists(settings.exists_message, &own)),
        RepeatedPut::Ok => StatusCode::OK,
        RepeatedPut::Created | RepeatedPut::Conflict => StatusCode::CREATED,
    };
    // Everything that may differ comes from the request: a missing condition is deleted.
    let written = RoleAssignment {
        name: own.name,
        created_on: own.created_on,
        created_by: own.created_by,
        ..wanted
    };
    context.model.put_assignment(written.clone(), context.now);
    Ok(reply(context, status, json_of(&written, scope)))
}

/// Azure keeps one assignment per scope, principal and role, whatever its condition.
fn same_grant(left: &RoleAssignment, right: &RoleAssignment) -> bool {
    is_same(&left.scope, &right.scope)
        && left.principal_id.eq_ignore_ascii_case(&right.principal_id)
        && left.role.eq_ignore_ascii_case(&right.role)
}

fn same_subscription(subscription: Option<&str>, scope: &str) -> bool {
    match (subscription, subscription_id(scope)) {
        (Some(left), Some(right)) => left.eq_ignore_ascii_case(right),
        (left, right) => left.is_none() && right.is_none(),
    }
}

fn exists(message: ExistsMessage, existing: &RoleAssignment) -> ArmError {
    let mut text = "The role assignment already exists.".to_owned();
    if message == ExistsMessage::WithId {
        text = format!(
            "{text} The ID of the existing role assignment is {}.",
            dashless(&existing.name)
        );
    }
    ArmError::conflict("RoleAssignmentExists", text)
}

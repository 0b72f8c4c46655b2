//! What makes a written role assignment invalid.

use jiff::Timestamp;

use crate::{
    arm::{Context, error::ArmError},
    condition,
    model::{
        Model, Principal, RoleAssignment,
        scope::{dashless, is_guid, subscription_id},
    },
};

/// Longest condition in bytes (Azure docs, `conditions-overview`).
const CONDITION_LIMIT: usize = 8_192;

/// Checks everything but the principal.
pub(super) fn check(context: &Context<'_>, wanted: &RoleAssignment) -> Result<(), ArmError> {
    let RoleAssignment { name, principal_id, .. } = wanted;
    if !is_guid(name) {
        let message = format!(
            "The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID."
        );
        return Err(ArmError::bad_request("InvalidRoleAssignmentId", message));
    }
    if !is_guid(principal_id) {
        let message =
            format!("The Principal ID '{principal_id}' is not valid. Principal ID must be a GUID.");
        return Err(ArmError::bad_request("InvalidPrincipalId", message));
    }
    if context.model.role(&wanted.role).is_none() {
        return Err(ArmError::role_definition_does_not_exist(&wanted.role));
    }
    let settings = &context.model.settings;
    let length = wanted.description.as_deref().unwrap_or_default().chars().count();
    if length > settings.description_limit {
        let message = format!(
            "The request was incorrectly formatted: the description has {length} characters, at \
             most {} are allowed.",
            settings.description_limit
        );
        return Err(ArmError::bad_request("BadRequestFormat", message));
    }
    check_condition(wanted)
}

/// Checks that nothing that no caller sees has taken the name. That is no race: a name that
/// conflicts once does so for ever (Azure/ARO-RP issue 670).
pub(super) fn check_hash(model: &mut Model, name: &str) -> Result<(), ArmError> {
    let is = |other: &String| other.eq_ignore_ascii_case(name);
    let in_use = model.role_assignments.iter().any(|it| is(&it.name));
    let settings = &mut model.settings;
    if !settings.hash_conflicts.iter().any(is) {
        if in_use || settings.new_hash_conflicts == 0 {
            return Ok(());
        }
        settings.new_hash_conflicts -= 1;
        settings.hash_conflicts.push(name.into());
    }
    Err(ArmError::bad_request(
        "HashConflictOnDifferentRoleAssignmentIds",
        "A hash conflict was encountered for the role Assignment ID. Please use a new Guid.",
    ))
}

fn check_condition(wanted: &RoleAssignment) -> Result<(), ArmError> {
    let Some(text) = &wanted.condition else { return Ok(()) };
    let valid = text.len() <= CONDITION_LIMIT
        && wanted.condition_version.as_deref() == Some("2.0")
        && condition::parse(text).is_ok();
    if valid {
        return Ok(());
    }
    // The text is azure-docs issue 119449; the code was not seen.
    let message = "The given role assignment condition is invalid.";
    Err(ArmError::bad_request("InvalidRoleAssignmentCondition", message))
}

/// Checks that the principal exists, as far as Azure looks: a request that says what kind of
/// principal it is also passes before the directory has been replicated.
pub(super) fn check_principal(
    model: &mut Model,
    wanted: &RoleAssignment,
    has_type: bool,
    now: Timestamp,
) -> Result<(), ArmError> {
    let tenant = subscription_id(&wanted.scope).and_then(|it| model.subscription(it));
    let tenant = tenant.map(|it| it.tenant_id.clone()).unwrap_or_default();
    let not_found = || ArmError::principal_not_found(&wanted.principal_id, &tenant);
    let Some(known) = model.principal_mut(&wanted.principal_id) else {
        return if has_type { Ok(()) } else { Err(not_found()) };
    };
    if !tenant.is_empty() && !known.tenant_id.eq_ignore_ascii_case(&tenant) {
        return Err(not_found());
    }
    if !has_type && !is_replicated(known, now) {
        return Err(not_found());
    }
    if known.principal_type == wanted.principal_type {
        return Ok(());
    }
    let message = format!(
        "The PrincipalId '{}' has type '{:?}' , which is different from specified PrinciaplType '{:?}'.",
        dashless(&wanted.principal_id),
        known.principal_type,
        wanted.principal_type
    );
    Err(ArmError::bad_request("UnmatchedPrincipalType", message))
}

fn is_replicated(principal: &mut Principal, now: Timestamp) -> bool {
    if principal.unreplicated_tries > 0 {
        principal.unreplicated_tries -= 1;
        return false;
    }
    principal.replicated_from.is_none_or(|it| it <= now)
}

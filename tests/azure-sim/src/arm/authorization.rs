//! What a caller may do, with ARM's errors.

use super::{Context, clusters, error::ArmError, registries};
use crate::{
    access::Plane,
    condition::Attempt,
    model::{
        RoleAssignment,
        scope::{is_within, resource, resource_group, subscription_id},
    },
};

impl Context<'_> {
    /// Checks that the caller may do `action` at `scope`.
    ///
    /// # Errors
    /// 403 `AuthorizationFailed`, the same whether the role or its condition is missing; 403
    /// `DenyAssignmentAuthorizationFailed` where a deny assignment takes away what a role gives.
    pub(super) fn authorize(&self, action: &str, scope: &str) -> Result<(), ArmError> {
        self.authorize_attempt(&Attempt { action, ..Attempt::default() }, scope, scope)
    }

    /// As [`Context::authorize`], with attributes for conditions; `shown` is the scope in the
    /// error.
    pub(super) fn authorize_attempt(
        &self,
        attempt: &Attempt<'_>,
        scope: &str,
        shown: &str,
    ) -> Result<(), ArmError> {
        let principal = &self.caller.principal;
        let (client, object_id) = (&self.caller.client, &self.caller.principal);
        if self.model.permits(principal, Plane::Control, attempt, scope) {
            let denial = self.model.denial(principal, attempt.action, scope);
            return denial.map_or(Ok(()), |it| {
                Err(ArmError::denied((client, object_id), attempt.action, shown, it))
            });
        }
        Err(ArmError::authorization_failed(client, object_id, attempt.action, shown))
    }

    /// Whether the assignment is the caller's, directly or through a group.
    pub(super) fn holds(&self, assignment: &RoleAssignment) -> bool {
        self.model.holds(&self.caller.principal, assignment)
    }

    /// Checks that the resource group and the resource of a scope exist. Resources of types that
    /// the model does not hold are taken to exist.
    ///
    /// Whoever had rights at the resource alone does not come so far once it is gone: their role
    /// went with it, and the answer is 403 (azure-service-operator issue 5009).
    ///
    /// # Errors
    /// 404 as the gateway answers it. That it answers so for role assignments too was not seen.
    pub(super) fn check_scope_exists(&self, scope: &str) -> Result<(), ArmError> {
        let (Some(subscription), Some(group)) = (subscription_id(scope), resource_group(scope))
        else {
            return Ok(());
        };
        if self.model.resource_group(subscription, group).is_none() {
            return Err(ArmError::group_not_found(group));
        }
        let Some((kind, name)) = resource(scope) else { return Ok(()) };
        // Ids are long to make: first the name, so that thousands of registries cost little.
        let is = |it: &str| it.eq_ignore_ascii_case(name);
        let found = |id: String| is_within(scope, &id);
        let exists = if kind.eq_ignore_ascii_case(registries::TYPE) {
            self.model.registries.iter().any(|it| is(&it.name) && found(it.id()))
        } else if kind.eq_ignore_ascii_case(clusters::TYPE) {
            self.model.clusters.iter().any(|it| is(&it.name) && found(it.id()))
        } else {
            true
        };
        if exists { Ok(()) } else { Err(ArmError::resource_not_found(&kind, name, group)) }
    }
}

//! What a caller may do: the role assignments of the model, conditions included.

use std::time::Duration;

use super::{Context, clusters, error::ArmError, registries};
use crate::{
    condition::{self, Attempt},
    model::{
        RoleAssignment,
        scope::{is_within, resource, resource_group, subscription_id},
    },
};

impl Context<'_> {
    /// Checks that the caller may do `action` at `scope`.
    ///
    /// # Errors
    /// 403 `AuthorizationFailed`, the same whether the role or its condition is missing.
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
        let lag = Duration::from_millis(self.model.settings.grant_delay_ms);
        let in_force = self.model.assignments_before(lag, self.now);
        let allowed = in_force
            .iter()
            .filter(|it| self.holds(it) && is_within(scope, &it.scope))
            .any(|it| self.allows(it, attempt));
        if allowed {
            return Ok(());
        }
        let (client, object_id) = (&self.caller.client, &self.caller.principal);
        Err(ArmError::authorization_failed(client, object_id, attempt.action, shown))
    }

    /// Whether the assignment is the caller's, directly or through a group.
    pub(super) fn holds(&self, assignment: &RoleAssignment) -> bool {
        let is = |id: &str| id.eq_ignore_ascii_case(&assignment.principal_id);
        is(&self.caller.principal)
            || self
                .model
                .principal(&self.caller.principal)
                .is_some_and(|it| it.identities().any(is))
    }

    /// Whether the assignment's role allows the attempt and its condition is met. A condition
    /// that cannot be read is not met: conditions fail closed.
    fn allows(&self, assignment: &RoleAssignment, attempt: &Attempt<'_>) -> bool {
        self.model.role(&assignment.role).is_some_and(|it| it.allows(attempt.action))
            && assignment
                .condition
                .as_deref()
                .is_none_or(|text| condition::parse(text).is_ok_and(|it| it.allows(attempt)))
    }

    /// Checks that the resource group and the resource of a scope exist. Resources of types that
    /// the model does not hold are taken to exist.
    ///
    /// # Errors
    /// 404 as the gateway answers it.
    pub(super) fn check_scope_exists(&self, scope: &str) -> Result<(), ArmError> {
        let (Some(subscription), Some(group)) = (subscription_id(scope), resource_group(scope))
        else {
            return Ok(());
        };
        if self.model.resource_group(subscription, group).is_none() {
            return Err(ArmError::group_not_found(group));
        }
        let Some((kind, name)) = resource(scope) else { return Ok(()) };
        let found = |id: String| is_within(scope, &id);
        let exists = if kind.eq_ignore_ascii_case(registries::TYPE) {
            self.model.registries.iter().any(|it| found(it.id()))
        } else if kind.eq_ignore_ascii_case(clusters::TYPE) {
            self.model.clusters.iter().any(|it| found(it.id()))
        } else {
            true
        };
        if exists { Ok(()) } else { Err(ArmError::resource_not_found(&kind, name, group)) }
    }
}

//! Who may do what: role assignments and their conditions, evaluated for one attempt.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    condition::{self, Attempt},
    model::{Model, RoleAssignment, RoleDefinition, scope::is_within},
};

/// Which of a role's actions count.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Plane {
    /// `actions`, less `notActions`.
    Control,
    /// `dataActions`.
    Data,
}

impl Plane {
    fn allows(self, role: &RoleDefinition, action: &str) -> bool {
        match self {
            Self::Control => role.allows(action),
            Self::Data => role.allows_data(action),
        }
    }
}

impl Model {
    /// Whether a principal may do something at a scope, with the delay that grants have.
    pub(crate) fn permits(
        &self,
        principal: &str,
        plane: Plane,
        attempt: &Attempt<'_>,
        scope: &str,
    ) -> bool {
        let lag = Duration::from_millis(self.settings.grant_delay_ms);
        self.assignments_before(lag, Timestamp::now())
            .iter()
            .filter(|it| self.holds(principal, it) && is_within(scope, &it.scope))
            .any(|it| self.allows(it, plane, attempt))
    }

    /// Whether the assignment is the principal's, directly or through a group.
    pub(crate) fn holds(&self, principal: &str, assignment: &RoleAssignment) -> bool {
        let is = |id: &str| id.eq_ignore_ascii_case(&assignment.principal_id);
        is(principal) || self.principal(principal).is_some_and(|it| it.identities().any(is))
    }

    /// Whether the assignment's role allows the attempt and its condition is met. A condition
    /// that cannot be read is not met: conditions fail closed.
    fn allows(&self, assignment: &RoleAssignment, plane: Plane, attempt: &Attempt<'_>) -> bool {
        self.role(&assignment.role).is_some_and(|it| plane.allows(&it, attempt.action))
            && assignment
                .condition
                .as_deref()
                .is_none_or(|text| condition::parse(text).is_ok_and(|it| it.allows(attempt)))
    }
}

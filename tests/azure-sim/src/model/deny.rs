//! Deny assignments: what nobody may do at a scope, whatever roles they hold.

use serde::{Deserialize, Serialize};

use super::{Model, matches_pattern, scope::is_within};

/// A deny assignment, such as a deployment stack makes one. It strikes everybody but those that it
/// excludes (Azure docs, `deny-assignments`).
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DenyAssignment {
    /// Its id as ARM's message shows it: 32 hex digits.
    pub id: String,
    /// Its name, which tells who made it.
    pub name: String,
    /// Where it applies, and below.
    pub scope: String,
    /// What it denies, with `*` for anything.
    pub actions: Vec<String>,
    /// The object ids of principals that it does not strike.
    #[serde(default)]
    pub excluded_principals: Vec<String>,
}

impl Model {
    /// The deny assignment that keeps a principal from doing something at a scope.
    pub(crate) fn denial(
        &self,
        principal: &str,
        action: &str,
        scope: &str,
    ) -> Option<&DenyAssignment> {
        self.deny_assignments.iter().find(|it| {
            is_within(scope, &it.scope)
                && it.actions.iter().any(|pattern| matches_pattern(pattern, action))
                && !it.excluded_principals.iter().any(|id| id.eq_ignore_ascii_case(principal))
        })
    }
}

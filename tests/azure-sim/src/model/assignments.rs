//! Role assignments and locks, and what they were some time ago.

use std::{borrow::Cow, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Model, Principal, PrincipalType, RoleDefinition,
    roles::built_in_role,
    scope::{is_same, is_within, last_segment, stable_guid},
};

/// Changes older than this are forgotten: longer than any lag that makes sense.
const CHANGES_KEPT: Duration = Duration::from_secs(3_600);

/// A role assignment.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RoleAssignment {
    /// Its name, a GUID.
    pub name: String,
    /// Where it applies, and below.
    pub scope: String,
    /// The GUID of the role definition.
    pub role: String,
    /// The object id of who holds the role.
    pub principal_id: String,
    /// The kind of that principal.
    #[serde(default)]
    pub principal_type: PrincipalType,
    /// The condition, if any.
    #[serde(default)]
    pub condition: Option<String>,
    /// `2.0` where there is a condition.
    #[serde(default)]
    pub condition_version: Option<String>,
    /// Free text.
    #[serde(default)]
    pub description: Option<String>,
    /// For cross-tenant grants.
    #[serde(default)]
    pub delegated_managed_identity_resource_id: Option<String>,
    /// When it was created.
    #[serde(default)]
    pub created_on: Timestamp,
    /// When it was last written.
    #[serde(default)]
    pub updated_on: Timestamp,
    /// The object id of who created it.
    #[serde(default)]
    pub created_by: Option<String>,
    /// The object id of who last wrote it.
    #[serde(default)]
    pub updated_by: Option<String>,
}

impl RoleAssignment {
    /// Its resource id.
    #[must_use]
    pub fn id(&self) -> String {
        let scope = self.scope.trim_end_matches('/');
        format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{}", self.name)
    }

    /// Whether it is the one with this name at this scope.
    pub(crate) fn is(&self, scope: &str, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name) && is_same(&self.scope, scope)
    }
}

/// What a lock forbids.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum LockLevel {
    /// Deleting at or below the scope.
    CanNotDelete,
    /// Writing and deleting at or below the scope.
    ReadOnly,
}

/// A resource lock.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lock {
    /// Where it applies, and below.
    pub scope: String,
    /// What it forbids.
    pub level: LockLevel,
}

/// A write or deletion of a role assignment, with what was there before.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    at: Timestamp,
    name: String,
    before: Option<RoleAssignment>,
}

impl Model {
    /// Assigns a role to a principal, effective at once, and returns the assignment's name.
    ///
    /// `role` is a GUID such as [`super::ACR_PULL`].
    pub fn assign(&mut self, principal: &Principal, role: &str, scope: &str) -> String {
        self.assign_id(&principal.object_id, role, scope)
    }

    /// As [`Model::assign`], for a principal that may not be in the directory.
    pub fn assign_id(&mut self, principal_id: &str, role: &str, scope: &str) -> String {
        let name = stable_guid(&["assignment", principal_id, role, scope]);
        let now = Timestamp::now();
        let principal_type = self.principal(principal_id).map(|it| it.principal_type);
        self.role_assignments.push(RoleAssignment {
            name: name.clone(),
            scope: scope.into(),
            role: role.into(),
            principal_id: principal_id.into(),
            principal_type: principal_type.unwrap_or_default(),
            created_on: now,
            updated_on: now,
            ..RoleAssignment::default()
        });
        name
    }

    /// The role assignment with this name, to change it.
    pub fn assignment_mut(&mut self, name: &str) -> Option<&mut RoleAssignment> {
        self.role_assignments.iter_mut().find(|it| it.name.eq_ignore_ascii_case(name))
    }

    /// The role definition with this GUID or id.
    pub(crate) fn role(&self, id: &str) -> Option<RoleDefinition> {
        let guid = last_segment(id);
        let custom = self.custom_roles.iter().find(|it| it.id.eq_ignore_ascii_case(guid));
        custom.cloned().or_else(|| built_in_role(guid))
    }

    /// The role assignments as they were `lag` before `now`.
    pub(crate) fn assignments_before(
        &self,
        lag: Duration,
        now: Timestamp,
    ) -> Cow<'_, [RoleAssignment]> {
        let is_newer = |it: &&Change| now.duration_since(it.at) < as_signed(lag);
        if !self.changes.iter().any(|it| is_newer(&it)) {
            return Cow::Borrowed(&self.role_assignments);
        }
        let mut then = self.role_assignments.clone();
        for change in self.changes.iter().rev().filter(is_newer) {
            then.retain(|it| !it.name.eq_ignore_ascii_case(&change.name));
            then.extend(change.before.clone());
        }
        Cow::Owned(then)
    }

    /// Writes an assignment, replacing the one of the same name.
    pub(crate) fn put_assignment(&mut self, written: RoleAssignment, now: Timestamp) {
        let before = self.take_assignment(&written.name);
        self.note_change(Change { at: now, name: written.name.clone(), before });
        self.role_assignments.push(written);
    }

    /// Deletes an assignment and returns it.
    pub(crate) fn delete_assignment(
        &mut self,
        name: &str,
        now: Timestamp,
    ) -> Option<RoleAssignment> {
        let before = self.take_assignment(name)?;
        self.note_change(Change { at: now, name: name.into(), before: Some(before.clone()) });
        Some(before)
    }

    fn take_assignment(&mut self, name: &str) -> Option<RoleAssignment> {
        let at = self.role_assignments.iter().position(|it| it.name.eq_ignore_ascii_case(name))?;
        Some(self.role_assignments.remove(at))
    }

    fn note_change(&mut self, change: Change) {
        let now = change.at;
        self.changes.retain(|it| now.duration_since(it.at) < as_signed(CHANGES_KEPT));
        self.changes.push(change);
    }

    /// The lock at or above `scope` that forbids writing, or deleting.
    pub(crate) fn lock_on(&self, scope: &str, deleting: bool) -> Option<&Lock> {
        self.locks
            .iter()
            .find(|it| is_within(scope, &it.scope) && (deleting || it.level == LockLevel::ReadOnly))
    }
}

fn as_signed(duration: Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn named(name: &str, description: &str) -> RoleAssignment {
        RoleAssignment {
            name: name.into(),
            description: Some(description.into()),
            ..RoleAssignment::default()
        }
    }

    fn seen(model: &Model, lag: u64, now: i64) -> Vec<String> {
        let mut seen: Vec<_> = model
            .assignments_before(Duration::from_secs(lag), at(now))
            .iter()
            .map(|it| format!("{}={}", it.name, it.description.clone().unwrap_or_default()))
            .collect();
        seen.sort();
        seen
    }

    #[test]
    fn a_lagging_view_shows_what_was_there_before() {
        let mut model = Model::default();
        model.put_assignment(named("a", "1"), at(0));
        model.put_assignment(named("a", "2"), at(10));
        model.put_assignment(named("b", "1"), at(20));
        model.delete_assignment("A", at(30));

        assert_eq!(seen(&model, 0, 31), ["b=1"]);
        assert_eq!(seen(&model, 5, 31), ["a=2", "b=1"]);
        assert_eq!(seen(&model, 15, 31), ["a=2"]);
        assert_eq!(seen(&model, 25, 31), ["a=1"]);
        assert_eq!(seen(&model, 60, 31), [""; 0]);
        assert_eq!(seen(&model, 25, 90), ["b=1"]);
    }
}

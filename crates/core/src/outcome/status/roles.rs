//! Role assignments in status.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::seconds;
use crate::api::{Ownership, RoleAssignmentStatus, RoleUser};
use crate::ids::{AssignmentId, PrincipalId, eq_ignore_case};
use crate::plan::Grant;
use crate::roles::claims::OwnClaims;
use crate::roles::role::{HONOURED_WITHIN, Role};
use crate::snapshot::azure::RoleAssignment;

/// The role assignments after a reconcile.
#[derive(Clone, Debug, Default)]
pub struct RoleState {
    /// The desired grants.
    pub grants: Vec<Grant>,
    /// Whether nodes pull with the grants. Otherwise the service principal of the pull secrets does.
    pub for_nodes: bool,
    /// The grant that counts only after a switch of the registry's mode.
    pub prepared: Option<Grant>,
    /// Whether the cluster changes at the moment, so that nodes may still use a former identity.
    pub unsettled: bool,
    /// All assignments on the registry and on scopes above it.
    pub found: Vec<RoleAssignment>,
    /// The assignments that wait for their removal, with its time (UTC) if that is known.
    pub waiting: BTreeMap<AssignmentId, Option<Timestamp>>,
    /// The assignments of former identities that a user has to release first.
    pub awaiting_release: BTreeMap<AssignmentId, PrincipalId>,
}

impl RoleState {
    pub(in crate::outcome) fn assignment_for(&self, grant: &Grant) -> Option<&RoleAssignment> {
        // The assignment on the registry comes first, whatever the order of Azure's list.
        let given = self.found.iter().filter(|it| grant.is_given_by(it));
        given.min_by_key(|it| (!it.id.is_at(&grant.registry), it.id.clone()))
    }

    /// Whether an assignment gives every desired grant.
    #[must_use]
    pub fn all_assigned(&self) -> bool {
        self.grants.iter().all(|grant| self.assignment_for(grant).is_some())
    }

    /// Whether something is about to change that tells by no event: the cluster, a role that Azure may not
    /// honour yet, or a removal that waits for what replaces the assignment.
    #[must_use]
    pub fn is_in_transition(&self, now: Timestamp) -> bool {
        let made = self.grants.iter().filter_map(|it| self.assignment_for(it)?.created_on);
        let is_young = made.max().is_some_and(|it| now.duration_since(it) < HONOURED_WITHIN);
        self.unsettled || is_young || self.waiting.values().any(Option::is_none)
    }

    /// The assignments for status: those with a claim of the attachment, and those that give a desired grant.
    pub(super) fn listed(
        &self,
        own: Option<&OwnClaims>,
        before: &[RoleAssignmentStatus],
    ) -> Vec<RoleAssignmentStatus> {
        let mine = |it: &RoleAssignment| {
            it.claims().zip(own).is_some_and(|(claims, own)| claims.contain_any(own))
        };
        let listed = self.found.iter().filter(|it| mine(it) || self.desires(it));
        let mut list: Vec<_> = listed
            .filter_map(|it| {
                Some(RoleAssignmentStatus {
                    id: it.id.to_string(),
                    role: Role::from_definition(it.role)?.name().to_owned(),
                    principal_id: it.principal.to_string(),
                    ownership: if mine(it) { Ownership::Managed } else { Ownership::Existing },
                    used_by: self.user(it, before),
                    remove_after: self.waiting.get(&it.id).and_then(|due| due.map(seconds)),
                })
            })
            .collect();
        list.sort_by(|a, b| a.id.cmp(&b.id));
        list
    }

    fn desires(&self, found: &RoleAssignment) -> bool {
        self.grants.iter().chain(&self.prepared).any(|grant| grant.is_given_by(found))
    }

    /// Nodes may go on with an identity for weeks, so that what nodes have used stays theirs.
    fn user(&self, found: &RoleAssignment, before: &[RoleAssignmentStatus]) -> Option<RoleUser> {
        let shown = before.iter().find(|it| eq_ignore_case(&it.id, &found.id.to_string()));
        let shown = shown.and_then(|it| it.used_by);
        match (shown, self.desires(found), self.for_nodes) {
            (Some(RoleUser::Nodes), ..) | (_, true, true) => Some(RoleUser::Nodes),
            (_, true, false) => Some(RoleUser::PullSecrets),
            (shown, false, _) => shown,
        }
    }
}

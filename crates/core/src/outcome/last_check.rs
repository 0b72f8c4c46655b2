//! What the last check of Azure has found, kept for the reconciles after it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::ids::PrincipalId;
use crate::problem::Problem;
use crate::pull_secrets::proof::Proof;
use crate::snapshot::azure::{Registry, RoleAssignmentMode};

/// What a reconcile reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Azure and the cluster, both anew.
    #[default]
    Azure,
    /// The cluster alone. What the last check of Azure has found is used. Only the credential of pull secrets may
    /// be asked for.
    Cluster,
}

/// What the last check of Azure has found. A reconcile of the cluster alone uses it, except for roles.
#[derive(Clone, Debug, Default)]
pub struct LastCheck {
    /// The registry.
    pub registry: Option<Registry>,
    /// The mode of the registry, and since when this process has seen it (UTC).
    pub mode: Option<(RoleAssignmentMode, Timestamp)>,
    /// The client id and the object id of the service principal, if it is to have the role.
    pub principal: Option<(String, PrincipalId)>,
    /// Why something is unknown.
    pub problem: Option<Problem>,
    /// Why it is unknown whether the registry still accepts the credential in use.
    pub doubt: Option<Problem>,
    /// Why a desired role is not assigned.
    pub undone: Option<Problem>,
    /// Why the role is not assigned that counts after a switch of the registry's mode.
    pub unprepared: Option<Problem>,
    /// Why a role that is no longer desired was not removed.
    pub obsolete: Option<Problem>,
    /// Why it is unknown what is left under names that the settings no longer allow.
    pub unread: Option<Problem>,
    /// Whether it is known which roles, Secrets and entries have yet to be removed.
    pub knows_obsolete: bool,
    /// The digests of credentials that the registry has refused.
    pub refused: BTreeSet<String>,
    /// The registry's answer to the credential in use, if it was asked again.
    pub proof: Option<Proof>,
    /// Why there is no new credential. None is asked for again before the next check.
    pub refusal: Option<Problem>,
    /// Whether the check came before the watches had read the cluster, and is to be made again then.
    pub too_early: bool,
}

impl LastCheck {
    /// Whether the check has found that problem.
    #[must_use]
    pub fn has_found(&self, found: &Problem) -> bool {
        let Self { problem, undone, unprepared, obsolete, unread, doubt, refusal, .. } = self;
        let all = [problem, undone, unprepared, obsolete, unread, doubt, refusal];
        all.into_iter().flatten().any(|it| it == found)
    }

    /// Why something is still there that is no longer desired: a role, or something in the cluster that could
    /// not be removed or not be read.
    #[must_use]
    pub fn left<'a>(&'a self, unremoved: Option<&'a Problem>) -> Option<&'a Problem> {
        let unread = self.unread.as_ref().filter(|it| !it.cause.is_transient());
        self.obsolete.as_ref().or(unremoved).or(unread)
    }

    /// What the next check begins with: what it cannot read is as it was.
    #[must_use]
    pub fn before_the_next(&self) -> Self {
        let Self { registry, mode, principal, unprepared, obsolete, refused, .. } = self.clone();
        Self { registry, mode, principal, unprepared, obsolete, refused, ..Self::default() }
    }

    /// Notes the mode of the registry. Returns since when this process has seen that mode (UTC); `None` where
    /// Azure does not tell the mode.
    pub fn note_mode(&mut self, now: Timestamp) -> Option<Timestamp> {
        let mode = self.registry.as_ref()?.mode?;
        let same = self.mode.filter(|(it, _)| *it == mode);
        Some(self.mode.insert(same.unwrap_or((mode, now))).1)
    }
}

//! What a check at Azure has found, kept for the reconciles after it.

use std::collections::BTreeSet;

use acr_attach_core::ids::PrincipalId;
use acr_attach_core::problem::Problem;
use acr_attach_core::pull_secrets::proof::Proof;
use acr_attach_core::snapshot::azure::{Registry, RoleAssignmentMode};
use jiff::Timestamp;

/// What the last check at Azure has found. A glance takes it, but for roles, instead of asking.
#[derive(Clone, Debug, Default)]
pub struct LastCheck {
    /// The registry.
    pub registry: Option<Registry>,
    /// The mode of the registry, and since when this process has seen it (UTC).
    pub mode: Option<(RoleAssignmentMode, Timestamp)>,
    /// The client id and the object id of the service principal, if it is to have the role.
    pub principal: Option<(String, PrincipalId)>,
    /// Why something is not known.
    pub problem: Option<Problem>,
    /// Why it is not known whether the credential in use is still accepted.
    pub doubt: Option<Problem>,
    /// What stood in the way of roles.
    pub undone: Option<Problem>,
    /// What kept a role from being assigned that counts after a switch of the registry's mode.
    pub unprepared: Option<Problem>,
    /// What kept a role from being removed that is no longer desired.
    pub obsolete: Option<Problem>,
    /// Why it is not known what is left under names that the settings no longer allow.
    pub unread: Option<Problem>,
    /// Whether it is known what is left to be removed.
    pub knows_obsolete: bool,
    /// The digests of credentials that the registry has refused.
    pub refused: BTreeSet<String>,
    /// What the registry said of the credential in use, if it was asked again.
    pub proof: Option<Proof>,
    /// Why there is no new credential. It is not asked for again before the next check.
    pub refusal: Option<Problem>,
    /// Whether it came before the watches had read the cluster, and is to be made again then.
    pub too_early: bool,
}

impl LastCheck {
    /// Whether that problem is one that it has found.
    #[must_use]
    pub fn has_found(&self, found: &Problem) -> bool {
        let Self { problem, undone, unprepared, obsolete, unread, doubt, refusal, .. } = self;
        let all = [problem, undone, unprepared, obsolete, unread, doubt, refusal];
        all.into_iter().flatten().any(|it| it == found)
    }

    /// Why something is still there that is no longer desired: a role, what could not be removed from
    /// the cluster, or what could not be read there.
    #[must_use]
    pub fn left<'a>(&'a self, unremoved: Option<&'a Problem>) -> Option<&'a Problem> {
        let unread = self.unread.as_ref().filter(|it| !it.cause.is_transient());
        self.obsolete.as_ref().or(unremoved).or(unread)
    }

    /// What is left of it when Azure is asked anew: what cannot be read this time is as it was.
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

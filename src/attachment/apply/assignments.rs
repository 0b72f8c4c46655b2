//! Writes role assignments: creates, shares and releases them, and replaces claims on them.

use acr_attach_azure::{Error, NewAssignment, Writer};
use acr_attach_core::ids::AssignmentId;
use acr_attach_core::outcome::changes::Change;
use acr_attach_core::plan::{
    AssignmentUpdate, Finalizer, Grant, Release, release, replace_claim, share,
};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::roles::claims::{Claims, OwnClaims};
use acr_attach_core::roles::role::alternative_name;
use acr_attach_core::snapshot::azure::RoleAssignment;

use crate::attachment::apply::Applier;
use crate::attachment::apply::locks::Lock;
use crate::attachment::state::Revision;

/// The number of alternative names that are tried where Azure refuses a name because of a hash conflict.
const MOST_SALTS: u32 = 2;

impl Applier<'_> {
    /// Creates an assignment that the list of a moment ago does not show.
    ///
    /// Lists of Azure may lag behind. So the assignment is first read by its id where this process has written
    /// it, and where the attachment already bears the finalizer for role assignments: another attachment may
    /// have shared it since.
    pub async fn assign(&self, grant: &Grant) -> Result<Option<Change>, Problem> {
        let id = grant.assignment_id();
        let lock = self.locks.take(&id)?;
        let held_before =
            Revision::of(self.object).finalizers().contains(&Finalizer::RoleAssignments);
        if held_before || lock.is_written() {
            return self.hold(&id, grant, &lock).await;
        }
        self.make(&id, grant, &lock).await
    }

    /// Adds the claim of the attachment to the assignment of that id, or creates the assignment if it is gone.
    pub async fn join(&self, id: &AssignmentId, grant: &Grant) -> Result<Option<Change>, Problem> {
        let lock = self.locks.take(id)?;
        self.hold(id, grant, &lock).await
    }

    /// Returns the session's writer and the claims of the attachment. A plan has steps for role assignments
    /// only where a session has read them, and so both are there.
    fn writer(&self) -> Result<(&Writer, &OwnClaims), Problem> {
        let text = "changing role assignments: acr-attach has a fault; please report it";
        let fault = || Problem::new(Cause::Internal, text);
        Ok((&self.session.ok_or_else(fault)?.writer, self.claims.ok_or_else(fault)?))
    }

    /// Shares the assignment if it exists, and creates it otherwise. Reads it just before the write, since a
    /// PUT on an existing assignment would overwrite the description of another writer.
    async fn hold(
        &self,
        id: &AssignmentId,
        grant: &Grant,
        lock: &Lock,
    ) -> Result<Option<Change>, Problem> {
        match self.writer()?.0.role_assignment(id).await? {
            None => self.make(id, grant, lock).await,
            Some(found) => {
                lock.note(true);
                self.share(&found, grant).await.map(Some)
            }
        }
    }

    async fn share(&self, found: &RoleAssignment, grant: &Grant) -> Result<Change, Problem> {
        let (azure, own) = self.writer()?;
        let id = &found.id;
        if found.claims().is_none() {
            return Err(Problem::new(
                Cause::Unavailable,
                format!(
                    "making role assignment {id}: another tool made it a moment ago; looking again"
                ),
            ));
        }
        let Some(to) = share(found, grant, own)? else {
            return Ok(Change::Held(found.clone()));
        };
        azure.amend(found, &to).await?;
        let after = self.read_back(id).await?;
        Ok(match is_ours(found, own) {
            false => Change::Joined(after),
            true if found.condition == after.condition => Change::Reclaimed(after),
            true => Change::Amended(after),
        })
    }

    /// Creates the assignment. Where Azure refuses its name because of a hash conflict, sends the request once
    /// more, since the conflict may be temporary, and then does the same with alternative names derived from
    /// the first.
    async fn make(
        &self,
        id: &AssignmentId,
        grant: &Grant,
        lock: &Lock,
    ) -> Result<Option<Change>, Problem> {
        let (azure, own) = self.writer()?;
        lock.note(true);
        let mut refused = None;
        for salt in 0..=MOST_SALTS {
            let id = &AssignmentId::on(&grant.registry, alternative_name(id.name(), salt));
            if salt > 0
                && let Some(found) = azure.role_assignment(id).await?
            {
                return self.share(&found, grant).await.map(Some);
            }
            let mut made = azure.assign(&new(id, grant, own)).await;
            if made.as_ref().is_err_and(Error::is_hash_conflict) {
                made = azure.assign(&new(id, grant, own)).await;
            }
            match made {
                Ok(()) => return self.made(id).await.map(Some),
                Err(error) if error.is_hash_conflict() => refused = Some(error),
                Err(error) if error.is_existing() => return self.existing(id, error).await,
                Err(error) => return Err(error.into()),
            }
        }
        refused.map_or(Ok(None), |error| Err(error.into()))
    }

    /// Reads the assignment after its creation. Another attachment may have created it since the list was read.
    /// Only the dates show that, since Azure returns 201 for a PUT on an existing assignment too. In that case
    /// this PUT has removed the claim of the other attachment, which soon reads the assignment again, as this
    /// attachment does, and adds its claim again.
    async fn made(&self, id: &AssignmentId) -> Result<Change, Problem> {
        let after = self.read_back(id).await?;
        let is_new = after.created_on >= after.updated_on;
        Ok(if is_new { Change::Assigned(after) } else { Change::Joined(after) })
    }

    /// Handles the answer of Azure that the role is assigned already. If the assignment of this id bears a claim
    /// of this attachment, an earlier request of it was carried out. Otherwise Azure's error is returned. The
    /// assignment usually has another id then, and the next list shows it.
    async fn existing(&self, id: &AssignmentId, error: Error) -> Result<Option<Change>, Problem> {
        let (azure, own) = self.writer()?;
        let found = azure.role_assignment(id).await?;
        let ours = found.filter(|it| is_ours(it, own));
        ours.map(|it| Some(Change::Held(it))).ok_or_else(|| error.into())
    }

    /// Reads the assignment after a write. Another cluster may have written at the same moment, and so only
    /// what Azure returns now counts.
    async fn read_back(&self, id: &AssignmentId) -> Result<RoleAssignment, Problem> {
        let (azure, own) = self.writer()?;
        let found = azure.role_assignment(id).await;
        let found = found.map_err(|error| Problem::from(error).unconfirmed())?;
        let is_claimed =
            |it: &RoleAssignment| it.claims().is_some_and(|claims| claims.contains(own.current()));
        found.filter(is_claimed).ok_or_else(|| {
            Problem::new(
                Cause::Unavailable,
                format!(
                    "reading role assignment {id} after writing it: it does not bear claim {}; it is written again",
                    own.current()
                ),
            )
        })
    }

    /// Replaces a former claim of the attachment by the current one.
    pub async fn reclaim(&self, id: &AssignmentId) -> Result<Option<Change>, Problem> {
        let (azure, own) = self.writer()?;
        let _lock = self.locks.take(id)?;
        let Some(found) = azure.role_assignment(id).await? else { return Ok(None) };
        let Some(to) = replace_claim(&found, own) else { return Ok(None) };
        azure.amend(&found, &to).await?;
        self.read_back(id).await.map(|it| Some(Change::Reclaimed(it)))
    }

    /// Removes the claim of the attachment, and deletes the assignment with its last claim.
    ///
    /// # Errors
    /// `Propagating` when Azure does not show an assignment that this process has written: it may still appear.
    /// When Azure does not answer or refuses.
    pub async fn let_go(&self, id: &AssignmentId) -> Result<Option<Change>, Problem> {
        let (azure, own) = self.writer()?;
        let lock = self.locks.take(id)?;
        let Some(found) = azure.role_assignment(id).await? else {
            return if lock.is_written() { Err(not_shown(id)) } else { Ok(None) };
        };
        match release(&found, own) {
            Release::NotClaimed => Ok(None),
            Release::DeleteAssignment => {
                azure.unassign(&found).await?;
                lock.note(false);
                Ok(Some(Change::Unassigned(id.clone())))
            }
            Release::RemoveClaim(to) => self.leave(&found, &to).await.map(Some),
        }
    }

    async fn leave(
        &self,
        found: &RoleAssignment,
        to: &AssignmentUpdate,
    ) -> Result<Change, Problem> {
        let (azure, own) = self.writer()?;
        let id = &found.id;
        azure.amend(found, to).await?;
        let left = azure.role_assignment(id).await?;
        if left.is_some_and(|it| is_ours(&it, own)) {
            return Err(Problem::new(
                Cause::Unavailable,
                format!(
                    "reading role assignment {id} after writing it: it still bears claim {}; it is written again",
                    own.current()
                ),
            ));
        }
        Ok(Change::Left(id.clone()))
    }
}

fn new<'a>(id: &'a AssignmentId, grant: &'a Grant, own: &OwnClaims) -> NewAssignment<'a> {
    NewAssignment {
        id,
        registry: &grant.registry,
        role: grant.role,
        principal: grant.principal,
        condition: grant.condition.as_deref(),
        description: Claims::of(own.current().clone()).to_string(),
    }
}

fn not_shown(id: &AssignmentId) -> Problem {
    let text = format!(
        "removing role assignment {id}: Azure lists it, and does not find it by its id, since it was written a moment ago; acr-attach tries again"
    );
    Problem::new(Cause::Propagating, text)
}

fn is_ours(found: &RoleAssignment, own: &OwnClaims) -> bool {
    found.claims().is_some_and(|it| it.contain_any(own))
}

//! Act, on role assignments: makes them, shares them, and lets go of them.

use acr_attach_azure::{Error, NewAssignment, Writer};
use acr_attach_core::ids::AssignmentId;
use acr_attach_core::plan::{
    AssignmentUpdate, Finalizer, Grant, Release, release, replace_claim, share,
};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::roles::claims::{Claims, OwnClaims};
use acr_attach_core::roles::role::alternative_name;
use acr_attach_core::snapshot::azure::RoleAssignment;

use crate::attachment::apply::locks::Lock;
use crate::attachment::apply::{Applier, Change};
use crate::attachment::state::Revision;

/// How many other names are tried where Azure cannot take a name.
const MOST_SALTS: u32 = 2;

impl Applier<'_> {
    /// Makes an assignment that is not there: the list that says so was read a moment ago.
    ///
    /// Lists may lag behind. So what this process itself has written is looked at first, and so is
    /// everything where the object held something before: others may have joined it since.
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

    /// Joins the assignment of that id.
    pub async fn join(&self, id: &AssignmentId, grant: &Grant) -> Result<Option<Change>, Problem> {
        let lock = self.locks.take(id)?;
        self.hold(id, grant, &lock).await
    }

    /// Role assignments are planned only from what was read of them, and so with both.
    fn writer(&self) -> Result<(&Writer, &OwnClaims), Problem> {
        let text = "changing role assignments: acr-attach has a fault; please report it";
        let fault = || Problem::new(Cause::Internal, text);
        Ok((&self.session.ok_or_else(fault)?.writer, self.claims.ok_or_else(fault)?))
    }

    /// Joins the assignment, or makes it. What stands there is read a moment before it is
    /// written: a PUT on it would overwrite somebody else's description.
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
        Ok(if is_ours(found, own) { Change::Amended(after) } else { Change::Joined(after) })
    }

    /// Makes the assignment. Where Azure cannot take its name it is tried once more, since that
    /// may reconcile, and then under names that follow from it.
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

    /// What was made, or was there: somebody else may have made it since the list was read. Its
    /// dates tell, since Azure answers 201 to either. Then that claim is gone; whoever made it a
    /// moment ago looks again soon, as we do, and puts it back.
    async fn made(&self, id: &AssignmentId) -> Result<Change, Problem> {
        let after = self.read_back(id).await?;
        let is_new = after.created_on >= after.updated_on;
        Ok(if is_new { Change::Assigned(after) } else { Change::Joined(after) })
    }

    /// Azure says that the role is assigned already. If that is not by our own earlier request,
    /// it is under another name, and the next list shows whose it is.
    async fn existing(&self, id: &AssignmentId, error: Error) -> Result<Option<Change>, Problem> {
        let (azure, own) = self.writer()?;
        let found = azure.role_assignment(id).await?;
        let ours = found.filter(|it| is_ours(it, own));
        ours.map(|it| Some(Change::Held(it))).ok_or_else(|| error.into())
    }

    /// Another cluster may have written at the same moment; what counts is what is there now.
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

    /// Replaces a claim of before by the current one.
    pub async fn reclaim(&self, id: &AssignmentId) -> Result<Option<Change>, Problem> {
        let (azure, own) = self.writer()?;
        let _lock = self.locks.take(id)?;
        let Some(found) = azure.role_assignment(id).await? else { return Ok(None) };
        let Some(to) = replace_claim(&found, own) else { return Ok(None) };
        azure.amend(&found, &to).await?;
        self.read_back(id).await.map(|it| Some(Change::Reclaimed(it)))
    }

    /// Removes the claim, and deletes the assignment with the last one. An assignment that this process has
    /// written, and that Azure does not show, may still come.
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

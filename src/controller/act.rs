//! Act: takes the steps of a plan. Writes, and decides nothing.

use super::context::Context;
use crate::api::RegistryAttachment;
use crate::azure::NewAssignment;
use crate::domain::claims::{Claim, Claims};
use crate::domain::facts::RoleAssignment;
use crate::domain::names::AssignmentId;
use crate::domain::plan::{Amendment, Grant, Release, Step, join, release};
use crate::domain::problem::{Cause, Problem};

/// What was done, and what kept the rest from being done.
#[derive(Debug, Default)]
pub struct Acted {
    /// In the order in which it happened.
    pub deeds: Vec<Deed>,
    /// Why the steps after that were not taken.
    pub problem: Option<Problem>,
}

/// One change that was made.
#[derive(Debug)]
pub enum Deed {
    /// Our finalizer was added or removed.
    Finalizer(bool),
    /// A role assignment was made.
    Assigned(RoleAssignment),
    /// A role assignment that others hold now bears our claim too, or has its condition back.
    Joined(RoleAssignment),
    /// A role assignment bears our claim already: a list of Azure lags behind.
    Held(RoleAssignment),
    /// Our claim was taken back; others hold the assignment on.
    Left(AssignmentId),
    /// A role assignment was deleted.
    Unassigned(AssignmentId),
}

impl Deed {
    /// Whether it changed something in Azure.
    #[must_use]
    pub fn is_in_azure(&self) -> bool {
        !matches!(self, Self::Finalizer(_) | Self::Held(_))
    }
}

/// Takes the steps one after the other, and stops at the first that fails: a removal must not
/// overtake the grant that replaces it.
pub async fn act(
    steps: &[Step],
    object: &RegistryAttachment,
    claim: &Claim,
    ctx: &Context,
) -> Acted {
    let mut acted = Acted::default();
    for step in steps {
        match take(step, object, claim, ctx).await {
            Ok(deed) => acted.deeds.extend(deed),
            Err(problem) => {
                acted.problem = Some(problem);
                break;
            }
        }
    }
    acted
}

async fn take(
    step: &Step,
    object: &RegistryAttachment,
    claim: &Claim,
    ctx: &Context,
) -> Result<Option<Deed>, Problem> {
    match step {
        Step::AddFinalizer => set_finalizer(object, true, ctx).await,
        Step::RemoveFinalizer => set_finalizer(object, false, ctx).await,
        Step::Assign(grant) => hold(&grant.assignment_id(), grant, claim, ctx).await,
        Step::Join(id, grant) => hold(id, grant, claim, ctx).await,
        Step::Release(id) => let_go(id, claim, ctx).await,
    }
}

async fn set_finalizer(
    object: &RegistryAttachment,
    present: bool,
    ctx: &Context,
) -> Result<Option<Deed>, Problem> {
    ctx.kubernetes.set_finalizer(object, present).await?;
    Ok(Some(Deed::Finalizer(present)))
}

/// Makes the assignment, or joins the one of that id. What stands there is read a moment before
/// it is written: a PUT on it would overwrite somebody else's description.
async fn hold(
    id: &AssignmentId,
    grant: &Grant,
    claim: &Claim,
    ctx: &Context,
) -> Result<Option<Deed>, Problem> {
    let _lock = ctx.locks.take(id)?;
    let Some(found) = ctx.writer.role_assignment(id).await? else {
        assign(id, grant, claim, ctx).await?;
        return Ok(Some(Deed::Assigned(read_back(id, claim, ctx).await?)));
    };
    if found.claims().is_none() {
        return Err(Problem::new(
            Cause::Unavailable,
            format!(
                "making role assignment {id}: another tool made it a moment ago; looking again"
            ),
        ));
    }
    let Some(to) = join(&found, grant, claim)? else { return Ok(Some(Deed::Held(found))) };
    ctx.writer.amend(&found, &to).await?;
    Ok(Some(Deed::Joined(read_back(id, claim, ctx).await?)))
}

async fn assign(
    id: &AssignmentId,
    grant: &Grant,
    claim: &Claim,
    ctx: &Context,
) -> Result<(), Problem> {
    let new = NewAssignment {
        id,
        registry: &grant.registry,
        role: grant.role,
        principal: grant.principal,
        condition: grant.condition.as_deref(),
        description: Claims::of(claim.clone()).to_string(),
    };
    Ok(ctx.writer.assign(&new).await?)
}

/// Another cluster may have written at the same moment; what counts is what is there now.
async fn read_back(
    id: &AssignmentId,
    claim: &Claim,
    ctx: &Context,
) -> Result<RoleAssignment, Problem> {
    let found = ctx.writer.role_assignment(id).await?;
    let ours = found.filter(|it| it.claims().is_some_and(|it| it.contains(claim)));
    ours.ok_or_else(|| {
        Problem::new(
            Cause::Unavailable,
            format!("reading role assignment {id} after writing it: it does not bear the claim {claim}; it is written again"),
        )
    })
}

async fn let_go(id: &AssignmentId, claim: &Claim, ctx: &Context) -> Result<Option<Deed>, Problem> {
    let _lock = ctx.locks.take(id)?;
    let Some(found) = ctx.writer.role_assignment(id).await? else { return Ok(None) };
    match release(&found, claim) {
        Release::Nothing => Ok(None),
        Release::Delete => {
            ctx.writer.unassign(id).await?;
            Ok(Some(Deed::Unassigned(id.clone())))
        }
        Release::Keep(to) => leave(&found, &to, claim, ctx).await.map(Some),
    }
}

async fn leave(
    found: &RoleAssignment,
    to: &Amendment,
    claim: &Claim,
    ctx: &Context,
) -> Result<Deed, Problem> {
    let id = &found.id;
    ctx.writer.amend(found, to).await?;
    let left = ctx.writer.role_assignment(id).await?;
    if left.is_some_and(|it| it.claims().is_some_and(|it| it.contains(claim))) {
        return Err(Problem::new(
            Cause::Unavailable,
            format!(
                "reading role assignment {id} after writing it: it still bears the claim {claim}; it is written again"
            ),
        ));
    }
    Ok(Deed::Left(id.clone()))
}

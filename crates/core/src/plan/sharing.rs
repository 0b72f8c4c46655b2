//! Sharing a role assignment with other attachments, and releasing it.

use super::Grant;
use crate::problem::{Cause, Problem};
use crate::roles::claims::{self, Claim, Claims, OwnClaims};
use crate::snapshot::azure::RoleAssignment;

/// New contents for an assignment that acr-attach made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignmentUpdate {
    /// The new claims.
    pub claims: Claims,
    /// The new condition.
    pub condition: Option<String>,
}

/// Adds the claim of an attachment to an assignment that bears claims; `None` when nothing changes. The
/// attachment with the oldest claim decides the condition.
///
/// # Errors
/// `NotOurs` when the assignment bears no claims, or when its condition differs and the oldest
/// claim is another attachment's; `QuotaExceeded` when there is no room for one more claim.
pub fn share(
    found: &RoleAssignment,
    grant: &Grant,
    own: &OwnClaims,
) -> Result<Option<AssignmentUpdate>, Problem> {
    let Some(before) = found.claims() else { return Err(foreign_assignment(found, grant)) };
    let Some(claims) = before.with(own) else {
        let account = format!(
            "sharing role assignment {}: {} attachments use it already, and its description has room for no more",
            found.id,
            claims::MAX_CLAIMS
        );
        let advice = "delete attachments that are not needed";
        return Err(Problem::advised(Cause::QuotaExceeded, advice, &[account]));
    };
    if found.condition != grant.condition
        && let Some(first) = claims.first().filter(|it| *it != own.current())
    {
        let is_alone = before.without(&first.clone().into()).is_none();
        return Err(other_condition(found, first, is_alone));
    }
    let condition = grant.condition.clone();
    let changes = claims != before || condition != found.condition;
    Ok(changes.then_some(AssignmentUpdate { claims, condition }))
}

/// The problem that another attachment decides the condition of an assignment, alone or with other claims after
/// its own.
fn other_condition(found: &RoleAssignment, first: &Claim, is_alone: bool) -> Problem {
    let (scope, name) = (found.id.scope(), found.id.name());
    // The update replaces the assignment as a whole, and so takes it as Azure shows it.
    let release = if is_alone {
        format!("az role assignment delete --ids {}", found.id)
    } else {
        format!(
            "az role assignment list --scope {scope} --query \"[?name=='{name}']|[0]\" | sed 's/{first},//' | az role assignment update --role-assignment @-"
        )
    };
    let advice = format!(
        "give both attachments the same repositories, or delete the other one, of claim {first} (status.claim); if its cluster is gone, take its claim out ({release})"
    );
    let doing = format!("sharing role assignment {name}");
    let accounts = [format!("{doing}: another attachment holds it with another condition"), doing];
    Problem::advised(Cause::NotOurs, &advice, &accounts)
}

/// Replaces a claim of before by the current one where it stands; `None` where the assignment bears none.
#[must_use]
pub fn replace_claim(found: &RoleAssignment, own: &OwnClaims) -> Option<AssignmentUpdate> {
    let before = found.claims().filter(|it| it.contain_any(own))?;
    let claims = before.with(own).filter(|it| *it != before)?;
    Some(AssignmentUpdate { claims, condition: found.condition.clone() })
}

/// How to release an assignment, by its contents at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// Other attachments use the assignment: remove only the claim of this one.
    RemoveClaim(AssignmentUpdate),
    /// The claim of this attachment is the last one: delete the assignment.
    DeleteAssignment,
    /// The assignment does not bear the claim any more: change nothing.
    NotClaimed,
}

/// Decides how to release an assignment.
#[must_use]
pub fn release(found: &RoleAssignment, own: &OwnClaims) -> Release {
    let Some(claims) = found.claims().filter(|it| it.contain_any(own)) else {
        return Release::NotClaimed;
    };
    claims.without(own).map_or(Release::DeleteAssignment, |claims| {
        Release::RemoveClaim(AssignmentUpdate { claims, condition: found.condition.clone() })
    })
}

/// The problem that an assignment which acr-attach did not make is in the way of a grant.
pub(super) fn foreign_assignment(found: &RoleAssignment, grant: &Grant) -> Problem {
    let advice = format!(
        "delete the role assignment that is in the way (az role assignment delete --ids {})",
        found.id
    );
    let doing = format!(
        "assigning {} on {} to {}",
        grant.role.name(),
        grant.registry.name(),
        grant.principal
    );
    let accounts = [
        format!(
            "{doing}: acr-attach did not make this assignment, which gives the role with another condition, and Azure keeps one per scope, principal and role"
        ),
        format!("{doing}: acr-attach did not make this assignment"),
    ];
    Problem::advised(Cause::NotOurs, &advice, &accounts)
}

//! Claims in the description of a role assignment: the last claim, a former claim, and claims of others.

use super::*;
use crate::platform::Platform;

#[test]
fn only_the_last_claim_deletes_the_assignment() {
    let of = grant(1, Role::AcrPull);
    assert_eq!(release(&claimed(&of, &["mine"]), &own("mine")), Release::DeleteAssignment);
    assert_eq!(release(&claimed(&of, &["other"]), &own("mine")), Release::NotClaimed);
    assert_eq!(release(&assignment(&of, "by hand", now()), &own("mine")), Release::NotClaimed);
    let left = AssignmentUpdate { claims: Claims::of(claim("other")), condition: None };
    assert_eq!(
        release(&claimed(&of, &["mine", "other"]), &own("mine")),
        Release::RemoveClaim(left)
    );
}

/// A role that holds is not touched for its claim: where the claim cannot be replaced, the role still counts.
#[test]
fn a_claim_of_before_is_replaced_apart_from_the_roles() {
    let wanted = grant(1, Role::AcrPull);
    let (kept, former) =
        (claimed(&wanted, &["before"]), claimed(&grant(2, Role::AcrPull), &["before"]));
    let found = vec![former.clone(), kept.clone(), claimed(&grant(3, Role::AcrPull), &["other"])];
    let claims =
        OwnClaims::of("mine", "cluster", Ok(Platform::NotAks), Some(claim("before"))).unwrap();
    let mut owned = owns(found, true);
    owned.assignments.as_mut().unwrap().registry_and_claims = Some((registry(), claims));
    let desired = Desired { settled: false, ..wants(&wanted) };
    let now_plan = plan(&desired, &owned, now(), DELAY);
    let replaced = |it: &RoleAssignment| Step::ReplaceClaim(it.id.clone());
    assert_eq!(
        (now_plan.roles, now_plan.claims),
        (vec![], vec![replaced(&kept), replaced(&former)])
    );
    let later = plan(&wants(&wanted), &owned, now() + DELAY, DELAY);
    assert_eq!(later.roles, vec![Step::ReleaseAssignment(former.id)]);
    assert_eq!(later.claims, vec![replaced(&kept)]);
}

/// The claim of a cluster that is gone decides for ever, unless a user takes it out.
#[test]
fn another_claim_that_decides_is_named_with_the_command_that_takes_it_out() {
    let wanted = Grant { condition: Some("mine".into()), ..grant(1, Role::RepositoryReader) };
    let theirs = Grant { condition: Some("theirs".into()), ..wanted.clone() };
    let first = claim("other").to_string();
    let text = |claims: &[&str]| {
        share(&claimed(&theirs, claims), &wanted, &own("mine")).unwrap_err().message
    };
    // Nodes pull with an assignment that this attachment holds too.
    let held = text(&["other", "mine"]);
    assert!(held.contains("sed") && !held.contains("delete --ids"), "{held}");
    let shared = text(&["other", "mine", "third"]);
    assert!(
        shared.contains(&format!("sed 's/{first},//'"))
            && shared.contains("| az role assignment update"),
        "{shared}"
    );
    let alone = text(&["other"]);
    assert!(alone.contains("az role assignment delete --ids") && alone.contains(&first), "{alone}");
    assert!([shared, alone].iter().all(|it| crate::message::is_bounded(it) && !it.contains('…')));
}

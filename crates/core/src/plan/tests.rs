//! The table of `plan` for role assignments, row by row.

mod claims;
mod former;
mod prepared;
mod properties;
mod sharing;

use jiff::SignedDuration;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::delivery::contest::Contests;
use crate::ids::{PrincipalId, RegistryId};
use crate::problem::Cause;
use crate::roles::claims::{Claim, Claims, OwnClaims};
use crate::roles::role::Role;
use crate::snapshot::azure::RoleAssignment;
use crate::snapshot::by_namespace::ByNamespace;

const REGISTRY: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso";
const DELAY: SignedDuration = SignedDuration::from_secs(3600);

fn registry() -> RegistryId {
    REGISTRY.parse().unwrap()
}

fn principal(n: u128) -> PrincipalId {
    Uuid::from_u128(n).to_string().parse().unwrap()
}

fn grant(n: u128, role: Role) -> Grant {
    Grant { registry: registry(), principal: principal(n), role, condition: None }
}

/// Any role for one of these identities, with or without a condition where the role may have one.
fn any_grant_of(identities: std::ops::Range<u128>) -> impl Strategy<Value = Grant> {
    let role = prop_oneof![
        Just((Role::AcrPull, None)),
        Just((Role::RepositoryReader, None)),
        Just((Role::RepositoryReader, Some("only team-a"))),
        Just((Role::RepositoryReader, Some("only team-b"))),
    ];
    (identities, role).prop_map(|(n, (role, condition))| Grant {
        condition: condition.map(str::to_owned),
        ..grant(n, role)
    })
}

/// The id of an assignment on the subscription.
fn above_the_registry() -> AssignmentId {
    let scope = "/subscriptions/11111111-1111-1111-1111-111111111111";
    let name = Uuid::from_u128(7);
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}").parse().unwrap()
}

fn claim(name: &str) -> Claim {
    Claim::new("cluster", name)
}

fn own(name: &str) -> OwnClaims {
    claim(name).into()
}

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn assignment(of: &Grant, description: &str, updated_on: Timestamp) -> RoleAssignment {
    RoleAssignment {
        id: of.assignment_id(),
        role: of.role.definition(),
        role_definition_id: of.role.definition().to_string(),
        principal: of.principal,
        principal_type: Some("ServicePrincipal".into()),
        condition: of.condition.clone(),
        condition_version: None,
        delegated_managed_identity_resource_id: None,
        description: Some(description.into()),
        created_on: Some(updated_on),
        updated_on: Some(updated_on),
    }
}

/// An assignment with the claims of these attachments.
fn claimed(of: &Grant, names: &[&str]) -> RoleAssignment {
    let claims = names[1..]
        .iter()
        .fold(Claims::of(claim(names[0])), |claims, name| claims.with(&own(name)).unwrap());
    assignment(of, &claims.to_string(), now() - DELAY)
}

fn owns(found: Vec<RoleAssignment>, finalizer: bool) -> Owned {
    Owned {
        uid: "mine".to_owned(),
        finalizers: finalizer.then_some(Finalizer::RoleAssignments).into_iter().collect(),
        assignments: Some(Assignments::on(&registry(), own("mine"), found)),
        secrets: Some(ByNamespace::default()),
        gone_uids: BTreeSet::new(),
        accepted: None,
        refused_digests: BTreeSet::new(),
        accounts: Some(ByNamespace::default()),
        contests: Contests::default(),
    }
}

fn wants(grant: &Grant) -> Desired {
    Desired { grants: Some(vec![grant.clone()]), ..Desired::nothing() }
}

/// The plan for roles that replace no pull secrets.
fn plan(desired: &Desired, owned: &Owned, now: Timestamp, delay: SignedDuration) -> Plan {
    let replaced_at = replaced_at(desired, owned, Serving::NotDesired, now, delay);
    roles(desired, owned, RemovalTiming { now, replaced_at, delay })
}

fn steps(desired: &Desired, owned: &Owned) -> Vec<Step> {
    plan(desired, owned, now(), DELAY).roles
}

#[test]
fn a_missing_role_is_assigned_after_the_finalizer() {
    let wanted = grant(1, Role::AcrPull);
    let expected = vec![
        Step::AddFinalizer(Finalizer::RoleAssignments),
        Step::CreateAssignment(wanted.clone()),
    ];
    assert_eq!(steps(&wants(&wanted), &owns(vec![], false)), expected);
}

#[test]
fn what_holds_needs_no_step() {
    let wanted = grant(1, Role::AcrPull);
    let held = claimed(&wanted, &["other", "mine"]);
    assert_eq!(steps(&wants(&wanted), &owns(vec![held], true)), vec![]);
}

#[test]
fn a_finalizer_that_a_user_removed_comes_back() {
    let wanted = grant(1, Role::AcrPull);
    let held = claimed(&wanted, &["mine"]);
    assert_eq!(
        steps(&wants(&wanted), &owns(vec![held], false)),
        vec![Step::AddFinalizer(Finalizer::RoleAssignments)]
    );
}

#[test]
fn an_assignment_of_other_attachments_is_shared() {
    let wanted = grant(1, Role::AcrPull);
    let shared = claimed(&wanted, &["other"]);
    let expected = vec![
        Step::AddFinalizer(Finalizer::RoleAssignments),
        Step::ShareAssignment(shared.id.clone(), wanted.clone()),
    ];
    assert_eq!(steps(&wants(&wanted), &owns(vec![shared], false)), expected);
}

#[test]
fn a_foreign_assignment_is_used_and_left_alone() {
    let wanted = grant(1, Role::AcrPull);
    let stranger = assignment(&wanted, "by hand", now());
    let mut above = stranger.clone();
    above.id = above_the_registry();
    for found in [stranger, above] {
        assert_eq!(steps(&wants(&wanted), &owns(vec![found.clone()], false)), vec![]);
        let gone = owns(vec![found], true);
        assert_eq!(
            steps(&Desired::nothing(), &gone),
            vec![Step::RemoveFinalizer(Finalizer::RoleAssignments)]
        );
    }
}

#[test]
fn claims_above_the_registry_do_not_count() {
    let wanted = grant(1, Role::AcrPull);
    let mut above = claimed(&wanted, &["mine"]);
    above.id = above_the_registry();
    assert_eq!(
        steps(&Desired::nothing(), &owns(vec![above], true)),
        vec![Step::RemoveFinalizer(Finalizer::RoleAssignments)]
    );
}

#[test]
fn a_foreign_condition_blocks_at_the_registry_and_not_above() {
    let wanted = grant(1, Role::RepositoryReader);
    let mut stranger = assignment(&wanted, "by hand", now());
    stranger.condition = Some("only some".into());
    let blocked = plan(&wants(&wanted), &owns(vec![stranger.clone()], false), now(), DELAY);
    assert_eq!(blocked.blocked.unwrap().cause, Cause::NotOurs);
    assert_eq!(blocked.roles, vec![]);

    stranger.id = above_the_registry();
    let expected = vec![
        Step::AddFinalizer(Finalizer::RoleAssignments),
        Step::CreateAssignment(wanted.clone()),
    ];
    assert_eq!(steps(&wants(&wanted), &owns(vec![stranger], false)), expected);
}

/// With an assignment on the registry that a user made, or other attachments with other repositories.
#[test]
fn what_suffices_from_above_is_used_whatever_stands_at_the_registry() {
    let wanted = grant(1, Role::RepositoryReader);
    let narrow = Grant { condition: Some("only some".into()), ..wanted.clone() };
    let mut above = assignment(&wanted, "by hand", now());
    above.id = above_the_registry();
    for here in [assignment(&narrow, "by hand", now()), claimed(&narrow, &["other"])] {
        for found in [[here.clone(), above.clone()], [above.clone(), here.clone()]] {
            let owned = owns(found.into(), false);
            let plan = plan(&wants(&wanted), &owned, now(), DELAY);
            assert_eq!((plan.blocked, plan.roles), (None, vec![]));
            assert_eq!(held_since(&wanted, &owned), Some(now()));
        }
        above.condition = Some("other".into());
        let owned = owns(vec![here, above.clone()], false);
        let blocked = plan(&wants(&wanted), &owned, now(), DELAY).blocked;
        assert_eq!(blocked.unwrap().cause, Cause::NotOurs);
        above.condition = None;
    }
}

#[test]
fn a_condition_that_a_user_added_is_removed_again() {
    let wanted = grant(1, Role::RepositoryReader);
    let mut ours = claimed(&wanted, &["mine", "other"]);
    ours.condition = Some("nothing".into());
    let expected = vec![Step::ShareAssignment(ours.id.clone(), wanted.clone())];
    assert_eq!(steps(&wants(&wanted), &owns(vec![ours.clone()], true)), expected);
    let amended = share(&ours, &wanted, &own("mine")).unwrap().unwrap();
    assert_eq!(amended.condition, None);
    assert_eq!(share(&ours, &wanted, &own("other")).unwrap_err().cause, Cause::NotOurs);
}

#[test]
fn a_former_role_waits_for_its_replacement() {
    let (former, wanted) = (grant(1, Role::AcrPull), grant(1, Role::RepositoryReader));
    let old = claimed(&former, &["mine"]);
    let desired = wants(&wanted);

    let first = plan(&desired, &owns(vec![old.clone()], true), now(), DELAY);
    assert_eq!(first.roles, vec![Step::CreateAssignment(wanted.clone())]);
    assert_eq!(first.pending_removals, BTreeMap::from([(old.id.clone(), None)]));

    let mut new = claimed(&wanted, &["mine"]);
    new.updated_on = Some(now());
    let both = owns(vec![old.clone(), new], true);
    let second = plan(&desired, &both, now(), DELAY);
    assert_eq!(second.roles, vec![]);
    assert_eq!(second.pending_removals, BTreeMap::from([(old.id.clone(), Some(now() + DELAY))]));

    let unsettled = Desired { settled: false, ..desired.clone() };
    assert_eq!(plan(&unsettled, &both, now() + DELAY, DELAY).roles, vec![]);
    let third = plan(&desired, &both, now() + DELAY, DELAY);
    assert_eq!(third.roles, vec![Step::ReleaseAssignment(old.id)]);
}

#[test]
fn the_finalizer_stays_while_azure_may_hide_an_assignment() {
    let hidden = Some(Problem::new(Cause::Propagating, "x"));
    let mut owned = owns(vec![], true);
    owned.assignments.as_mut().unwrap().hidden = hidden;
    assert_eq!(steps(&Desired::nothing(), &owned), vec![]);
}

#[test]
fn detaching_releases_at_once_and_then_lets_the_object_go() {
    let held = claimed(&grant(1, Role::AcrPull), &["mine", "other"]);
    let expected = vec![
        Step::ReleaseAssignment(held.id.clone()),
        Step::RemoveFinalizer(Finalizer::RoleAssignments),
    ];
    assert_eq!(steps(&Desired::nothing(), &owns(vec![held], true)), expected);
}

#[test]
fn missing_facts_change_nothing() {
    let held = claimed(&grant(1, Role::AcrPull), &["mine"]);
    assert_eq!(steps(&Desired::unknown(), &owns(vec![held], false)), vec![]);
    let unread = Owned { assignments: None, ..owns(vec![], true) };
    assert_eq!(steps(&Desired::nothing(), &unread), vec![]);
}

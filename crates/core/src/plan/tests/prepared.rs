//! The role that is prepared for a switch of the registry's mode.

use super::*;

/// What an attachment wants on a registry in legacy mode that is to be switched.
fn prepares() -> Desired {
    let prepared = Some(grant(1, Role::RepositoryReader));
    Desired { prepared, ..wants(&grant(1, Role::AcrPull)) }
}

fn creates(role: Role) -> Vec<Step> {
    vec![Step::CreateAssignment(grant(1, role))]
}

#[test]
fn it_is_assigned_beside_the_role_that_counts_and_holds_up_nothing() {
    let finalizer = vec![Step::AddFinalizer(Finalizer::RoleAssignments)];
    let first = plan(&prepares(), &owns(vec![], false), now(), DELAY);
    assert_eq!(first.roles, [finalizer, creates(Role::AcrPull)].concat());
    assert_eq!(first.prepared, creates(Role::RepositoryReader));

    let pull = claimed(&grant(1, Role::AcrPull), &["mine"]);
    let former = claimed(&grant(2, Role::AcrPull), &["mine"]);
    let found = vec![pull.clone(), former.clone()];
    let later = plan(&prepares(), &owns(found, true), now(), SignedDuration::ZERO);
    assert_eq!(later.roles, vec![Step::ReleaseAssignment(former.id)]);
    assert_eq!(later.prepared, creates(Role::RepositoryReader));

    let narrow = Grant { condition: Some("some".into()), ..grant(1, Role::RepositoryReader) };
    let foreign = assignment(&narrow, "by hand", now());
    let blocked = plan(&prepares(), &owns(vec![pull, foreign], true), now(), DELAY);
    assert_eq!((blocked.blocked, blocked.prepared), (None, vec![]));
    assert_eq!(blocked.unprepared.unwrap().cause, Cause::NotOurs);
}

#[test]
fn it_is_kept_while_it_is_wanted_and_goes_when_it_is_not() {
    let held = [Role::AcrPull, Role::RepositoryReader].map(|it| claimed(&grant(1, it), &["mine"]));
    let [pull, reader] = held.clone();
    let kept = plan(&prepares(), &owns(held.to_vec(), true), now(), SignedDuration::ZERO);
    assert_eq!((kept.roles, kept.prepared), (vec![], vec![]));
    let dropped = Desired { prepared: None, ..prepares() };
    let given_up = plan(&dropped, &owns(held.to_vec(), true), now(), SignedDuration::ZERO);
    assert_eq!(given_up.roles, vec![Step::ReleaseAssignment(reader.id)]);
    let switched = wants(&grant(1, Role::RepositoryReader));
    let after = plan(&switched, &owns(held.to_vec(), true), now(), SignedDuration::ZERO);
    assert_eq!(after.roles, vec![Step::ReleaseAssignment(pull.id)]);
}

/// A switch that is taken back finds the former role.
#[test]
fn the_former_role_stays_for_the_delay_although_the_next_one_is_old() {
    let found = [Role::AcrPull, Role::RepositoryReader].map(|it| claimed(&grant(1, it), &["mine"]));
    let owned = owns(found.to_vec(), true);
    let since = now() - DELAY / 2;
    let switched =
        Desired { honoured_since: Some(since), ..wants(&grant(1, Role::RepositoryReader)) };
    let waits = plan(&switched, &owned, now(), DELAY);
    assert_eq!((waits.roles, waits.due), (vec![], Some(since + DELAY)));
    let later = plan(&switched, &owned, since + DELAY, DELAY);
    assert_eq!(later.roles, vec![Step::ReleaseAssignment(found[0].id.clone())]);
}

/// With repositories on a registry that cannot narrow access yet.
#[test]
fn it_alone_is_assigned_while_no_role_may_be_assigned_to_pull_with() {
    let desired = Desired { grants: None, ..prepares() };
    let first = plan(&desired, &owns(vec![], false), now(), DELAY);
    assert_eq!(first.roles, vec![Step::AddFinalizer(Finalizer::RoleAssignments)]);
    assert_eq!(first.prepared, creates(Role::RepositoryReader));
    let held = [Role::AcrPull, Role::RepositoryReader].map(|it| claimed(&grant(1, it), &["mine"]));
    let calm = plan(&desired, &owns(held.to_vec(), true), now(), SignedDuration::ZERO);
    assert_eq!((calm.roles, calm.prepared), (vec![], vec![]), "what is there stays");
}

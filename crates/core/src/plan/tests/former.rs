//! Former identities of nodes.

use super::*;

fn former_is_released(releasable: Option<&[u128]>) -> Plan {
    let (before, now_is) = (grant(1, Role::AcrPull), grant(2, Role::AcrPull));
    let found = [&before, &now_is].map(|it| claimed(it, &["mine"])).to_vec();
    let releasable = releasable.map(|it| it.iter().map(|n| principal(*n)).collect());
    let desired = Desired { releasable, ..wants(&now_is) };
    plan(&desired, &owns(found, true), now(), SignedDuration::ZERO)
}

#[test]
fn the_role_of_a_former_identity_goes_when_no_node_can_use_it() {
    let id = grant(1, Role::AcrPull).assignment_id();
    for releasable in [None, Some(&[1, 3][..])] {
        let plan = former_is_released(releasable);
        assert_eq!(plan.roles, vec![Step::ReleaseAssignment(id.clone())]);
        assert_eq!(plan.awaiting_release, BTreeMap::new());
    }
    let plan = former_is_released(Some(&[3]));
    assert_eq!((plan.roles, plan.due), (vec![], None));
    assert_eq!(plan.awaiting_release, BTreeMap::from([(id, principal(1))]));
}

/// The same identity needs another role after a switch of the registry's mode.
#[test]
fn another_role_of_the_same_identity_awaits_nothing() {
    let (before, wanted) = (grant(1, Role::AcrPull), grant(1, Role::RepositoryReader));
    let found = [&before, &wanted].map(|it| claimed(it, &["mine"])).to_vec();
    let desired = Desired { releasable: Some(BTreeSet::new()), ..wants(&wanted) };
    let plan = plan(&desired, &owns(found, true), now(), SignedDuration::ZERO);
    assert_eq!(plan.roles, vec![Step::ReleaseAssignment(before.assignment_id())]);
}

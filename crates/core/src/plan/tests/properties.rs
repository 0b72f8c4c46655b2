//! Properties of every plan for role assignments.

use proptest::prelude::*;

use super::*;

/// The state of Azure after the steps.
fn apply(owned: &Owned, steps: &[Step]) -> Owned {
    let mut after = owned.clone();
    let found = &mut after.assignments.as_mut().unwrap().found;
    let ours = own("mine");
    for step in steps {
        match step {
            Step::AddFinalizer(it) => drop(after.finalizers.insert(*it)),
            Step::RemoveFinalizer(it) => drop(after.finalizers.remove(it)),
            Step::CreateAssignment(grant) => found.push(claimed(grant, &["mine"])),
            Step::ShareAssignment(id, grant) => {
                let it = found.iter_mut().find(|it| it.id == *id).unwrap();
                if let Some(to) = share(it, grant, &ours).unwrap() {
                    it.description = Some(to.claims.to_string());
                    it.condition = to.condition;
                }
            }
            Step::ReleaseAssignment(id) => {
                let at = found.iter().position(|it| it.id == *id).unwrap();
                match release(&found[at], &ours) {
                    Release::DeleteAssignment => drop(found.remove(at)),
                    Release::RemoveClaim(to) => found[at].description = Some(to.claims.to_string()),
                    Release::NotClaimed => {}
                }
            }
            _ => panic!("{step:?} is not about roles"),
        }
    }
    after
}

fn any_grant() -> impl Strategy<Value = Grant> {
    any_grant_of(1..4)
}

fn any_assignments() -> impl Strategy<Value = Vec<RoleAssignment>> {
    let one = (any_grant(), 0usize..5, 0i64..7200).prop_map(|(of, whose, age)| {
        let mut it = match whose {
            0 => claimed(&of, &["mine"]),
            1 => claimed(&of, &["other"]),
            2 => claimed(&of, &["other", "mine"]),
            3 => assignment(&of, "by hand", now()),
            _ => claimed(&of, &["mine", "other"]),
        };
        it.updated_on = Some(now() - SignedDuration::from_secs(age));
        it
    });
    prop::collection::vec(one, 0..6).prop_map(|mut all| {
        // Azure keeps one assignment per scope, principal and role.
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all.dedup_by(|a, b| a.id == b.id);
        all
    })
}

proptest! {
    #[test]
    fn once_applied_there_is_nothing_left_to_do(
        wanted in any_grant(), gone in prop::bool::ANY, found in any_assignments(),
        finalizer in prop::bool::ANY, later in 0i64..10_000,
    ) {
        let desired = if gone { Desired::nothing() } else { wants(&wanted) };
        let owned = owns(found, finalizer);
        let now = now() + SignedDuration::from_secs(later);
        let mut after = owned;
        // The replacement is in force only after the first round.
        for _ in 0..2 {
            after = apply(&after, &plan(&desired, &after, now, DELAY).roles);
        }
        prop_assert_eq!(plan(&desired, &after, now, DELAY).roles, vec![]);
    }

    #[test]
    fn foreign_assignments_survive(
        wanted in any_grant(), gone in prop::bool::ANY, found in any_assignments(),
    ) {
        let desired = if gone { Desired::nothing() } else { wants(&wanted) };
        let owned = owns(found.clone(), true);
        let after = apply(&owned, &plan(&desired, &owned, now(), DELAY).roles);
        for it in found.iter().filter(|it| it.claims().is_none()) {
            prop_assert!(after.assignments.as_ref().unwrap().found.contains(it));
        }
        for it in found.iter().filter_map(RoleAssignment::claims) {
            let others = it.contains(&claim("other"));
            let survives = after.assignments.iter().flat_map(|it| &it.found).filter_map(RoleAssignment::claims);
            prop_assert!(!others || survives.into_iter().any(|it| it.contains(&claim("other"))));
        }
    }

    #[test]
    fn nothing_is_released_while_its_replacement_is_missing(
        wanted in any_grant(), found in any_assignments(),
    ) {
        let owned = owns(found, true);
        let plan = plan(&wants(&wanted), &owned, now(), DELAY);
        // Before this attachment shares an assignment, others may remove the last claim and delete it.
        let makes = plan.roles.iter().any(|it| matches!(it, Step::CreateAssignment(_) | Step::ShareAssignment(..)));
        let releases = plan.roles.iter().any(|it| matches!(it, Step::ReleaseAssignment(_)));
        prop_assert!(!(makes && releases));
        prop_assert!(!(plan.blocked.is_some() && releases));
    }
}

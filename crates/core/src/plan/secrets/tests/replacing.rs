//! A replaced Secret or role stays until its successor has served for the delay.

use super::*;

#[test]
fn a_namespace_that_left_loses_its_secret_at_once() {
    let owned =
        owns(vec![stored("a"), stored("b")], vec![account("b", &["acr-pull"], Some("mine"))]);
    let expected = vec![
        Step::DeleteSecret(stored("b")),
        Step::RemoveEntries(vec![(account("b", &["acr-pull"], Some("mine")), "acr-pull".into())]),
    ];
    assert_eq!(steps(&wants(&["a"]), &owned), expected);
    // The same for the last Secret, without a successor.
    assert_eq!(steps(&wants(&[]), &owned).len(), 3);
}

#[test]
fn another_name_waits_until_it_has_served_long_enough() {
    let mut old = stored("a");
    old.name = "old".into();
    let mut new = stored("a");
    let owned = |new: &StoredSecret| owns(vec![old.clone(), new.clone()], vec![]);
    assert_eq!(steps(&wants(&["a"]), &owned(&new)), vec![Step::DeleteSecret(old.clone())]);
    new.created = now();
    assert_eq!(steps(&wants(&["a"]), &owned(&new)), vec![]);
    assert_eq!(steps(&wants(&["a"]), &owns(vec![old.clone()], vec![])).len(), 1, "only provides");
}

#[test]
fn what_a_role_replaces_waits_for_facts_about_the_role() {
    let owned = owns(vec![stored("a")], vec![]);
    let unknown = Desired { grants: None, grants_are_for_nodes: true, ..wants(&[]) };
    assert_eq!(steps(&unknown, &owned), vec![]);
}

#[test]
fn a_role_that_lets_secrets_pull_replaces_none() {
    let owned = owns(vec![stored("a")], vec![]);
    let unknown = Desired { grants: None, ..wants(&[]) };
    assert_eq!(steps(&unknown, &owned), vec![Step::DeleteSecret(stored("a"))]);
}

#[test]
fn an_old_name_is_renewed_while_it_waits_and_stays_while_no_account_names_the_new_one() {
    let mut old = stored("a");
    (old.name, old.renew) = ("old".into(), Some(now()));
    let marked = |list: &[&str]| {
        let marks = [("old".to_owned(), "mine".to_owned())].into();
        ServiceAccount { marks, ..account("a", list, None) }
    };
    let owned = owns(vec![old.clone(), stored("a")], vec![marked(&["old"])]);
    let planned = plan(&wants(&["a"]), &owned).parts.concat();
    let [Step::WriteSecrets(targets, CredentialOrigin::Current)] = planned.as_slice() else {
        panic!("{planned:?}")
    };
    assert_eq!(targets[0].name, "old");

    let both = owns(vec![old.clone(), stored("a")], vec![marked(&["old", "acr-pull"])]);
    let planned = steps(&wants(&["a"]), &both);
    assert!(planned.contains(&Step::DeleteSecret(old)), "{planned:?}");
}

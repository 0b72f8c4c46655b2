//! The plan for entries in service accounts.

use super::*;

#[test]
fn service_accounts_come_first_and_after_their_finalizer() {
    let mut owned = owns(vec![], vec![account("a", &["x"], None)]);
    owned.finalizers.clear();
    let planned = add_entries(&wants(&["a"]), &owned, now());
    assert_eq!(planned.prerequisite, Some(Step::AddFinalizer(Finalizer::ServiceAccounts)));
    let add = Step::AddEntry(account("a", &["x"], None), "acr-pull".into());
    assert_eq!(planned.parts, vec![vec![add]]);
    // An existing entry is left unchanged, whichever writer made it.
    let owned = owns(vec![], vec![account("a", &["acr-pull"], None)]);
    assert_eq!(add_entries(&wants(&["a"]), &owned, now()), Plan::default());
}

#[test]
fn a_list_that_others_keep_is_not_fought_over() {
    let mut applied = account("a", &[], None);
    applied.applied_by = Some("kustomize-controller".into());
    let mut owned = owns(vec![], vec![applied]);
    let cause = |owned: &Owned| add_entries(&wants(&["a"]), owned, now()).failing[0].problem.cause;
    assert_eq!(cause(&owned), Cause::ExternallyManaged);
    owned.accounts = Some([account("a", &[], Some("mine"))].into_iter().collect());
    let object = entry(&account("a", &[], None), "acr-pull");
    for _ in 0..4 {
        assert!(add_entries(&wants(&["a"]), &owned, now()).failing.is_empty());
        owned.contests.record_write(object.clone(), now());
        owned.observe_contests(&wants(&["a"]), now());
    }
    assert_eq!(cause(&owned), Cause::ExternallyManaged);
}

#[test]
fn detaching_removes_own_entries_and_then_the_finalizer() {
    let ours = account("a", &["acr-pull"], Some("mine"));
    let theirs = account("b", &["acr-pull"], Some("other"));
    let owned = Owned { secrets: None, ..owns(vec![], vec![ours.clone(), theirs]) };
    let expected = vec![
        Step::RemoveEntries(vec![(ours, "acr-pull".into())]),
        Step::RemoveFinalizer(Finalizer::ServiceAccounts),
    ];
    assert_eq!(plan(&Desired::nothing(), &owned, now(), DELAY).parts.concat(), expected);
}

#[test]
fn an_entry_of_an_attachment_that_is_gone_is_taken_over() {
    let entry = account("a", &["acr-pull"], Some("dead"));
    let mut owned = owns(vec![stored("a")], vec![entry.clone()]);
    assert!(add_entries(&wants(&["a"]), &owned, now()).parts.is_empty());
    owned.gone_uids.insert("dead".into());
    let expected = vec![vec![Step::AddEntry(entry, "acr-pull".into())]];
    assert_eq!(add_entries(&wants(&["a"]), &owned, now()).parts, expected);
}

#[test]
fn a_role_stays_while_no_service_account_names_the_secret_that_replaces_it() {
    let owned = |list: &[&str]| owns(vec![stored("a")], vec![account("a", list, None)]);
    let replaced = |owned: &Owned| replaced_at(&wants(&["a"]), owned, now(), DELAY);
    assert_eq!(replaced(&owned(&[])), None);
    assert_eq!(replaced(&owned(&["acr-pull"])), Some(now()));
    let unread = Owned { accounts: None, ..owned(&[]) };
    assert_eq!(replaced(&unread), None);
}

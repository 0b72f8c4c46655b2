//! The plan for entries in service accounts.

use super::*;

#[test]
fn service_accounts_come_first_and_after_their_finalizer() {
    let mut owned = owns(vec![], vec![account("a", &["x"], None)]);
    owned.finalizers.clear();
    let planned = plan_entries(&wants(&["a"]), &owned);
    assert_eq!(planned.prerequisite, Some(Step::AddFinalizer(Finalizer::ServiceAccounts)));
    let add = Step::AddEntry(account("a", &["x"], None), "acr-pull".into());
    assert_eq!(planned.parts, vec![vec![add]]);
    // An existing entry is left unchanged, whichever writer made it.
    let owned = owns(vec![], vec![account("a", &["acr-pull"], None)]);
    assert_eq!(plan_entries(&wants(&["a"]), &owned), Plan::default());
}

#[test]
fn a_list_that_others_keep_is_not_fought_over() {
    let mut applied = account("a", &[], None);
    applied.applied_by = Some("kustomize-controller".into());
    let mut owned = owns(vec![], vec![applied]);
    let cause = |owned: &Owned| plan_entries(&wants(&["a"]), owned).failing[0].problem.cause;
    assert_eq!(cause(&owned), Cause::ExternallyManaged);
    owned.accounts = Some([account("a", &[], Some("mine"))].into_iter().collect());
    let object = entry(&account("a", &[], None), "acr-pull");
    for _ in 0..4 {
        assert!(plan_entries(&wants(&["a"]), &owned).failing.is_empty());
        owned.contests.record_write(object.clone(), now());
        owned.observe_contests(&wants(&["a"]), now());
    }
    assert_eq!(cause(&owned), Cause::ExternallyManaged);
}

#[test]
fn detaching_removes_own_entries_and_no_others() {
    let ours = account("a", &["acr-pull"], Some("mine"));
    let theirs = account("b", &["acr-pull"], Some("other"));
    let owned = Owned { secrets: None, ..owns(vec![], vec![ours.clone(), theirs]) };
    let expected = vec![Step::RemoveEntries(vec![(ours, "acr-pull".into())])];
    assert_eq!(plan_entries(&Desired::nothing(), &owned).parts.concat(), expected);
}

#[test]
fn an_entry_of_an_attachment_that_is_gone_is_taken_over() {
    let entry = account("a", &["acr-pull"], Some("dead"));
    let mut owned = owns(vec![stored("a")], vec![entry.clone()]);
    assert!(plan_entries(&wants(&["a"]), &owned).parts.is_empty());
    owned.gone_uids.insert("dead".into());
    let expected = vec![vec![Step::AddEntry(entry, "acr-pull".into())]];
    assert_eq!(plan_entries(&wants(&["a"]), &owned).parts, expected);
}

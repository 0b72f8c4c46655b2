//! The plan for pull secrets and service accounts, row by row.

use super::super::*;
use crate::domain::cluster::Owner;
use crate::domain::problem::Cause;

const DELAY: SignedDuration = SignedDuration::from_secs(3600);

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn inputs() -> Inputs {
    Inputs { subject: "subject".into(), version: Some("1".into()) }
}

fn delivery(namespace: &str) -> Delivery {
    let (namespace, name) = (namespace.to_owned(), "acr-pull".to_owned());
    Delivery { namespace, name, inputs: inputs(), named: true }
}

fn wants(namespaces: &[&str]) -> Desired {
    Desired {
        deliveries: Some(namespaces.iter().map(|it| delivery(it)).collect()),
        accounts: Accounts::Named(["default".to_owned()].into()),
        ..Desired::nothing()
    }
}

/// A fresh Secret of ours that holds the credential `digest`.
fn stored(namespace: &str) -> StoredSecret {
    StoredSecret {
        namespace: namespace.into(),
        name: "acr-pull".into(),
        uid: format!("uid-{namespace}"),
        owner: Some(Owner { uid: "mine".into(), name: "a".into() }),
        label: Some("mine".into()),
        intact: true,
        digest: "digest".into(),
        inputs: Some(inputs()),
        created: now() - DELAY,
        expires: Some(now() + DELAY),
        renew: Some(now() + DELAY / 2),
        proof: None,
    }
}

fn account(namespace: &str, list: &[&str], mark: Option<&str>) -> ServiceAccount {
    ServiceAccount {
        namespace: namespace.into(),
        name: "default".into(),
        pull_secrets: Some(list.iter().map(|it| (*it).to_owned()).collect()),
        marks: mark.map(|uid| ("acr-pull".to_owned(), uid.to_owned())).into_iter().collect(),
        is_annotated: mark.is_some(),
        is_list_applied: false,
    }
}

fn owns(secrets: Vec<StoredSecret>, accounts: Vec<ServiceAccount>) -> Owned {
    Owned {
        uid: "mine".to_owned(),
        finalizers: [Finalizer::ServiceAccounts].into(),
        assignments: None,
        secrets: Some(secrets),
        gone: BTreeSet::new(),
        accepted: Some("digest".to_owned()),
        refused: false,
        accounts: Some(accounts),
        contested: BTreeSet::new(),
    }
}

fn steps(desired: &Desired, owned: &Owned) -> Vec<Step> {
    let all = plan(desired, owned, now(), DELAY).parts.concat();
    all.into_iter().filter(|it| !matches!(it, Step::RemoveFinalizer(_))).collect()
}

/// The namespaces that are written, and whether a new credential is made.
fn provided(desired: &Desired, owned: &Owned) -> Option<(Vec<String>, bool)> {
    steps(desired, owned).into_iter().find_map(|it| match it {
        Step::Provide(targets, origin) => {
            let namespaces = targets.into_iter().map(|it| it.namespace).collect();
            Some((namespaces, origin == Origin::Mint))
        }
        _ => None,
    })
}

#[test]
fn what_is_fresh_is_left_alone_until_it_is_to_be_renewed() {
    let owned = owns(vec![stored("a")], vec![]);
    assert_eq!(steps(&wants(&["a"]), &owned), vec![]);
    let due = plan(&wants(&["a"]), &owned, now(), DELAY).due;
    assert_eq!(due, stored("a").renew);
}

#[test]
fn a_new_namespace_gets_the_credential_that_this_process_had_accepted() {
    let mut owned = owns(vec![stored("a")], vec![]);
    let b = Some((vec!["b".to_owned()], false));
    assert_eq!(provided(&wants(&["a", "b"]), &owned), b);
    // What it does not know may be forged, and is not spread.
    owned.accepted = None;
    assert_eq!(provided(&wants(&["a", "b"]), &owned), Some((vec!["b".to_owned()], true)));
}

#[test]
fn one_that_is_due_renews_all() {
    let mut due = stored("a");
    due.renew = Some(now());
    let owned = owns(vec![due, stored("b")], vec![]);
    let all = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(provided(&wants(&["a", "b"]), &owned), Some((all, true)));
}

#[test]
fn another_version_of_the_client_secret_or_a_refusal_renews() {
    let all = Some((vec!["a".to_owned()], true));
    let mut older = stored("a");
    older.inputs = Some(Inputs { version: Some("0".into()), ..inputs() });
    assert_eq!(provided(&wants(&["a"]), &owns(vec![older], vec![])), all);
    let refused = Owned { refused: true, ..owns(vec![stored("a")], vec![]) };
    assert_eq!(provided(&wants(&["a"]), &refused), all);
}

#[test]
fn an_edited_secret_is_written_again() {
    let mut edited = stored("a");
    edited.intact = false;
    let owned = owns(vec![edited, stored("b")], vec![]);
    assert_eq!(provided(&wants(&["a", "b"]), &owned), Some((vec!["a".to_owned()], false)));
}

#[test]
fn without_a_client_secret_what_serves_is_left_as_it_is() {
    let mut desired = wants(&["a"]);
    desired.deliveries.as_mut().unwrap()[0].inputs.version = None;
    assert_eq!(steps(&desired, &owns(vec![stored("a")], vec![])), vec![]);
}

#[test]
fn a_strangers_secret_fails_its_namespace_and_no_other() {
    let mut stranger = stored("a");
    (stranger.owner, stranger.label) = (None, None);
    let owned = owns(vec![stranger.clone()], vec![account("a", &[], None)]);
    let planned = plan(&wants(&["a", "b"]), &owned, now(), DELAY);
    assert_eq!(planned.failing[0].problem.cause, Cause::NotOurs);
    assert_eq!(provided(&wants(&["a", "b"]), &owned).unwrap().0, ["b"]);
    assert_eq!(first(&wants(&["a", "b"]), &owned).parts, Vec::<Vec<Step>>::new());
    // One whose owner is gone is adopted.
    stranger.label = Some("dead".into());
    let mut owned = owns(vec![stranger], vec![]);
    assert_eq!(provided(&wants(&["a"]), &owned), None);
    owned.gone.insert("dead".to_owned());
    assert_eq!(provided(&wants(&["a"]), &owned).unwrap().0, ["a"]);
}

#[test]
fn a_namespace_that_left_loses_its_secret_at_once() {
    let owned =
        owns(vec![stored("a"), stored("b")], vec![account("b", &["acr-pull"], Some("mine"))]);
    let expected = vec![
        Step::Withdraw(stored("b")),
        Step::RemoveEntry(account("b", &["acr-pull"], Some("mine")), "acr-pull".into()),
    ];
    assert_eq!(steps(&wants(&["a"]), &owned), expected);
    // Even the last one, and although there is no other.
    assert_eq!(steps(&wants(&[]), &owned).len(), 3);
}

#[test]
fn another_name_waits_until_it_has_served_long_enough() {
    let mut old = stored("a");
    old.name = "old".into();
    let mut new = stored("a");
    let owned = |new: &StoredSecret| owns(vec![old.clone(), new.clone()], vec![]);
    assert_eq!(steps(&wants(&["a"]), &owned(&new)), vec![Step::Withdraw(old.clone())]);
    new.created = now();
    assert_eq!(steps(&wants(&["a"]), &owned(&new)), vec![]);
    assert_eq!(steps(&wants(&["a"]), &owns(vec![old.clone()], vec![])).len(), 1, "only provides");
}

#[test]
fn what_a_role_replaces_waits_for_facts_about_the_role() {
    let owned = owns(vec![stored("a")], vec![]);
    let unknown = Desired { grants: None, ..wants(&[]) };
    assert_eq!(steps(&unknown, &owned), vec![]);
}

#[test]
fn facts_that_are_missing_change_nothing() {
    let unread = Owned { secrets: None, accounts: None, ..owns(vec![], vec![]) };
    assert_eq!(steps(&wants(&["a"]), &unread), vec![]);
    assert_eq!(steps(&Desired::unknown(), &owns(vec![stored("a")], vec![])), vec![]);
}

#[test]
fn service_accounts_come_first_and_after_their_finalizer() {
    let mut owned = owns(vec![], vec![account("a", &["x"], None)]);
    owned.finalizers.clear();
    let planned = first(&wants(&["a"]), &owned);
    assert_eq!(planned.lead, Some(Step::AddFinalizer(Finalizer::ServiceAccounts)));
    let add = Step::AddEntry(account("a", &["x"], None), "acr-pull".into());
    assert_eq!(planned.parts, vec![vec![add]]);
    // An entry that is there already is left as it is, whoever made it.
    let owned = owns(vec![], vec![account("a", &["acr-pull"], None)]);
    assert_eq!(first(&wants(&["a"]), &owned), Plan::default());
}

#[test]
fn a_list_that_others_keep_is_not_fought_over() {
    let mut applied = account("a", &[], None);
    applied.is_list_applied = true;
    let mut owned = owns(vec![], vec![applied]);
    let cause = |owned: &Owned| first(&wants(&["a"]), owned).failing[0].problem.cause;
    assert_eq!(cause(&owned), Cause::ExternallyManaged);
    owned.accounts = Some(vec![account("a", &[], Some("mine"))]);
    owned.contested.insert(("a".into(), "default".into()));
    assert_eq!(cause(&owned), Cause::ExternallyManaged);
}

#[test]
fn detaching_takes_entries_of_ours_alone_and_then_lets_go() {
    let ours = account("a", &["acr-pull"], Some("mine"));
    let theirs = account("b", &["acr-pull"], Some("other"));
    let owned = Owned { secrets: None, ..owns(vec![], vec![ours.clone(), theirs]) };
    let expected = vec![
        Step::RemoveEntry(ours, "acr-pull".into()),
        Step::RemoveFinalizer(Finalizer::ServiceAccounts),
    ];
    assert_eq!(plan(&Desired::nothing(), &owned, now(), DELAY).parts.concat(), expected);
}

#[test]
fn suspended_it_renews_and_does_nothing_else() {
    let mut due = stored("a");
    due.renew = Some(now());
    let owned = owns(vec![due, stored("c")], vec![]);
    let planned = plan(&wants(&["a", "b"]), &owned, now(), DELAY).only_renewals(&owned);
    let left: Vec<_> = planned.parts.concat();
    let [Step::Provide(targets, Origin::Mint)] = left.as_slice() else { panic!("{left:?}") };
    assert_eq!(targets.iter().map(|it| it.namespace.as_str()).collect::<Vec<_>>(), ["a"]);
}

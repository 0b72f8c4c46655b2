//! The table of the plan for pull secrets, row by row; service accounts in a module of their own.

mod accounts;
mod replacing;

use jiff::SignedDuration;

use super::super::*;
use crate::delivery::contest::{Contests, ManagedObject};
use crate::problem::Cause;
use crate::snapshot::cluster::Owner;

const DELAY: SignedDuration = SignedDuration::from_secs(3600);

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn inputs() -> Inputs {
    Inputs { subject: "subject".into(), version: Some("1".into()) }
}

fn desired_secret(namespace: &str) -> DesiredSecret {
    let (namespace, name) = (namespace.to_owned(), "acr-pull".to_owned());
    DesiredSecret { namespace, name, since: now() - DELAY * 2, named: true }
}

fn wants(namespaces: &[&str]) -> Desired {
    Desired {
        secrets: Some(namespaces.iter().map(|it| ((*it).to_owned(), desired_secret(it))).collect()),
        inputs: Some(inputs()),
        accounts: Accounts::Named(["default".to_owned()].into()),
        ..Desired::nothing()
    }
}

/// A fresh Secret of this attachment with the credential `digest`.
fn stored(namespace: &str) -> StoredSecret {
    StoredSecret {
        namespace: namespace.into(),
        name: "acr-pull".into(),
        uid: format!("uid-{namespace}"),
        owners: vec![Owner { uid: "mine".into(), name: "a".into() }],
        label: Some("mine".into()),
        immutable: false,
        intact: true,
        written_by: None,
        digest: "digest".into(),
        inputs: Some(inputs()),
        created: now() - DELAY,
        expires: Some(now() + DELAY),
        renew: Some(now() + DELAY / 2),
        proof: None,
        by_arm_audience: false,
    }
}

/// The credential of those Secrets.
fn accepted() -> AcceptedCredential {
    let StoredSecret { digest, expires, renew, .. } = stored("a");
    AcceptedCredential { digest, inputs: inputs(), expires, renew }
}

fn account(namespace: &str, list: &[&str], mark: Option<&str>) -> ServiceAccount {
    ServiceAccount {
        namespace: namespace.into(),
        name: "default".into(),
        pull_secrets: Some(list.iter().map(|it| (*it).to_owned()).collect()),
        marks: mark.map(|uid| ("acr-pull".to_owned(), uid.to_owned())).into_iter().collect(),
        is_annotated: mark.is_some(),
        applied_by: None,
        written_by: None,
    }
}

fn owns(secrets: Vec<StoredSecret>, accounts: Vec<ServiceAccount>) -> Owned {
    Owned {
        uid: "mine".to_owned(),
        finalizers: [Finalizer::ServiceAccounts].into(),
        assignments: None,
        secrets: Some(secrets.into_iter().collect()),
        gone_uids: BTreeSet::new(),
        accepted: Some(accepted()),
        refused_digests: BTreeSet::new(),
        accounts: Some(accounts.into_iter().collect()),
        contests: Contests::default(),
    }
}

/// From when a role counts, where only that decides.
fn timing(desired: &Desired) -> RemovalTiming {
    let replaced_at = desired.grants.as_ref().map(|_| now());
    RemovalTiming { now: now(), replaced_at, delay: DELAY }
}

fn plan(desired: &Desired, owned: &Owned) -> Plan {
    secrets(desired, owned, timing(desired))
}

fn plan_entries(desired: &Desired, owned: &Owned) -> Plan {
    entries(desired, owned, timing(desired))
}

/// The steps for Secrets, and then those for entries.
fn steps(desired: &Desired, owned: &Owned) -> Vec<Step> {
    [plan(desired, owned).parts, plan_entries(desired, owned).parts].concat().concat()
}

/// The namespaces to write to, and whether with a new credential.
fn written(desired: &Desired, owned: &Owned) -> Option<(Vec<String>, bool)> {
    steps(desired, owned).into_iter().find_map(|it| match it {
        Step::WriteSecrets(targets, origin) => {
            let namespaces = targets.into_iter().map(|it| it.namespace).collect();
            Some((namespaces, origin == CredentialOrigin::New))
        }
        _ => None,
    })
}

#[test]
fn what_is_fresh_is_left_alone() {
    assert_eq!(steps(&wants(&["a"]), &owns(vec![stored("a")], vec![])), vec![]);
}

#[test]
fn a_new_namespace_gets_the_credential_that_this_process_had_accepted() {
    let mut owned = owns(vec![stored("a")], vec![]);
    let b = Some((vec!["b".to_owned()], false));
    assert_eq!(written(&wants(&["a", "b"]), &owned), b);
    // After a restart the process holds no credential. That of the other Secret may be forged, and is
    // never copied.
    owned.accepted = None;
    assert_eq!(written(&wants(&["a", "b"]), &owned), Some((vec!["b".to_owned()], true)));
}

#[test]
fn one_that_is_due_renews_all_unless_another_has_been_renewed() {
    let mut due = stored("a");
    due.renew = Some(now());
    let mut owned = owns(vec![due.clone(), stored("b")], vec![]);
    // The other Secret was renewed a moment ago.
    assert_eq!(written(&wants(&["a", "b"]), &owned), Some((vec!["a".to_owned()], false)));
    // After a restart the process does not know the other Secret's credential.
    owned.accepted = None;
    assert_eq!(written(&wants(&["a", "b"]), &owned), Some((vec!["a".to_owned()], true)));
    let mut both = owns(vec![due.clone(), StoredSecret { namespace: "b".into(), ..due }], vec![]);
    both.accepted = Some(AcceptedCredential { renew: Some(now()), ..accepted() });
    let all = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(written(&wants(&["a", "b"]), &both), Some((all, true)));
}

#[test]
fn another_version_of_the_client_secret_or_a_refusal_renews() {
    let all = Some((vec!["a".to_owned()], true));
    let mut older = stored("a");
    older.inputs = Some(Inputs { version: Some("0".into()), ..inputs() });
    let mut owned = owns(vec![older.clone()], vec![]);
    owned.accepted.as_mut().unwrap().inputs = older.inputs.unwrap();
    assert_eq!(written(&wants(&["a"]), &owned), all);
    let refused =
        Owned { refused_digests: ["digest".to_owned()].into(), ..owns(vec![stored("a")], vec![]) };
    assert_eq!(written(&wants(&["a"]), &refused), all);
    // A refused credential is not written elsewhere either.
    let both = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(written(&wants(&["a", "b"]), &refused), Some((both, true)));
}

#[test]
fn an_edited_secret_is_written_again() {
    let mut edited = stored("a");
    edited.intact = false;
    let owned = owns(vec![edited, stored("b")], vec![]);
    assert_eq!(written(&wants(&["a", "b"]), &owned), Some((vec!["a".to_owned()], false)));
}

#[test]
fn without_a_client_secret_what_serves_is_left_as_it_is() {
    let mut desired = wants(&["a"]);
    desired.inputs.as_mut().unwrap().version = None;
    assert_eq!(steps(&desired, &owns(vec![stored("a")], vec![])), vec![]);
}

#[test]
fn a_foreign_secret_fails_its_namespace_and_no_other() {
    let mut stranger = stored("a");
    (stranger.owners, stranger.label) = (vec![], None);
    let owned = owns(vec![stranger.clone()], vec![account("a", &[], None)]);
    let planned = plan(&wants(&["a", "b"]), &owned);
    assert_eq!(planned.failing[0].problem.cause, Cause::NotOurs);
    assert_eq!(written(&wants(&["a", "b"]), &owned).unwrap().0, ["b"]);
    assert_eq!(plan_entries(&wants(&["a", "b"]), &owned).parts, Vec::<Vec<Step>>::new());
    // A Secret of a deleted owner is taken over, even before garbage collection notices.
    stranger.label = Some("dead".into());
    stranger.owners = vec![Owner { uid: "dead".into(), name: "a".into() }];
    let mut owned = owns(vec![stranger], vec![]);
    assert_eq!(written(&wants(&["a"]), &owned), None);
    owned.gone_uids.insert("dead".to_owned());
    assert_eq!(written(&wants(&["a"]), &owned).unwrap().0, ["a"]);
}

#[test]
fn a_credential_is_asked_for_where_it_is_needed_and_the_accepted_one_is_not_fresh() {
    let due = |owned: &Owned, is_needed| credential_is_due(&inputs(), owned, is_needed, now());
    let (holds, lacks) = (owns(vec![], vec![]), Owned { accepted: None, ..owns(vec![], vec![]) });
    assert_eq!([&holds, &lacks].map(|it| due(it, true)), [false, true]);
    assert!(!due(&lacks, false));
    let refused = Owned { refused_digests: ["digest".to_owned()].into(), ..holds };
    assert!(due(&refused, true));
}

#[test]
fn facts_that_are_missing_change_nothing() {
    let unread = Owned { secrets: None, accounts: None, ..owns(vec![], vec![]) };
    assert_eq!(steps(&wants(&["a"]), &unread), vec![]);
    assert_eq!(steps(&Desired::unknown(), &owns(vec![stored("a")], vec![])), vec![]);
}

#[test]
fn suspended_it_renews_and_does_nothing_else() {
    let mut due = stored("a");
    due.renew = Some(now());
    let owned = owns(vec![due, stored("c")], vec![]);
    let planned = plan(&wants(&["a", "b"]), &owned).only_renewals(&owned);
    let left: Vec<_> = planned.parts.concat();
    let [Step::WriteSecrets(targets, CredentialOrigin::Current)] = left.as_slice() else {
        panic!("{left:?}")
    };
    assert_eq!(targets.iter().map(|it| it.namespace.as_str()).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn one_that_others_change_again_and_again_waits_and_fails_its_namespace() {
    let mut owned = owns(vec![stored("a")], vec![]);
    let object = || ManagedObject::Secret { namespace: "b".into(), name: "acr-pull".into() };
    for _ in 0..4 {
        owned.contests.record_write(object(), now());
        owned.observe_contests(&wants(&["a", "b"]), now());
    }
    let planned = plan(&wants(&["a", "b"]), &owned);
    assert_eq!(planned.unwritten[0].problem.cause, Cause::ExternallyManaged);
    assert_eq!(written(&wants(&["a", "b"]), &owned), None);
    // The Secret exists again, and is still contested.
    owned.contests.record_write(object(), now());
    owned.secrets.as_mut().unwrap().insert(stored("b"));
    owned.observe_contests(&wants(&["a", "b"]), now());
    let planned = plan(&wants(&["a", "b"]), &owned);
    assert_eq!(planned.failing[0].namespace, "b");
    // A namespace that is not desired any more has no contest.
    owned.secrets = Some([stored("a")].into_iter().collect());
    owned.observe_contests(&wants(&["a"]), now());
    assert_eq!(owned.contests, Contests::default());
}

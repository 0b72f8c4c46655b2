//! What the reports of namespaces add up to.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde_json::json;

use super::super::contest::{Contests, ManagedObject};
use super::*;
use crate::plan::{Desired, NamespaceProblem, Owned, Plan, entry};
use crate::problem::{Cause, Problem};
use crate::pull_secrets::proof::{Proof, UnprovenCredential};
use crate::pull_secrets::{DesiredPullSecrets, PullSecretState};
use crate::snapshot::by_namespace::ByNamespace;
use crate::snapshot::cluster::{Owner, ServiceAccount, StoredSecret};

/// A Secret with a credential that is valid for an hour.
fn stored(namespace: &str) -> StoredSecret {
    StoredSecret {
        namespace: namespace.into(),
        name: "acr-pull".into(),
        uid: namespace.into(),
        owners: vec![Owner { uid: "mine".into(), name: "a".into() }],
        label: Some("mine".into()),
        immutable: false,
        intact: true,
        written_by: None,
        digest: "digest".into(),
        inputs: served(&json!({})).served().unwrap().inputs.clone(),
        created: now(),
        expires: Some(now() + SignedDuration::from_hours(1)),
        renew: Some(now() + SignedDuration::from_mins(30)),
        proof: Some(Proof::Proven),
        by_arm_audience: false,
    }
}

fn owned(secrets: &[StoredSecret], accounts: &[&str], refused: &[&str]) -> Owned {
    let account = |name: &&str| ServiceAccount {
        namespace: "a".into(),
        name: (*name).into(),
        pull_secrets: Some(vec!["acr-pull".into()]),
        marks: [("acr-pull".to_owned(), "mine".to_owned())].into(),
        is_annotated: true,
        applied_by: None,
        written_by: None,
    };
    Owned {
        uid: "mine".into(),
        finalizers: BTreeSet::new(),
        assignments: None,
        secrets: Some(secrets.iter().cloned().collect()),
        gone_uids: BTreeSet::new(),
        accepted: None,
        refused_digests: refused.iter().map(|it| (*it).to_owned()).collect(),
        accounts: Some(accounts.iter().map(account).collect()),
        contests: Contests::default(),
    }
}

/// Reports what these Secrets show of namespaces `a`, which the spec names, and `b`.
fn reported(secrets: &[StoredSecret], plan: impl Fn(&str) -> Plan, refused: &[&str]) -> Deliveries {
    let mut deliveries = Deliveries::default();
    deliveries.await_reports([]);
    for it in ["a", "b"] {
        let desired = served(&json!({})).desired(&namespace(it, "x")).unwrap();
        let owned = owned(secrets, &["default", "builder"], refused);
        deliveries.report_secret(it, SecretReport::of(&desired, &owned, plan(it), now()));
    }
    deliveries
}

fn state(deliveries: &Deliveries, credential_problem: Option<&Problem>) -> PullSecretState {
    let desired = DesiredPullSecrets { name: "acr-pull".into(), ..DesiredPullSecrets::default() };
    deliveries.state(desired, credential_problem)
}

fn judged(
    secrets: &[StoredSecret],
    failing: &[NamespaceProblem],
    credential_problem: Option<&Problem>,
) -> PullSecretState {
    let plan = |namespace: &str| Plan {
        failing: failing.iter().filter(|it| it.namespace == namespace).cloned().collect(),
        ..Plan::default()
    };
    state(&reported(secrets, plan, &[]), credential_problem)
}

fn failing(namespace: &str, cause: Cause) -> NamespaceProblem {
    NamespaceProblem {
        namespace: namespace.into(),
        problem: Problem::new(cause, format!("in {namespace}")),
    }
}

#[test]
fn all_served_says_so_and_when_the_first_ends() {
    let mut late = stored("b");
    late.expires = Some(now() + SignedDuration::from_hours(3));
    let served = judged(&[stored("a"), late], &[], None);
    assert!(served.holds() && served.problems().next().is_none());
    assert_eq!(served.expires, stored("a").expires);
    assert_eq!(served.text(), "Secret acr-pull is in 2 of 2 namespaces");
}

#[test]
fn ready_speaks_for_named_namespaces_and_for_one_at_least() {
    let b = || failing("b", Cause::NotOurs);
    let only_b_fails = judged(&[stored("a"), stored("b")], &[b()], None);
    assert!(only_b_fails.holds());
    assert_eq!(only_b_fails.first_failure().unwrap().message, "in b");
    let a_fails = judged(&[stored("b")], &[failing("a", Cause::NotOurs)], None);
    assert_eq!(a_fails.problem().unwrap().message, "in a");
    let both = judged(&[], &[b(), failing("a", Cause::AccessDenied)], None);
    assert_eq!(both.problem().unwrap().message, "in a (and in 1 more namespaces)");
}

#[test]
fn where_nothing_serves_it_is_said_why_no_credential_could_be_had() {
    let refused = Problem::new(Cause::AuthenticationFailed, "signing in: AADSTS7000215");
    let served = judged(&[], &[], Some(&refused));
    assert_eq!(served.problem().unwrap().cause, Cause::AuthenticationFailed);
    assert_eq!((served.served_count(), served.desired_count()), (0, 2));
    // While the old credential serves, Ready stays True, and the renewal has a problem.
    let mut old = stored("a");
    old.renew = Some(now());
    let overdue = judged(&[old, stored("b")], &[], Some(&refused));
    assert!(overdue.holds());
    assert_eq!(overdue.renewal_problem, Some(refused));
}

#[test]
fn what_has_ended_was_changed_or_is_somebody_elses_does_not_serve() {
    let ended = StoredSecret { expires: Some(now()), ..stored("a") };
    let edited = StoredSecret { intact: false, ..stored("a") };
    let foreign = StoredSecret { owners: vec![], ..stored("a") };
    for secret in [ended, edited, foreign] {
        assert!(!judged(&[secret, stored("b")], &[], None).holds());
    }
}

#[test]
fn a_doubt_about_the_credential_is_said() {
    let doubted =
        StoredSecret { proof: Some(Proof::Unproven(UnprovenCredential::Firewall)), ..stored("a") };
    let served = judged(&[doubted, stored("b")], &[], None);
    assert!(served.text().ends_with("firewall does not admit the operator"), "{}", served.text());
}

#[test]
fn what_the_registry_refused_does_not_serve_until_another_is_written() {
    let gone = Problem::new(Cause::AccessDenied, "asking for access to registry: 401");
    let secrets = [stored("a"), StoredSecret { digest: "new".into(), ..stored("b") }];
    let deliveries = reported(&secrets, |_| Plan::default(), &["digest"]);
    let served = state(&deliveries, Some(&gone));
    assert_eq!(served.problem().unwrap().cause, Cause::AccessDenied);
    assert_eq!(served.served_count(), 1);
    assert_eq!(deliveries.credentials().keys().collect::<Vec<_>>(), ["new"]);
}

#[test]
fn what_could_not_be_renewed_serves_on_and_is_overdue() {
    let mut old = stored("a");
    old.renew = Some(now());
    let unwritten = |namespace: &str| Plan {
        unwritten: vec![failing(namespace, Cause::Unavailable)],
        ..Plan::default()
    };
    let served = state(&reported(&[old, stored("b")], unwritten, &[]), None);
    assert!(served.holds());
    assert_eq!(served.renewal_problem.unwrap().message, "in a");
    let none = state(&reported(&[stored("b")], unwritten, &[]), None);
    assert_eq!(none.problem().unwrap().message, "in a");
}

/// Reports the entries of a namespace where these service accounts name the Secret.
fn report_entries(deliveries: &mut Deliveries, namespace: &Namespace, accounts: &[&str]) {
    let desired = served(&json!({})).desired(namespace).unwrap();
    let mut owned = owned(&[], accounts, &[]);
    let here = |it: ServiceAccount| ServiceAccount { namespace: namespace.name.clone(), ..it };
    let accounts = owned.accounts.iter().flat_map(ByNamespace::iter).cloned();
    owned.accounts = Some(accounts.map(here).collect());
    deliveries.report_entries(&namespace.name, EntryReport::of(&desired, &owned, Plan::default()));
}

#[test]
fn pull_secrets_replace_a_role_once_all_that_depended_on_it_serve() {
    let (old, new) = (namespace("a", "x"), namespace("b", "x"));
    let mut late = stored("b");
    late.created = now() + DELAY;
    let mut deliveries = reported(&[stored("a"), late], |_| Plan::default(), &[]);
    assert_eq!(deliveries.all_serving_since(), None, "no service account names them");
    report_entries(&mut deliveries, &old, &["default", "builder"]);
    report_entries(&mut deliveries, &new, &["default", "builder"]);
    // Both namespaces existed before, so both depended on the role.
    assert_eq!(deliveries.all_serving_since(), Some(now() + DELAY));
    deliveries.await_reports(["c"]);
    assert_eq!(deliveries.all_serving_since(), None, "one has not reported");
    deliveries.forget("c");
    let came_late = Namespace { created: now() + DELAY, ..namespace("c", "x") };
    let desired = served(&json!({})).desired(&came_late).unwrap();
    let nothing = owned(&[], &[], &[]);
    deliveries.report_secret("c", SecretReport::of(&desired, &nothing, Plan::default(), now()));
    assert_eq!(deliveries.all_serving_since(), Some(now() + DELAY), "it never depended on a role");
}

#[test]
fn renewals_of_one_credential_are_spread_over_namespaces_and_come_long_before_its_end() {
    let dates = |namespace: &str| {
        let owned = owned(&[stored(namespace)], &[], &[]);
        renewals(&owned, namespace, now()).collect::<Vec<_>>()
    };
    let stored = stored("a");
    let (renew, expires) = (stored.renew.unwrap(), stored.expires.unwrap());
    let latest = renew + expires.duration_since(renew) / 8;
    let all: BTreeSet<_> = (0..50).map(|n| dates(&format!("n{n}"))).collect();
    assert_eq!(all.len(), 50);
    for it in &all {
        assert!(renew <= it[0] && it[0] <= latest && it[1] == expires, "{it:?}");
    }
    assert_eq!(dates("n1"), dates("n1"));
}

#[test]
fn reports_are_counted_once_and_a_namespace_that_is_gone_counts_no_more() {
    let mut deliveries = reported(&[stored("a"), stored("b")], |_| Plan::default(), &[]);
    report_entries(&mut deliveries, &namespace("a", "x"), &["default"]);
    let before = state(&deliveries, None);
    assert_eq!(before.missing_accounts, BTreeMap::from([("builder".to_owned(), 1)]));
    assert!(deliveries.names().accounts.contains("default"));
    let same = deliveries.secret("a").unwrap().clone();
    let repeated = deliveries.report_secret("a", same);
    assert_eq!(repeated, Reported { is_new: false, was_expected: false });
    assert_eq!(state(&deliveries, None), before);
    assert!(deliveries.forget("a") && !deliveries.forget("a"));
    let after = state(&deliveries, None);
    assert_eq!((after.existing, after.missing_accounts.len()), (1, 0));
    assert!(deliveries.forget("b"));
    let mut empty = Deliveries::default();
    empty.await_reports(["a"]);
    assert_eq!(empty.pending(), 1);
    assert!(empty.forget("a") && empty.are_complete());
    assert_eq!(state(&deliveries, None), state(&empty, None));
}

/// Four removals that another writer has undone make the entry that writer's.
#[test]
fn entries_that_come_back_after_each_removal_are_reported() {
    let desired = Desired::nothing();
    let mut owned = owned(&[], &["default"], &[]);
    let account = owned.account("a", "default").unwrap().clone();
    let removal = ManagedObject::Removal(Box::new(entry(&account, "acr-pull")));
    for losses in 0..5 {
        let report = EntryReport::of(&desired, &owned, Plan::default());
        let mut deliveries = Deliveries::default();
        deliveries.report_entries("a", report);
        let is_put_back = deliveries.put_back().contains(&("a".to_owned(), "default".to_owned()));
        assert_eq!(is_put_back, losses >= 4, "after {losses}");
        owned.contests.record_write(removal.clone(), now());
        owned.observe_contests(&desired, now());
    }
}

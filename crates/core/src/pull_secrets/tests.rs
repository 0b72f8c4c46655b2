//! The chosen namespaces, the time of renewals, and the state of pull secrets.

use super::*;
use crate::delivery::contest::Contests;
use crate::plan::{NamespaceProblem, Owned};
use crate::problem::{Cause, Problem};
use crate::pull_secrets::proof::{Proof, UnprovenCredential};
use crate::snapshot::cluster::{Owner, StoredSecret};

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn secret(names: &[&str]) -> PullSecret {
    PullSecret {
        principal: ServicePrincipal {
            tenant: "t".into(),
            client: "c".into(),
            object: None,
            secret: Some(SecretKeyRef { name: "sp".into(), key: "clientSecret".into() }),
        },
        assigns_role: false,
        form: CredentialForm::RegistryToken,
        repositories: Repositories::default(),
        name: "acr-pull".into(),
        namespaces: names.iter().map(|it| (*it).to_owned()).collect(),
        selector: None,
        accounts: Accounts::All,
    }
}

fn namespace(name: &str, selected: bool, terminating: bool) -> Namespace {
    Namespace { name: name.into(), selected, terminating, created: now() }
}

fn source(server: &str, mode: Option<RoleAssignmentMode>) -> Endpoints {
    Endpoints { login_server: server.parse().unwrap(), regional: Vec::new(), mode }
}

fn inputs() -> Inputs {
    Inputs::of(&secret(&[]), &source("contoso.azurecr.io", None), Some("uid/1"))
}

/// The namespaces that get the Secret, with `!` where the spec names them.
fn reached(desired: &DesiredPullSecrets) -> Vec<String> {
    let mark = |it: &DesiredSecret| if it.named { "!" } else { "" };
    desired.secrets.iter().map(|it| format!("{}{}", it.namespace, mark(it))).collect()
}

#[test]
fn labels_never_mean_system_namespaces_and_names_do() {
    let all = [
        namespace("apps", true, false),
        namespace("kube-node-lease", true, false),
        namespace("kube-public", true, false),
        namespace("kube-system", true, false),
        namespace("other", false, false),
    ];
    assert_eq!(reached(&desired_pull_secrets(&secret(&[]), &all)), ["apps"]);
    let named = desired_pull_secrets(&secret(&["apps", "kube-system"]), &all);
    assert_eq!(reached(&named), ["apps!", "kube-system!"]);
}

#[test]
fn what_is_terminating_or_missing_is_counted_only_where_it_is_named() {
    let all = [namespace("chosen", true, true), namespace("named", false, true)];
    let desired = desired_pull_secrets(&secret(&["missing", "named"]), &all);
    assert!(desired.secrets.is_empty());
    let expected = [("missing", "does not exist yet"), ("named", "is being deleted")];
    let expected = expected.map(|(name, why)| (name.to_owned(), why));
    assert_eq!(desired.absent, BTreeMap::from(expected));
}

#[test]
fn another_registry_principal_or_form_is_another_subject_and_a_newer_secret_another_version() {
    let of = |secret: &PullSecret, server: &str, mode, credential: &str| {
        Inputs::of(secret, &source(server, mode), Some(credential))
    };
    let base = of(&secret(&[]), "contoso.azurecr.io", None, "uid/1");
    assert_eq!(base.to_string().parse(), Ok(base.clone()));
    let renewed = of(&secret(&[]), "contoso.azurecr.io", None, "uid/2");
    assert_eq!(base.subject, renewed.subject);
    assert_ne!(base.version, renewed.version);
    let abac = Some(RoleAssignmentMode::AbacRepositoryPermissions);
    let switched = of(&secret(&[]), "contoso.azurecr.io", abac, "uid/1");
    assert_eq!(base.subject, switched.subject);
    assert_ne!(base.version, switched.version);
    let regional = vec!["contoso.westeurope.geo.azurecr.io".parse().unwrap()];
    let regional = Endpoints { regional, ..source("contoso.azurecr.io", None) };
    let regional = Inputs::of(&secret(&[]), &regional, Some("uid/1"));
    assert_eq!(base.subject, regional.subject, "the login server's entry still serves");
    assert_ne!(base.version, regional.version);
    let form = PullSecret { form: CredentialForm::ClientSecret, ..secret(&[]) };
    assert_ne!(base.subject, of(&form, "contoso.azurecr.io", None, "uid/1").subject);
    assert_ne!(base.subject, of(&secret(&[]), "other.azurecr.io", None, "uid/1").subject);
    // Another Secret name or other namespaces need no new credential.
    let elsewhere = PullSecret { name: "other".into(), ..secret(&["a", "b"]) };
    assert_eq!(base, of(&elsewhere, "contoso.azurecr.io", None, "uid/1"));
}

#[rstest::rstest]
#[case(10_800, 0.0, 4860)]
#[case(10_800, 0.5, 5400)]
#[case(10_800, 1.0, 5940)]
#[case(4, 0.5, 2)]
fn a_credential_is_renewed_at_half_its_life(
    #[case] life: i64,
    #[case] jitter: f64,
    #[case] after: i64,
) {
    let at = renewal(now(), SignedDuration::from_secs(life), jitter);
    assert_eq!(at.duration_since(now()).as_secs(), after);
}

/// A Secret of this attachment with a credential that is valid for an hour.
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
        inputs: Some(inputs()),
        created: now(),
        expires: Some(now() + SignedDuration::from_hours(1)),
        renew: Some(now() + SignedDuration::from_mins(30)),
        proof: Some(Proof::Proven),
        by_arm_audience: false,
    }
}

fn owned(refused: Option<&str>) -> Owned {
    Owned {
        uid: "mine".into(),
        finalizers: BTreeSet::new(),
        assignments: None,
        secrets: None,
        gone_uids: BTreeSet::new(),
        accepted: None,
        refused_digests: refused.map(str::to_owned).into_iter().collect(),
        accounts: None,
        contests: Contests::default(),
        unreadable_entries: false,
    }
}

/// The state for namespaces `a`, which the spec names, and `b`, which the selector chooses.
fn judged(
    secrets: Vec<StoredSecret>,
    failing: Vec<NamespaceProblem>,
    credential_problem: Option<Problem>,
) -> PullSecretState {
    let secrets = secrets.into_iter().collect();
    of(SecretResults { secrets, failing, unwritten: vec![], credential_problem }, None)
}

fn of(results: SecretResults, refused: Option<&str>) -> PullSecretState {
    let all = [namespace("a", false, false), namespace("b", true, false)];
    let desired = desired_pull_secrets(&secret(&["a"]), &all);
    PullSecretState::of(desired, &inputs(), &owned(refused), results, now())
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
    let served = judged(vec![stored("a"), late], vec![], None);
    assert!(served.holds() && served.problems().next().is_none());
    assert_eq!(served.expires(), stored("a").expires);
    assert_eq!(served.text(), "Secret acr-pull is in 2 of 2 namespaces");
}

#[test]
fn ready_speaks_for_named_namespaces_and_for_one_at_least() {
    let b = || failing("b", Cause::NotOurs);
    let only_b_fails = judged(vec![stored("a")], vec![b()], None);
    assert!(only_b_fails.holds());
    assert_eq!(only_b_fails.first_failure().unwrap().message, "in b");
    let a_fails = judged(vec![stored("b")], vec![failing("a", Cause::NotOurs)], None);
    assert_eq!(a_fails.problem().unwrap().message, "in a");
    let both = judged(vec![], vec![b(), failing("a", Cause::AccessDenied)], None);
    assert_eq!(both.problem().unwrap().message, "in a (and in 1 more namespaces)");
}

#[test]
fn where_nothing_serves_it_is_said_why_no_credential_could_be_had() {
    let refused = Problem::new(Cause::AuthenticationFailed, "signing in: AADSTS7000215");
    let served = judged(vec![], vec![], Some(refused.clone()));
    assert_eq!(served.problem().unwrap().cause, Cause::AuthenticationFailed);
    assert_eq!((served.served_count(), served.desired_count()), (0, 2));
    // While the old credential serves, Ready stays True, and the renewal has a problem.
    let mut old = stored("a");
    old.renew = Some(now());
    let renewal_problem = judged(vec![old, stored("b")], vec![], Some(refused.clone()));
    assert!(renewal_problem.holds());
    assert_eq!(renewal_problem.renewal_problem, Some(refused));
}

#[test]
fn what_has_ended_was_changed_or_is_somebody_elses_does_not_serve() {
    let ended = StoredSecret { expires: Some(now()), ..stored("a") };
    let edited = StoredSecret { intact: false, ..stored("a") };
    let foreign = StoredSecret { owners: vec![], ..stored("a") };
    for secret in [ended, edited, foreign] {
        assert!(!judged(vec![secret, stored("b")], vec![], None).holds());
    }
}

#[test]
fn a_doubt_about_the_credential_is_said() {
    let doubted =
        StoredSecret { proof: Some(Proof::Unproven(UnprovenCredential::Firewall)), ..stored("a") };
    let served = judged(vec![doubted, stored("b")], vec![], None);
    assert!(served.text().ends_with("firewall does not admit the operator"), "{}", served.text());
}

#[test]
fn what_the_registry_refused_does_not_serve_until_another_is_written() {
    let gone = Problem::new(Cause::AccessDenied, "asking for access to registry: 401");
    let secrets = [stored("a"), StoredSecret { digest: "new".into(), ..stored("b") }];
    let secrets = secrets.into_iter().collect();
    let results =
        SecretResults { secrets, credential_problem: Some(gone), ..SecretResults::default() };
    let served = of(results, Some("digest"));
    assert_eq!(served.problem().unwrap().cause, Cause::AccessDenied);
    assert_eq!(served.served_count(), 1);
}

#[test]
fn what_could_not_be_renewed_serves_on_and_is_overdue() {
    let mut old = stored("a");
    old.renew = Some(now());
    let unwritten = vec![failing("a", Cause::Unavailable)];
    let results = SecretResults {
        secrets: [old, stored("b")].into_iter().collect(),
        unwritten,
        ..SecretResults::default()
    };
    let served = of(results.clone(), None);
    assert!(served.holds());
    assert_eq!(served.renewal_problem.unwrap().message, "in a");
    let none = SecretResults { secrets: [stored("b")].into_iter().collect(), ..results };
    assert_eq!(of(none, None).problem().unwrap().message, "in a");
}

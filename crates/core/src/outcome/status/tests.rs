//! The status for every verdict and every cause, as users and kstatus read it.

mod pull_secrets;
mod roles;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::*;
use crate::plan::Grant;
use crate::problem::{ALL, Cause, Problem};
use crate::roles::role::Role;

const REGISTRY: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn observed(held: bool) -> Observed {
    let principal: PrincipalId = "22222222-2222-2222-2222-222222222222".parse().unwrap();
    let grant = Grant {
        registry: REGISTRY.parse().unwrap(),
        principal,
        role: Role::AcrPull,
        condition: None,
    };
    let claim = Claim::new("cluster", "a");
    let found = RoleAssignment {
        id: grant.assignment_id(),
        role: grant.role.definition(),
        role_definition_id: String::new(),
        principal,
        principal_type: None,
        condition: None,
        condition_version: None,
        delegated_managed_identity_resource_id: None,
        description: Some(format!("acr-attach claims: {claim}")),
        created_on: Some(at("2026-11-22T11:00:00.5Z")),
        updated_on: None,
    };
    Observed {
        method: Some(MethodInUse::KubeletIdentity),
        claims: Some(claim.into()),
        registry: Some(Registry {
            id: REGISTRY.parse().unwrap(),
            login_server: "contoso.azurecr.io".parse().unwrap(),
            regional: None,
            mode: Some(RoleAssignmentMode::LegacyRegistryPermissions),
            provisioning_state: "Succeeded".into(),
            accepts_arm_tokens: true,
        }),
        cluster: None,
        principal: Some(principal),
        roles: Some(RoleState {
            grants: vec![grant],
            for_nodes: true,
            prepared: None,
            unsettled: false,
            found: if held { vec![found] } else { vec![] },
            waiting: BTreeMap::new(),
            awaiting_release: BTreeMap::new(),
        }),
        ..Observed::default()
    }
}

fn told(
    before: Option<&RegistryAttachmentStatus>,
    observed: &Observed,
    verdict: &Verdict,
    now: &str,
) -> RegistryAttachmentStatus {
    let finalizers = &BTreeSet::new();
    let report = Report {
        name: "a",
        generation: 1,
        requested_at: None,
        deleting: false,
        finalizers,
        read_azure: true,
        knows_obsolete: observed.roles.is_some(),
        observed,
        verdict,
    };
    status(before, &report, at(now))
}

fn lines(status: &RegistryAttachmentStatus) -> String {
    let conditions = status.conditions.iter().flatten();
    let line =
        |it: &Condition| format!("{}={} {}: {}\n", it.type_, it.status, it.reason, it.message);
    conditions.map(line).collect::<Vec<_>>().concat()
}

#[test]
fn an_attached_registry_says_since_when() {
    let status = told(None, &observed(true), &Verdict::Attached, "2026-11-22T12:00:00Z");
    expect_test::expect![[r"
        Ready=True Attached: AcrPull on contoso.azurecr.io is assigned to identity 22222222-2222-2222-2222-222222222222 since 2026-11-22T11:00:00Z; Azure may take 10 minutes to honour a new role
        AccessGranted=True Attached: AcrPull on contoso.azurecr.io is assigned to identity 22222222-2222-2222-2222-222222222222 since 2026-11-22T11:00:00Z; Azure may take 10 minutes to honour a new role
    "]]
    .assert_eq(&lines(&status));
    let held = &status.role_assignments.unwrap()[0];
    assert_eq!((held.role.as_str(), held.ownership), ("AcrPull", Ownership::Managed));
}

/// Detaching knows assignments by the claim in status.

#[test]
fn the_same_reconcile_again_changes_nothing() {
    let verdicts = [
        Verdict::Attached,
        Verdict::Retrying(Problem::new(Cause::AccessDenied, "x")),
        Verdict::Stalled(Problem::new(Cause::NotFound, "x")),
        Verdict::Unchanged,
        Verdict::Unknown(Problem::new(Cause::Unavailable, "x")),
        Verdict::Suspended,
    ];
    for verdict in verdicts {
        for observed in [observed(true), observed(false), Observed::default()] {
            let first = told(None, &observed, &verdict, "2026-11-22T12:00:00Z");
            let again = told(Some(&first), &observed, &verdict, "2026-11-22T13:00:00Z");
            assert_eq!(first, again, "{verdict:?}");
        }
    }
}

#[test]
fn a_condition_keeps_its_age_until_its_truth_changes() {
    let age = |status: &RegistryAttachmentStatus| {
        status.conditions.as_ref().unwrap()[0].last_transition_time.0
    };
    let problem = |text| Verdict::Retrying(Problem::new(Cause::Unavailable, text));
    let first = told(None, &observed(false), &problem("a"), "2026-11-22T12:00:00Z");
    let second = told(Some(&first), &observed(false), &problem("b"), "2026-11-22T12:01:00Z");
    let third = told(Some(&second), &observed(true), &Verdict::Attached, "2026-11-22T12:02:00Z");
    assert_eq!(age(&second), at("2026-11-22T12:00:00Z"));
    assert_eq!(age(&third), at("2026-11-22T12:02:00Z"));
}

#[test]
fn another_correlation_id_is_no_news() {
    let problem = |id: &str| {
        let mut problem = Problem::new(Cause::NotFound, "reading x: 404");
        problem.correlation_id = Some(id.to_owned());
        Verdict::Retrying(problem)
    };
    let first = told(None, &observed(false), &problem("a"), "2026-11-22T12:00:00Z");
    let again = told(Some(&first), &observed(false), &problem("b"), "2026-11-22T12:01:00Z");
    assert_eq!(first, again);
    assert!(lines(&first).contains("reading x: 404 (correlation id a)"));
}

#[test]
fn words_of_a_newer_version_are_not_written_back() {
    let before: RegistryAttachmentStatus = serde_json::from_value(serde_json::json!({
        "method": "Magic",
        "registry": {"loginServer": "contoso.azurecr.io", "roleAssignmentMode": "Magic"},
        "roleAssignments": [{"id": "a", "role": "b", "principalId": "c", "ownership": "Magic"}],
    }))
    .unwrap();
    let verdict = Verdict::Retrying(Problem::new(Cause::Unavailable, "x"));
    let mut seen = Observed::default();
    for registry in [None, observed(true).registry] {
        seen.registry =
            registry.map(|it| Registry { mode: Some(RoleAssignmentMode::Unknown), ..it });
        let after = told(Some(&before), &seen, &verdict, "2026-11-22T12:00:00Z");
        let text = serde_json::to_string(&after).unwrap();
        assert!(text.contains("contoso.azurecr.io"), "{text}");
        assert!(!text.contains("Unknown\"") && !text.contains("Magic"), "{text}");
    }
}

#[test]
fn every_cause_is_told_and_is_either_retried_or_waits_for_somebody() {
    for cause in ALL {
        for stalled in [false, true] {
            let problem = Problem::new(cause, "what, where, why, what to do");
            let verdict =
                if stalled { Verdict::Stalled(problem) } else { Verdict::Retrying(problem) };
            let status = told(None, &observed(false), &verdict, "2026-11-22T12:00:00Z");
            let conditions = status.conditions.unwrap();
            let find = |type_: &str| conditions.iter().find(|it| it.type_ == type_);
            let ready = find("Ready").unwrap();
            assert_ne!(ready.status, "True");
            assert_eq!(ready.reason, cause.reason().as_str());
            assert_eq!(find("Stalled").is_some(), stalled);
            assert_eq!(find("Reconciling").is_some(), !stalled);
            assert_eq!(find("AccessGranted").unwrap().status, "False");
        }
    }
}

#[test]
fn an_unchanged_verdict_keeps_the_conditions_and_an_unknown_one_does_not() {
    let held = told(None, &observed(true), &Verdict::Attached, "2026-11-22T12:00:00Z");
    let missed =
        told(Some(&held), &Observed::default(), &Verdict::Unchanged, "2026-11-22T12:30:00Z");
    assert_eq!(held, missed);
    let problem = Problem::new(Cause::Unavailable, "no answer");
    let lost =
        told(Some(&held), &Observed::default(), &Verdict::Unknown(problem), "2026-11-22T13:30:00Z");
    expect_test::expect![[r"
        Ready=Unknown Unavailable: not known at the moment: no answer
        Reconciling=True Unavailable: not known at the moment: no answer
        AccessGranted=True Attached: AcrPull on contoso.azurecr.io is assigned to identity 22222222-2222-2222-2222-222222222222 since 2026-11-22T11:00:00Z; Azure may take 10 minutes to honour a new role
    "]]
    .assert_eq(&lines(&lost));
}

#[test]
fn suspending_keeps_what_a_role_was_and_says_so_once() {
    let held = told(None, &observed(true), &Verdict::Attached, "2026-11-22T12:00:00Z");
    let suspend = |before: &RegistryAttachmentStatus| {
        told(Some(before), &Observed::default(), &Verdict::Suspended, "2026-11-22T12:30:00Z")
    };
    let suspended = suspend(&held);
    expect_test::expect![[r"
        Ready=True Suspended: suspended: nothing is granted, removed or attached until spec.suspend is false; what held before was not checked since: AcrPull on contoso.azurecr.io is assigned to identity 22222222-2222-2222-2222-222222222222 since 2026-11-22T11:00:00Z; Azure may take 10 minutes to honour a new role
        AccessGranted=True Attached: AcrPull on contoso.azurecr.io is assigned to identity 22222222-2222-2222-2222-222222222222 since 2026-11-22T11:00:00Z; Azure may take 10 minutes to honour a new role
    "]].assert_eq(&lines(&suspended));
    assert_eq!(suspend(&suspended), suspended);
    let fresh = told(None, &Observed::default(), &Verdict::Suspended, "2026-11-22T12:30:00Z");
    expect_test::expect![[r"
        Ready=False Suspended: suspended: nothing is granted, removed or attached until spec.suspend is false; it was never attached
    "]].assert_eq(&lines(&fresh));
    assert_eq!(suspend(&fresh), fresh);
    let denied = Verdict::Stalled(Problem::new(Cause::AccessDenied, "x"));
    let stalled = told(None, &observed(false), &denied, "2026-11-22T12:00:00Z");
    let suspended = suspend(&stalled);
    assert!(!lines(&suspended).contains("Stalled"), "nothing is tried: {}", lines(&suspended));
    assert_eq!(suspended.conditions.unwrap()[0].status, "False");
}

#[test]
fn a_stuck_deletion_names_the_way_out() {
    let observed = Observed::default();
    let told = |why: &str, finalizers: BTreeSet<Finalizer>| {
        let verdict = Verdict::Retrying(Problem::new(Cause::AccessDenied, why));
        let report = Report {
            name: "a",
            generation: 1,
            requested_at: Some("now"),
            deleting: true,
            finalizers: &finalizers,
            read_azure: true,
            knows_obsolete: false,
            observed: &observed,
            verdict: &verdict,
        };
        status(None, &report, at("2026-11-22T12:00:00Z"))
    };
    let message =
        |it: &RegistryAttachmentStatus| it.conditions.as_ref().unwrap()[0].message.clone();
    let both = told("refused", Finalizer::ALL.into());
    assert_eq!(both.last_handled_reconcile_at.as_deref(), Some("now"));
    assert!(message(&both).contains("deletionPolicy to Orphan"));
    assert!(message(&both).starts_with("refused; to let it go"));
    // Orphan leaves only role assignments.
    let entries = told("refused", [Finalizer::ServiceAccounts].into());
    assert!(message(&entries).contains("acr-attach.dev/abandon-entries=true"));
    // As long as the advice for a missing right with the longest names.
    let advice = "a ".repeat(245);
    let long = message(&told(&format!("{advice}; and what happened"), Finalizer::ALL.into()));
    assert!(long.starts_with(advice.trim()) && long.ends_with("role assignments stay"), "{long}");
}

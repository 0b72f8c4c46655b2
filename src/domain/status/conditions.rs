//! The conditions: what a user, kstatus and `kubectl wait` read.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{Holdings, Observed, Report};
use crate::api::{ConditionType, MethodInUse, Reason};
use crate::domain::facts::{Provisioning, Registry};
use crate::domain::plan::Finalizer;
use crate::domain::problem::{Cause, Problem, without_reference};
use crate::domain::verdict::Verdict;

/// One condition without its age.
struct Fact {
    type_: ConditionType,
    status: &'static str,
    reason: Reason,
    message: String,
}

/// The conditions after a pass.
pub(super) fn conditions(
    before: Vec<Condition>,
    report: &Report<'_>,
    now: Timestamp,
) -> Vec<Condition> {
    let facts = match report.verdict {
        Verdict::Missed => return before,
        Verdict::Suspended if !before.is_empty() => return before,
        // Unknown would promise that somebody is finding out.
        Verdict::Suspended => vec![fact(
            ConditionType::Ready,
            "False",
            Reason::Progressing,
            "suspended before it was attached; set spec.suspend to false to attach",
        )],
        Verdict::Attached if report.deleting => vec![fact(
            ConditionType::Ready,
            "False",
            Reason::Detaching,
            "nothing is left to do; the object waits for the finalizers of others",
        )],
        Verdict::Attached => {
            let remark = report.observed.remark.iter().map(|it| format!("; {it}"));
            let message = attached(report.observed) + &remark.collect::<String>();
            vec![fact(ConditionType::Ready, "True", Reason::Attached, &message)]
        }
        Verdict::Retrying(problem) => failed(problem, ConditionType::Reconciling, report),
        Verdict::Stalled(problem) => failed(problem, ConditionType::Stalled, report),
        Verdict::Lost(problem) => {
            let reason = problem.cause.reason();
            let text = format!("not known at the moment: {problem}");
            vec![
                fact(ConditionType::Ready, "Unknown", reason, &text),
                fact(ConditionType::Reconciling, "True", reason, &text),
            ]
        }
    };
    let parts = [
        (ConditionType::AccessGranted, access_granted(report)),
        (ConditionType::PullSecretsReady, pull_secrets_ready(report)),
        (ConditionType::CredentialFresh, credential_fresh(report)),
    ];
    let told = |it: Fact| stamp(&it, &before, report.generation, now);
    let parts = parts
        .into_iter()
        .filter_map(|(type_, fact)| fact.map(told).or_else(|| known(type_, report, &before)));
    facts.into_iter().map(told).chain(parts).collect()
}

fn fact(type_: ConditionType, status: &'static str, reason: Reason, message: &str) -> Fact {
    Fact { type_, status, reason, message: message.to_owned() }
}

/// What a problem says: not Ready, and either being retried or waiting for somebody.
fn failed(problem: &Problem, kind: ConditionType, report: &Report<'_>) -> Vec<Fact> {
    let reason = match problem.cause {
        cause if cause.is_waiting() && report.deleting => Reason::Detaching,
        cause => cause.reason(),
    };
    let ready = match problem.cause {
        // Nobody is finding out any more.
        _ if kind == ConditionType::Stalled => "False",
        Cause::Undetermined => "Unknown",
        cause if cause.is_waiting() => "Unknown",
        _ => "False",
    };
    let message = if report.deleting {
        let (text, reference) = (&problem.message, problem.reference());
        format!("{text}; detaching is tried again; {}{reference}", way_out(report))
    } else {
        problem.to_string()
    };
    vec![fact(ConditionType::Ready, ready, reason, &message), fact(kind, "True", reason, &message)]
}

/// How to let an object go that cannot be detached.
fn way_out(report: &Report<'_>) -> String {
    if report.finalizers.contains(&Finalizer::RoleAssignments) {
        return "to let go without it, set spec.deletionPolicy to Orphan, which leaves role assignments as they are".to_owned();
    }
    format!(
        "to let go without it, remove finalizer {}, which leaves entries in imagePullSecrets of service accounts",
        Finalizer::ServiceAccounts.name()
    )
}

/// What is known of a part while it could not be read: what was known, as it was told. The parts
/// of another method are not told any more; pull secrets may have a role too.
fn known(type_: ConditionType, report: &Report<'_>, before: &[Condition]) -> Option<Condition> {
    let of_other_method = match report.observed.method {
        Some(MethodInUse::KubeletIdentity) => type_ != ConditionType::AccessGranted,
        Some(MethodInUse::PullSecret) => {
            type_ == ConditionType::AccessGranted && report.observed.holdings.is_some()
        }
        _ => report.deleting,
    };
    let known = before.iter().find(|it| it.type_ == type_.as_str());
    known.filter(|_| !of_other_method).cloned()
}

/// Whether every namespace that is to have the pull secret has it.
fn pull_secrets_ready(report: &Report<'_>) -> Option<Fact> {
    let type_ = ConditionType::PullSecretsReady;
    let served = report.observed.served.as_ref()?;
    Some(match served.failing.first() {
        None => fact(type_, "True", Reason::Attached, &served.text()),
        Some(first) => {
            let problem = served.problem().or_else(|| served.trouble());
            let message = problem.map_or_else(String::new, |it| it.to_string());
            fact(type_, "False", first.problem.cause.reason(), &message)
        }
    })
}

/// Whether the credential in use is renewed in time. Before there is one, it says nothing.
fn credential_fresh(report: &Report<'_>) -> Option<Fact> {
    let type_ = ConditionType::CredentialFresh;
    let served = report.observed.served.as_ref().filter(|it| !it.secrets.is_empty())?;
    Some(match &served.overdue {
        Some(problem) => fact(type_, "False", problem.cause.reason(), &problem.to_string()),
        None => fact(type_, "True", Reason::Attached, "the credential in use is renewed in time"),
    })
}

/// Whether the role is held, if that could be read.
fn access_granted(report: &Report<'_>) -> Option<Fact> {
    let type_ = ConditionType::AccessGranted;
    let holdings = report.observed.holdings.as_ref().filter(|it| !it.grants.is_empty())?;
    if holdings.are_complete() {
        return Some(fact(type_, "True", Reason::Attached, &granted(holdings)));
    }
    let (reason, message) = match report.verdict {
        Verdict::Retrying(problem) | Verdict::Stalled(problem) | Verdict::Lost(problem) => {
            (problem.cause.reason(), problem.to_string())
        }
        _ => (Reason::Progressing, "the role is not assigned".to_owned()),
    };
    Some(fact(type_, "False", reason, &message))
}

/// Said where the role is chosen without knowing which one the registry honours.
const MODE_IS_HIDDEN: &str = "; this cloud's api-versions do not tell the registry's mode, so that no other role is assigned or taken away: if it is in ABAC mode, assign Container Registry Repository Reader there by hand";

fn attached(observed: &Observed) -> String {
    let by_arm = observed.registry.as_ref().map(|it| it.login_server.as_str());
    let by_name = observed.source.as_ref().map(|it| it.login_server.as_str());
    let server = by_arm.or(by_name).unwrap_or("the registry");
    if let Some(served) = &observed.served {
        let can = if served.served() > 0 { "can be pulled from" } else { "waits for namespaces" };
        return format!("{server} {can}: {}", served.text());
    }
    match &observed.holdings {
        Some(holdings) => {
            let doubts = observed.registry.as_ref().map_or_else(String::new, doubts);
            format!("{server} can be pulled from: {}{doubts}", granted(holdings))
        }
        None => format!("{server} can be pulled from"),
    }
}

/// What Azure says about a registry, or does not, that people should know.
fn doubts(registry: &Registry) -> String {
    let mode = if registry.mode.is_none() { MODE_IS_HIDDEN } else { "" };
    if registry.provisioning() != Provisioning::Undone {
        return mode.to_owned();
    }
    let Registry { id, provisioning_state, .. } = registry;
    format!(
        "{mode}; the registry's provisioningState is {provisioning_state}: its last change did not succeed, and what worked before should still work; to make it Succeeded, change it again (az acr update --name {})",
        id.name()
    )
}

/// Says of each role who holds it since when, and that Azure may not honour it at once.
fn granted(holdings: &Holdings) -> String {
    let parts: Vec<String> = holdings
        .grants
        .iter()
        .filter_map(|grant| Some((grant, holdings.giving(grant)?)))
        .map(|(grant, found)| {
            let since = found
                .created_on
                .map_or_else(String::new, |it| format!(" since {}", it.strftime("%FT%TZ")));
            format!(
                "{} is assigned to identity {}{since}; Azure may take 10 minutes to honour a new role",
                grant.role.name(),
                grant.principal
            )
        })
        .collect();
    parts.join("; ")
}

/// A condition keeps its age unless its truth changed, and its correlation id unless it says
/// something else: the id differs at each try, and would make each a write.
fn stamp(it: &Fact, before: &[Condition], generation: i64, now: Timestamp) -> Condition {
    let (type_, status) = (it.type_.as_str(), it.status);
    let same = before.iter().find(|old| old.type_ == type_ && old.status == status);
    let says_the_same =
        |old: &&Condition| without_reference(&old.message) == without_reference(&it.message);
    let message = same.filter(says_the_same).map_or(&it.message, |old| &old.message).clone();
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: it.reason.as_str().to_owned(),
        message,
        observed_generation: Some(generation),
        last_transition_time: same.map_or(Time(now), |old| old.last_transition_time.clone()),
    }
}

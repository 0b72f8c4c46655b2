//! Builds the conditions, which users, kstatus and `kubectl wait` read.

mod parts;
mod suspended;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{CredentialEnd, Observed, Report, RoleState};
use crate::api::{ABANDON_ENTRIES, ConditionType, MethodInUse, Reason};
use crate::message;
use crate::outcome::verdict::Verdict;
use crate::plan::Finalizer;
use crate::problem::{Cause, Problem, without_correlation_id};
use crate::snapshot::azure::{Provisioning, Registry};

/// A condition before its times and its generation are set.
struct NewCondition {
    type_: ConditionType,
    status: &'static str,
    reason: Reason,
    message: String,
}

/// The conditions after a reconcile.
pub(super) fn conditions(
    before: Vec<Condition>,
    report: &Report<'_>,
    now: Timestamp,
) -> Vec<Condition> {
    let conditions = match report.verdict {
        Verdict::Unchanged => return before,
        Verdict::Suspended => vec![suspended::ready(report, &before)],
        Verdict::Attached if report.deleting => vec![condition(
            ConditionType::Ready,
            "False",
            Reason::Detaching,
            "nothing is left to do; the object waits for the finalizers of others",
        )],
        Verdict::Attached => {
            let message = attached_message(report.observed);
            vec![condition(ConditionType::Ready, "True", Reason::Attached, &message)]
        }
        Verdict::Retrying(problem) => failed(problem, ConditionType::Reconciling, report),
        Verdict::Stalled(problem) => failed(problem, ConditionType::Stalled, report),
        Verdict::Unknown(problem) => unknown(problem),
    };
    let parts = [
        (ConditionType::AccessGranted, parts::access_granted(report)),
        (ConditionType::PullSecretsReady, parts::pull_secrets_ready(report)),
        (ConditionType::CredentialFresh, parts::credential_fresh(report)),
        (ConditionType::Obsolete, parts::obsolete(report)),
    ];
    let complete = |it: NewCondition| into_condition(&it, &before, report.generation, now);
    let parts = parts
        .into_iter()
        .filter_map(|(type_, it)| it.map(complete).or_else(|| former(type_, report, &before)));
    conditions.into_iter().map(complete).chain(parts).collect()
}

fn condition(
    type_: ConditionType,
    status: &'static str,
    reason: Reason,
    message: &str,
) -> NewCondition {
    NewCondition { type_, status, reason, message: message::bounded(message) }
}

/// The conditions for a problem: Ready is not True, and `kind`, Reconciling or Stalled, is True.
fn failed(problem: &Problem, kind: ConditionType, report: &Report<'_>) -> Vec<NewCondition> {
    let reason = match problem.cause {
        cause if cause.is_waiting() && report.deleting => Reason::Detaching,
        cause => cause.reason(),
    };
    let ready = match problem.cause {
        // Unknown would tell that the operator still finds out.
        _ if kind == ConditionType::Stalled => "False",
        Cause::Undetermined => "Unknown",
        cause if cause.is_waiting() => "Unknown",
        _ => "False",
    };
    let message = if report.deleting {
        let text =
            message::joined(&problem.message, &format!("; {}", force_release_advice(report)));
        message::with_room(&text, &problem.correlation_suffix())
    } else {
        problem.message_with_correlation_id()
    };
    vec![
        condition(ConditionType::Ready, ready, reason, &message),
        condition(kind, "True", reason, &message),
    ]
}

/// The conditions while the state is unknown.
fn unknown(problem: &Problem) -> Vec<NewCondition> {
    let reason = problem.cause.reason();
    let text = format!("not known at the moment: {}", problem.message);
    let text = message::with_room(&text, &problem.correlation_suffix());
    vec![
        condition(ConditionType::Ready, "Unknown", reason, &text),
        condition(ConditionType::Reconciling, "True", reason, &text),
    ]
}

/// How a user can delete an object that cannot be detached.
fn force_release_advice(report: &Report<'_>) -> String {
    if report.finalizers.contains(&Finalizer::RoleAssignments) {
        return "to let it go without that, set spec.deletionPolicy to Orphan, and role assignments stay".to_owned();
    }
    format!(
        "to let it go without that (kubectl annotate registryattachment {} {ABANDON_ENTRIES}=true), and entries in imagePullSecrets of service accounts stay",
        report.name
    )
}

/// The former condition of a part that this reconcile could not read. Conditions of the other method
/// are dropped, but pull secrets may have a role too.
fn former(type_: ConditionType, report: &Report<'_>, before: &[Condition]) -> Option<Condition> {
    let former = before.iter().find(|it| it.type_ == type_.as_str())?;
    let is_outdated = match report.observed.method {
        // Nothing is left. Only a reconcile that read Azure knows that no role waits for its removal.
        _ if type_ == ConditionType::Obsolete => {
            let waiting = [Reason::Progressing, Reason::AwaitingRelease];
            let waits = waiting.iter().any(|it| former.reason == it.as_str());
            report.knows_obsolete && (report.read_azure || !waits)
        }
        Some(MethodInUse::KubeletIdentity) => type_ != ConditionType::AccessGranted,
        Some(MethodInUse::PullSecret) => {
            type_ == ConditionType::AccessGranted && report.observed.roles.is_some()
        }
        _ => report.deleting,
    };
    (!is_outdated).then(|| former.clone())
}

/// The warning where Azure does not tell which role the registry honours.
const MODE_IS_HIDDEN: &str = "; this cloud's api-versions do not tell the registry's mode, so that no other role is assigned or taken away: if that is \"RBAC Registry + ABAC Repository Permissions\", assign Container Registry Repository Reader there by hand";

/// The warning that nodes with Microsoft's credential provider of v1.32 cannot pull.
const NO_ARM_TOKENS: &str = "; the registry takes no tokens for Azure Resource Manager (azureADAuthenticationAsArmPolicy is disabled), so that nodes whose credential provider asks for these, as Microsoft's of v1.32 does, cannot pull";

/// The message of Ready=True: what is in place, then warnings.
fn attached_message(observed: &Observed) -> String {
    let remark = observed.remark.as_ref().map(|it| format!("; {it}"));
    let served = observed.pull_secrets.as_ref();
    let renewal_problem = served.and_then(|it| Some((it, it.renewal_problem.as_ref()?)));
    let renewal_problem = renewal_problem.map(|(served, why)| {
        let end = CredentialEnd(served.expires);
        format!("; {}", parts::not_renewed(end, why))
    });
    let unprepared = observed.unprepared.as_ref();
    let unprepared = unprepared
        .map(|it| format!("; the registry is not prepared for repository permissions: {it}"));
    let more = remark.into_iter().chain(renewal_problem).chain(unprepared);
    access_text(observed) + &more.collect::<String>()
}

/// The host that images are pulled from, as far as it is known.
fn server(observed: &Observed) -> &str {
    let by_arm = observed.registry.as_ref().map(|it| it.login_server.as_str());
    let by_name = observed.endpoints.as_ref().map(|it| it.login_server.as_str());
    by_arm.or(by_name).unwrap_or("the registry")
}

fn access_text(observed: &Observed) -> String {
    let server = server(observed);
    if let Some(served) = &observed.pull_secrets {
        return match (parts::without_namespaces(served), served.served_count()) {
            (Some((_, remedy)), 0) => {
                format!("{remedy}; {server} accepts the credential, and nothing is served yet")
            }
            (Some((_, remedy)), _) => format!("{remedy}; {server} can be pulled from there"),
            (None, 0) => {
                let text = served.text();
                format!("{server} accepts the credential, and nothing is served yet: {text}")
            }
            (None, _) => format!("{server} can be pulled from: {}", served.text()),
        };
    }
    match &observed.roles {
        Some(roles) => {
            let warnings = observed.registry.as_ref().map_or_else(String::new, registry_warnings);
            format!("{}{warnings}", granted_text(server, roles))
        }
        None => format!("{server} can be pulled from"),
    }
}

/// The warnings about a registry.
fn registry_warnings(registry: &Registry) -> String {
    let hidden = if registry.mode.is_none() { MODE_IS_HIDDEN } else { "" };
    let refused = if registry.accepts_arm_tokens { "" } else { NO_ARM_TOKENS };
    let warnings = format!("{hidden}{refused}");
    if registry.provisioning() != Provisioning::ChangeFailed {
        return warnings;
    }
    let Registry { id, provisioning_state, .. } = registry;
    format!(
        "{warnings}; the registry's provisioningState is {provisioning_state}: its last change did not succeed, and what worked before should still work; to make it Succeeded, change it again (az acr update --name {})",
        id.name()
    )
}

/// Names each role, its identity, and the time of its assignment. Whether a node can already pull with
/// the role is not known, so the text tells how long Azure may take.
fn granted_text(server: &str, roles: &RoleState) -> String {
    let parts: Vec<String> = roles
        .grants
        .iter()
        .filter_map(|grant| Some((grant, roles.assignment_for(grant)?)))
        .map(|(grant, found)| {
            let since = found
                .created_on
                .map_or_else(String::new, |it| format!(" since {}", it.strftime("%FT%TZ")));
            format!(
                "{} on {server} is assigned to identity {}{since}; Azure may take 10 minutes to honour a new role",
                grant.role.name(),
                grant.principal
            )
        })
        .collect();
    let prepared = roles.prepared.as_ref();
    let prepared =
        prepared.and_then(|it| Some((it, roles.assignment_for(it)?))).map(|(it, found)| {
            let since = found
                .created_on
                .map_or_else(String::new, |it| format!(" since {}", it.strftime("%FT%TZ")));
            format!(
                "{} is assigned too{since}, and counts after a switch of the registry's mode",
                it.role.name()
            )
        });
    parts.into_iter().chain(prepared).collect::<Vec<_>>().join("; ")
}

/// Completes a condition. It keeps its transition time unless its status changed, and its correlation id
/// unless its message changed: the id differs at each try, and would cause a write each time.
fn into_condition(
    it: &NewCondition,
    before: &[Condition],
    generation: i64,
    now: Timestamp,
) -> Condition {
    let (type_, status) = (it.type_.as_str(), it.status);
    let same = before.iter().find(|old| old.type_ == type_ && old.status == status);
    let says_the_same = |old: &&Condition| {
        without_correlation_id(&old.message) == without_correlation_id(&it.message)
    };
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

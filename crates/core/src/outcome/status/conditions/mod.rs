//! The conditions: what a user, kstatus and `kubectl wait` read.

mod parts;
mod suspended;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{Observed, Report, RoleState};
use crate::api::{ConditionType, MethodInUse, Reason};
use crate::message;
use crate::outcome::verdict::Verdict;
use crate::plan::Finalizer;
use crate::problem::{Cause, Problem, without_correlation_id};
use crate::snapshot::azure::{Provisioning, Registry};

/// One condition without its age.
struct NewCondition {
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
        Verdict::Unchanged => return before,
        Verdict::Suspended => vec![suspended::ready(report, &before)],
        Verdict::Attached if report.deleting => vec![fact(
            ConditionType::Ready,
            "False",
            Reason::Detaching,
            "nothing is left to do; the object waits for the finalizers of others",
        )],
        Verdict::Attached => {
            let message = attached(report.observed);
            vec![fact(ConditionType::Ready, "True", Reason::Attached, &message)]
        }
        Verdict::Retrying(problem) => failed(problem, ConditionType::Reconciling, report),
        Verdict::Stalled(problem) => failed(problem, ConditionType::Stalled, report),
        Verdict::Unknown(problem) => {
            let reason = problem.cause.reason();
            let text = format!("not known at the moment: {}", problem.message);
            let text = message::with_room(&text, &problem.correlation_suffix());
            vec![
                fact(ConditionType::Ready, "Unknown", reason, &text),
                fact(ConditionType::Reconciling, "True", reason, &text),
            ]
        }
    };
    let parts = [
        (ConditionType::AccessGranted, parts::access_granted(report)),
        (ConditionType::PullSecretsReady, parts::pull_secrets_ready(report)),
        (ConditionType::CredentialFresh, parts::credential_fresh(report)),
        (ConditionType::Obsolete, parts::obsolete(report)),
    ];
    let told = |it: NewCondition| into_condition(&it, &before, report.generation, now);
    let parts = parts
        .into_iter()
        .filter_map(|(type_, fact)| fact.map(told).or_else(|| known(type_, report, &before)));
    facts.into_iter().map(told).chain(parts).collect()
}

fn fact(type_: ConditionType, status: &'static str, reason: Reason, message: &str) -> NewCondition {
    NewCondition { type_, status, reason, message: message::bounded(message) }
}

/// What a problem says: not Ready, and either being retried or waiting for somebody.
fn failed(problem: &Problem, kind: ConditionType, report: &Report<'_>) -> Vec<NewCondition> {
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
        let text =
            message::joined(&problem.message, &format!("; {}", force_release_advice(report)));
        message::with_room(&text, &problem.correlation_suffix())
    } else {
        problem.message_with_correlation_id()
    };
    vec![fact(ConditionType::Ready, ready, reason, &message), fact(kind, "True", reason, &message)]
}

/// How to let an object go that cannot be detached.
fn force_release_advice(report: &Report<'_>) -> String {
    if report.finalizers.contains(&Finalizer::RoleAssignments) {
        return "to let it go without that, set spec.deletionPolicy to Orphan, and role assignments stay".to_owned();
    }
    format!(
        "to let it go without that, remove finalizer {}, and entries in imagePullSecrets of service accounts stay",
        Finalizer::ServiceAccounts.name()
    )
}

/// What is known of a part while it could not be read: what was known, as it was told. The parts
/// of another method are not told any more; pull secrets may have a role too.
fn known(type_: ConditionType, report: &Report<'_>, before: &[Condition]) -> Option<Condition> {
    let known = before.iter().find(|it| it.type_ == type_.as_str())?;
    let of_other_method = match report.observed.method {
        // It is known that nothing is left. Whether a role waits, only a look tells.
        _ if type_ == ConditionType::Obsolete => {
            let waits = known.reason == Reason::Progressing.as_str();
            report.knows_obsolete && (report.read_azure || !waits)
        }
        Some(MethodInUse::KubeletIdentity) => type_ != ConditionType::AccessGranted,
        Some(MethodInUse::PullSecret) => {
            type_ == ConditionType::AccessGranted && report.observed.roles.is_some()
        }
        _ => report.deleting,
    };
    (!of_other_method).then(|| known.clone())
}

/// Said where the role is chosen without knowing which one the registry honours.
const MODE_IS_HIDDEN: &str = "; this cloud's api-versions do not tell the registry's mode, so that no other role is assigned or taken away: if that is \"RBAC Registry + ABAC Repository Permissions\", assign Container Registry Repository Reader there by hand";

/// Said where nodes may ask for the tokens that Microsoft's credential provider of v1.32 asks for.
const NO_ARM_TOKENS: &str = "; the registry takes no tokens for Azure Resource Manager (azureADAuthenticationAsArmPolicy is disabled), so that nodes whose credential provider asks for these, as Microsoft's of v1.32 does, cannot pull";

/// What holds, and what people should know beside it: what could not be done comes last.
fn attached(observed: &Observed) -> String {
    let remark = observed.remark.as_ref().map(|it| format!("; {it}"));
    let served = observed.pull_secrets.as_ref();
    let renewal_problem = served.and_then(|it| Some((it, it.renewal_problem.as_ref()?)));
    let renewal_problem =
        renewal_problem.map(|(served, why)| format!("; {}", parts::not_renewed(served, why)));
    let more = remark.into_iter().chain(renewal_problem);
    holds(observed) + &more.collect::<String>()
}

/// The host that images are pulled from, as far as it is known.
fn server(observed: &Observed) -> &str {
    let by_arm = observed.registry.as_ref().map(|it| it.login_server.as_str());
    let by_name = observed.endpoints.as_ref().map(|it| it.login_server.as_str());
    by_arm.or(by_name).unwrap_or("the registry")
}

fn holds(observed: &Observed) -> String {
    let server = server(observed);
    if let Some(served) = &observed.pull_secrets {
        if served.served_count() > 0 {
            return format!("{server} can be pulled from: {}", served.text());
        }
        let why = match served.desired_count() {
            0 => parts::NO_NAMESPACE.to_owned(),
            _ => served.text(),
        };
        return format!("{server} accepts the credential, and nothing is served yet: {why}");
    }
    match &observed.roles {
        Some(roles) => {
            let registry_warnings =
                observed.registry.as_ref().map_or_else(String::new, registry_warnings);
            format!("{}{registry_warnings}", granted_text(server, roles))
        }
        None => format!("{server} can be pulled from"),
    }
}

/// What Azure says about a registry, or does not, that people should know.
fn registry_warnings(registry: &Registry) -> String {
    let hidden = if registry.mode.is_none() { MODE_IS_HIDDEN } else { "" };
    let refused = if registry.accepts_arm_tokens { "" } else { NO_ARM_TOKENS };
    let registry_warnings = format!("{hidden}{refused}");
    if registry.provisioning() != Provisioning::ChangeFailed {
        return registry_warnings;
    }
    let Registry { id, provisioning_state, .. } = registry;
    format!(
        "{registry_warnings}; the registry's provisioningState is {provisioning_state}: its last change did not succeed, and what worked before should still work; to make it Succeeded, change it again (az acr update --name {})",
        id.name()
    )
}

/// Says of each role who holds it since when, and that Azure may not honour it at once. That it is
/// assigned is known, and not what a node makes of it.
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
    parts.join("; ")
}

/// A condition keeps its age unless its truth changed, and its correlation id unless it says
/// something else: the id differs at each try, and would make each a write.
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

//! The conditions beside Ready, one for each part of an attachment.

use super::{NewCondition, condition};
use crate::api::{ConditionType, RELEASE, Reason};
use crate::ids::{AssignmentId, PrincipalId};
use crate::message;
use crate::outcome::status::{CredentialEnd, Report, seconds};
use crate::outcome::verdict::Verdict;
use crate::problem::Problem;
use crate::pull_secrets::PullSecretState;
use crate::roles::former_identity::Released;

use super::{granted_text, server};

/// `PullSecretsReady`: whether at least one namespace, and every chosen one, has the pull secret.
pub(super) fn pull_secrets_ready(report: &Report<'_>) -> Option<NewCondition> {
    let type_ = ConditionType::PullSecretsReady;
    let served = report.observed.pull_secrets.as_ref()?;
    let Some(first) = served.failing.first() else {
        return Some(match without_namespaces(served) {
            None => condition(type_, "True", Reason::Attached, &served.text()),
            Some((reason, text)) => condition(type_, "False", reason, &text),
        });
    };
    let waits = first.problem.cause.is_waiting();
    if *report.verdict == Verdict::Suspended && waits {
        let text = format!("{}, and none is written while spec.suspend is true", served.text());
        return Some(condition(type_, "False", Reason::Suspended, &text));
    }
    let problem = served.problem().or_else(|| served.first_failure());
    let message = problem.map_or_else(String::new, |it| it.message_with_correlation_id());
    Some(condition(type_, "False", first.problem.cause.reason(), &message))
}

/// The reason and message where a named namespace is missing, or the selector chooses none.
pub(super) fn without_namespaces(served: &PullSecretState) -> Option<(Reason, String)> {
    let desired = &served.desired;
    if let Some((name, _)) = desired.absent.first_key_value() {
        let text = format!(
            "create namespace {name} (kubectl create namespace {name}), or correct pullSecret.namespaces.names: {}",
            served.text()
        );
        return Some((Reason::NamespaceMissing, text));
    }
    (served.existing == 0).then(|| {
        let text = format!(
            "label the namespaces that are to have Secret {}, or correct pullSecret.namespaces.selector: beside the system's none matches selector {:?}",
            desired.name, desired.selector
        );
        (Reason::NoNamespaces, text)
    })
}

/// `CredentialFresh`: whether the credential in use can be renewed; `None` before there is one.
pub(super) fn credential_fresh(report: &Report<'_>) -> Option<NewCondition> {
    let type_ = ConditionType::CredentialFresh;
    let not_fresh = |end, problem: &Problem| {
        let text = message::with_room(&not_renewed(end, problem), &problem.correlation_suffix());
        condition(type_, "False", problem.cause.reason(), &text)
    };
    if let Some((end, problem)) = &report.observed.unrenewed {
        return Some(not_fresh(*end, problem));
    }
    let served = report.observed.pull_secrets.as_ref().filter(|it| it.serving > 0)?;
    Some(match &served.renewal_problem {
        Some(problem) => not_fresh(CredentialEnd(served.expires), problem),
        None => {
            condition(type_, "True", Reason::Attached, "the credential in use is renewed in time")
        }
    })
}

/// Tells until when the credential in use is valid, and why it is not renewed.
pub(super) fn not_renewed(end: CredentialEnd, problem: &Problem) -> String {
    let holds = match end.0 {
        Some(end) => format!("is good until {}", seconds(end)),
        None => "is good as long as Entra accepts it".to_owned(),
    };
    message::bounded(&format!(
        "the credential in use {holds} and is not renewed: {}",
        problem.message
    ))
}

/// `AccessGranted`: whether all desired roles are assigned; `None` where that could not be read.
pub(super) fn access_granted(report: &Report<'_>) -> Option<NewCondition> {
    let type_ = ConditionType::AccessGranted;
    let roles = report.observed.roles.as_ref().filter(|it| !it.grants.is_empty())?;
    if roles.all_assigned() {
        return Some(condition(
            type_,
            "True",
            Reason::Attached,
            &granted_text(server(report.observed), roles),
        ));
    }
    let reason = match report.verdict {
        Verdict::Retrying(problem) | Verdict::Stalled(problem) | Verdict::Unknown(problem) => {
            problem.cause.reason()
        }
        Verdict::Suspended => Reason::Suspended,
        _ => Reason::Progressing,
    };
    let missing = roles.grants.iter().filter(|it| roles.assignment_for(it).is_none());
    let missing =
        missing.map(|it| format!("{} is not assigned to {}", it.role.name(), it.principal));
    let text = format!("{}; Ready tells why", missing.collect::<Vec<_>>().join("; "));
    Some(condition(type_, "False", reason, &text))
}

/// Obsolete: whether something that the attachment made, and does not need any more, still exists.
pub(super) fn obsolete(report: &Report<'_>) -> Option<NewCondition> {
    let type_ = ConditionType::Obsolete;
    if let Some(problem) = &report.observed.obsolete {
        return Some(condition(
            type_,
            "True",
            problem.cause.reason(),
            &problem.message_with_correlation_id(),
        ));
    }
    let roles = report.observed.roles.as_ref().filter(|_| !report.deleting)?;
    if let Some((id, principal)) = roles.awaiting_release.first_key_value() {
        let text = awaiting_release(report, id, *principal);
        return Some(condition(type_, "True", Reason::AwaitingRelease, &text));
    }
    let (id, due) = roles.waiting.first_key_value()?;
    let when = match due {
        Some(due) => format!("after {}", seconds(*due)),
        None => "when what replaces it holds".to_owned(),
    };
    let text = format!("role assignment {id} is not needed any more and is removed {when}");
    Some(condition(type_, "True", Reason::Progressing, &text))
}

/// Tells how a user releases the role of a former identity, with what nodes show of it.
fn awaiting_release(report: &Report<'_>, id: &AssignmentId, principal: PrincipalId) -> String {
    let Released { principals, invalid } = &report.observed.released;
    // The command replaces the annotation, and so names what was released before too.
    let all = principals.iter().copied().chain([principal]);
    let all = all.map(|it| it.to_string()).collect::<Vec<_>>().join(",");
    let invalid = invalid.first().map_or_else(String::new, |it| {
        format!("; annotation {RELEASE} has {it:?}, which is no object id")
    });
    let nodes = report.observed.node_ages.map_or_else(String::new, |it| {
        let (oldest, newest) = (seconds(it.oldest), seconds(it.newest));
        format!(
            "; nodes here joined from {oldest} to {newest}, which proves nothing: a pool that was never upgraded makes new nodes with the former identity"
        )
    });
    format!(
        "once every node pool was upgraded since identity {principal} was replaced, release it (kubectl annotate --overwrite registryattachment {} {RELEASE}={all}): until then it keeps role assignment {}{invalid}{nodes}",
        report.name,
        id.name()
    )
}

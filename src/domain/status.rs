//! The only place that builds status and its conditions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::claims::Claim;
use super::facts::{Registry, RoleAssignment};
use super::names::{AssignmentId, ClusterId, PrincipalId};
use super::plan::Grant;
use super::problem::{Cause, Problem, without_reference};
use super::role::Role;
use super::verdict::Verdict;
use crate::api::{
    ConditionType, KubeletIdentityStatus, MethodInUse, Ownership, Reason, RegistryAttachmentStatus,
    RegistryStatus, RoleAssignmentStatus,
};

/// What a pass found out. What it could not find out is `None`, and status keeps what it says.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The method in use.
    pub method: Option<MethodInUse>,
    /// What marks our assignments.
    pub claim: Option<Claim>,
    /// The registry.
    pub registry: Option<Registry>,
    /// The cluster whose kubelet identity it is.
    pub cluster: Option<ClusterId>,
    /// The kubelet identity.
    pub principal: Option<PrincipalId>,
    /// The role assignments.
    pub holdings: Option<Holdings>,
}

/// The role assignments after a pass.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    /// What should be held.
    pub grants: Vec<Grant>,
    /// All assignments on the registry and above it.
    pub found: Vec<RoleAssignment>,
    /// What will be removed, and when.
    pub waiting: BTreeMap<AssignmentId, Option<Timestamp>>,
}

/// A pass, told.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// The generation that was worked on.
    pub generation: i64,
    /// The request to look again that was acted on.
    pub requested_at: Option<&'a str>,
    /// Whether the object is being deleted.
    pub deleting: bool,
    /// What was found out.
    pub observed: &'a Observed,
    /// How it ended.
    pub verdict: &'a Verdict,
}

/// The status after a pass. Equal input gives equal output, so that an unchanged attachment
/// needs no write.
#[must_use]
pub fn status(
    before: Option<&RegistryAttachmentStatus>,
    report: &Report<'_>,
    now: Timestamp,
) -> RegistryAttachmentStatus {
    let observed = report.observed;
    let mut status = before.cloned().unwrap_or_default();
    status.observed_generation = Some(report.generation);
    if let Some(requested_at) = report.requested_at {
        status.last_handled_reconcile_at = Some(requested_at.to_owned());
    }
    status.method = observed.method.or(status.method);
    status.claim = observed.claim.as_ref().map(Claim::to_string).or(status.claim);
    status.registry = observed.registry.as_ref().map(registry_status).or(status.registry);
    if let Some(principal) = observed.principal {
        status.kubelet_identity = Some(KubeletIdentityStatus {
            cluster_resource_id: observed.cluster.as_ref().map(ToString::to_string),
            principal_id: Some(principal.to_string()),
        });
    }
    if let Some(holdings) = &observed.holdings {
        let list = role_assignments(holdings, observed.claim.as_ref());
        status.role_assignments = (!list.is_empty()).then_some(list);
    }
    let old = status.conditions.take().unwrap_or_default();
    status.conditions = Some(conditions(old, report, now));
    status
}

fn registry_status(registry: &Registry) -> RegistryStatus {
    RegistryStatus {
        resource_id: Some(registry.id.to_string()),
        login_server: Some(registry.login_server.to_string()),
        role_assignment_mode: Some(registry.mode),
    }
}

fn role_assignments(holdings: &Holdings, claim: Option<&Claim>) -> Vec<RoleAssignmentStatus> {
    let mine = |it: &RoleAssignment| {
        it.claims().zip(claim).is_some_and(|(claims, claim)| claims.contains(claim))
    };
    let mut list: Vec<_> = holdings
        .found
        .iter()
        .filter(|it| mine(it) || holdings.grants.iter().any(|grant| grant.is_given_by(it)))
        .filter_map(|it| {
            Some(RoleAssignmentStatus {
                id: it.id.to_string(),
                role: Role::from_definition(it.role)?.name().to_owned(),
                principal_id: it.principal.to_string(),
                ownership: if mine(it) { Ownership::Managed } else { Ownership::Existing },
                remove_after: holdings
                    .waiting
                    .get(&it.id)
                    .and_then(|due| due.as_ref().map(ToString::to_string)),
            })
        })
        .collect();
    list.sort_by(|a, b| a.id.cmp(&b.id));
    list
}

/// One condition without its age.
struct Fact {
    type_: ConditionType,
    status: &'static str,
    reason: Reason,
    message: String,
}

fn conditions(before: Vec<Condition>, report: &Report<'_>, now: Timestamp) -> Vec<Condition> {
    let facts = match report.verdict {
        Verdict::Missed => return before,
        Verdict::Suspended if !before.is_empty() => return before,
        Verdict::Suspended => vec![fact(
            ConditionType::Ready,
            "Unknown",
            Reason::Progressing,
            "suspended before it was attached; set spec.suspend to false to attach",
        )],
        Verdict::Attached => {
            let message = attached(report.observed);
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
    let access = access_granted(report, &before);
    let facts = facts.into_iter().chain(access);
    facts.map(|it| stamp(&it, &before, report.generation, now)).collect()
}

fn fact(type_: ConditionType, status: &'static str, reason: Reason, message: &str) -> Fact {
    Fact { type_, status, reason, message: message.to_owned() }
}

/// What a problem says: not Ready, and either being retried or waiting for somebody.
fn failed(problem: &Problem, kind: ConditionType, report: &Report<'_>) -> Vec<Fact> {
    let reason = match problem.cause {
        Cause::Busy if report.deleting => Reason::Detaching,
        cause => cause.reason(),
    };
    let ready = match problem.cause {
        Cause::Undetermined | Cause::Busy => "Unknown",
        _ => "False",
    };
    let message = if report.deleting {
        format!(
            "{}; detaching is tried again; to let go without it, set spec.deletionPolicy to Orphan, which leaves role assignments as they are{}",
            problem.message,
            problem.reference()
        )
    } else {
        problem.to_string()
    };
    vec![fact(ConditionType::Ready, ready, reason, &message), fact(kind, "True", reason, &message)]
}

/// Whether the role is held. While that could not be read, what was known is kept.
fn access_granted(report: &Report<'_>, before: &[Condition]) -> Option<Fact> {
    let type_ = ConditionType::AccessGranted;
    let Some(holdings) = report.observed.holdings.as_ref().filter(|it| !it.grants.is_empty())
    else {
        let known = before.iter().find(|it| it.type_ == type_.as_str() && !report.deleting)?;
        let status = match known.status.as_str() {
            "True" => "True",
            "False" => "False",
            _ => "Unknown",
        };
        let reason = if status == "True" { Reason::Attached } else { Reason::Progressing };
        return Some(fact(type_, status, reason, &known.message));
    };
    if holdings.grants.iter().all(|grant| holdings.giving(grant).is_some()) {
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

fn attached(observed: &Observed) -> String {
    let server = observed.registry.as_ref().map_or("the registry", |it| it.login_server.as_str());
    match &observed.holdings {
        Some(holdings) => format!("{server} can be pulled from: {}", granted(holdings)),
        None => format!("{server} can be pulled from"),
    }
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

impl Holdings {
    fn giving(&self, grant: &Grant) -> Option<&RoleAssignment> {
        self.found.iter().find(|it| grant.is_given_by(it))
    }

    /// Whether a role that should be held is known to be missing.
    #[must_use]
    pub fn lacks(&self) -> bool {
        self.grants.iter().any(|grant| self.giving(grant).is_none())
    }
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

#[cfg(test)]
mod tests;

//! The only place that builds status; its conditions are built beside it.

mod conditions;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::api::{
    KubeletIdentityStatus, MethodInUse, NamespaceFailure, Ownership, PullSecretStatus,
    RegistryAttachmentStatus, RegistryStatus, RoleAssignmentMode, RoleAssignmentStatus,
};
use crate::ids::{AssignmentId, ClusterId, PrincipalId};
use crate::outcome::verdict::Verdict;
use crate::plan::{Finalizer, Grant};
use crate::problem::Problem;
use crate::pull_secrets::{Endpoints, PullSecretState};
use crate::roles::claims::Claim;
use crate::roles::role::Role;
use crate::snapshot::azure::{Registry, RoleAssignment};
use crate::spec::policy::UsedNames;

/// What a pass found out. What it could not find out is `None`, and status keeps what it says.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The method in use.
    pub method: Option<MethodInUse>,
    /// What speaks against it, and changes nothing.
    pub remark: Option<String>,
    /// What marks our assignments.
    pub claim: Option<Claim>,
    /// The registry, as Azure Resource Manager tells it.
    pub registry: Option<Registry>,
    /// The registry, as far as pull secrets need it.
    pub endpoints: Option<Endpoints>,
    /// The cluster whose kubelet identity it is.
    pub cluster: Option<ClusterId>,
    /// The kubelet identity.
    pub principal: Option<PrincipalId>,
    /// The role assignments.
    pub roles: Option<RoleState>,
    /// Why something that is no longer desired is still there.
    pub obsolete: Option<Problem>,
    /// The pull secrets.
    pub pull_secrets: Option<PullSecretState>,
    /// The names under which the attachment has something in the cluster.
    pub names: Option<UsedNames>,
}

/// The role assignments after a pass.
#[derive(Clone, Debug, Default)]
pub struct RoleState {
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
    /// Which of our finalizers it bears.
    pub finalizers: &'a BTreeSet<Finalizer>,
    /// Whether Azure was asked anew.
    pub read_azure: bool,
    /// Whether it is known what is left to be removed.
    pub knows_obsolete: bool,
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
    let mut status = before.cloned().map(without_unknown_words).unwrap_or_default();
    status.observed_generation = Some(report.generation);
    if let Some(requested_at) = report.requested_at.filter(|_| report.verdict.has_checked()) {
        status.last_handled_reconcile_at = Some(requested_at.to_owned());
    }
    status.method = observed.method.or(status.method);
    status.claim = observed.claim.as_ref().map(Claim::to_string).or(status.claim);
    status.registry = registry_status(observed).or(status.registry);
    if let Some(principal) = observed.principal {
        status.kubelet_identity = Some(KubeletIdentityStatus {
            cluster_resource_id: observed.cluster.as_ref().map(ToString::to_string),
            principal_id: Some(principal.to_string()),
        });
    }
    match observed.method {
        Some(MethodInUse::PullSecret) => status.kubelet_identity = None,
        Some(MethodInUse::KubeletIdentity) => status.pull_secret = None,
        _ => {}
    }
    if let Some(served) = &observed.pull_secrets {
        status.pull_secret = Some(pull_secret(served));
    }
    if let Some(names) = &observed.names {
        status.secret_names = listed(&names.secrets);
        status.service_account_names = listed(&names.accounts);
    }
    if let Some(roles) = &observed.roles {
        let list = role_assignments(roles, observed.claim.as_ref());
        status.role_assignments = (!list.is_empty()).then_some(list);
    }
    let old = status.conditions.take().unwrap_or_default();
    status.conditions = Some(conditions::conditions(old, report, now));
    status
}

/// Words of a newer version can be read, and the API server takes none of them back.
fn without_unknown_words(mut status: RegistryAttachmentStatus) -> RegistryAttachmentStatus {
    status.method = status.method.filter(|it| *it != MethodInUse::Unknown);
    if let Some(registry) = &mut status.registry {
        registry.role_assignment_mode = registry.role_assignment_mode.and_then(known);
    }
    if let Some(list) = &mut status.role_assignments {
        list.retain(|it| it.ownership != Ownership::Unknown);
    }
    status
}

fn known(mode: RoleAssignmentMode) -> Option<RoleAssignmentMode> {
    (mode != RoleAssignmentMode::Unknown).then_some(mode)
}

fn registry_status(observed: &Observed) -> Option<RegistryStatus> {
    if let Some(registry) = &observed.registry {
        return Some(RegistryStatus {
            resource_id: Some(registry.id.to_string()),
            login_server: Some(registry.login_server.to_string()),
            regional_login_servers: registry
                .regional
                .as_ref()
                .filter(|it| !it.is_empty())
                .map(|all| all.iter().map(ToString::to_string).collect()),
            role_assignment_mode: registry.mode.and_then(known),
        });
    }
    observed.endpoints.as_ref().map(|it| RegistryStatus {
        login_server: Some(it.login_server.to_string()),
        ..RegistryStatus::default()
    })
}

/// As many names as status has room for. Beyond that it says any.
const MOST_NAMES: usize = 64;

fn listed(names: &BTreeSet<String>) -> Option<Vec<String>> {
    let list = match names.len() {
        0 => return None,
        1..=MOST_NAMES => names.iter().cloned().collect(),
        _ => vec!["*".to_owned()],
    };
    Some(list)
}

/// As many failing namespaces as status has room for.
const MOST_FAILING: usize = 10;

fn pull_secret(served: &PullSecretState) -> PullSecretStatus {
    let failing: Vec<_> = served
        .failing
        .iter()
        .take(MOST_FAILING)
        .map(|it| NamespaceFailure {
            namespace: it.namespace.clone(),
            reason: it.problem.cause.reason().as_str().to_owned(),
            message: it.problem.message.clone(),
        })
        .collect();
    PullSecretStatus {
        name: Some(served.desired.name.clone()),
        served: Some(format!("{}/{}", served.served_count(), served.desired_count())),
        expires_at: served.expires().map(seconds),
        renew_at: served.renew().map(seconds),
        failing: (!failing.is_empty()).then_some(failing),
    }
}

fn seconds(time: Timestamp) -> String {
    time.strftime("%FT%TZ").to_string()
}

fn role_assignments(roles: &RoleState, claim: Option<&Claim>) -> Vec<RoleAssignmentStatus> {
    let mine = |it: &RoleAssignment| {
        it.claims().zip(claim).is_some_and(|(claims, claim)| claims.contains(claim))
    };
    let mut list: Vec<_> = roles
        .found
        .iter()
        .filter(|it| mine(it) || roles.grants.iter().any(|grant| grant.is_given_by(it)))
        .filter_map(|it| {
            Some(RoleAssignmentStatus {
                id: it.id.to_string(),
                role: Role::from_definition(it.role)?.name().to_owned(),
                principal_id: it.principal.to_string(),
                ownership: if mine(it) { Ownership::Managed } else { Ownership::Existing },
                remove_after: roles.waiting.get(&it.id).and_then(|due| due.map(seconds)),
            })
        })
        .collect();
    list.sort_by(|a, b| a.id.cmp(&b.id));
    list
}

impl RoleState {
    pub(super) fn assignment_for(&self, grant: &Grant) -> Option<&RoleAssignment> {
        // Ours before one from above, whatever order Azure lists them in.
        let given = self.found.iter().filter(|it| grant.is_given_by(it));
        given.min_by_key(|it| (!it.id.is_at(&grant.registry), it.id.clone()))
    }

    /// Whether every role that should be held is.
    #[must_use]
    pub fn all_assigned(&self) -> bool {
        self.grants.iter().all(|grant| self.assignment_for(grant).is_some())
    }
}

#[cfg(test)]
mod tests;

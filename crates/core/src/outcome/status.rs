//! Builds the status of an attachment. No other code does.

mod conditions;
mod roles;

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::api::{
    IdentityType, KubeletIdentityStatus, MethodInUse, NamespaceFailure, Ownership,
    PullSecretStatus, RegistryAttachmentStatus, RegistryStatus, RoleAssignmentMode, RoleUser,
};
use crate::ids::{ClusterId, PrincipalId};
use crate::outcome::verdict::Verdict;
use crate::plan::Finalizer;
use crate::platform::NodeAges;
use crate::problem::Problem;
use crate::pull_secrets::{Endpoints, PullSecretState};
use crate::roles::claims::{Claim, OwnClaims};
use crate::roles::former_identity::Released;
use crate::snapshot::azure::{Registry, RoleAssignment};
use crate::spec::policy::UsedNames;

pub use roles::RoleState;

/// What a reconcile found out. For a field that is `None` status keeps its value.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The method in use.
    pub method: Option<MethodInUse>,
    /// A warning for the message of Ready.
    pub remark: Option<String>,
    /// The claims of the attachment.
    pub claims: Option<OwnClaims>,
    /// The registry in Azure Resource Manager.
    pub registry: Option<Registry>,
    /// The registry's hosts, for pull secrets.
    pub endpoints: Option<Endpoints>,
    /// The cluster that the kubelet identity belongs to.
    pub cluster: Option<ClusterId>,
    /// The object id of the kubelet identity.
    pub principal: Option<PrincipalId>,
    /// What the kubelet identity is.
    pub identity_type: Option<IdentityType>,
    /// The managed identities that AKS has replaced by it.
    pub replaced: BTreeSet<PrincipalId>,
    /// The former identities that a user has released.
    pub released: Released,
    /// When the nodes joined the cluster.
    pub node_ages: Option<NodeAges>,
    /// The desired grants and the role assignments.
    pub roles: Option<RoleState>,
    /// Why something that is no longer desired could not be removed.
    pub obsolete: Option<Problem>,
    /// Why the role that counts after a switch of the registry's mode is not assigned.
    pub unprepared: Option<Problem>,
    /// The pull secrets.
    pub pull_secrets: Option<PullSecretState>,
    /// When the credential in use ends, and why it is not renewed, where the spec cannot be followed.
    pub unrenewed: Option<(CredentialEnd, Problem)>,
    /// The names that the attachment has used in the cluster.
    pub names: Option<UsedNames>,
}

/// When a credential in use ends (UTC); `None` if the credential does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialEnd(pub Option<Timestamp>);

/// What status is built from.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// The name of the attachment.
    pub name: &'a str,
    /// The generation that was reconciled.
    pub generation: i64,
    /// The value of annotation `reconcile.fluxcd.io/requestedAt`.
    pub requested_at: Option<&'a str>,
    /// Whether the object is being deleted.
    pub deleting: bool,
    /// The finalizers of acr-attach that the object bears.
    pub finalizers: &'a BTreeSet<Finalizer>,
    /// Whether the reconcile read Azure.
    pub read_azure: bool,
    /// Whether all obsolete role assignments, Secrets and entries are known.
    pub knows_obsolete: bool,
    /// What the reconcile found out.
    pub observed: &'a Observed,
    /// The verdict on the reconcile.
    pub verdict: &'a Verdict,
}

/// Builds the status after a reconcile. Equal input gives equal output, so that an unchanged
/// attachment needs no write.
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
    status.claim = claim(observed, status.claim.take());
    status.registry = registry_status(observed).or(status.registry);
    status.kubelet_identity = kubelet_identity(observed).or(status.kubelet_identity);
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
        let before = status.role_assignments.take().unwrap_or_default();
        let list = roles.listed(observed.claims.as_ref(), &before);
        status.role_assignments = (!list.is_empty()).then_some(list);
    }
    let old = status.conditions.take().unwrap_or_default();
    status.conditions = Some(conditions::conditions(old, report, now));
    status
}

/// The claim for status. A guess is no claim, and a former one stays until no assignment bears it: detaching
/// knows assignments by the claim in status.
fn claim(observed: &Observed, shown: Option<String>) -> Option<String> {
    let Some(own) = &observed.claims else { return shown };
    let is_borne = |claim: &Claim| {
        let mut found = observed.roles.iter().flat_map(|it| &it.found);
        found.any(|it| it.claims().is_some_and(|it| it.contains(claim)))
    };
    let current = own.current();
    match shown.as_ref().and_then(|it| it.parse::<Claim>().ok()) {
        None if own.doubt().is_some() && !is_borne(current) => shown,
        Some(shown) if observed.roles.is_none() || is_borne(&shown) => Some(shown.to_string()),
        _ => Some(current.to_string()),
    }
}

fn kubelet_identity(observed: &Observed) -> Option<KubeletIdentityStatus> {
    Some(KubeletIdentityStatus {
        cluster_resource_id: observed.cluster.as_ref().map(ToString::to_string),
        principal_id: Some(observed.principal?.to_string()),
        identity_type: observed.identity_type,
        replaced_principal_ids: replaced(observed),
    })
}

/// The replaced identities that still hold a role by this attachment; all of them while that is unknown.
fn replaced(observed: &Observed) -> Option<Vec<String>> {
    let is_claimed = |it: &RoleAssignment| {
        let own = observed.claims.as_ref();
        it.claims().zip(own).is_some_and(|(claims, own)| claims.contain_any(own))
    };
    let holds_role = |it: &PrincipalId| {
        let found = observed.roles.iter().flat_map(|roles| &roles.found);
        observed.roles.is_none()
            || found.filter(|it| is_claimed(it)).any(|found| found.principal == *it)
    };
    let ids = observed.replaced.iter().filter(|it| holds_role(it));
    let ids: Vec<_> = ids.take(MAX_NAMES).map(ToString::to_string).collect();
    (!ids.is_empty()).then_some(ids)
}

/// Drops values of a newer version: they can be read, and the API server refuses to store them again.
fn without_unknown_words(mut status: RegistryAttachmentStatus) -> RegistryAttachmentStatus {
    status.method = status.method.filter(|it| *it != MethodInUse::Unknown);
    if let Some(registry) = &mut status.registry {
        registry.role_assignment_mode = registry.role_assignment_mode.and_then(known_mode);
    }
    if let Some(identity) = &mut status.kubelet_identity {
        identity.identity_type = identity.identity_type.filter(|it| *it != IdentityType::Unknown);
    }
    if let Some(list) = &mut status.role_assignments {
        list.retain(|it| it.ownership != Ownership::Unknown);
        for it in list {
            it.used_by = it.used_by.filter(|it| *it != RoleUser::Unknown);
        }
    }
    status
}

fn known_mode(mode: RoleAssignmentMode) -> Option<RoleAssignmentMode> {
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
            role_assignment_mode: registry.mode.and_then(known_mode),
        });
    }
    observed.endpoints.as_ref().map(|it| RegistryStatus {
        login_server: Some(it.login_server.to_string()),
        ..RegistryStatus::default()
    })
}

/// The most names in status. More are shown as `*`.
const MAX_NAMES: usize = 64;

fn listed(names: &BTreeSet<String>) -> Option<Vec<String>> {
    let list = match names.len() {
        0 => return None,
        1..=MAX_NAMES => names.iter().cloned().collect(),
        _ => vec!["*".to_owned()],
    };
    Some(list)
}

fn pull_secret(served: &PullSecretState) -> PullSecretStatus {
    let failing: Vec<_> = served
        .failing
        .iter()
        .map(|it| NamespaceFailure {
            namespace: it.namespace.clone(),
            reason: it.problem.cause.reason().as_str().to_owned(),
            message: it.problem.message.clone(),
        })
        .collect();
    PullSecretStatus {
        name: Some(served.desired.name.clone()),
        served: Some(format!("{}/{}", served.served_count(), served.desired_count())),
        expires_at: served.expires.map(seconds),
        renew_at: served.renew.map(seconds),
        failing: (!failing.is_empty()).then_some(failing),
    }
}

fn seconds(time: Timestamp) -> String {
    time.strftime("%FT%TZ").to_string()
}

#[cfg(test)]
mod tests;

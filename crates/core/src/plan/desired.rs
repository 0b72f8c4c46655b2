//! The roles that an attachment should have, from its task and from what was read in Azure.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Desired;
use crate::api::RegistryAttachmentStatus;
use crate::ids::PrincipalId;
use crate::problem::Problem;
use crate::roles::former_identity::{CurrentIdentity, Released, of_pull_secrets};
use crate::roles::pull_role::{PullAccess, PullRoles, may_replace};
use crate::snapshot::azure::Registry;
use crate::spec::{Attachment, Method, Task};

/// What was read in Azure for an attachment. A field is `None` where it was not read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AzureSnapshot {
    /// The registry.
    pub registry: Option<Registry>,
    /// Since when this process has seen the registry in its mode (UTC).
    pub mode_since: Option<Timestamp>,
    /// The identity that pulls.
    pub puller: Option<Puller>,
}

/// The identity that pulls.
#[derive(Clone, Debug, PartialEq)]
pub enum Puller {
    /// The kubelets of nodes.
    Nodes(CurrentIdentity),
    /// The service principal of the pull secrets, by its object id.
    PullSecrets(PrincipalId),
}

impl Puller {
    fn principal(&self) -> PrincipalId {
        match self {
            Self::Nodes(identity) => identity.principal,
            Self::PullSecrets(principal) => *principal,
        }
    }
}

impl Attachment {
    /// What the spec asks for of pull roles.
    #[must_use]
    pub fn access(&self) -> PullAccess<'_> {
        let (repositories, is_kept) = match &self.method {
            Method::KubeletIdentity(asked) => (&asked.repositories, true),
            Method::PullSecret(secret) => (&secret.repositories, secret.assigns_role),
        };
        let prepare_for_abac = self.prepare_for_abac && is_kept;
        PullAccess { repositories, prepare_for_abac, is_kept }
    }
}

/// Decides which roles an attachment should have, and why it gets none. `shown` is the status before.
///
/// While a role that is to be kept is not known, nothing is decided about any role.
#[must_use]
pub fn desired(
    task: &Task,
    azure: &AzureSnapshot,
    shown: Option<&RegistryAttachmentStatus>,
    released: &Released,
) -> (Desired, Option<Problem>) {
    let Task::Attach(attachment) = task else {
        return (Desired { grants: Some(Vec::new()), ..Desired::unknown() }, None);
    };
    let access = attachment.access();
    let for_nodes = matches!(attachment.method, Method::KubeletIdentity(_));
    let undecided = Desired { grants_are_for_nodes: for_nodes, ..Desired::unknown() };
    let puller = azure.puller.as_ref().filter(|_| access.is_kept);
    let (Some(registry), Some(puller)) = (&azure.registry, puller) else {
        let grants = (!access.is_kept).then(Vec::new);
        let problem = azure.registry.as_ref().and_then(|it| access.check(it).err());
        return (Desired { grants, ..undecided }, problem);
    };
    let roles = PullRoles::of(registry, puller.principal(), access);
    let (pull, problem) = match roles.pull {
        Ok(grant) => (Some(vec![grant]), None),
        Err(problem) => (None, Some(problem)),
    };
    let desired = Desired {
        grants: pull,
        prepared: roles.prepared,
        releasable: releasable(puller, shown, released),
        settled: is_settled(puller) && may_replace(registry),
        honoured_since: azure.mode_since,
        ..undecided
    };
    (desired, problem)
}

/// The former identities whose roles may be removed; `None`: all of them.
fn releasable(
    puller: &Puller,
    shown: Option<&RegistryAttachmentStatus>,
    released: &Released,
) -> Option<BTreeSet<PrincipalId>> {
    let Puller::Nodes(identity) = puller else { return None };
    let replaced = identity.replaced(shown.and_then(|it| it.kubelet_identity.as_ref()));
    let assigned = shown.and_then(|it| it.role_assignments.as_deref()).unwrap_or_default();
    Some(&(&replaced | &of_pull_secrets(assigned)) | &released.principals)
}

fn is_settled(puller: &Puller) -> bool {
    match puller {
        Puller::Nodes(identity) => identity.settled,
        Puller::PullSecrets(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::{IdentityType, MethodInUse, RegistryAttachmentSpec, RoleAssignmentMode};
    use crate::problem::Cause;
    use crate::roles::role::Role;
    use crate::spec::policy::Policy;

    const REGISTRY: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso";
    const FIRST: &str = "22222222-2222-2222-2222-222222222222";
    const SECOND: &str = "33333333-3333-3333-3333-333333333333";

    fn task(change: Value, method: MethodInUse) -> Task {
        let mut spec = json!({
            "registry": {"resourceId": REGISTRY},
        });
        let Value::Object(change) = change else { panic!("{change}") };
        spec.as_object_mut().unwrap().extend(change);
        let spec: RegistryAttachmentSpec = serde_json::from_value(spec).unwrap();
        Task::attach(&spec, method, &Policy::default()).unwrap()
    }

    fn by_role(change: Value) -> Task {
        task(change, MethodInUse::KubeletIdentity)
    }

    fn by_secret(assign_role: bool) -> Task {
        let secret = json!({"pullSecret": {
            "servicePrincipal": {"tenantId": FIRST, "clientId": FIRST},
            "namespaces": {"names": ["a"]},
            "assignRole": assign_role,
        }});
        task(secret, MethodInUse::PullSecret)
    }

    fn nodes(settled: bool) -> Puller {
        Puller::Nodes(CurrentIdentity {
            principal: FIRST.parse().unwrap(),
            cluster: None,
            identity_type: Some(IdentityType::ManagedIdentity),
            settled,
        })
    }

    fn snapshot(mode: RoleAssignmentMode, puller: Option<Puller>) -> AzureSnapshot {
        let registry = Registry {
            id: REGISTRY.parse().unwrap(),
            login_server: "contoso.azurecr.io".parse().unwrap(),
            regional: None,
            mode: Some(mode),
            provisioning_state: "Succeeded".into(),
            accepts_arm_tokens: true,
        };
        AzureSnapshot { registry: Some(registry), mode_since: Some(Timestamp::UNIX_EPOCH), puller }
    }

    const LEGACY: RoleAssignmentMode = RoleAssignmentMode::LegacyRegistryPermissions;
    const ABAC: RoleAssignmentMode = RoleAssignmentMode::AbacRepositoryPermissions;

    fn decided(task: &Task, azure: &AzureSnapshot) -> (Desired, Option<Problem>) {
        desired(task, azure, None, &Released::default())
    }

    fn roles(desired: &Desired) -> Option<Vec<(Role, PrincipalId)>> {
        Some(desired.grants.as_ref()?.iter().map(|it| (it.role, it.principal)).collect())
    }

    #[test]
    fn nodes_get_the_role_that_the_registry_honours() {
        let task = by_role(json!({"prepareForAbac": true}));
        let (legacy, problem) = decided(&task, &snapshot(LEGACY, Some(nodes(true))));
        let principal = FIRST.parse().unwrap();
        assert_eq!((roles(&legacy), problem), (Some(vec![(Role::AcrPull, principal)]), None));
        assert_eq!(legacy.prepared.unwrap().role, Role::RepositoryReader);
        assert!(legacy.grants_are_for_nodes && legacy.settled);
        assert_eq!(legacy.releasable, Some(BTreeSet::new()));
        assert_eq!(legacy.honoured_since, Some(Timestamp::UNIX_EPOCH));
        let (switched, _) = decided(&task, &snapshot(ABAC, Some(nodes(false))));
        assert_eq!(roles(&switched), Some(vec![(Role::RepositoryReader, principal)]));
        assert!(switched.prepared.is_none() && !switched.settled);
    }

    /// A read that fails takes no role away.
    #[test]
    fn what_was_not_read_decides_nothing() {
        let mut unread = snapshot(LEGACY, Some(nodes(true)));
        unread.registry = None;
        let none = [AzureSnapshot::default(), unread, snapshot(LEGACY, None)];
        for azure in none {
            for task in [by_role(json!({})), by_secret(true)] {
                let (desired, problem) = decided(&task, &azure);
                assert_eq!((desired.grants, desired.prepared, problem), (None, None, None));
            }
        }
    }

    #[test]
    fn a_service_principal_gets_a_role_only_where_the_spec_asks_for_it() {
        let puller = Some(Puller::PullSecrets(SECOND.parse().unwrap()));
        let (kept, _) = decided(&by_secret(true), &snapshot(LEGACY, puller));
        assert_eq!(roles(&kept), Some(vec![(Role::AcrPull, SECOND.parse().unwrap())]));
        // The identity of nodes may have a role of before, which pull secrets replace.
        assert!(!kept.grants_are_for_nodes && kept.releasable.is_none());
        for azure in [AzureSnapshot::default(), snapshot(LEGACY, None)] {
            assert_eq!(roles(&decided(&by_secret(false), &azure).0), Some(vec![]));
        }
    }

    #[test]
    fn repositories_on_a_legacy_registry_leave_the_roles_as_they_are() {
        let some = json!({"repositories": ["team/*"], "prepareForAbac": true});
        let (desired, problem) = decided(&by_role(some), &snapshot(LEGACY, Some(nodes(true))));
        assert_eq!((desired.grants, problem.unwrap().cause), (None, Cause::InvalidSpec));
        assert_eq!(desired.prepared.unwrap().role, Role::RepositoryReader);
    }

    #[test]
    fn a_user_and_aks_release_former_identities_of_nodes() {
        let shown = json!({
            "kubeletIdentity": {"principalId": SECOND, "type": "ManagedIdentity"},
        });
        let shown: RegistryAttachmentStatus = serde_json::from_value(shown).unwrap();
        let third = "44444444-4444-4444-4444-444444444444";
        let azure = snapshot(LEGACY, Some(nodes(true)));
        let released = Released::parse(Some(third));
        let (desired, _) = desired(&by_role(json!({})), &azure, Some(&shown), &released);
        let both = [SECOND, third].map(|it| it.parse().unwrap());
        assert_eq!(desired.releasable, Some(both.into()));
    }

    #[test]
    fn a_registry_is_prepared_only_where_the_spec_asks_and_the_role_is_kept() {
        let prepares = |assign_role: bool, prepare: bool| {
            let Task::Attach(attachment) = by_secret(assign_role) else { return false };
            Attachment { prepare_for_abac: prepare, ..*attachment }.access().prepare_for_abac
        };
        let all = [(true, true), (true, false), (false, true), (false, false)];
        assert_eq!(all.map(|(kept, asked)| prepares(kept, asked)), [true, false, false, false]);
    }

    #[test]
    fn only_detaching_desires_nothing() {
        let spec = json!({"registry": {"resourceId": REGISTRY}});
        let task = Task::detach(&serde_json::from_value(spec).unwrap());
        let (desired, problem) = decided(&task, &AzureSnapshot::default());
        assert_eq!((desired.grants, problem), (Some(vec![]), None));
    }
}

//! The method for AKS: the pull role for the cluster's kubelet identity.

use super::facts::{Cluster, Registry, RoleAssignmentMode};
use super::names::PrincipalId;
use super::plan::Grant;
use super::problem::{Cause, Problem};
use super::repositories::Repositories;
use super::role::Role;

/// The identity that the cluster's nodes pull with.
///
/// # Errors
/// `Unsupported` when the cluster has none.
pub fn principal(cluster: &Cluster) -> Result<PrincipalId, Problem> {
    let id = &cluster.id;
    cluster.kubelet_identity.ok_or_else(|| {
        Problem::new(
            Cause::Unsupported,
            format!(
                "reading the kubelet identity of cluster {id}: it has none; set kubeletIdentity.principalId to the object id of the identity that its nodes pull with"
            ),
        )
    })
}

/// Adds the way round to what kept Microsoft Graph from telling the object id of a cluster's
/// service principal.
#[must_use]
pub fn unknown_service_principal(problem: &Problem, client: &str) -> Problem {
    let message = format!(
        "{}; or set kubeletIdentity.principalId to the service principal's object id (az ad sp show --id {client} --query id prints it), which needs no right in Graph",
        problem.message
    );
    Problem { message, ..problem.clone() }
}

/// What the method asks for: one role, as the registry's mode wants it.
///
/// # Errors
/// `Unsupported` when the registry is in a mode that this version does not know; `InvalidSpec`
/// when it cannot tell repositories apart.
pub fn desired(
    registry: &Registry,
    principal: PrincipalId,
    repositories: &Repositories,
) -> Result<Grant, Problem> {
    let role = Role::for_mode(registry.mode).ok_or_else(|| {
        Problem::new(
            Cause::Unsupported,
            format!(
                "choosing a role on registry {}: its roleAssignmentMode is unknown to this version of acr-attach; update acr-attach",
                registry.id
            ),
        )
    })?;
    repositories_fit(registry, repositories)?;
    let condition = repositories.condition();
    Ok(Grant { registry: registry.id.clone(), principal, role, condition })
}

/// Judges whether single repositories can be meant.
///
/// # Errors
/// `InvalidSpec` where the registry knows no permissions for repositories.
pub fn repositories_fit(registry: &Registry, repositories: &Repositories) -> Result<(), Problem> {
    if repositories.are_all() || registry.mode == RoleAssignmentMode::AbacRepositoryPermissions {
        return Ok(());
    }
    Err(Problem::new(
        Cause::InvalidSpec,
        format!(
            "narrowing access to registry {} to repositories: only registries in mode \"RBAC Registry + ABAC Repository Permissions\" can; switch it (az acr update --name {} --role-assignment-mode rbac-abac), or remove spec.repositories to attach the whole registry",
            registry.id,
            registry.id.name()
        ),
    ))
}

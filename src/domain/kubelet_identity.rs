//! The method for AKS: the pull role for the cluster's kubelet identity.

use super::facts::{Cluster, Registry};
use super::names::PrincipalId;
use super::plan::Grant;
use super::problem::{Cause, Problem};
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
                "reading the kubelet identity of cluster {id}: it has none, as on clusters with a service principal; set kubeletIdentity.principalId to the object id of that service principal (az ad sp show --id <client id> --query id)"
            ),
        )
    })
}

/// What the method asks for: one role, as the registry's mode wants it.
///
/// # Errors
/// `Unsupported` when the registry is in a mode that this version does not know.
pub fn desired(registry: &Registry, principal: PrincipalId) -> Result<Grant, Problem> {
    let role = Role::for_mode(registry.mode).ok_or_else(|| {
        Problem::new(
            Cause::Unsupported,
            format!(
                "choosing a role on registry {}: its roleAssignmentMode is unknown to this version of acr-attach; update acr-attach",
                registry.id
            ),
        )
    })?;
    Ok(Grant { registry: registry.id.clone(), principal, role, condition: None })
}

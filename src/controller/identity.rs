//! The kubelet identity: given, or read from the cluster.

use super::context::Context;
use super::registry::detected;
use crate::azure::Reader;
use crate::domain::attachment::IdentitySource;
use crate::domain::kubelet_identity;
use crate::domain::names::{ClusterId, PrincipalId};
use crate::domain::problem::{Cause, Problem};

/// The identity that pulls.
pub(super) struct Identity {
    /// Its object id.
    pub principal: PrincipalId,
    /// The cluster that it was read from.
    pub cluster: Option<ClusterId>,
    /// Whether no node uses a former identity any more.
    pub settled: bool,
}

/// Finds it out. `before` is the cluster that was decided for: what nodes look like later changes
/// nothing.
///
/// # Errors
/// When nobody can tell, there is none, or Azure does not answer or refuses.
pub(super) async fn identity(
    source: &IdentitySource,
    before: Option<ClusterId>,
    azure: &Reader,
    ctx: &Context,
) -> Result<Identity, Problem> {
    let cluster = match source {
        IdentitySource::Given(principal) => {
            return Ok(Identity { principal: *principal, cluster: None, settled: true });
        }
        IdentitySource::Cluster(id) => id.clone(),
        IdentitySource::Detected => match (detected(ctx).await, before) {
            (
                Err(Problem { cause: Cause::Undetermined | Cause::Unsupported, .. }),
                Some(before),
            ) => before,
            (answer, _) => answer?,
        },
    };
    let cluster = azure.cluster(&cluster).await?;
    let principal = match (&cluster.kubelet_identity, &cluster.service_principal) {
        (None, Some(client)) => {
            let answer = azure.service_principal(client).await.map_err(Problem::from);
            answer
                .map_err(|problem| kubelet_identity::unknown_service_principal(&problem, client))?
        }
        _ => kubelet_identity::principal(&cluster)?,
    };
    Ok(Identity { principal, settled: cluster.settled, cluster: Some(cluster.id) })
}

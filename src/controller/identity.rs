//! The kubelet identity: given, or read from the cluster.

use uuid::Uuid;

use super::context::Context;
use crate::api::RegistryAttachment;
use crate::azure::Reader;
use crate::domain::attachment::IdentitySource;
use crate::domain::kubelet_identity;
use crate::domain::names::{ClusterId, PrincipalId};
use crate::domain::platform::{Platform, undetermined};
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

/// Where it is known from.
pub(super) enum Known {
    /// The user gave it.
    Given(PrincipalId),
    /// It is that of this cluster.
    Of(ClusterId),
}

impl Known {
    /// Finds out which cluster is meant. `before` is the one that was decided for: what nodes look
    /// like later changes nothing, and neither does it that nobody can tell any more.
    ///
    /// This may take a place at Azure Resource Manager, and so comes before the pass takes its own.
    ///
    /// # Errors
    /// When nobody can tell, or the API server or Azure does not answer or refuses.
    pub(super) async fn from(
        source: &IdentitySource,
        before: Option<ClusterId>,
        object: &RegistryAttachment,
        ctx: &Context,
    ) -> Result<Self, Problem> {
        Ok(match source {
            IdentitySource::Given(principal) => Self::Given(*principal),
            IdentitySource::Cluster(id) => Self::Of(id.clone()),
            IdentitySource::Detected => Self::Of(match (detected(object, ctx).await, before) {
                (Err(_), Some(before)) => before,
                (answer, _) => answer?,
            }),
        })
    }

    /// The cluster's subscription, if there is one.
    pub(super) fn subscription(&self) -> Option<Uuid> {
        match self {
            Self::Given(_) => None,
            Self::Of(cluster) => Some(cluster.subscription()),
        }
    }

    /// Reads the identity.
    ///
    /// # Errors
    /// When there is none, or Azure does not answer or refuses.
    pub(super) async fn identity(&self, azure: &Reader) -> Result<Identity, Problem> {
        let cluster = match self {
            Self::Given(principal) => {
                return Ok(Identity { principal: *principal, cluster: None, settled: true });
            }
            Self::Of(cluster) => azure.cluster(cluster).await?,
        };
        let principal = match (&cluster.kubelet_identity, &cluster.service_principal) {
            (None, Some(client)) => {
                let answer = azure.service_principal(client).await.map_err(Problem::from);
                answer.map_err(|problem| {
                    kubelet_identity::unknown_service_principal(&problem, client)
                })?
            }
            _ => kubelet_identity::principal(&cluster)?,
        };
        Ok(Identity { principal, settled: cluster.settled, cluster: Some(cluster.id) })
    }
}

/// The cluster that the nodes are of.
///
/// # Errors
/// `Unsupported` when that is none of AKS; `Undetermined` when nobody can tell.
async fn detected(object: &RegistryAttachment, ctx: &Context) -> Result<ClusterId, Problem> {
    match ctx.platform(object).await? {
        Platform::Aks(cluster) => Ok(cluster),
        Platform::NotAks => Err(Problem::new(
            Cause::Unsupported,
            "finding the kubelet identity: the cluster is not AKS, since no node bears a label of AKS (kubernetes.azure.com/…) or is a machine of Azure; set method to PullSecret, or say whose identity pulls in kubeletIdentity.principalId",
        )),
        Platform::Unsure(why) => Err(undetermined(&why)),
    }
}

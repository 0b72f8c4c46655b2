//! The kubelet identity: given by the spec, or read from the AKS cluster.

use std::collections::BTreeSet;

use acr_attach_azure::Reader;
use acr_attach_core::api::IdentityType;
use acr_attach_core::ids::{ClusterId, PrincipalId};
use acr_attach_core::platform::{Platform, PlatformHint, undetermined};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::roles::credential_provider;
use acr_attach_core::roles::former_identity::CurrentIdentity;
use acr_attach_core::roles::kubelet_identity;
use acr_attach_core::snapshot::azure::Registry;
use acr_attach_core::spec::IdentitySource;
use uuid::Uuid;

use crate::attachment::context::Context;
use crate::attachment::reconcile::Reconcile;

/// The identity that pulls, with a warning for the message of Ready.
pub struct Identity {
    pub identity: CurrentIdentity,
    pub warning: Option<String>,
}

/// The source of the kubelet identity.
pub enum Origin {
    /// The spec gives the object id. With the AKS cluster that the nodes belong to, if that is known
    /// already, and the client ids in the labels of the nodes.
    Given(PrincipalId, Option<ClusterId>, BTreeSet<Uuid>),
    /// The identity of the cluster that the spec names. With the platform that the nodes show.
    Named(ClusterId, Option<PlatformHint>),
    /// The identity of the AKS cluster that the nodes belong to.
    Of(ClusterId),
}

impl Origin {
    /// Finds the source. `before` is the cluster of the earlier decision. It counts where the AKS cluster of
    /// the nodes can no longer be detected.
    ///
    /// This may take a permit for Azure Resource Manager, and so comes before the reconcile takes its own.
    ///
    /// # Errors
    /// `Unsupported` when the cluster is not AKS; `Undetermined` when its platform is unknown; as
    /// [`Context::platform`].
    pub async fn from(
        source: &IdentitySource,
        before: Option<ClusterId>,
        this: Reconcile<'_>,
    ) -> Result<Self, Problem> {
        Ok(match source {
            IdentitySource::Given(principal) => {
                let told = this.ctx.node_facts().await;
                let clients = told.map(|it| it.kubelet_clients).unwrap_or_default();
                Self::Given(*principal, this.ctx.known_cluster(), clients)
            }
            IdentitySource::Cluster(id) => {
                Self::Named(id.clone(), this.ctx.node_facts().await.map(|it| it.hint))
            }
            IdentitySource::Detected => Self::Of(match (detected(this).await, before) {
                (Err(_), Some(before)) => before,
                (answer, _) => answer?,
            }),
        })
    }

    /// The subscription of the cluster; `None` where the spec gives the object id.
    pub fn subscription(&self) -> Option<Uuid> {
        match self {
            Self::Given(..) => None,
            Self::Named(cluster, _) | Self::Of(cluster) => Some(cluster.subscription()),
        }
    }

    /// Reads the identity.
    ///
    /// # Errors
    /// `Unsupported` when the cluster has no kubelet identity, or its pods do not pull with it; when Azure
    /// does not answer or refuses.
    pub async fn identity(&self, azure: &Reader) -> Result<Identity, Problem> {
        let cluster = match self {
            Self::Given(principal, here, clients) => {
                return Ok(given(*principal, here.as_ref(), clients, azure).await);
            }
            Self::Named(cluster, _) | Self::Of(cluster) => azure.cluster(cluster).await?,
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
        let warning = match self {
            Self::Named(_, Some(here)) => kubelet_identity::other_nodes_warning(&cluster, here),
            _ => None,
        };
        let identity_type = Some(match cluster.kubelet_identity {
            Some(_) => IdentityType::ManagedIdentity,
            None => IdentityType::ServicePrincipal,
        });
        let (settled, cluster) = (cluster.settled, Some(cluster.id));
        let identity = CurrentIdentity { principal, cluster, identity_type, settled };
        Ok(Identity { identity, warning })
    }
}

/// The identity that the spec gives. The cluster is read for a warning only, so that a failed read is ignored.
async fn given(
    principal: PrincipalId,
    here: Option<&ClusterId>,
    of_nodes: &BTreeSet<Uuid>,
    azure: &Reader,
) -> Identity {
    let here = match here {
        Some(cluster) => azure.cluster(cluster).await.ok(),
        None => None,
    };
    let warning = kubelet_identity::client_id_warning(principal, here.as_ref(), of_nodes);
    let identity = CurrentIdentity { principal, cluster: None, identity_type: None, settled: true };
    Identity { identity, warning }
}

/// Returns a warning if nodes may be too old for a host of the registry. Lists the nodes only for a registry
/// that does not suit all nodes.
pub async fn old_nodes_warning(registry: &Registry, ctx: &Context) -> Option<String> {
    if credential_provider::suits_all_nodes(registry) {
        return None;
    }
    credential_provider::old_nodes_warning(registry, &ctx.node_facts().await?.oldest)
}

/// The AKS cluster that the nodes belong to.
///
/// # Errors
/// `Unsupported` when the cluster is not AKS; `Undetermined` when its platform is unknown; as
/// [`Context::platform`].
async fn detected(
    Reconcile { object, findings, ctx, .. }: Reconcile<'_>,
) -> Result<ClusterId, Problem> {
    match ctx.platform(object, findings.since).await? {
        Platform::Aks(cluster) => Ok(cluster),
        Platform::NotAks => {
            let advice = "set method to PullSecret, or say whose identity pulls in kubeletIdentity.principalId";
            let account = "finding the kubelet identity: the cluster is not AKS, since no node bears a label of AKS (kubernetes.azure.com/…) or is a machine of Azure";
            Err(Problem::advised(Cause::Unsupported, advice, &[account.to_owned()]))
        }
        Platform::Unsure(why) => Err(undetermined(&why)),
    }
}

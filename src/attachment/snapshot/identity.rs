//! The kubelet identity: given, or read from the cluster.

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
use crate::attachment::snapshot::Reconcile;

/// The identity that pulls, with a warning for the message of Ready.
pub struct Identity {
    pub identity: CurrentIdentity,
    pub warning: Option<String>,
}

/// Where it is known from.
pub enum Origin {
    /// The user gave it. And the cluster that the nodes are of, where that is known anyway, and the
    /// client ids that the nodes tell.
    Given(PrincipalId, Option<ClusterId>, BTreeSet<Uuid>),
    /// It is that of this cluster, which the user named. And what the nodes tell.
    Named(ClusterId, Option<PlatformHint>),
    /// It is that of the cluster that the nodes are of.
    Of(ClusterId),
}

impl Origin {
    /// Finds out which cluster is meant. `before` is the one that was decided for: what nodes check
    /// like later changes nothing, and neither does it that nobody can tell any more.
    ///
    /// This may take a place at Azure Resource Manager, and so comes before the reconcile takes its own.
    ///
    /// # Errors
    /// When nobody can tell, or the API server or Azure does not answer or refuses.
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

    /// The cluster's subscription, if there is one.
    pub fn subscription(&self) -> Option<Uuid> {
        match self {
            Self::Given(..) => None,
            Self::Named(cluster, _) | Self::Of(cluster) => Some(cluster.subscription()),
        }
    }

    /// Reads the identity.
    ///
    /// # Errors
    /// When there is none, or Azure does not answer or refuses.
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

/// An identity as the user gave it. That the cluster cannot be read is nothing against it.
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

/// Warns of nodes that may be too old for a host of the registry. Nodes are listed only where one may be.
pub async fn old_nodes_warning(registry: &Registry, ctx: &Context) -> Option<String> {
    if credential_provider::suits_all_nodes(registry) {
        return None;
    }
    credential_provider::old_nodes_warning(registry, &ctx.node_facts().await?.oldest)
}

/// The cluster that the nodes are of.
///
/// # Errors
/// `Unsupported` when that is none of AKS; `Undetermined` when nobody can tell.
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

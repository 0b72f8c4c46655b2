//! Observe: asks Azure what there is. Reads, and only reads.

use crate::azure::Reader;
use crate::domain::attachment::{Attachment, IdentitySource, Method, Task};
use crate::domain::kubelet_identity;
use crate::domain::names::{AssignmentId, ClusterId, PrincipalId, RegistryId};
use crate::domain::plan::{Desired, Owned};
use crate::domain::problem::Problem;
use crate::domain::status::Observed;

/// What was found, part by part, and the first thing that could not be found out.
pub struct Observation {
    /// For status.
    pub observed: Observed,
    /// What should hold, as far as known.
    pub desired: Desired,
    /// What there is, as far as known.
    pub owned: Owned,
    /// Why something is not known.
    pub problem: Option<Problem>,
}

/// Looks at everything that the task depends on. `told` are the assignments that were ours when
/// status was last written: a list may not show them yet.
pub async fn observe(
    task: &Task,
    owned: Owned,
    told: &[AssignmentId],
    azure: &Reader,
) -> Observation {
    let observed = Observed { claim: Some(owned.claim.clone()), ..Observed::default() };
    let mut seen = Observation { observed, desired: Desired::default(), owned, problem: None };
    let result = match task {
        Task::Attach(attachment) => seen.attaching(attachment, azure).await,
        Task::Detach(registry) => seen.detaching(registry, told, azure).await,
    };
    seen.problem = result.err();
    seen
}

impl Observation {
    async fn attaching(&mut self, attachment: &Attachment, azure: &Reader) -> Result<(), Problem> {
        self.observed.method = Some(attachment.method.in_use());
        match &attachment.method {
            Method::KubeletIdentity(source) => {
                self.kubelet_identity(&attachment.registry, source, azure).await
            }
        }
    }

    /// Where the registry is gone, so are its assignments.
    async fn detaching(
        &mut self,
        registry: &RegistryId,
        told: &[AssignmentId],
        azure: &Reader,
    ) -> Result<(), Problem> {
        self.desired = Desired::nothing();
        let mut found = match azure.role_assignments(registry).await {
            Err(error) if error.is_not_found() => Vec::new(),
            answer => answer?,
        };
        // Nobody looks again after this, so a list that lags behind must not have the last word.
        for id in told {
            if id.is_at(registry) && found.iter().all(|it| it.id != *id) {
                found.extend(azure.role_assignment(id).await?);
            }
        }
        self.owned.assignments = Some(found);
        Ok(())
    }

    async fn kubelet_identity(
        &mut self,
        id: &RegistryId,
        source: &IdentitySource,
        azure: &Reader,
    ) -> Result<(), Problem> {
        let registry = azure.registry(id).await?;
        self.observed.registry = Some(registry.clone());
        let identity = identity(source, azure).await?;
        self.observed.cluster.clone_from(&identity.cluster);
        self.observed.principal = Some(identity.principal);
        self.owned.assignments = Some(azure.role_assignments(id).await?);
        let grant = kubelet_identity::desired(&registry, identity.principal)?;
        self.desired = Desired { grants: Some(vec![grant]), settled: identity.settled };
        Ok(())
    }
}

/// The identity that pulls.
struct Identity {
    principal: PrincipalId,
    cluster: Option<ClusterId>,
    /// Whether no node uses a former identity any more.
    settled: bool,
}

async fn identity(source: &IdentitySource, azure: &Reader) -> Result<Identity, Problem> {
    match source {
        IdentitySource::Given(principal) => {
            Ok(Identity { principal: *principal, cluster: None, settled: true })
        }
        IdentitySource::Cluster(id) => {
            let cluster = azure.cluster(id).await?;
            let principal = kubelet_identity::principal(&cluster)?;
            Ok(Identity { principal, settled: cluster.settled, cluster: Some(cluster.id) })
        }
    }
}

//! Observe: asks Azure what there is. Reads, and only reads.

use kube::ResourceExt;

use super::context::Context;
use crate::api::{DeletionPolicy, FINALIZER, RegistryAttachment};
use crate::azure::Error;
use crate::domain::attachment::{self, Attachment, IdentitySource, Method};
use crate::domain::claims::Claim;
use crate::domain::facts::RoleAssignment;
use crate::domain::kubelet_identity;
use crate::domain::names::{ClusterId, PrincipalId, RegistryId};
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

/// Looks at everything that the attachment depends on.
pub async fn observe(object: &RegistryAttachment, claim: Claim, ctx: &Context) -> Observation {
    let owned = Owned {
        assignments: None,
        registry: attachment::registry(&object.spec.registry).ok(),
        claim: claim.clone(),
        finalizer: object.finalizers().iter().any(|it| it == FINALIZER),
    };
    let observed = Observed { claim: Some(claim), ..Observed::default() };
    let mut seen = Observation { observed, desired: Desired::default(), owned, problem: None };
    let result = if object.metadata.deletion_timestamp.is_some() {
        seen.detaching(object, ctx).await
    } else {
        seen.attaching(object, ctx).await
    };
    seen.problem = result.err();
    seen
}

impl Observation {
    async fn detaching(
        &mut self,
        object: &RegistryAttachment,
        ctx: &Context,
    ) -> Result<(), Problem> {
        self.desired = Desired::nothing();
        self.owned.assignments = match (object.spec.deletion_policy, &self.owned.registry) {
            (DeletionPolicy::Orphan, _) | (_, None) => Some(Vec::new()),
            (_, Some(registry)) => Some(assignments_left(registry, ctx).await?),
        };
        Ok(())
    }

    async fn attaching(
        &mut self,
        object: &RegistryAttachment,
        ctx: &Context,
    ) -> Result<(), Problem> {
        let attachment = Attachment::try_from(&object.spec)?;
        ctx.allowed_registries.permit(&attachment.registry)?;
        self.observed.method = Some(attachment.method.in_use());
        match &attachment.method {
            Method::KubeletIdentity(source) => {
                self.kubelet_identity(&attachment.registry, source, ctx).await
            }
        }
    }

    async fn kubelet_identity(
        &mut self,
        registry: &RegistryId,
        source: &IdentitySource,
        ctx: &Context,
    ) -> Result<(), Problem> {
        let (registry, identity, assignments) = tokio::join!(
            ctx.reader.registry(registry),
            identity(source, ctx),
            ctx.reader.role_assignments(registry),
        );
        self.owned.assignments = assignments.as_ref().ok().cloned();
        self.observed.registry = registry.as_ref().ok().cloned();
        if let Ok(identity) = &identity {
            self.observed.cluster.clone_from(&identity.cluster);
            self.observed.principal = Some(identity.principal);
        }
        let (registry, identity) = (registry?, identity?);
        assignments?;
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

async fn identity(source: &IdentitySource, ctx: &Context) -> Result<Identity, Problem> {
    match source {
        IdentitySource::Given(principal) => {
            Ok(Identity { principal: *principal, cluster: None, settled: true })
        }
        IdentitySource::Cluster(id) => {
            let cluster = ctx.reader.cluster(id).await?;
            let principal = kubelet_identity::principal(&cluster)?;
            Ok(Identity { principal, settled: cluster.settled, cluster: Some(cluster.id) })
        }
    }
}

/// What is left to let go of. Where the registry is gone, so are its assignments.
async fn assignments_left(
    registry: &RegistryId,
    ctx: &Context,
) -> Result<Vec<RoleAssignment>, Error> {
    match ctx.reader.role_assignments(registry).await {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        answer => answer,
    }
}

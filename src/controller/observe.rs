//! Observe: what there is, in the cluster and in Azure. Reads, and only reads.

use jiff::Timestamp;
use kube::ResourceExt;

use super::context::Context;
use super::memory::{Known, Look, Trigger};
use super::pull_secrets::Making;
use crate::api::{Ownership, RegistryAttachment};
use crate::azure::{Reader, Session};
use crate::domain::attachment::{IdentitySource, Method, Task};
use crate::domain::claims::Claim;
use crate::domain::kubelet_identity;
use crate::domain::names::{AssignmentId, ClusterId, PrincipalId, RegistryId};
use crate::domain::plan::{Assignments, Desired, Failing, Finalizer, Owned};
use crate::domain::problem::Problem;
use crate::domain::pull_secret::{Source, Wanted};
use crate::domain::status::{Holdings, Observed};

/// How closely a pass looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Occasion {
    /// Everything is read anew.
    #[default]
    Look,
    /// Something in the cluster changed, or the operator has just started: what is known of
    /// Azure is used.
    Glance,
}

/// What a pass is about.
#[derive(Clone, Copy)]
pub struct Pass<'a> {
    /// The attachment.
    pub object: &'a RegistryAttachment,
    /// What is to be brought about.
    pub task: &'a Task,
    /// How closely it looks.
    pub occasion: Occasion,
    /// What is known from the passes before.
    pub known: &'a Known,
    /// Why nobody knows where its role assignments are.
    pub lost: Option<&'a Problem>,
    /// What all passes share.
    pub ctx: &'a Context,
}

/// What was found, part by part, and what could not be found out.
pub struct Observation {
    /// For status.
    pub observed: Observed,
    /// What should hold, as far as known.
    pub desired: Desired,
    /// What there is, as far as known.
    pub owned: Owned,
    /// Which namespaces are to have the pull secret.
    pub wanted: Option<Wanted>,
    /// The registry that the pull secret is for.
    pub source: Option<Source>,
    /// What marks role assignments, if they were asked for.
    pub claim: Option<Claim>,
    /// The place at Azure Resource Manager, if it was needed.
    pub session: Option<Session>,
    /// Why single namespaces are not served.
    pub failing: Vec<Failing>,
    /// Why something in the cluster is not known.
    pub unseen: Option<Problem>,
    /// What Azure said, now or when it was last asked.
    pub look: Look,
}

impl Observation {
    /// Nothing has been looked at yet.
    pub fn new(pass: Pass<'_>, now: Timestamp) -> Self {
        let Pass { object, known, .. } = pass;
        let look = match pass.occasion {
            Occasion::Look => known.look.before_the_next(),
            Occasion::Glance => known.look.clone(),
        };
        let owned = Owned {
            uid: object.uid().unwrap_or_default(),
            finalizers: Trigger::of(object).finalizers().clone(),
            assignments: None,
            secrets: None,
            gone: std::collections::BTreeSet::new(),
            accepted: known.accepted.clone(),
            refused: look.refused.clone(),
            accounts: None,
            contested: known.contested(now),
        };
        Self {
            observed: Observed::default(),
            desired: Desired::unknown(),
            owned,
            wanted: None,
            source: None,
            claim: None,
            session: None,
            failing: Vec::new(),
            unseen: None,
            look,
        }
    }

    /// What pull secrets are made from, as far as that is known.
    pub fn making<'a>(&'a self, pass: Pass<'a>) -> Option<Making<'a>> {
        let Task::Attach(attachment) = pass.task else { return None };
        let Method::PullSecret(spec) = &attachment.method else { return None };
        let refusal = self.look.refusal.as_ref();
        Some(Making { spec, source: self.source.as_ref()?, refusal })
    }

    /// Asks Azure what the task depends on beside the cluster, or recalls what it said.
    pub async fn look(&mut self, pass: Pass<'_>) {
        if let Some(lost) = pass.lost {
            // Nothing is desired all the same, and nothing else waits for that.
            self.desired.grants = Some(Vec::new());
            self.look.problem = Some(lost.clone());
            return;
        }
        let result = match pass.task {
            Task::Attach(attachment) => match &attachment.method {
                Method::KubeletIdentity(registry, source) => {
                    self.kubelet_identity(registry, source, pass).await
                }
                Method::PullSecret(secret) => {
                    self.pull_secret(&attachment.registry, secret, pass).await
                }
            },
            Task::Detach(Some(registry)) => self.detaching(registry, pass).await,
            Task::Detach(None) => {
                self.desired.grants = Some(Vec::new());
                self.owned.assignments = Some(Assignments::none());
                Ok(())
            }
        };
        if let Err(problem) = result {
            self.look.problem = Some(problem);
        }
    }

    async fn kubelet_identity(
        &mut self,
        id: &RegistryId,
        source: &IdentitySource,
        pass: Pass<'_>,
    ) -> Result<(), Problem> {
        let claim = self.claim(pass).await?;
        let azure = pass.ctx.azure.session()?;
        let azure = &self.session.insert(azure).reader;
        let registry = azure.registry(id).await?;
        self.observed.registry = Some(registry.clone());
        let identity = identity(source, azure).await?;
        self.observed.cluster.clone_from(&identity.cluster);
        self.observed.principal = Some(identity.principal);
        let found = azure.role_assignments(id).await?;
        self.owned.assignments = Some(Assignments::on(id, claim, found));
        let grant = kubelet_identity::desired(&registry, identity.principal)?;
        self.desired.grants = Some(vec![grant]);
        self.desired.settled = identity.settled;
        Ok(())
    }

    /// What marks the role assignments of the attachment.
    async fn claim(&mut self, pass: Pass<'_>) -> Result<Claim, Problem> {
        let claim = pass.ctx.claim(&pass.object.name_any()).await?;
        self.observed.claim = Some(claim.clone());
        self.claim = Some(claim.clone());
        Ok(claim)
    }

    /// Where the registry is gone, so are its assignments.
    async fn detaching(&mut self, registry: &RegistryId, pass: Pass<'_>) -> Result<(), Problem> {
        self.desired.grants = Some(Vec::new());
        self.assignments(registry, pass).await?;
        // Nobody looks again after this, so a list that lags behind must not have the last word.
        let (Some(session), Some(owns)) = (&self.session, &mut self.owned.assignments) else {
            return Ok(());
        };
        for id in told(pass.object) {
            if id.is_at(registry) && owns.found.iter().all(|it| it.id != id) {
                owns.found.extend(session.reader.role_assignment(&id).await?);
            }
        }
        Ok(())
    }

    /// Role assignments that are ours to give back, if there can be any: without our finalizer
    /// there are none. A glance leaves them as they are.
    pub(super) async fn assignments(
        &mut self,
        registry: &RegistryId,
        pass: Pass<'_>,
    ) -> Result<(), Problem> {
        if !self.owned.finalizers.contains(&Finalizer::RoleAssignments) {
            self.observed.holdings = Some(Holdings::default());
            return Ok(());
        }
        if pass.occasion == Occasion::Glance {
            return Ok(());
        }
        let claim = self.claim(pass).await?;
        if self.session.is_none() {
            self.session = Some(pass.ctx.azure.session()?);
        }
        let Some(session) = &self.session else { return Ok(()) };
        let found = match session.reader.role_assignments(registry).await {
            Err(error) if error.is_not_found() => Vec::new(),
            answer => answer?,
        };
        self.owned.assignments = Some(Assignments::on(registry, claim, found));
        Ok(())
    }
}

/// The role assignments that status calls ours, for when Azure's lists lag behind.
fn told(object: &RegistryAttachment) -> Vec<AssignmentId> {
    let list = object.status.iter().flat_map(|it| it.role_assignments.iter().flatten());
    list.filter(|it| it.ownership == Ownership::Managed)
        .filter_map(|it| it.id.parse().ok())
        .collect()
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

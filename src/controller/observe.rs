//! Observe: what there is, in the cluster and in Azure. Reads, and only reads.

use jiff::Timestamp;
use kube::ResourceExt;

use super::context::Context;
use super::memory::{Secrets, Trigger};
use super::pull_secrets::Making;
use crate::api::{Ownership, RegistryAttachment};
use crate::azure::{Reader, Session};
use crate::domain::attachment::{IdentitySource, Method, Task};
use crate::domain::claims::Claim;
use crate::domain::cluster::ServiceAccount;
use crate::domain::kubelet_identity;
use crate::domain::names::{AssignmentId, ClusterId, PrincipalId, RegistryId};
use crate::domain::plan::{Assignments, Desired, Failing, Finalizer, Owned};
use crate::domain::problem::Problem;
use crate::domain::pull_secret::{Source, Wanted};
use crate::domain::status::{Holdings, Observed};

/// How closely a pass looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Everything is read anew.
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
    pub known: &'a Secrets,
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
    /// Why something is not known.
    pub problem: Option<Problem>,
    /// Why it is not known whether the credential in use is still accepted.
    pub doubt: Option<Problem>,
}

impl Observation {
    /// Nothing has been looked at yet.
    pub fn new(object: &RegistryAttachment, known: &Secrets, now: Timestamp) -> Self {
        let owned = Owned {
            uid: object.uid().unwrap_or_default(),
            finalizers: Trigger::of(object).finalizers().clone(),
            assignments: None,
            secrets: None,
            gone: std::collections::BTreeSet::new(),
            accepted: known.accepted.clone(),
            refused: false,
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
            problem: None,
            doubt: None,
        }
    }

    /// Whether there are pull secrets or entries of ours.
    pub fn has_leftovers(&self) -> bool {
        let of = |it: &ServiceAccount| it.marks.values().any(|uid| *uid == self.owned.uid);
        let secrets = self.owned.secrets.iter().flatten().any(|it| it.is_of(&self.owned.uid));
        secrets || self.owned.accounts.iter().flatten().any(of)
    }

    /// What pull secrets are made from, as far as that is known. What Azure refused is not asked
    /// again before the next look.
    pub fn making<'a>(&'a self, pass: Pass<'a>) -> Option<Making<'a>> {
        let Task::Attach(attachment) = pass.task else { return None };
        let Method::PullSecret(spec) = &attachment.method else { return None };
        let refusal = pass.known.refusal.as_ref().filter(|_| pass.occasion == Occasion::Glance);
        Some(Making { spec, source: self.source.as_ref()?, refusal })
    }

    /// Asks Azure what the task depends on beside the cluster.
    pub async fn look(&mut self, pass: Pass<'_>) {
        let Pass { object, task, ctx, .. } = pass;
        let result = match task {
            Task::Attach(attachment) => match &attachment.method {
                Method::KubeletIdentity(registry, source) => {
                    self.kubelet_identity(registry, source, object, ctx).await
                }
                Method::PullSecret(secret) => {
                    let name = &attachment.registry;
                    self.pull_secret(name, secret, pass).await
                }
            },
            Task::Detach(Some(registry)) => self.detaching(registry, object, ctx).await,
            Task::Detach(None) => {
                self.desired.grants = Some(Vec::new());
                self.owned.assignments = Some(Assignments::none());
                Ok(())
            }
        };
        if let Err(problem) = result {
            self.problem = self.problem.take().or(Some(problem));
        }
    }

    async fn kubelet_identity(
        &mut self,
        id: &RegistryId,
        source: &IdentitySource,
        object: &RegistryAttachment,
        ctx: &Context,
    ) -> Result<(), Problem> {
        let claim = ctx.claim(&object.name_any()).await?;
        self.claim = Some(claim.clone());
        self.observed.claim = Some(claim.clone());
        let azure = ctx.azure.session()?;
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

    /// Where the registry is gone, so are its assignments. Without our finalizer there are none.
    async fn detaching(
        &mut self,
        registry: &RegistryId,
        object: &RegistryAttachment,
        ctx: &Context,
    ) -> Result<(), Problem> {
        self.desired.grants = Some(Vec::new());
        self.assignments(registry, object, ctx).await?;
        // Nobody looks again after this, so a list that lags behind must not have the last word.
        let (Some(session), Some(owns)) = (&self.session, &mut self.owned.assignments) else {
            return Ok(());
        };
        for id in told(object) {
            if id.is_at(registry) && owns.found.iter().all(|it| it.id != id) {
                owns.found.extend(session.reader.role_assignment(&id).await?);
            }
        }
        Ok(())
    }

    /// Role assignments that are ours to give back, if there can be any.
    pub(super) async fn assignments(
        &mut self,
        registry: &RegistryId,
        object: &RegistryAttachment,
        ctx: &Context,
    ) -> Result<(), Problem> {
        if !self.owned.finalizers.contains(&Finalizer::RoleAssignments) {
            self.observed.holdings = Some(Holdings::default());
            return Ok(());
        }
        let claim = ctx.claim(&object.name_any()).await?;
        self.claim = Some(claim.clone());
        self.observed.claim = Some(claim.clone());
        if self.session.is_none() {
            self.session = Some(ctx.azure.session()?);
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

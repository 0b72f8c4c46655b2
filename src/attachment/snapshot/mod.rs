//! Reads a snapshot of the cluster and of Azure. Writes to neither.

pub mod detaching;
pub mod identity;
pub mod method;
pub mod platform;
pub mod proof;
pub mod registry;
pub mod reports;
pub mod role;
pub mod salvaged;
pub mod secrets;
pub mod unwatched;

use acr_attach_azure::Session;
use acr_attach_core::api::RELEASE;
use acr_attach_core::delivery::contest::Contests;
use acr_attach_core::ids::RegistryId;
use acr_attach_core::outcome::changes::{Change, with_changes};
use acr_attach_core::outcome::last_check::LastCheck;
use acr_attach_core::outcome::last_check::Scope;
use acr_attach_core::outcome::status::{Observed, RoleState};
use acr_attach_core::plan::{self, Assignments, AzureSnapshot, Desired, Finalizer, Owned};
use acr_attach_core::problem::Problem;
use acr_attach_core::pull_secrets::Endpoints;
use acr_attach_core::roles::claims::OwnClaims;
use acr_attach_core::roles::former_identity::Released;
use acr_attach_core::snapshot::azure::Registry;
use acr_attach_core::spec::{Method, Task};
use jiff::Timestamp;
use kube::ResourceExt;

use crate::attachment::apply::credential::CredentialRequest;
use crate::attachment::reconcile::Reconcile;
use crate::attachment::snapshot::detaching::confirmed;
use crate::attachment::state::Revision;

/// What a reconcile read, part by part, and why a part is unknown.
pub struct Snapshot {
    /// What status shows.
    pub observed: Observed,
    /// What was read in Azure that the desired roles depend on.
    pub azure: AzureSnapshot,
    /// The desired state, as far as it is known.
    pub desired: Desired,
    /// What exists, as far as it is known.
    pub owned: Owned,
    /// The hosts of the registry that pull secrets are for.
    pub source: Option<Endpoints>,
    /// The claims on role assignments, if they were read.
    pub claims: Option<OwnClaims>,
    /// The session with Azure Resource Manager, if one is open.
    pub session: Option<Session>,
    /// Why something in the cluster is not known.
    pub unseen: Option<Problem>,
    /// Whether `unseen` is because a cache has not been filled yet.
    pub unread: bool,
    /// Why something in the cluster that is no longer desired was not removed.
    pub unremoved: Option<Problem>,
    /// Why the client secret that the next credential needs cannot be used.
    pub missing: Option<Problem>,
    /// What this check of Azure found, or the last one.
    pub check: LastCheck,
}

impl Snapshot {
    /// The snapshot before anything was read.
    pub fn new(this: Reconcile<'_>) -> Self {
        let Reconcile { object, findings, .. } = this;
        let check = match this.scope {
            Scope::Azure => findings.check.before_the_next(),
            Scope::Cluster => findings.check.clone(),
        };
        let owned = Owned {
            uid: object.uid().unwrap_or_default(),
            finalizers: Revision::of(object).finalizers().clone(),
            assignments: None,
            secrets: None,
            gone_uids: std::collections::BTreeSet::new(),
            accepted: this.accepted().and_then(|it| it.accepted()),
            refused_digests: check.refused.clone(),
            accounts: None,
            contests: Contests::default(),
        };
        let mut observed = Observed::default();
        let released = object.annotations().get(RELEASE);
        observed.released = Released::parse(released.map(String::as_str));
        if let Task::Attach(attachment) = this.task {
            observed.method = Some(attachment.method.in_use());
            observed.remark.clone_from(&findings.remark);
        }
        Self {
            observed,
            azure: AzureSnapshot::default(),
            desired: Desired::unknown(),
            owned,
            source: None,
            claims: None,
            session: None,
            unseen: None,
            unread: false,
            unremoved: None,
            missing: None,
            check,
        }
    }

    /// What a credential is made from; `None` while that is unknown, or where there are no pull secrets.
    pub fn request<'a>(&'a self, this: Reconcile<'a>) -> Option<CredentialRequest<'a>> {
        let Task::Attach(attachment) = this.task else { return None };
        let spec = match &attachment.method {
            Method::PullSecret(spec) => spec,
            Method::KubeletIdentity(asked) => asked.former.as_ref()?,
        };
        let refusal = self.check.refusal.as_ref();
        let grant = self
            .desired
            .grants
            .iter()
            .flatten()
            .next()
            .filter(|_| !self.desired.grants_are_for_nodes);
        let role_since = grant.and_then(|it| plan::held_since(it, &self.owned));
        Some(CredentialRequest { spec, source: self.source.as_ref()?, refusal, role_since })
    }

    /// Reads in Azure what the task depends on, or takes it from the last check. Decides which roles are
    /// desired.
    pub async fn check(&mut self, this: Reconcile<'_>) {
        let read = self.read(this).await;
        let decided = self.decide(this);
        if let Err(problem) = read.and(decided) {
            self.check.problem = Some(problem);
        }
        self.reread_blocking().await;
        if self.owned.assignments.is_none() {
            // A registry that hangs must not keep a permit for Azure Resource Manager.
            self.session = None;
        }
    }

    async fn read(&mut self, this: Reconcile<'_>) -> Result<(), Problem> {
        if let Some(lost) = this.lost {
            return Err(lost.clone());
        }
        match this.task {
            Task::Attach(attachment) => match &attachment.method {
                Method::KubeletIdentity(asked) if this.scope == Scope::Cluster => {
                    self.recall_role(&attachment.registry, asked, this);
                    Ok(())
                }
                Method::KubeletIdentity(asked) => {
                    self.kubelet_identity(&attachment.registry, asked, this).await
                }
                Method::PullSecret(secret) => self.pull_secret(attachment, secret, this).await,
            },
            Task::Detach(Some(leaving)) => self.detaching(leaving, this).await,
            Task::Detach(None) => {
                self.owned.assignments = Some(Assignments::none());
                Ok(())
            }
        }
    }

    /// Decides which roles are desired. Where the spec is invalid outside the part that describes the pull
    /// secrets, roles stay as they are.
    fn decide(&mut self, this: Reconcile<'_>) -> Result<(), Problem> {
        if this.spec_problem.is_some() {
            return Ok(());
        }
        let shown = this.object.status.as_ref();
        let (desired, problem) =
            plan::desired(this.task, &self.azure, shown, &self.observed.released);
        self.desired = Desired { inputs: self.desired.inputs.take(), ..desired };
        problem.map_or(Ok(()), Err)
    }

    /// Notes the registry that roles are for.
    pub fn note_registry(&mut self, registry: &Registry) {
        self.check.registry = Some(registry.clone());
        self.azure.mode_since = self.check.note_mode(Timestamp::now());
        self.azure.registry = Some(registry.clone());
    }

    /// The registry of the last check of Azure, else the one in status.
    pub fn before(&self, this: Reconcile<'_>) -> Option<RegistryId> {
        let known = self.check.registry.as_ref().map(|it| it.id.clone());
        known.or_else(|| registry::told(this.object))
    }

    /// Reads the claims of the attachment, once per reconcile. This comes before the session, since it may
    /// take a permit of its own.
    pub async fn own_claims(&mut self, this: Reconcile<'_>) -> Result<OwnClaims, Problem> {
        if let Some(known) = &self.claims {
            return Ok(known.clone());
        }
        let own = this.ctx.claims(this.object, this.findings.since).await?;
        self.observed.claims = Some(own.clone());
        self.claims = Some(own.clone());
        Ok(own)
    }

    /// Applies changes of role assignments to those that were read.
    pub fn take(&mut self, changes: &[Change]) {
        if let Some(owns) = &mut self.owned.assignments {
            owns.found = with_changes(std::mem::take(&mut owns.found), changes);
        }
    }

    /// Reads the role assignments of the registry, if the attachment wants a role or bears the finalizer for
    /// role assignments. Otherwise it holds none. With [`Scope::Cluster`] they are not read.
    pub async fn assignments(
        &mut self,
        registry: &RegistryId,
        wanted: bool,
        this: Reconcile<'_>,
    ) -> Result<(), Problem> {
        if !wanted && !self.owned.finalizers.contains(&Finalizer::RoleAssignments) {
            self.observed.roles = Some(RoleState::default());
            return Ok(());
        }
        if this.scope == Scope::Cluster {
            return Ok(());
        }
        let own = self.own_claims(this).await?;
        if self.session.is_none() {
            self.session = Some(this.session()?);
        }
        let Some(session) = &self.session else { return Ok(()) };
        let found = match session.reader.role_assignments(registry).await {
            Err(error) if error.is_not_found() => Vec::new(),
            answer => answer?,
        };
        let found = Assignments::on(registry, own, found);
        let assignments =
            if wanted { found } else { confirmed(found, registry, &session.reader, this).await? };
        self.owned.assignments = Some(assignments);
        Ok(())
    }

    /// Reads by their ids the assignments that block desired roles, since lists of Azure lag behind deletions and
    /// changes. Where that read fails, the list counts.
    async fn reread_blocking(&mut self) {
        let Self { session: Some(session), owned, desired, .. } = self else { return };
        let Some(owns) = &mut owned.assignments else { return };
        for grant in desired.grants.iter().flatten().chain(&desired.prepared) {
            let Some(id) = plan::blocking_assignment(grant, owns).cloned() else { continue };
            if let Ok(found) = session.reader.role_assignment(&id).await {
                owns.found.retain(|it| it.id != id);
                owns.found.extend(found);
            }
        }
    }
}

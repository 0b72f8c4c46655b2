//! Observe: what there is, in the cluster and in Azure. Reads, and only reads.

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

use std::sync::Arc;

use acr_attach_azure::Session;
use acr_attach_core::api::{RELEASE, RegistryAttachment};
use acr_attach_core::delivery::contest::Contests;
use acr_attach_core::ids::{ClusterId, RegistryId};
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
use crate::attachment::apply::{Change, with_changes};
use crate::attachment::context::Context;
use crate::attachment::snapshot::detaching::confirmed;
use crate::attachment::snapshot::method::has_role;
use crate::attachment::state::last_check::LastCheck;
use crate::attachment::state::{Findings, Revision};
use crate::cluster::secrets::Written;

/// How closely a reconcile looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Everything is read anew.
    #[default]
    Azure,
    /// Something in the cluster changed, or the operator has just started: what is known of
    /// Azure is used.
    Cluster,
}

/// What a reconcile is about.
#[derive(Clone, Copy)]
pub struct Reconcile<'a> {
    /// The attachment.
    pub object: &'a RegistryAttachment,
    /// What is to be brought about.
    pub task: &'a Task,
    /// How closely it looks.
    pub scope: Scope,
    /// What is known from the reconciles before.
    pub findings: &'a Findings,
    /// Why nobody knows where its role assignments are.
    pub lost: Option<&'a Problem>,
    /// Why the spec is invalid or not allowed beside the part that says what is served.
    pub spec_problem: Option<&'a Problem>,
    /// What all reconciles share.
    pub ctx: &'a Context,
}

impl Reconcile<'_> {
    /// The cluster that a role was decided for. What nodes check like later changes nothing.
    pub fn cluster_before(&self) -> Option<ClusterId> {
        let told = self.object.status.as_ref()?.kubelet_identity.as_ref()?;
        let id = told.cluster_resource_id.as_ref()?.parse().ok()?;
        has_role(self.object).then_some(id)
    }

    /// The uid of the attachment.
    pub fn uid(&self) -> String {
        self.object.uid().unwrap_or_default()
    }

    /// The credential that was accepted last.
    pub fn accepted(&self) -> Option<Arc<Written>> {
        self.ctx.delivery.accepted(&self.uid())
    }

    /// Who is called when there is a place at Azure Resource Manager.
    pub fn caller(&self) -> String {
        self.object.name_any()
    }

    /// Takes a place at Azure Resource Manager. Without one the attachment is called when there
    /// is one.
    ///
    /// # Errors
    /// A turn when none is free.
    pub fn session(&self) -> Result<Session, Problem> {
        let session = self.ctx.azure.session(Some(&self.caller()))?;
        Ok(session.reading_since(self.findings.since))
    }
}

/// What was found, part by part, and what could not be found out.
pub struct Snapshot {
    /// For status.
    pub observed: Observed,
    /// What was read in Azure that the desired roles depend on.
    pub azure: AzureSnapshot,
    /// What should hold, as far as known.
    pub desired: Desired,
    /// What there is, as far as known.
    pub owned: Owned,
    /// The registry that the pull secret is for.
    pub source: Option<Endpoints>,
    /// The claims on role assignments, if they were asked for.
    pub claims: Option<OwnClaims>,
    /// The place at Azure Resource Manager, if it was needed.
    pub session: Option<Session>,
    /// Why something in the cluster is not known.
    pub unseen: Option<Problem>,
    /// Whether that is because a cache has not been filled yet.
    pub unread: bool,
    /// Why something in the cluster that is no longer desired was not removed.
    pub unremoved: Option<Problem>,
    /// What the next credential cannot be made without.
    pub missing: Option<Problem>,
    /// What Azure said, now or when it was last asked.
    pub check: LastCheck,
}

impl Snapshot {
    /// Nothing has been looked at yet.
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

    /// What pull secrets are made from, as far as that is known.
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

    /// Reads in Azure what the task depends on, or recalls it, and decides which roles are desired.
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

    /// Decides which roles are desired. Where the spec is invalid apart from what is served, roles stay as
    /// they are.
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

    /// The registry that was found before.
    pub fn before(&self, this: Reconcile<'_>) -> Option<RegistryId> {
        let known = self.check.registry.as_ref().map(|it| it.id.clone());
        known.or_else(|| registry::told(this.object))
    }

    /// The claims of the attachment. They come before the session, since they may take a permit of their own.
    pub async fn own_claims(&mut self, this: Reconcile<'_>) -> Result<OwnClaims, Problem> {
        if let Some(known) = &self.claims {
            return Ok(known.clone());
        }
        let own = this.ctx.claims(this.object, this.findings.since).await?;
        self.observed.claims = Some(own.clone());
        self.claims = Some(own.clone());
        Ok(own)
    }

    /// Takes what was done to role assignments.
    pub fn take(&mut self, changes: &[Change]) {
        if let Some(owns) = &mut self.owned.assignments {
            owns.found = with_changes(std::mem::take(&mut owns.found), changes);
        }
    }

    /// Role assignments that are ours to give back, if there can be any: without our finalizer,
    /// and where none is wanted, there are none. A glance leaves them as they are.
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

    /// Reads by their ids the assignments that are in the way of desired roles: lists of Azure lag behind what was
    /// deleted or changed. Where Azure does not tell, the list has the last word.
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

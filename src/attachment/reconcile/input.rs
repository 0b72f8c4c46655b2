//! What a reconcile works on.

use std::sync::Arc;

use acr_attach_azure::Session;
use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::ids::ClusterId;
use acr_attach_core::outcome::last_check::Scope;
use acr_attach_core::problem::Problem;
use acr_attach_core::spec::Task;
use kube::ResourceExt;

use crate::attachment::context::Context;
use crate::attachment::snapshot::method::has_role;
use crate::attachment::state::Findings;
use crate::cluster::secrets::Written;

/// The input of a reconcile.
#[derive(Clone, Copy)]
pub struct Reconcile<'a> {
    /// The attachment.
    pub object: &'a RegistryAttachment,
    /// The task: to attach or to detach.
    pub task: &'a Task,
    /// What the reconcile reads.
    pub scope: Scope,
    /// What earlier reconciles found.
    pub findings: &'a Findings,
    /// Why this version cannot read where the role assignments of the attachment are.
    pub lost: Option<&'a Problem>,
    /// Why the spec is invalid or not allowed outside the part that describes the pull secrets.
    pub spec_problem: Option<&'a Problem>,
    /// What all reconciles share.
    pub ctx: &'a Context,
}

impl Reconcile<'_> {
    /// The cluster that a role was decided for, by status. It counts where the AKS cluster of the nodes can
    /// no longer be detected.
    pub fn cluster_before(&self) -> Option<ClusterId> {
        let told = self.object.status.as_ref()?.kubelet_identity.as_ref()?;
        let id = told.cluster_resource_id.as_ref()?.parse().ok()?;
        has_role(self.object).then_some(id)
    }

    /// Whether the spec asks for nothing at the moment.
    pub fn is_suspended(&self) -> bool {
        self.object.spec.suspend && self.object.metadata.deletion_timestamp.is_none()
    }

    /// The uid of the attachment.
    pub fn uid(&self) -> String {
        self.object.uid().unwrap_or_default()
    }

    /// The last credential that the registry accepted.
    pub fn accepted(&self) -> Option<Arc<Written>> {
        self.ctx.delivery.accepted(&self.uid())
    }

    /// The name under which the attachment is queued for a permit for Azure Resource Manager.
    pub fn caller(&self) -> String {
        self.object.name_any()
    }

    /// Opens a session with Azure Resource Manager, which holds a permit. Without a free permit the
    /// attachment is queued, and triggered when one is free.
    ///
    /// # Errors
    /// `Queued`, with the wait, when no permit is free.
    pub fn session(&self) -> Result<Session, Problem> {
        let session = self.ctx.azure.session(Some(&self.caller()))?;
        Ok(session.reading_since(self.findings.since))
    }
}

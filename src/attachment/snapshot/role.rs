//! Snapshot for the role of the kubelet identity.

use acr_attach_core::plan::{Assignments, Puller};
use acr_attach_core::problem::Problem;
use acr_attach_core::roles::former_identity::CurrentIdentity;
use acr_attach_core::spec::{KubeletIdentity, RegistryName};

use crate::attachment::reconcile::Reconcile;
use crate::attachment::snapshot::Snapshot;
use crate::attachment::snapshot::identity::{self, Identity};
use crate::attachment::snapshot::registry::{Wanted, usable};
use crate::attachment::snapshot::secrets::shown_registry;

impl Snapshot {
    /// Takes what the last check of Azure found for a role. Former pull secrets are still renewed: after a
    /// start of the operator, with the registry in status.
    pub fn recall_role(
        &mut self,
        name: &RegistryName,
        asked: &KubeletIdentity,
        this: Reconcile<'_>,
    ) {
        self.observed = this.findings.observed.clone();
        let registry = self.check.registry.clone().or_else(|| shown_registry(this.object, name));
        if let Some(registry) = registry {
            self.former(asked.former.as_ref(), &registry, this.ctx);
        }
    }

    /// Notes the kubelet identity for status, with the former ones and the ages of nodes.
    async fn note_identity(&mut self, identity: CurrentIdentity, this: Reconcile<'_>) {
        let observed = &mut self.observed;
        observed.cluster.clone_from(&identity.cluster);
        observed.principal = Some(identity.principal);
        observed.identity_type = identity.identity_type;
        let shown = this.object.status.as_ref();
        observed.replaced = identity.replaced(shown.and_then(|it| it.kubelet_identity.as_ref()));
        observed.node_ages = this.ctx.node_facts().await.and_then(|it| it.ages);
        self.azure.puller = Some(Puller::Nodes(identity));
    }

    /// Reads the kubelet identity, the registry and its role assignments.
    pub async fn kubelet_identity(
        &mut self,
        name: &RegistryName,
        asked: &KubeletIdentity,
        this: Reconcile<'_>,
    ) -> Result<(), Problem> {
        let own = self.own_claims(this).await?;
        let origin = identity::Origin::from(&asked.source, this.cluster_before(), this).await?;
        let (subscription, before) = (origin.subscription(), self.before(this));
        let wanted = Wanted { name, subscription, before };
        let session = this.session()?;
        let azure = &session.reader;
        let mut registry = wanted.read(azure, this.ctx).await?;
        let before = self.check.registry.take().and_then(|it| it.regional);
        registry.regional = registry.regional.or(before);
        self.note_registry(&registry);
        self.observed.registry = Some(registry.clone());
        usable(&registry)?;
        self.former(asked.former.as_ref(), &registry, this.ctx);
        let Identity { identity, warning } = origin.identity(azure).await?;
        self.note_identity(identity, this).await;
        let too_old = identity::old_nodes_warning(&registry, this.ctx).await;
        let remarks = [self.observed.remark.take(), warning, too_old];
        self.observed.remark = remarks.into_iter().flatten().reduce(|a, b| format!("{a}; {b}"));
        let found = azure.role_assignments(&registry.id).await?;
        self.owned.assignments = Some(Assignments::on(&registry.id, own, found));
        self.session = Some(session);
        Ok(())
    }
}

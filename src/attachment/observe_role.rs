//! Observe, for the role of the kubelet identity.

use acr_attach_core::plan::{Assignments, Puller};
use acr_attach_core::problem::Problem;
use acr_attach_core::roles::former_identity::CurrentIdentity;
use acr_attach_core::spec::{KubeletIdentity, RegistryName};

use super::identity::{self, Identity};
use super::observe::{Observation, Pass};
use super::observe_secrets::shown_registry;
use super::registry::{Wanted, usable};

impl Observation {
    /// Takes what the last look has found of a role. Former pull secrets are renewed on, after a start
    /// from the registry that status tells of.
    pub(super) fn recall_role(
        &mut self,
        name: &RegistryName,
        asked: &KubeletIdentity,
        pass: Pass<'_>,
    ) {
        self.observed = pass.known.observed.clone();
        let registry = self.look.registry.clone().or_else(|| shown_registry(pass.object, name));
        if let Some(registry) = registry {
            self.former(asked.former.as_ref(), &registry, pass.ctx);
        }
    }

    /// Notes the kubelet identity for status, with the former ones and the ages of nodes.
    async fn note_identity(&mut self, identity: CurrentIdentity, pass: Pass<'_>) {
        let observed = &mut self.observed;
        observed.cluster.clone_from(&identity.cluster);
        observed.principal = Some(identity.principal);
        observed.identity_type = identity.identity_type;
        let shown = pass.object.status.as_ref();
        observed.replaced = identity.replaced(shown.and_then(|it| it.kubelet_identity.as_ref()));
        observed.node_ages = pass.ctx.told_by_nodes().await.and_then(|it| it.ages);
        self.azure.puller = Some(Puller::Nodes(identity));
    }

    /// Reads the kubelet identity, the registry and its role assignments.
    pub(super) async fn kubelet_identity(
        &mut self,
        name: &RegistryName,
        asked: &KubeletIdentity,
        pass: Pass<'_>,
    ) -> Result<(), Problem> {
        let own = self.own_claims(pass).await?;
        let known = identity::Known::from(&asked.source, pass.cluster_before(), pass).await?;
        let (subscription, before) = (known.subscription(), self.before(pass));
        let wanted = Wanted { name, subscription, before };
        let session = pass.session()?;
        let azure = &session.reader;
        let mut registry = wanted.read(azure, pass.ctx).await?;
        let before = self.look.registry.take().and_then(|it| it.regional);
        registry.regional = registry.regional.or(before);
        self.note_registry(&registry);
        self.observed.registry = Some(registry.clone());
        usable(&registry)?;
        self.former(asked.former.as_ref(), &registry, pass.ctx);
        let Identity { identity, warning } = known.identity(azure).await?;
        self.note_identity(identity, pass).await;
        let too_old = identity::old_nodes_warning(&registry, pass.ctx).await;
        let remarks = [self.observed.remark.take(), warning, too_old];
        self.observed.remark = remarks.into_iter().flatten().reduce(|a, b| format!("{a}; {b}"));
        let found = azure.role_assignments(&registry.id).await?;
        self.owned.assignments = Some(Assignments::on(&registry.id, own, found));
        self.session = Some(session);
        Ok(())
    }
}

//! Observe, for the role of the kubelet identity.

use acr_attach_core::api::RELEASE;
use acr_attach_core::plan::Assignments;
use acr_attach_core::problem::Problem;
use acr_attach_core::roles::former_identity::{CurrentIdentity, Released, of_pull_secrets};
use acr_attach_core::roles::pull_role::{self, PullAccess, PullRoles};
use acr_attach_core::spec::{KubeletIdentity, RegistryName};

use kube::ResourceExt;

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
        self.desired.grants_are_for_nodes = true;
        self.observed = pass.known.observed.clone();
        let registry = self.look.registry.clone().or_else(|| shown_registry(pass.object, name));
        if let Some(registry) = registry {
            self.former(asked.former.as_ref(), &registry, pass.ctx);
        }
    }

    /// Decides which former identities may lose their roles.
    async fn former_identities(&mut self, identity: &Identity, pass: Pass<'_>) {
        let current = CurrentIdentity {
            principal: identity.principal,
            cluster: identity.cluster.clone(),
            identity_type: identity.kind,
        };
        let shown = pass.object.status.as_ref();
        let replaced = current.replaced(shown.and_then(|it| it.kubelet_identity.as_ref()));
        let assigned = shown.and_then(|it| it.role_assignments.as_deref()).unwrap_or_default();
        let released = Released::parse(pass.object.annotations().get(RELEASE).map(String::as_str));
        let releasable = &(&replaced | &of_pull_secrets(assigned)) | &released.principals;
        self.desired.releasable = Some(releasable);
        self.observed.replaced = replaced;
        self.observed.released = released;
        self.observed.node_ages = pass.ctx.told_by_nodes().await.and_then(|it| it.ages);
    }

    /// Reads the kubelet identity, the registry and its role assignments.
    pub(super) async fn kubelet_identity(
        &mut self,
        name: &RegistryName,
        asked: &KubeletIdentity,
        prepare_for_abac: bool,
        pass: Pass<'_>,
    ) -> Result<(), Problem> {
        let repositories = &asked.repositories;
        let access = PullAccess { repositories, prepare_for_abac, is_kept: true };
        let own = self.own_claims(pass).await?;
        let known = identity::Known::from(&asked.source, pass.cluster_before(), pass).await?;
        let (subscription, before) = (known.subscription(), self.before(pass));
        let wanted = Wanted { name, subscription, before };
        let session = pass.session()?;
        let azure = &session.reader;
        let mut registry = wanted.read(azure, pass.ctx).await?;
        let before = self.look.registry.take().and_then(|it| it.regional);
        registry.regional = registry.regional.or(before);
        self.look.registry = Some(registry.clone());
        self.observed.registry = Some(registry.clone());
        usable(&registry)?;
        self.former(asked.former.as_ref(), &registry, pass.ctx);
        let identity = known.identity(azure).await?;
        self.observed.cluster.clone_from(&identity.cluster);
        self.observed.principal = Some(identity.principal);
        self.observed.identity_type = identity.kind;
        self.former_identities(&identity, pass).await;
        let too_old = identity::old_nodes_warning(&registry, pass.ctx).await;
        let remarks = [self.observed.remark.take(), identity.remark, too_old];
        self.observed.remark = remarks.into_iter().flatten().reduce(|a, b| format!("{a}; {b}"));
        let found = azure.role_assignments(&registry.id).await?;
        self.owned.assignments = Some(Assignments::on(&registry.id, own, found));
        let roles = PullRoles::of(&registry, identity.principal, access);
        self.desired.settled = identity.settled && pull_role::may_replace(&registry);
        let answer = self.desire(roles, azure).await;
        self.session = Some(session);
        answer
    }
}

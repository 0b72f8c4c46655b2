//! Snapshot for pull secrets: the registry, and the role of the service principal.

use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::outcome::last_check::Scope;
use acr_attach_core::outcome::status::RoleState;
use acr_attach_core::plan::{Finalizer, Puller};
use acr_attach_core::problem::Problem;
use acr_attach_core::pull_secrets::{Endpoints, Inputs, PullSecret};
use acr_attach_core::snapshot::azure::Registry;
use acr_attach_core::spec::{Attachment, RegistryName};

use crate::attachment::context::Context;
use crate::attachment::facts::permitted;
use crate::attachment::reconcile::Reconcile;
use crate::attachment::snapshot::Snapshot;
use crate::attachment::snapshot::registry::{self, usable};

impl Snapshot {
    /// Reads the registry, the inputs of the credential, and the role assignments of either method.
    pub async fn pull_secret(
        &mut self,
        attachment: &Attachment,
        secret: &PullSecret,
        this: Reconcile<'_>,
    ) -> Result<(), Problem> {
        let holds = self.owned.finalizers.contains(&Finalizer::RoleAssignments);
        // What serves does not wait for the claims.
        let claims = if (secret.assigns_role || holds) && this.scope == Scope::Azure {
            self.own_claims(this).await.map(drop)
        } else {
            Ok(())
        };
        let name = &attachment.registry;
        let source = self.source(name, this).await?;
        // Pull secrets in use are renewed, whatever else is wrong with the spec.
        self.made_from(secret, source.clone(), this.ctx);
        self.observed.endpoints = Some(source);
        if this.spec_problem.is_some() {
            return Ok(());
        }
        let by_arm = !matches!(name, RegistryName::LoginServer(_));
        let Some(registry) = self.check.registry.clone().filter(|_| by_arm) else {
            self.observed.roles = Some(RoleState::default());
            return Ok(());
        };
        self.note_registry(&registry);
        let access = attachment.access();
        if !access.prepare_for_abac && access.check(&registry).is_err() {
            // The registry cannot narrow access to the repositories: no role is assigned or removed.
            return Ok(());
        }
        claims?;
        self.assignments(&registry.id, secret.assigns_role, this).await?;
        self.service_principal(secret, this).await
    }

    /// Reads the object id of the service principal, where it gets a role and a session is open.
    async fn service_principal(
        &mut self,
        secret: &PullSecret,
        this: Reconcile<'_>,
    ) -> Result<(), Problem> {
        let reads = secret.assigns_role && self.owned.assignments.is_some();
        let Some(session) = self.session.as_ref().filter(|_| reads) else { return Ok(()) };
        let read = this.ctx.principals.object_id(&secret.principal, &session.reader).await;
        let client = &secret.principal.client;
        let before = self.check.principal.take().filter(|(before, _)| before == client);
        if read.is_err() && before.is_none() {
            // Without the object id, nothing more is done in Azure Resource Manager. Its permit is given back here,
            // since the registry is asked next and may hang.
            self.session = None;
        }
        let principal = match (read, before) {
            // The lookup failed, so that the last known object id counts.
            (Err(_), Some((_, principal))) => principal,
            (read, _) => read?,
        };
        self.check.principal = Some((client.clone(), principal));
        self.azure.puller = Some(Puller::PullSecrets(principal));
        Ok(())
    }

    /// Notes the inputs of pull secrets: the hosts of the registry and the digest of the client secret.
    fn made_from(&mut self, secret: &PullSecret, endpoints: Endpoints, ctx: &Context) {
        let Some(endpoints) = permitted(endpoints, ctx) else { return };
        let digest = secret.principal.secret.as_ref().map(|reference| {
            let seen = ctx.watches.credentials.get(&ctx.namespace, &reference.name)?;
            let digest = ctx.principals.digest(reference, seen.as_ref());
            digest.map(str::to_owned).inspect_err(|problem| self.missing = Some(problem.clone()))
        });
        // While the digest is unknown, pull secrets in use stay as they are.
        let digest = digest.transpose().ok().flatten();
        self.desired.inputs = Some(Inputs::of(secret, &endpoints, digest.as_deref()));
        self.source = Some(endpoints);
    }

    /// Notes the inputs of the former pull secrets, which a role is yet to replace.
    pub fn former(&mut self, secret: Option<&PullSecret>, registry: &Registry, ctx: &Context) {
        if let Some(secret) = secret.filter(|it| ctx.policy.permit_pull_secret(it).is_ok()) {
            self.made_from(secret, Endpoints::from(registry), ctx);
        }
    }

    /// The hosts of the registry. Where Azure Resource Manager does not answer, its earlier answer counts, so
    /// that pull secrets are still renewed. With [`Scope::Cluster`] the registry is read only if no answer is
    /// known.
    async fn source(
        &mut self,
        name: &RegistryName,
        this: Reconcile<'_>,
    ) -> Result<Endpoints, Problem> {
        let Reconcile { object, scope, ctx, .. } = this;
        if let RegistryName::LoginServer(server) = name {
            let login_server = server.clone();
            return Ok(Endpoints { login_server, regional: Vec::new(), mode: None });
        }
        let before = self.check.registry.clone().or_else(|| shown_registry(object, name));
        let cluster_only = scope == Scope::Cluster;
        let registry = match (before, &self.check.problem) {
            (Some(registry), _) if cluster_only => registry,
            (None, Some(problem)) if cluster_only => return Err(problem.clone()),
            (before, _) => match self.registry(name, this).await {
                Ok(mut registry) => {
                    // An older api-version does not return the regional hosts, so the known ones are kept.
                    let before = before.filter(|it| it.id == registry.id);
                    registry.regional = registry.regional.or_else(|| before?.regional);
                    registry
                }
                Err(problem) => {
                    self.check.problem = Some(problem.clone());
                    before.ok_or(problem)?
                }
            },
        };
        ctx.policy.permit_login_server(&registry.login_server)?;
        let source = Endpoints::from(&registry);
        self.check.registry = Some(registry.clone());
        self.observed.registry = Some(registry);
        Ok(source)
    }

    async fn registry(
        &mut self,
        name: &RegistryName,
        this: Reconcile<'_>,
    ) -> Result<Registry, Problem> {
        let wanted = registry::Wanted { name, subscription: None, before: self.before(this) };
        let session = this.session()?;
        let registry = wanted.read(&self.session.insert(session).reader, this.ctx).await?;
        usable(&registry)?;
        Ok(registry)
    }
}

/// The registry as status shows it, from an answer of Azure before the operator started; `None` where status
/// shows another registry, or not all of it.
pub fn shown_registry(object: &RegistryAttachment, name: &RegistryName) -> Option<Registry> {
    let id = registry::told(object)?;
    let same = match name {
        RegistryName::Id(named) => *named == id,
        RegistryName::Name { name, .. } => id.is_named(name),
        RegistryName::LoginServer(_) => false,
    };
    let told = object.status.as_ref()?.registry.as_ref().filter(|_| same)?;
    Some(Registry {
        id,
        login_server: told.login_server.as_ref()?.parse().ok()?,
        regional: told
            .regional_login_servers
            .as_ref()
            .map(|all| all.iter().filter_map(|it| it.parse().ok()).collect()),
        mode: Some(told.role_assignment_mode?),
        provisioning_state: "Succeeded".to_owned(),
        accepts_arm_tokens: true,
    })
}

//! Observe, for pull secrets: what the watches have shown, and the registry.

use std::collections::BTreeSet;

use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::outcome::status::RoleState;
use acr_attach_core::plan::{DesiredSecrets, Finalizer};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::pull_secrets::{Endpoints, Inputs, PullSecret, desired_pull_secrets};
use acr_attach_core::roles::pull_role::{self, check_repositories};
use acr_attach_core::snapshot::azure::Registry;
use acr_attach_core::snapshot::cluster::{Namespace, StoredSecret};
use acr_attach_core::spec::policy::PULL_SECRETS;
use acr_attach_core::spec::{Method, RegistryName, Task};
use kube::core::{Selector, SelectorExt};

use super::context::Context;
use super::observe::{Observation, Occasion, Pass, reread};
use super::registry::{self, usable};

impl Observation {
    /// Takes what the watches have shown: the namespaces that are to have the Secret, and what
    /// is ours in the cluster.
    pub async fn cluster(&mut self, task: &Task, ctx: &Context) {
        let result = match task {
            Task::Attach(attachment) => match &attachment.method {
                Method::PullSecret(secret) => self.cluster_of(secret, ctx).await,
                Method::KubeletIdentity(..) => {
                    self.desired.grants_are_for_nodes = true;
                    self.desired.secrets = Some(DesiredSecrets::new());
                    let left = self.leftovers(ctx);
                    // Without our finalizer, or the watches, there is nothing to switch from.
                    let may_be = self.owned.finalizers.contains(&Finalizer::ServiceAccounts);
                    left.or_else(|problem| if may_be { Err(problem) } else { Ok(()) })
                }
            },
            Task::Detach(_) => {
                self.desired.secrets = Some(DesiredSecrets::new());
                let leftovers = self.entries_to_remove(ctx);
                // Garbage collection takes the Secrets.
                self.owned.secrets = None;
                leftovers
            }
        };
        self.unseen = self.unseen.take().or(result.err());
    }

    /// Without our finalizer there are none.
    fn entries_to_remove(&mut self, ctx: &Context) -> Result<(), Problem> {
        if !self.owned.finalizers.contains(&Finalizer::ServiceAccounts) {
            return Ok(());
        }
        if !ctx.policy.pull_secrets {
            let advice = format!(
                "set {PULL_SECRETS} to true, or take them out by hand and remove finalizer {}",
                Finalizer::ServiceAccounts.name()
            );
            let account = "taking pull secrets out of service accounts: the operator's settings do not allow it";
            return Err(Problem::advised(Cause::NotAllowed, &advice, &[account.to_owned()]));
        }
        self.leftovers(ctx)
    }

    /// What of ours there is in the cluster.
    fn leftovers(&mut self, ctx: &Context) -> Result<(), Problem> {
        let uid = self.owned.uid.clone();
        let marked = ctx.watches.accounts.select(|it| it.marks.values().any(|mark| *mark == uid));
        self.owned.accounts = Some(marked?.into_iter().collect());
        let ours = ctx.watches.secrets.select(|it| it.is_owned_by(&uid))?;
        self.owned.secrets = Some(ours.into_iter().collect());
        Ok(())
    }

    async fn cluster_of(&mut self, secret: &PullSecret, ctx: &Context) -> Result<(), Problem> {
        let uid = self.owned.uid.clone();
        let namespaces = namespaces(secret, ctx)?;
        let wanted = desired_pull_secrets(secret, &namespaces);
        let there: BTreeSet<&str> = wanted.secrets.iter().map(|it| it.namespace.as_str()).collect();
        let found = ctx.watches.secrets.select(|it| {
            it.is_owned_by(&uid)
                || (it.name == secret.name && there.contains(it.namespace.as_str()))
        })?;
        let accounts = ctx.watches.accounts.select(|it| {
            there.contains(it.namespace.as_str()) || it.marks.values().any(|mark| *mark == uid)
        });
        // That service accounts cannot be read is no reason to let credentials end.
        let accounts = self.or_unseen(accounts);
        let marks = accounts.iter().flatten().filter_map(|it| it.marks.get(&secret.name));
        let gone = gone(&found, marks, &uid, ctx).await;
        self.owned.gone_uids = self.or_unseen(gone).unwrap_or_default();
        self.owned.secrets = Some(found.into_iter().collect());
        self.owned.accounts = accounts.map(|all| all.into_iter().collect());
        self.desired.accounts = secret.accounts.clone();
        let deliveries = wanted.secrets.iter().map(|it| (it.namespace.clone(), it.clone()));
        self.desired.secrets = Some(deliveries.collect());
        self.wanted = Some(wanted);
        Ok(())
    }

    /// Keeps why something is not known.
    fn or_unseen<T>(&mut self, seen: Result<T, Problem>) -> Option<T> {
        seen.map_err(|problem| self.unseen.get_or_insert(problem)).ok()
    }

    /// The registry, the version of the credential, and what is left of the other method.
    pub(super) async fn pull_secret(
        &mut self,
        name: &RegistryName,
        secret: &PullSecret,
        pass: Pass<'_>,
    ) -> Result<(), Problem> {
        // Where nothing was read of the cluster, nothing is desired.
        let Some(wanted) = &self.wanted else { return Ok(()) };
        self.desired.grants = (!secret.assigns_role).then(Vec::new);
        self.desired.settled = !wanted.secrets.is_empty();
        let source = self.source(name, pass).await?;
        if let Some(registry) = &self.observed.registry {
            check_repositories(registry, &secret.repositories)?;
        }
        self.made_from(secret, source.clone(), pass.ctx);
        self.observed.endpoints = Some(source);
        match self.look.registry.clone() {
            Some(registry) if !matches!(name, RegistryName::LoginServer(_)) => {
                self.assignments(&registry.id, secret.assigns_role, pass).await?;
                self.role(&registry, secret, pass).await
            }
            _ => {
                self.observed.roles = Some(RoleState::default());
                Ok(())
            }
        }
    }

    /// The role that lets the service principal pull, if it is to be kept assigned and that was
    /// looked up.
    async fn role(
        &mut self,
        registry: &Registry,
        secret: &PullSecret,
        pass: Pass<'_>,
    ) -> Result<(), Problem> {
        let Some(session) = &self.session else { return Ok(()) };
        if !secret.assigns_role || self.owned.assignments.is_none() {
            return Ok(());
        }
        let told = pass.ctx.principals.object_id(&secret.principal, &session.reader).await;
        let before =
            self.look.principal.clone().filter(|(client, _)| *client == secret.principal.client);
        let principal = match (told, before) {
            // Whoever it is, it is the same as before.
            (Err(_), Some((_, principal))) => principal,
            (told, _) => told?,
        };
        self.look.principal = Some((secret.principal.client.clone(), principal));
        let grant = pull_role::grant(registry, principal, &secret.repositories)?;
        reread(&mut self.owned, &grant, &session.reader).await;
        self.desired.grants = Some(vec![grant]);
        self.desired.settled &= pull_role::may_replace(registry);
        Ok(())
    }

    /// What pull secrets are made from.
    fn made_from(&mut self, secret: &PullSecret, mut source: Endpoints, ctx: &Context) {
        // The policy decides where credentials go, whatever Azure tells of the registry.
        source.regional.retain(|it| ctx.policy.permit_login_server(it).is_ok());
        let reference = secret.principal.secret.as_ref();
        let is_named = |name: &str| reference.is_some_and(|it| it.name == name);
        let credentials = ctx.watches.credentials.select(|it| is_named(&it.name));
        // While it is not known, what serves is left as it is.
        let credentials = self.or_unseen(credentials);
        let seen = credentials.as_ref().map(|all| all.first());
        let digest = reference.zip(seen).map(|(it, seen)| ctx.principals.digest(it, seen));
        let digest = digest.transpose().unwrap_or_else(|problem| {
            self.missing = Some(problem);
            None
        });
        self.desired.inputs = Some(Inputs::of(secret, &source, digest));
        self.source = Some(source);
    }

    /// What pull secrets are made from that a role is yet to replace.
    pub(super) fn former(
        &mut self,
        secret: Option<&PullSecret>,
        registry: &Registry,
        ctx: &Context,
    ) {
        let waiting = self.owned.secrets.as_ref().is_some_and(|it| !it.is_empty());
        let secret = secret.filter(|it| waiting && ctx.policy.permit_pull_secret(it).is_ok());
        if let Some(secret) = secret {
            self.made_from(secret, Endpoints::from(registry), ctx);
        }
    }

    /// What is known of the registry. That Azure Resource Manager does not answer keeps nobody
    /// from pulling: what it told before still counts.
    async fn source(&mut self, name: &RegistryName, pass: Pass<'_>) -> Result<Endpoints, Problem> {
        let Pass { object, occasion, ctx, .. } = pass;
        if let RegistryName::LoginServer(server) = name {
            let login_server = server.clone();
            return Ok(Endpoints { login_server, regional: Vec::new(), mode: None });
        }
        let before = self.look.registry.clone().or_else(|| told(object, name));
        let glances = occasion == Occasion::Glance;
        let registry = match (before, &self.look.problem) {
            (Some(registry), _) if glances => registry,
            (None, Some(problem)) if glances => return Err(problem.clone()),
            (before, _) => match self.registry(name, pass).await {
                Ok(mut registry) => {
                    // An older api-version hides its regional hosts, and takes none of them away.
                    let before = before.filter(|it| it.id == registry.id);
                    registry.regional = registry.regional.or_else(|| before?.regional);
                    registry
                }
                Err(problem) => {
                    self.look.problem = Some(problem.clone());
                    before.ok_or(problem)?
                }
            },
        };
        ctx.policy.permit_login_server(&registry.login_server)?;
        let source = Endpoints::from(&registry);
        self.look.registry = Some(registry.clone());
        self.observed.registry = Some(registry);
        Ok(source)
    }

    async fn registry(&mut self, name: &RegistryName, pass: Pass<'_>) -> Result<Registry, Problem> {
        let wanted = registry::Wanted { name, subscription: None, before: self.before(pass) };
        let session = pass.session()?;
        let registry = wanted.read(&self.session.insert(session).reader, pass.ctx).await?;
        usable(&registry)?;
        Ok(registry)
    }
}

fn namespaces(secret: &PullSecret, ctx: &Context) -> Result<Vec<Namespace>, Problem> {
    let selector = secret.selector.clone().map(Selector::try_from).transpose();
    let selector = selector.map_err(|error| {
        let text = format!("correct the spec: pullSecret.namespaces.selector: {error}");
        Problem::new(Cause::InvalidSpec, text)
    })?;
    let selects = |it: &crate::cluster::watches::NamespaceSeen| {
        selector.as_ref().is_some_and(|selector| selector.matches(&it.labels))
    };
    let seen =
        ctx.watches.namespaces.select(|it| secret.namespaces.contains(&it.name) || selects(it))?;
    let mut all: Vec<_> = seen
        .into_iter()
        .map(|it| Namespace {
            selected: selects(&it),
            terminating: it.terminating,
            created: it.created,
            name: it.name,
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// The attachments that are gone, among those whose Secrets are in the way or whose marks are on
/// entries. They are asked for live: a list that lags behind must not give away what somebody
/// still owns.
async fn gone(
    found: &[StoredSecret],
    marks: impl Iterator<Item = &String>,
    uid: &str,
    ctx: &Context,
) -> Result<BTreeSet<String>, Problem> {
    let owners = found.iter().filter(|it| !it.is_owned_by(uid)).flat_map(StoredSecret::uids);
    let others: BTreeSet<String> = owners.chain(marks.cloned()).filter(|it| it != uid).collect();
    if others.is_empty() {
        return Ok(others);
    }
    let alive = ctx.kubernetes.attachments().await?;
    Ok(others.into_iter().filter(|it| !alive.contains_key(it)).collect())
}

/// The registry as status tells it: what Azure said before the operator was started.
fn told(object: &RegistryAttachment, name: &RegistryName) -> Option<Registry> {
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

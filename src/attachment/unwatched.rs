//! What is left in the cluster under names that the settings no longer allow. No watch shows it.

use std::fmt::Debug;

use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::snapshot::cluster::{ServiceAccount, StoredSecret};
use acr_attach_core::spec::Task;
use acr_attach_core::spec::policy::{PULL_SECRET_NAMES, SERVICE_ACCOUNT_NAMES, UsedNames};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount as StoredAccount};
use kube::Resource;
use kube::api::{Api, ListParams};
use serde::de::DeserializeOwned;

use super::act::Deed;
use super::context::Context;
use super::observe::{Observation, Occasion, Pass};
use crate::cluster::kubernetes::within;
use crate::cluster::{accounts, secrets};

/// As many objects are listed at once.
const PAGE: u32 = 100;

/// What is left.
#[derive(Clone, Debug, Default)]
pub(super) struct Left {
    /// The names under which something may be left.
    names: UsedNames,
    /// Whether they were read.
    read: bool,
    secrets: Vec<StoredSecret>,
    accounts: Vec<ServiceAccount>,
}

impl Observation {
    /// Adds what the attachment has made under names that the settings no longer allow. It is removed
    /// where the operator's rules still let it.
    pub(super) async fn unwatched(&mut self, pass: Pass<'_>) {
        let policy = &pass.ctx.policy;
        self.left.names = policy.forbidden_names(&told(pass.object));
        if !policy.pull_secrets || self.left.names == UsedNames::default() {
            return;
        }
        let detaching = matches!(pass.task, Task::Detach(_));
        if detaching || pass.occasion == Occasion::Look {
            self.look.unread = self.read_left(detaching, pass.ctx).await.err();
            self.left.read = self.look.unread.is_none();
        }
        // The object must not go while entries may be left.
        self.owned.unreadable_entries = !self.left.read && !self.left.names.accounts.is_empty();
        let Left { secrets, accounts, .. } = self.left.clone();
        self.owned.secrets.iter_mut().for_each(|all| all.extend(secrets.clone()));
        self.owned.accounts.iter_mut().for_each(|all| all.extend(accounts.clone()));
    }

    /// Reads as much of it as can be read. When the object goes, its Secrets go with it.
    async fn read_left(&mut self, detaching: bool, ctx: &Context) -> Result<(), Problem> {
        let uid = self.owned.uid.clone();
        let mut result = Ok(());
        for name in &self.left.names.accounts {
            let marked = |it: &StoredAccount| {
                let (_, account) = accounts::reduce(it)?;
                account.marks.values().any(|mark| *mark == uid).then_some(account)
            };
            match listed(name, "", marked, ctx).await {
                Ok(found) => self.left.accounts.extend(found),
                Err(problem) => {
                    let what = "entries in service accounts";
                    result = result.and(Err(forbidden(what, name, SERVICE_ACCOUNT_NAMES, problem)));
                }
            }
        }
        for name in self.left.names.secrets.iter().filter(|_| !detaching) {
            let owned = |it: &Secret| {
                let (_, secret) = secrets::reduce(it)?;
                secret.is_owned_by(&uid).then_some(secret)
            };
            match listed(name, &secrets::selector(), owned, ctx).await {
                Ok(found) => self.left.secrets.extend(found),
                Err(problem) => {
                    result =
                        result.and(Err(forbidden("Secrets", name, PULL_SECRET_NAMES, problem)));
                }
            }
        }
        // The watches show what has a name that is allowed.
        self.left.accounts.retain(|it| !ctx.policy.account_names.allow(&it.name));
        self.left.secrets.retain(|it| !ctx.policy.secret_names.allow(&it.name));
        result
    }

    /// Takes the names under which the attachment has something in the cluster after these deeds.
    pub(super) fn take_names(&mut self, deeds: &[Deed], ctx: &Context) {
        let uid = &self.owned.uid;
        let secrets = ctx.watches.secrets.select(|it| it.is_owned_by(uid));
        let accounts = ctx.watches.accounts.select(|it| it.marks.values().any(|mark| mark == uid));
        let (Ok(secrets), Ok(accounts)) = (secrets, accounts) else { return };
        let left = std::mem::take(&mut self.left).without(deeds);
        let mut names = if left.read { UsedNames::default() } else { left.names };
        names.secrets.extend(secrets.into_iter().chain(left.secrets).map(|it| it.name));
        names.accounts.extend(accounts.into_iter().chain(left.accounts).map(|it| it.name));
        self.observed.names = Some(names);
    }
}

impl Left {
    /// The same after these deeds.
    fn without(mut self, deeds: &[Deed]) -> Self {
        for deed in deeds {
            match deed {
                Deed::Withdrawn(gone) => self.secrets.retain(|it| it.uid != gone.uid),
                Deed::EntryRemoved(gone, _) => self
                    .accounts
                    .retain(|it| (&it.namespace, &it.name) != (&gone.namespace, &gone.name)),
                _ => {}
            }
        }
        self
    }
}

/// The names that status tells. Where status is lost, what is left under other names stays until
/// somebody takes it out.
fn told(object: &RegistryAttachment) -> UsedNames {
    let status = object.status.as_ref();
    let all = |names: Option<&Vec<String>>| names.into_iter().flatten().cloned().collect();
    UsedNames {
        secrets: all(status.and_then(|it| it.secret_names.as_ref())),
        accounts: all(status.and_then(|it| it.service_account_names.as_ref())),
    }
}

/// Lists objects of that name, `*` for any, with these labels in all namespaces, and keeps what
/// `kept` takes of them.
async fn listed<K, T>(
    name: &str,
    labels: &str,
    kept: impl Fn(&K) -> Option<T>,
    ctx: &Context,
) -> Result<Vec<T>, Problem>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let api = Api::<K>::all(ctx.kubernetes.client());
    let mut params = ListParams::default().labels(labels).limit(PAGE);
    if name != "*" {
        params = params.fields(&format!("metadata.name={name}"));
    }
    let doing = format!("listing {} named {name}", K::plural(&()));
    let mut all = Vec::new();
    loop {
        let page = within(&doing, api.list(&params)).await?;
        all.extend(page.items.iter().filter_map(&kept));
        match page.metadata.continue_.filter(|it| !it.is_empty()) {
            Some(more) => params = params.continue_token(&more),
            None => return Ok(all),
        }
    }
}

/// What a refusal of the operator's rules means for names that the settings do not allow.
fn forbidden(what: &str, name: &str, setting: &str, problem: Problem) -> Problem {
    if problem.cause != Cause::AccessDenied {
        return problem;
    }
    let advice = format!(
        "add {name} to {setting} until they are removed, or remove them by hand: docs/operations.md#names-that-are-not-allowed-any-more"
    );
    let account = format!(
        "removing {what} named {name}: the operator's settings do not allow that name any more, and its rules do not let it list them"
    );
    Problem::advised(Cause::NotAllowed, &advice, &[account])
}

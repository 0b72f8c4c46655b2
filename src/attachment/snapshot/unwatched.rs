//! Objects in the cluster under names that the settings no longer allow. No watch shows them.

use std::fmt::Debug;

use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::outcome::changes::NamespaceChange;
use acr_attach_core::outcome::last_check::Scope;
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::snapshot::cluster::{ServiceAccount, StoredSecret};
use acr_attach_core::spec::Task;
use acr_attach_core::spec::policy::{PULL_SECRET_NAMES, SERVICE_ACCOUNT_NAMES, UsedNames};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount as StoredAccount};
use kube::Resource;
use kube::api::{Api, ListParams};
use serde::de::DeserializeOwned;

use crate::attachment::context::Context;
use crate::attachment::reconcile::Reconcile;
use crate::cluster::kubernetes::within;
use crate::cluster::{accounts, secrets};

/// The number of objects in one page of a list.
const PAGE: u32 = 100;

/// The Secrets and entries of an attachment under names that the settings no longer allow.
#[derive(Clone, Debug, Default)]
pub struct Left {
    /// The names under which the attachment may have left objects.
    names: UsedNames,
    /// Whether the objects under these names were read.
    read: bool,
    secrets: Vec<StoredSecret>,
    accounts: Vec<ServiceAccount>,
}

impl Left {
    /// Finds what the attachment has made under names that the settings no longer allow, and the problem if it
    /// cannot be read. Lists the cluster only for a check of Azure and to detach.
    pub async fn of(this: Reconcile<'_>) -> (Self, Option<Problem>) {
        let policy = &this.ctx.policy;
        let names = policy.forbidden_names(&shown_names(this.object));
        let mut left = Self { names, ..Self::default() };
        let detaching = matches!(this.task, Task::Detach(_));
        let reads = detaching || this.scope == Scope::Azure;
        if !policy.pull_secrets || left.names == UsedNames::default() || !reads {
            return (left, None);
        }
        let unread = left.read(this, detaching).await.err();
        left.read = unread.is_none();
        (left, unread)
    }

    /// Whether service accounts may bear entries that were not read.
    pub fn may_hide_entries(&self) -> bool {
        !self.read && !self.names.accounts.is_empty()
    }

    /// The Secrets and service accounts that were read.
    pub fn into_objects(self) -> (Vec<StoredSecret>, Vec<ServiceAccount>) {
        (self.secrets, self.accounts)
    }

    /// The names that the attachment uses in the cluster. `shown` are those that the watches show, and
    /// `removed` what this reconcile has removed.
    pub fn used_names(&self, shown: UsedNames, removed: &[NamespaceChange]) -> UsedNames {
        let mut names = if self.read { UsedNames::default() } else { self.names.clone() };
        let is_deleted = |secret: &StoredSecret| {
            removed
                .iter()
                .any(|it| matches!(it, NamespaceChange::DeletedSecret(it) if it.uid == secret.uid))
        };
        let is_clean = |account: &ServiceAccount| {
            let is_it = |it: &ServiceAccount| {
                (&it.namespace, &it.name) == (&account.namespace, &account.name)
            };
            removed.iter().any(|it| matches!(it, NamespaceChange::RemovedEntry(it, _) if is_it(it)))
        };
        let secrets = self.secrets.iter().filter(|it| !is_deleted(it));
        let accounts = self.accounts.iter().filter(|it| !is_clean(it));
        names.secrets.extend(secrets.map(|it| it.name.clone()).chain(shown.secrets));
        names.accounts.extend(accounts.map(|it| it.name.clone()).chain(shown.accounts));
        names
    }

    /// Reads as many objects as the API server returns. Leaves out Secrets when the attachment is detached,
    /// since garbage collection deletes them with it.
    ///
    /// # Errors
    /// The first problem, after the other names were read.
    async fn read(&mut self, this: Reconcile<'_>, detaching: bool) -> Result<(), Problem> {
        let (uid, ctx) = (this.uid(), this.ctx);
        let mut result = Ok(());
        for name in &self.names.accounts {
            match marked_accounts(name, &uid, ctx).await {
                Ok(found) => self.accounts.extend(found),
                Err(problem) => {
                    let what = "entries in service accounts";
                    result = result.and(Err(forbidden(what, name, SERVICE_ACCOUNT_NAMES, problem)));
                }
            }
        }
        for name in self.names.secrets.iter().filter(|_| !detaching) {
            let owned = |it: &Secret| {
                let (_, secret) = secrets::reduce(it)?;
                secret.is_owned_by(&uid).then_some(secret)
            };
            match listed(name, &secrets::selector(), owned, ctx).await {
                Ok(found) => self.secrets.extend(found),
                Err(problem) => {
                    result =
                        result.and(Err(forbidden("Secrets", name, PULL_SECRET_NAMES, problem)));
                }
            }
        }
        // The watches show the objects whose names are allowed.
        self.accounts.retain(|it| !ctx.policy.account_names.allow(&it.name));
        self.secrets.retain(|it| !ctx.policy.secret_names.allow(&it.name));
        result
    }
}

/// Lists the service accounts of that name, `*` for any, with entries of an attachment.
///
/// # Errors
/// When the API server does not answer or refuses.
pub async fn marked_accounts(
    name: &str,
    uid: &str,
    ctx: &Context,
) -> Result<Vec<ServiceAccount>, Problem> {
    let marked = |it: &StoredAccount| {
        let (_, account) = accounts::reduce(it)?;
        account.marks.values().any(|mark| mark == uid).then_some(account)
    };
    listed(name, "", marked, ctx).await
}

/// The names of the attachment's Secrets and service accounts, as status lists them. Objects under names that
/// the settings do not allow are found by these alone. Where status was lost, a user has to remove them.
pub fn shown_names(object: &RegistryAttachment) -> UsedNames {
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

/// Replaces a refusal of the API server by what it means: the operator's RBAC rules do not cover a name that
/// the settings do not allow.
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

//! Adds the name of a pull secret to a service account, and removes it.

use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::snapshot::cluster::ServiceAccount;
use k8s_openapi::api::core::v1::ServiceAccount as StoredAccount;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::Value;

use super::Applier;
use crate::cluster::accounts;
use crate::cluster::cache::version;
use crate::cluster::kubernetes::{is_outdated, within};

/// How often in a row a patch is tried when others change the list in between.
const TRIES: u32 = 10;

impl Applier<'_> {
    /// Adds or removes an entry of a service account.
    ///
    /// Other writers may change the list between the read and the patch. Both are then repeated at
    /// once, since pods that start meanwhile copy the list as it is.
    pub(super) async fn set_entry(
        self,
        account: &ServiceAccount,
        secret: &str,
        present: bool,
    ) -> Result<(), Problem> {
        let doing = doing(account, secret, present);
        let uid = self.object.uid().unwrap_or_default();
        let planned = account;
        let mut account = account.clone();
        for _ in 0..TRIES {
            let patch = if present {
                accounts::add(&account, secret, &uid)
            } else {
                accounts::remove(&account, secret, &uid)
            };
            match self.patched(&account, patch, &doing).await {
                // The service account is gone, and the entry with it.
                Err(problem) if problem.cause == Cause::NotFound && !present => return Ok(()),
                Err(problem) => return Err(problem),
                Ok(true) => return Ok(()),
                Ok(false) => {}
            }
            let now = self.account(&account, &doing).await?;
            let is_due = |now: &ServiceAccount| {
                if present {
                    accounts::is_to_gain(now, planned, secret, &uid)
                } else {
                    now.is_marked(secret, &uid)
                }
            };
            match now.filter(is_due) {
                Some(now) => account = now,
                None => return Ok(()),
            }
        }
        let text = format!("{doing}: others change that service account all the time");
        Err(Problem::new(Cause::Unavailable, text))
    }

    /// Patches a service account. Returns whether the account was unchanged since it was read.
    async fn patched(
        self,
        account: &ServiceAccount,
        patch: Value,
        doing: &str,
    ) -> Result<bool, Problem> {
        let patch: json_patch::Patch = serde_json::from_value(patch)
            .map_err(|error| Problem::new(Cause::Internal, format!("{doing}: {error}")))?;
        let (params, body) = (PatchParams::default(), Patch::Json::<()>(patch));
        let api = self.accounts(account);
        let answer = async {
            match api.patch(&account.name, &params, &body).await {
                Err(error) if is_outdated(&error) => Ok(None),
                answer => answer.map(Some),
            }
        };
        let stored = within(doing, answer).await?;
        Ok(stored.as_ref().map(|it| self.seen(it)).is_some())
    }

    /// Reads a service account again. It is listed by its name: the operator's RBAC rules allow `list`,
    /// but not `get`.
    async fn account(
        self,
        account: &ServiceAccount,
        doing: &str,
    ) -> Result<Option<ServiceAccount>, Problem> {
        let by_name = ListParams::default().fields(&format!("metadata.name={}", account.name));
        let found = within(doing, self.accounts(account).list(&by_name)).await?;
        Ok(found.items.first().and_then(|it| self.seen(it)))
    }

    fn accounts(self, account: &ServiceAccount) -> Api<StoredAccount> {
        Api::namespaced(self.ctx.kubernetes.client(), &account.namespace)
    }

    /// Takes a service account into the cache as the API server shows it.
    fn seen(self, stored: &StoredAccount) -> Option<ServiceAccount> {
        let (key, reduced) = accounts::reduce(stored)?;
        let version = version(stored.resource_version().as_deref());
        self.ctx.watches.accounts.note(key, version, reduced.clone());
        Some(reduced)
    }
}

/// Describes the operation, for messages.
fn doing(account: &ServiceAccount, secret: &str, present: bool) -> String {
    let ServiceAccount { namespace, name, .. } = account;
    let verb = if present { "adding" } else { "removing" };
    format!(
        "{verb} {secret} in imagePullSecrets of service account {name} in namespace {namespace}"
    )
}

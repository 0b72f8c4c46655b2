//! Acting on service accounts: adds the name of a pull secret to one, and takes it out again.

use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::ServiceAccount as StoredAccount;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};

use super::accounts;
use super::act::{Acted, Actor, Deed};
use super::kubernetes::{Kubernetes, within};
use super::memory::version;
use super::pull_secrets::WRITES;
use super::watches::Watches;
use crate::domain::cluster::ServiceAccount;
use crate::domain::problem::{Cause, Problem};

impl Actor<'_> {
    /// Removes entries of service accounts. One that cannot be removed keeps no other.
    pub(super) async fn remove_entries(
        &self,
        entries: &[(ServiceAccount, String)],
        acted: &mut Acted,
    ) -> Result<(), Problem> {
        let removals: Vec<_> = entries
            .iter()
            .map(|it| async move { (it, self.set_entry(&it.0, &it.1, false).await) }.boxed())
            .collect();
        let mut removals = futures::stream::iter(removals).buffer_unordered(WRITES);
        let mut outcome = Ok(());
        while let Some(((account, secret), result)) = removals.next().await {
            match result {
                Ok(()) => acted.deeds.push(Deed::EntryRemoved(account.clone(), secret.clone())),
                Err(problem) => outcome = outcome.and(Err(problem)),
            }
        }
        outcome
    }

    /// Adds or removes an entry of a service account.
    pub(super) async fn set_entry(
        &self,
        account: &ServiceAccount,
        secret: &str,
        present: bool,
    ) -> Result<(), Problem> {
        let uid = self.object.uid().unwrap_or_default();
        let edit = Edit { account, secret, uid: &uid, present };
        edit.make(self.kubernetes, self.watches).await
    }
}

/// One change of a service account.
struct Edit<'a> {
    account: &'a ServiceAccount,
    secret: &'a str,
    /// The uid of the attachment.
    uid: &'a str,
    /// Whether the entry is to be there.
    present: bool,
}

impl Edit<'_> {
    async fn make(&self, kubernetes: &Kubernetes, watches: &Watches) -> Result<(), Problem> {
        let Self { account, secret, uid, present } = self;
        let ServiceAccount { namespace, name, .. } = account;
        let (verb, patch) = if *present {
            ("adding", accounts::add(account, secret, uid))
        } else {
            ("removing", accounts::remove(account, secret, uid))
        };
        let doing = format!(
            "{verb} {secret} in imagePullSecrets of service account {name} in namespace {namespace}"
        );
        let patch: json_patch::Patch = serde_json::from_value(patch)
            .map_err(|error| Problem::new(Cause::Internal, format!("{doing}: {error}")))?;
        let api = Api::<StoredAccount>::namespaced(kubernetes.client(), namespace);
        let (params, body) = (PatchParams::default(), Patch::Json::<()>(patch));
        let stored = match within(&doing, api.patch(name, &params, &body)).await {
            // It is gone, and the entry with it.
            Err(problem) if problem.cause == Cause::NotFound && !present => return Ok(()),
            // It is not as it was read: the watch will show how it is now.
            Err(problem) if problem.cause == Cause::Internal => {
                return Err(Problem { cause: Cause::Unavailable, ..problem });
            }
            stored => stored?,
        };
        if let Some((key, reduced)) = accounts::reduce(&stored) {
            let version = version(stored.resource_version().as_deref());
            watches.accounts.note(key, version, reduced);
        }
        Ok(())
    }
}

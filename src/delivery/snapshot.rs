//! Reads what a namespace holds for an attachment, from the caches.

use std::collections::BTreeSet;

use acr_attach_core::delivery::Directive;
use acr_attach_core::plan::{Desired, Finalizer, Owned};
use acr_attach_core::problem::Problem;
use acr_attach_core::snapshot::cluster::{ServiceAccount, StoredSecret};
use kube::ResourceExt;

use super::attachment::Subject;
use crate::cluster::watches::Watches;

/// The Secrets and service accounts of a namespace that matter for pull secrets.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The Secrets of the names that pull secrets may have.
    pub secrets: Vec<StoredSecret>,
    /// The service accounts that may be changed, or why they have not been read.
    pub accounts: Result<Vec<ServiceAccount>, Problem>,
}

impl Contents {
    /// Reads a namespace from the caches.
    ///
    /// # Errors
    /// While not all Secrets have been read.
    pub fn of(namespace: &str, watches: &Watches) -> Result<Self, Problem> {
        Ok(Self {
            secrets: watches.secrets.within(namespace)?,
            accounts: watches.accounts.within(namespace),
        })
    }

    /// Returns the uids of all attachments that have or had something in the namespace.
    #[must_use]
    pub fn owners(&self) -> BTreeSet<String> {
        let secrets = self.secrets.iter().flat_map(StoredSecret::uids);
        let accounts = self.accounts.iter().flatten().flat_map(ServiceAccount::uids);
        secrets.chain(accounts).collect()
    }

    /// Returns the part that concerns one attachment. `gone_uids` are attachments whose Secrets and
    /// entries may be taken over.
    #[must_use]
    pub fn owned(
        &self,
        desired: &Desired,
        subject: &Subject,
        gone_uids: &BTreeSet<String>,
    ) -> Owned {
        let uid = subject.object.uid().unwrap_or_default();
        let wanted = desired.secrets.iter().flat_map(|it| it.values()).next();
        let secrets = self.secrets.iter().filter(|it| {
            it.is_owned_by(&uid) || wanted.is_some_and(|wanted| wanted.name == it.name)
        });
        let leaves = *subject.directive == Directive::Remove;
        let mut finalizers = BTreeSet::new();
        // No finalizer may be added to an object that is being deleted: the API server refuses it.
        if subject.has_finalizer || leaves {
            finalizers.insert(Finalizer::ServiceAccounts);
        }
        Owned {
            finalizers,
            assignments: None,
            // Garbage collection removes the Secrets of an object that is being deleted.
            secrets: (!leaves).then(|| secrets.cloned().collect()),
            gone_uids: gone_uids.clone(),
            accepted: subject.accepted.as_ref().and_then(|it| it.accepted()),
            refused_digests: subject.refused.clone(),
            accounts: self.accounts.as_ref().ok().map(|all| all.iter().cloned().collect()),
            contests: subject.contests.clone(),
            uid,
        }
    }
}

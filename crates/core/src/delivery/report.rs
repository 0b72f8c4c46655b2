//! What one namespace shows of one attachment after a reconcile.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::contest::ManagedObject;
use crate::plan::{Desired, DesiredSecret, Owned, Plan, all_accounts_name, entry};
use crate::problem::Problem;
use crate::pull_secrets::proof::Proof;
use crate::pull_secrets::{Accounts, digest};
use crate::snapshot::by_namespace::ByNamespace;
use crate::snapshot::cluster::ServiceAccount;

/// The pull secret of one namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecretReport {
    /// The pull secret that the namespace should have; `None` if the attachment does not choose it.
    pub desired: Option<DesiredSecret>,
    /// The Secret, if it serves.
    pub serving: Option<ServingSecret>,
    /// Whether the Secret waits for a credential that the attachment has yet to get.
    pub waits: bool,
    /// Why the namespace is not served, whatever its Secret holds.
    pub failing: Option<Problem>,
    /// Why the Secret was not written. An existing one may still serve.
    pub unwritten: Option<Problem>,
    /// Why a Secret that is no longer desired was not removed.
    pub unremoved: Option<Problem>,
    /// The names of the attachment's Secrets in the namespace.
    pub names: BTreeSet<String>,
}

/// A Secret with a valid credential that the registry has not refused.
#[derive(Clone, Debug, PartialEq)]
pub struct ServingSecret {
    /// The digest of its content, which stands for its credential.
    pub digest: String,
    /// Since when the Secret exists (UTC).
    pub since: Timestamp,
    /// When the credential expires (UTC); `None` if the credential does not tell.
    pub expires: Option<Timestamp>,
    /// When the credential is to be renewed (UTC).
    pub renew: Option<Timestamp>,
    /// The registry's answer to the credential before it was written.
    pub proof: Option<Proof>,
    /// Whether the credential has the audience of Azure Resource Manager.
    pub by_arm_audience: bool,
    /// Whether the Secret was made from the desired inputs and is not due for renewal.
    pub is_fresh: bool,
}

/// The entries in service accounts of one namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EntryReport {
    /// Whether all chosen service accounts name the pull secret.
    pub complete: bool,
    /// Why an entry could not be added.
    pub failing: Option<Problem>,
    /// Why an entry that is no longer desired was not removed.
    pub unremoved: Option<Problem>,
    /// The service accounts that the spec names and that do not exist. `default` is left out:
    /// Kubernetes creates it shortly after the namespace.
    pub missing: BTreeSet<String>,
    /// The names of the service accounts with entries of the attachment.
    pub names: BTreeSet<String>,
    /// Those of them into which another writer has put all entries back after each removal.
    pub put_back: BTreeSet<String>,
}

impl SecretReport {
    /// The report on what a namespace holds after its plan was carried out.
    #[must_use]
    pub fn of(desired: &Desired, owned: &Owned, plan: Plan, now: Timestamp) -> Self {
        let wanted = desired.secrets.iter().flatten().map(|(_, it)| it).next();
        let serving = wanted.zip(desired.inputs.as_ref()).and_then(|(wanted, inputs)| {
            let found = owned.secret(&wanted.namespace, &wanted.name)?;
            owned.serves(found, inputs, now).then(|| ServingSecret {
                digest: found.digest.clone(),
                since: found.created,
                expires: found.expires,
                renew: found.renew,
                proof: found.proof,
                by_arm_audience: found.by_arm_audience,
                is_fresh: found.is_fresh(inputs, now),
            })
        });
        let mine = owned.secrets.iter().flat_map(ByNamespace::iter);
        let mine = mine.filter(|it| it.is_owned_by(&owned.uid));
        Self {
            desired: wanted.cloned(),
            serving,
            waits: false,
            failing: first(plan.failing),
            unwritten: first(plan.unwritten),
            unremoved: plan.unremoved,
            names: mine.map(|it| it.name.clone()).collect(),
        }
    }
}

impl EntryReport {
    /// The report on what a namespace holds after its plan was carried out.
    #[must_use]
    pub fn of(desired: &Desired, owned: &Owned, plan: Plan) -> Self {
        let wanted = desired.secrets.iter().flatten().map(|(_, it)| it).next();
        let accounts = owned.accounts.iter().flat_map(ByNamespace::iter);
        let mine: Vec<_> = accounts.filter(|it| it.uids().contains(&owned.uid)).collect();
        let put_back = mine.iter().filter(|it| is_put_back(it, owned));
        Self {
            put_back: put_back.map(|it| it.name.clone()).collect(),
            complete: wanted.is_some_and(|it| all_accounts_name(it, desired, owned)),
            failing: first(plan.failing),
            unremoved: plan.unremoved,
            missing: wanted.map_or_else(BTreeSet::new, |it| missing(it, desired, owned)),
            names: mine.iter().map(|it| it.name.clone()).collect(),
        }
    }
}

fn is_put_back(account: &ServiceAccount, owned: &Owned) -> bool {
    let mut marked = account.marks.keys().filter(|it| account.is_marked(it, &owned.uid));
    marked.all(|it| {
        let removal = ManagedObject::Removal(Box::new(entry(account, it)));
        owned.contests.is_lost(&removal)
    })
}

/// When the attachment's Secrets in a namespace are to be renewed or end, after `now` (UTC). Renewals are
/// spread by a hash of the namespace over an eighth of the time that is left to the credential, since
/// all namespaces hold the same one.
pub fn renewals(owned: &Owned, namespace: &str, now: Timestamp) -> impl Iterator<Item = Timestamp> {
    let share = spread(namespace);
    let secrets = owned.secrets.iter().flat_map(ByNamespace::iter);
    let mine = secrets.filter(|it| it.is_owned_by(&owned.uid));
    let dates = mine.flat_map(move |it| {
        let renew = it.renew.map(|renew| match it.expires {
            Some(expires) => renew + expires.duration_since(renew).mul_f64(share / 8.0),
            None => renew,
        });
        [renew, it.expires]
    });
    dates.flatten().filter(move |it| *it > now)
}

/// A number from 0 to 1 that is always the same for a namespace.
fn spread(namespace: &str) -> f64 {
    let digest = digest(namespace.as_bytes());
    let number = u32::from_str_radix(&digest[..8], 16).unwrap_or_default();
    f64::from(number) / f64::from(u32::MAX)
}

fn first(problems: Vec<crate::plan::NamespaceProblem>) -> Option<Problem> {
    problems.into_iter().next().map(|it| it.problem)
}

fn missing(wanted: &DesiredSecret, desired: &Desired, owned: &Owned) -> BTreeSet<String> {
    let Accounts::Named(names) = &desired.accounts else { return BTreeSet::new() };
    let exists = |name: &String| owned.account(&wanted.namespace, name).is_some();
    names.iter().filter(|it| *it != "default" && !exists(it)).cloned().collect()
}

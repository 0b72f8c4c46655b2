//! The state of an attachment's pull secrets after a reconcile.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Accounts, DesiredPullSecrets, Inputs};
use crate::message;
use crate::plan::{DesiredSecret, NamespaceProblem, Owned};
use crate::problem::{Cause, Problem};
use crate::pull_secrets::proof::Proof;
use crate::snapshot::by_namespace::ByNamespace;
use crate::snapshot::cluster::StoredSecret;

const ARM_AUDIENCE: &str = "the tenant does not know the audience https://containerregistry.azure.net, so tokens are asked for Azure Resource Manager's";

/// The desired pull secrets, those that serve, and the problems of the others.
#[derive(Clone, Debug, PartialEq)]
pub struct PullSecretState {
    /// The desired pull secrets.
    pub desired: DesiredPullSecrets,
    /// The Secrets with a valid credential that the registry has not refused.
    pub secrets: Vec<StoredSecret>,
    /// The namespaces that are not served, each once, with the problem.
    pub failing: Vec<NamespaceProblem>,
    /// Why a credential that serves, and is due for renewal, was not renewed.
    pub renewal_problem: Option<Problem>,
    /// The service accounts that the spec names, with the number of namespaces that lack them.
    pub missing_accounts: BTreeMap<String, usize>,
    /// The result of the last proof of the credential after it was written.
    pub proof: Option<Proof>,
    /// Why the credential, which the registry has accepted before, could not be proven again.
    pub recheck_problem: Option<Problem>,
}

/// The result of a reconcile for Secrets and entries.
#[derive(Clone, Debug, Default)]
pub struct SecretResults {
    /// The Secrets after the reconcile.
    pub secrets: ByNamespace<StoredSecret>,
    /// Why single namespaces are not served.
    pub failing: Vec<NamespaceProblem>,
    /// Why single Secrets were not written. An existing Secret may still serve.
    pub unwritten: Vec<NamespaceProblem>,
    /// Why no credential could be had.
    pub credential_problem: Option<Problem>,
}

impl PullSecretState {
    /// Compares the result of a reconcile with the desired pull secrets.
    #[must_use]
    pub fn of(
        desired: DesiredPullSecrets,
        inputs: &Inputs,
        owned: &Owned,
        results: SecretResults,
        now: Timestamp,
    ) -> Self {
        let SecretResults { secrets: all, failing, unwritten, credential_problem } = results;
        let (mut secrets, mut renewal_problem) = (Vec::new(), None);
        let unwritten: BTreeMap<_, _> =
            unwritten.iter().rev().map(|it| (it.namespace.as_str(), &it.problem)).collect();
        // Keeps the first problem of each namespace.
        let failing = failing.into_iter().rev().map(|it| (it.namespace.clone(), it));
        let mut failing: BTreeMap<_, _> = failing.collect();
        for wanted in &desired.secrets {
            let DesiredSecret { namespace, name, .. } = wanted;
            let why = unwritten.get(namespace.as_str()).copied().or(credential_problem.as_ref());
            match all.get(namespace, name).filter(|it| owned.serves(it, inputs, now)) {
                Some(found) => {
                    if !found.is_fresh(inputs, now) {
                        renewal_problem = renewal_problem.or_else(|| why.cloned());
                    }
                    secrets.push(found.clone());
                }
                None => {
                    failing.entry(namespace.clone()).or_insert_with(|| lacking(wanted, why));
                }
            }
        }
        let failing = failing.into_values().collect();
        Self {
            missing_accounts: missing_accounts(&desired, owned),
            desired,
            secrets,
            failing,
            renewal_problem,
            proof: None,
            recheck_problem: None,
        }
    }

    /// Whether pull secrets allow Ready: all existing namespaces that the spec names are served, and
    /// at least one namespace is.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.problem().is_none()
    }

    /// The problem that keeps the attachment from being Ready.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        let named = |it: &&NamespaceProblem| {
            let mut all = self.desired.secrets.iter();
            all.any(|wanted| wanted.named && wanted.namespace == it.namespace)
        };
        let none_served = self.served_count() == 0;
        let first = self.failing.iter().find(named);
        let first = first.or_else(|| self.failing.first().filter(|_| none_served));
        first.map(|it| self.with_count(&it.problem))
    }

    /// The problem of the first namespace that is not served.
    #[must_use]
    pub fn first_failure(&self) -> Option<Problem> {
        self.failing.first().map(|it| self.with_count(&it.problem))
    }

    /// All problems.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.failing.iter().map(|it| &it.problem).chain(&self.renewal_problem)
    }

    /// The number of namespaces that are served.
    #[must_use]
    pub fn served_count(&self) -> usize {
        self.desired.secrets.len().saturating_sub(self.failing.len())
    }

    /// The number of desired namespaces, with those that do not exist yet.
    #[must_use]
    pub fn desired_count(&self) -> usize {
        self.desired.secrets.len() + self.desired.absent.len()
    }

    /// When the first credential in use expires (UTC).
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.secrets.iter().filter_map(|it| it.expires).min()
    }

    /// When the first credential in use is to be renewed (UTC).
    #[must_use]
    pub fn renew(&self) -> Option<Timestamp> {
        self.secrets.iter().filter_map(|it| it.renew).min()
    }

    /// The times at which credentials are to be renewed or expire (UTC).
    pub fn dates(&self) -> impl Iterator<Item = Timestamp> {
        self.secrets.iter().flat_map(|it| [it.renew, it.expires]).flatten()
    }

    /// The text for status: how many namespaces are served, and what is missing.
    #[must_use]
    pub fn text(&self) -> String {
        let count = format!(
            "Secret {} is in {} of {} namespaces",
            self.desired.name,
            self.served_count(),
            self.desired_count()
        );
        let absent = self.desired.absent.iter();
        let absent = absent.map(|(name, why)| format!("; namespace {name} {why}"));
        let missing_accounts = self.missing_accounts.iter().map(|(name, count)| match count {
            1 => format!("; service account {name} does not exist in 1 namespace"),
            n => format!("; service account {name} does not exist in {n} namespaces"),
        });
        let absent = absent.chain(missing_accounts);
        let written = self.secrets.iter().filter_map(|it| it.proof).find(|it| *it != Proof::Proven);
        let doubt = self.proof.or(written).filter(|it| *it != Proof::Proven);
        let doubt = doubt.map(|it| format!("; {}", it.text()));
        let unasked = self.recheck_problem.iter().map(|it| {
            format!("; accepted before, and serves until it ends; not proven again now: {it}")
        });
        let by_arm = self.secrets.iter().any(|it| it.by_arm_audience);
        let remark = by_arm.then(|| format!("; {ARM_AUDIENCE}"));
        std::iter::once(count).chain(absent).chain(doubt).chain(unasked).chain(remark).collect()
    }

    fn with_count(&self, problem: &Problem) -> Problem {
        let mut problem = problem.clone();
        if let Some(more @ 1..) = self.failing.len().checked_sub(1) {
            let rest = format!(" (and in {more} more namespaces)");
            problem.message = message::joined(&problem.message, &rest);
        }
        problem
    }
}

/// Counts the namespaces that lack a service account which the spec names. `default` is left out:
/// Kubernetes creates it shortly after the namespace.
fn missing_accounts(desired: &DesiredPullSecrets, owned: &Owned) -> BTreeMap<String, usize> {
    let Accounts::Named(names) = &desired.accounts else { return BTreeMap::new() };
    let Some(accounts) = &owned.accounts else { return BTreeMap::new() };
    let lacks = |name: &str| {
        let namespaces = desired.secrets.iter().map(|it| it.namespace.as_str());
        namespaces.filter(|it| accounts.get(it, name).is_none()).count()
    };
    let counted = names.iter().filter(|it| *it != "default").map(|it| (it.clone(), lacks(it)));
    counted.filter(|(_, count)| *count > 0).collect()
}

fn lacking(wanted: &DesiredSecret, why: Option<&Problem>) -> NamespaceProblem {
    let DesiredSecret { namespace, name, .. } = wanted;
    let problem = why.cloned().unwrap_or_else(|| {
        let text = format!("writing Secret {name} in namespace {namespace}: not done yet");
        Problem::new(Cause::Busy, text)
    });
    NamespaceProblem { namespace: namespace.clone(), problem }
}

//! How the pull secrets of an attachment stand after a pass.

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

/// What was wanted, what there is, and why the rest is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct PullSecretState {
    /// What was wanted.
    pub desired: DesiredPullSecrets,
    /// The Secrets that hold a credential which the registry takes.
    pub secrets: Vec<StoredSecret>,
    /// The namespaces that are not served, each once.
    pub failing: Vec<NamespaceProblem>,
    /// Why a credential that serves was not renewed although it was time.
    pub renewal_problem: Option<Problem>,
    /// The service accounts that are named and do not exist, and in how many namespaces.
    pub missing_accounts: BTreeMap<String, usize>,
    /// What the registry said of the credential since it was written.
    pub proof: Option<Proof>,
    /// Why the registry could not be asked again about a credential that it has accepted.
    pub recheck_problem: Option<Problem>,
}

/// What came of a pass, namespace by namespace.
#[derive(Clone, Debug, Default)]
pub struct SecretResults {
    /// The Secrets as they are now.
    pub secrets: ByNamespace<StoredSecret>,
    /// What kept single namespaces from being served.
    pub failing: Vec<NamespaceProblem>,
    /// What kept Secrets from being written. One that is there may serve on.
    pub unwritten: Vec<NamespaceProblem>,
    /// What kept the credential from being made.
    pub credential_problem: Option<Problem>,
}

impl PullSecretState {
    /// Judges what came of a pass.
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
        // The first problem of a namespace tells.
        let failing = failing.into_iter().rev().map(|it| (it.namespace.clone(), it));
        let mut failing: BTreeMap<_, _> = failing.collect();
        for delivery in &desired.secrets {
            let DesiredSecret { namespace, name, .. } = delivery;
            let why = unwritten.get(namespace.as_str()).copied().or(credential_problem.as_ref());
            match all.get(namespace, name).filter(|it| owned.serves(it, inputs, now)) {
                Some(found) => {
                    if !found.is_fresh(inputs, now) {
                        renewal_problem = renewal_problem.or_else(|| why.cloned());
                    }
                    secrets.push(found.clone());
                }
                None => {
                    failing.entry(namespace.clone()).or_insert_with(|| lacking(delivery, why));
                }
            }
        }
        let failing = failing.into_values().collect();
        let missing_accounts = missing_accounts(&desired, owned);
        Self {
            desired,
            secrets,
            failing,
            renewal_problem,
            missing_accounts,
            proof: None,
            recheck_problem: None,
        }
    }

    /// Whether what Ready speaks for holds: the namespaces that the spec names and that exist,
    /// and at least one of those that their labels chose.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.problem().is_none()
    }

    /// What keeps the attachment from being Ready.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        let named = |it: &&NamespaceProblem| {
            let mut all = self.desired.secrets.iter();
            all.any(|delivery| delivery.named && delivery.namespace == it.namespace)
        };
        let none_served = self.served_count() == 0;
        let first = self.failing.iter().find(named);
        let first = first.or_else(|| self.failing.first().filter(|_| none_served));
        first.map(|it| self.with_count(&it.problem))
    }

    /// What is the matter in the first namespace that is not served.
    #[must_use]
    pub fn first_failure(&self) -> Option<Problem> {
        self.failing.first().map(|it| self.with_count(&it.problem))
    }

    /// What is wrong, everything of it.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.failing.iter().map(|it| &it.problem).chain(&self.renewal_problem)
    }

    /// How many namespaces are served.
    #[must_use]
    pub fn served_count(&self) -> usize {
        self.desired.secrets.len().saturating_sub(self.failing.len())
    }

    /// How many are wanted, those that do not exist yet included.
    #[must_use]
    pub fn desired_count(&self) -> usize {
        self.desired.secrets.len() + self.desired.absent.len()
    }

    /// When the first credential in use ends.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.secrets.iter().filter_map(|it| it.expires).min()
    }

    /// When the first of them is to be renewed.
    #[must_use]
    pub fn renew(&self) -> Option<Timestamp> {
        self.secrets.iter().filter_map(|it| it.renew).min()
    }

    /// When something of them changes by itself.
    pub fn dates(&self) -> impl Iterator<Item = Timestamp> {
        self.secrets.iter().flat_map(|it| [it.renew, it.expires]).flatten()
    }

    /// Says where it is, and what is missing of what was asked for.
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

/// The service accounts that are named and do not exist. Kubernetes makes `default` in each namespace
/// by itself, a moment after the namespace.
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

fn lacking(delivery: &DesiredSecret, why: Option<&Problem>) -> NamespaceProblem {
    let DesiredSecret { namespace, name, .. } = delivery;
    let problem = why.cloned().unwrap_or_else(|| {
        let text = format!("writing Secret {name} in namespace {namespace}: not done yet");
        Problem::new(Cause::Busy, text)
    });
    NamespaceProblem { namespace: namespace.clone(), problem }
}

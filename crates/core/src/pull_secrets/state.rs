//! The state of an attachment's pull secrets after a reconcile.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::DesiredPullSecrets;
use crate::message;
use crate::plan::NamespaceProblem;
use crate::problem::Problem;
use crate::pull_secrets::proof::Proof;

const ARM_AUDIENCE: &str = "the tenant does not know the audience https://containerregistry.azure.net, so tokens are asked for Azure Resource Manager's";

/// How many namespaces are served, and the problems of the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PullSecretState {
    /// What the spec asks for.
    pub desired: DesiredPullSecrets,
    /// The number of chosen namespaces that exist.
    pub existing: usize,
    /// The first namespaces that are not served, each with the problem.
    pub failing: Vec<NamespaceProblem>,
    /// The number of chosen namespaces that exist and are not served.
    pub failing_count: usize,
    /// The first of them that the spec names.
    pub named_failing: Option<NamespaceProblem>,
    /// The number of Secrets with a valid credential that the registry has not refused.
    pub serving: usize,
    /// When the first credential in use expires (UTC).
    pub expires: Option<Timestamp>,
    /// When the first credential in use is to be renewed (UTC).
    pub renew: Option<Timestamp>,
    /// Why a credential that serves, and is due for renewal, was not renewed.
    pub renewal_problem: Option<Problem>,
    /// The service accounts that the spec names, with the number of namespaces that lack them.
    pub missing_accounts: BTreeMap<String, usize>,
    /// What could not be proven of a credential before it was written.
    pub unproven: Option<Proof>,
    /// Whether a credential has the audience of Azure Resource Manager.
    pub by_arm_audience: bool,
    /// The result of the last proof of the credential after it was written.
    pub proof: Option<Proof>,
    /// Why the credential, which the registry has accepted before, could not be proven again.
    pub recheck_problem: Option<Problem>,
}

impl PullSecretState {
    /// Whether pull secrets allow Ready: all existing namespaces that the spec names are served, and
    /// at least one namespace is.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.problem().is_none()
    }

    /// The problem that keeps the attachment from being Ready.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        let none_served = self.served_count() == 0;
        let first = self.named_failing.as_ref();
        let first = first.or_else(|| self.failing.first().filter(|_| none_served));
        first.map(|it| self.with_count(&it.problem))
    }

    /// The problem of the first namespace that is not served.
    #[must_use]
    pub fn first_failure(&self) -> Option<Problem> {
        self.failing.first().map(|it| self.with_count(&it.problem))
    }

    /// The problems that are known.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        let failing = self.failing.iter().chain(&self.named_failing);
        failing.map(|it| &it.problem).chain(&self.renewal_problem)
    }

    /// The number of namespaces that are served.
    #[must_use]
    pub fn served_count(&self) -> usize {
        self.existing.saturating_sub(self.failing_count)
    }

    /// The number of desired namespaces, with those that do not exist yet.
    #[must_use]
    pub fn desired_count(&self) -> usize {
        self.existing + self.desired.absent.len()
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
        let doubt = self.proof.or(self.unproven).filter(|it| *it != Proof::Proven);
        let doubt = doubt.map(|it| format!("; {}", it.text()));
        let unasked = self.recheck_problem.iter().map(|it| {
            format!("; accepted before, and serves until it ends; not proven again now: {it}")
        });
        let remark = self.by_arm_audience.then(|| format!("; {ARM_AUDIENCE}"));
        std::iter::once(count).chain(absent).chain(doubt).chain(unasked).chain(remark).collect()
    }

    fn with_count(&self, problem: &Problem) -> Problem {
        let mut problem = problem.clone();
        if let Some(more @ 1..) = self.failing_count.checked_sub(1) {
            let rest = format!(" (and in {more} more namespaces)");
            problem.message = message::joined(&problem.message, &rest);
        }
        problem
    }
}

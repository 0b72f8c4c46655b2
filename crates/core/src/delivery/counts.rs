//! What the reports of namespaces add up to.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::deliveries::Report;
use crate::pull_secrets::proof::Proof;

/// What the reports add up to, so that no namespace has to be looked through for a question.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub desired: usize,
    pub serving: usize,
    /// The namespaces that are not served, and those among them that the spec names.
    pub failing: BTreeSet<String>,
    pub named_failing: BTreeSet<String>,
    /// The namespaces whose Secret serves and should be another one.
    pub stale: BTreeSet<String>,
    pub waiting: BTreeSet<String>,
    pub unremoved: BTreeSet<String>,
    pub expires: Multiset<Timestamp>,
    pub renew: Multiset<Timestamp>,
    pub unproven: Multiset<Proof>,
    pub by_arm_audience: usize,
    pub missing_accounts: Multiset<String>,
    pub secret_names: Multiset<String>,
    pub account_names: Multiset<String>,
    /// The namespaces that hold a credential, by the digest of the Secret.
    pub credentials: BTreeMap<String, BTreeSet<String>>,
}

impl Counts {
    /// Adds a report, or takes it out again.
    pub fn count(&mut self, namespace: &str, report: &Report, add: bool) {
        let Report { secret, entries } = report;
        let mark = |set: &mut BTreeSet<String>, is: bool| {
            if is && add {
                set.insert(namespace.to_owned());
            } else if is {
                set.remove(namespace);
            }
        };
        let is_failing = report.is_failing();
        let is_named = secret.desired.as_ref().is_some_and(|it| it.named);
        mark(&mut self.failing, is_failing);
        mark(&mut self.named_failing, is_failing && is_named);
        mark(&mut self.stale, secret.serving.as_ref().is_some_and(|it| !it.is_fresh));
        mark(&mut self.waiting, secret.waits);
        mark(&mut self.unremoved, secret.unremoved.is_some() || entries.unremoved.is_some());
        let step = |count: &mut usize| *count = if add { *count + 1 } else { *count - 1 };
        if secret.desired.is_some() {
            step(&mut self.desired);
        }
        self.missing_accounts.count(&entries.missing, add);
        self.secret_names.count(&secret.names, add);
        self.account_names.count(&entries.names, add);
        let Some(serving) = &secret.serving else { return };
        step(&mut self.serving);
        self.expires.count(&serving.expires, add);
        self.renew.count(&serving.renew, add);
        self.unproven.count(&serving.proof.filter(|it| *it != Proof::Proven), add);
        if serving.by_arm_audience {
            step(&mut self.by_arm_audience);
        }
        let holders = self.credentials.entry(serving.digest.clone()).or_default();
        mark(holders, true);
        if holders.is_empty() {
            self.credentials.remove(&serving.digest);
        }
    }
}

/// How often each value occurs.
#[derive(Clone, Debug)]
pub(super) struct Multiset<T>(BTreeMap<T, usize>);

impl<T> Default for Multiset<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Ord + Clone> Multiset<T> {
    fn count<'a>(&mut self, values: impl IntoIterator<Item = &'a T>, add: bool)
    where
        T: 'a,
    {
        for value in values {
            let count = self.0.entry(value.clone()).or_default();
            *count = if add { *count + 1 } else { *count - 1 };
            if *count == 0 {
                self.0.remove(value);
            }
        }
    }

    /// How often each occurs.
    pub fn counts(&self) -> &BTreeMap<T, usize> {
        &self.0
    }

    /// The smallest value.
    pub fn first(&self) -> Option<&T> {
        self.0.keys().next()
    }

    /// Each value once.
    pub fn keys(&self) -> impl Iterator<Item = &T> {
        self.0.keys()
    }
}

//! The reports of all namespaces on one attachment, counted as they come.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::counts::Counts;
use super::report::{EntryReport, SecretReport};
use crate::plan::{DesiredSecret, NamespaceProblem};
use crate::problem::{Cause, Problem};
use crate::pull_secrets::{DesiredPullSecrets, PullSecretState};
use crate::spec::policy::UsedNames;

/// The reports on one attachment, by namespace. A namespace without a report has nothing of the
/// attachment, and is not chosen by it.
#[derive(Clone, Debug, Default)]
pub struct Deliveries {
    reports: BTreeMap<String, Report>,
    counts: Counts,
    /// Whether it is known which namespaces have to report.
    is_known: bool,
    /// The namespaces whose Secrets have yet to be reported on, since what is desired has changed.
    secrets_pending: BTreeSet<String>,
    /// The namespaces whose entries have yet to be reported on.
    entries_pending: BTreeSet<String>,
}

/// What a report has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// Whether it says something else than the report before.
    pub is_new: bool,
    /// Whether it was expected.
    pub was_expected: bool,
}

/// The reports of one namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Report {
    /// On its Secrets.
    pub secret: SecretReport,
    /// On the entries of its service accounts.
    pub entries: EntryReport,
}

impl Deliveries {
    /// Awaits new reports of these namespaces, since what is desired has changed.
    pub fn await_reports<'a>(&mut self, namespaces: impl IntoIterator<Item = &'a str>) {
        self.is_known = true;
        for namespace in namespaces {
            self.secrets_pending.insert(namespace.to_owned());
            self.entries_pending.insert(namespace.to_owned());
        }
    }

    /// Awaits a new report on the Secrets of a namespace.
    pub fn await_secret(&mut self, namespace: &str) {
        self.secrets_pending.insert(namespace.to_owned());
    }

    /// Whether there is a report on a namespace, or one is expected.
    #[must_use]
    pub fn has(&self, namespace: &str) -> bool {
        let pending = [&self.secrets_pending, &self.entries_pending];
        self.reports.contains_key(namespace) || pending.iter().any(|it| it.contains(namespace))
    }

    /// Takes the report on the Secrets of a namespace.
    pub fn report_secret(&mut self, namespace: &str, secret: SecretReport) -> Reported {
        let was_expected = self.secrets_pending.remove(namespace);
        Reported { was_expected, is_new: self.replace(namespace, |it| it.secret = secret) }
    }

    /// Takes the report on the entries of a namespace.
    pub fn report_entries(&mut self, namespace: &str, entries: EntryReport) -> Reported {
        let was_expected = self.entries_pending.remove(namespace);
        Reported { was_expected, is_new: self.replace(namespace, |it| it.entries = entries) }
    }

    /// Forgets a namespace that is gone. Returns whether there was a report on it.
    pub fn forget(&mut self, namespace: &str) -> bool {
        let was_pending = self.secrets_pending.remove(namespace);
        let was_pending = self.entries_pending.remove(namespace) || was_pending;
        self.replace(namespace, |it| *it = Report::default()) || was_pending
    }

    /// Whether every namespace has reported since what is desired has changed.
    #[must_use]
    pub fn are_complete(&self) -> bool {
        self.is_known && self.secrets_pending.is_empty() && self.entries_pending.is_empty()
    }

    /// Whether every namespace has reported on its Secrets.
    #[must_use]
    pub fn secrets_are_complete(&self) -> bool {
        self.is_known && self.secrets_pending.is_empty()
    }

    /// The number of namespaces that have yet to report.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.secrets_pending.union(&self.entries_pending).count()
    }

    /// The namespaces with a report.
    pub fn namespaces(&self) -> impl Iterator<Item = &String> {
        self.reports.keys()
    }

    /// The last report on the Secrets of a namespace.
    #[must_use]
    pub fn secret(&self, namespace: &str) -> Option<&SecretReport> {
        self.reports.get(namespace).map(|it| &it.secret)
    }

    /// The namespaces that wait for a credential.
    #[must_use]
    pub fn waiting(&self) -> &BTreeSet<String> {
        &self.counts.waiting
    }

    /// The namespaces that hold each credential in use, by the digest of the Secret.
    #[must_use]
    pub fn credentials(&self) -> &BTreeMap<String, BTreeSet<String>> {
        &self.counts.credentials
    }

    /// Whether the attachment chooses any namespace.
    #[must_use]
    pub fn are_desired(&self) -> bool {
        self.counts.desired > 0
    }

    /// The names under which the attachment has something in the cluster.
    #[must_use]
    pub fn names(&self) -> UsedNames {
        UsedNames {
            secrets: self.counts.secret_names.keys().cloned().collect(),
            accounts: self.counts.account_names.keys().cloned().collect(),
        }
    }

    /// Why something in the cluster that is no longer desired was not removed: the first such problem.
    #[must_use]
    pub fn unremoved(&self) -> Option<&Problem> {
        let first = self.reports.get(self.counts.unremoved.first()?)?;
        first.secret.unremoved.as_ref().or(first.entries.unremoved.as_ref())
    }

    /// The service accounts, as namespace and name, into which another writer puts the attachment's entries
    /// back after each removal.
    #[must_use]
    pub fn put_back(&self) -> BTreeSet<(String, String)> {
        let reports = self.reports.iter();
        let all = reports.flat_map(|(namespace, report)| {
            report.entries.put_back.iter().map(|it| (namespace.clone(), it.clone()))
        });
        all.collect()
    }

    /// Since when all pull secrets serve in place of a role (UTC); `None` while one does not, or a
    /// service account does not name it. A namespace that is younger than the first pull secret never
    /// depended on the role.
    #[must_use]
    pub fn all_serving_since(&self) -> Option<Timestamp> {
        if !self.are_complete() {
            return None;
        }
        let served: Vec<_> = self
            .reports
            .values()
            .filter_map(|it| Some((it, it.secret.desired.as_ref()?)))
            .map(|(it, desired)| {
                let since = it.secret.serving.as_ref().map(|it| it.since);
                (desired.since, since.filter(|_| it.entries.complete))
            })
            .collect();
        let first = served.iter().filter_map(|(_, since)| *since).min()?;
        let depended = served.iter().filter(|(came, _)| *came <= first);
        depended.map(|(_, since)| *since).collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// The state of the pull secrets, for status. `credential_problem` is why no credential could be
    /// had.
    #[must_use]
    pub fn state(
        &self,
        desired: DesiredPullSecrets,
        credential_problem: Option<&Problem>,
    ) -> PullSecretState {
        let problem_in = |namespace: &String| {
            let report = self.reports.get(namespace)?;
            Some(NamespaceProblem {
                namespace: namespace.clone(),
                problem: report.problem(credential_problem)?,
            })
        };
        let counts = &self.counts;
        let mut stale = counts.stale.iter().filter_map(|it| self.reports.get(it));
        let renewal_problem =
            stale.find_map(|it| it.secret.unwritten.as_ref().or(credential_problem));
        PullSecretState {
            desired,
            existing: counts.desired,
            failing: counts.failing.iter().take(MAX_FAILING).filter_map(problem_in).collect(),
            failing_count: counts.failing.len(),
            named_failing: counts.named_failing.iter().find_map(problem_in),
            serving: counts.serving,
            expires: counts.expires.first().copied(),
            renew: counts.renew.first().copied(),
            renewal_problem: renewal_problem.cloned(),
            missing_accounts: counts.missing_accounts.counts().clone(),
            unproven: counts.unproven.first().copied(),
            by_arm_audience: counts.by_arm_audience > 0,
            proof: None,
            recheck_problem: None,
        }
    }

    fn replace(&mut self, namespace: &str, change: impl FnOnce(&mut Report)) -> bool {
        let before = self.reports.remove(namespace).unwrap_or_default();
        let mut after = before.clone();
        change(&mut after);
        self.counts.count(namespace, &before, false);
        self.counts.count(namespace, &after, true);
        let is_new = before != after;
        if after != Report::default() {
            self.reports.insert(namespace.to_owned(), after);
        }
        is_new
    }
}

/// The most failing namespaces in status.
const MAX_FAILING: usize = 10;

impl Report {
    /// Whether the namespace should have a pull secret, and lacks it or an entry.
    pub fn is_failing(&self) -> bool {
        let Self { secret, entries } = self;
        let lacks = secret.serving.is_none();
        secret.desired.is_some() && (lacks || secret.failing.is_some() || entries.failing.is_some())
    }

    /// Why the namespace is not served.
    fn problem(&self, credential_problem: Option<&Problem>) -> Option<Problem> {
        let Self { secret, entries } = self;
        let DesiredSecret { namespace, name, .. } = secret.desired.as_ref()?;
        let known = [&secret.failing, &entries.failing, &secret.unwritten];
        let known = known.into_iter().flatten().next().or(credential_problem);
        Some(known.cloned().unwrap_or_else(|| {
            let text = format!("writing Secret {name} in namespace {namespace}: not done yet");
            Problem::new(Cause::Busy, text)
        }))
    }
}

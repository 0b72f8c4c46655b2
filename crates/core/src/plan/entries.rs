//! The steps of the plan for entries: names of pull secrets in `imagePullSecrets` of service accounts.

use jiff::Timestamp;

use super::secrets::removable_from;
use super::{
    Desired, DesiredSecret, Finalizer, NamespaceProblem, Owned, Plan, RemovalTiming, Step,
};
use crate::delivery::contest::ManagedObject;
use crate::problem::{Cause, Problem};
use crate::snapshot::by_namespace::ByNamespace;
use crate::snapshot::cluster::ServiceAccount;

const FINALIZER: Finalizer = Finalizer::ServiceAccounts;

/// Plans the entries to add.
pub(super) fn add(desired: &Desired, owned: &Owned, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let mut steps = Vec::new();
    for account in owned.accounts.iter().flat_map(ByNamespace::iter) {
        let Some(secret) = desired_secret_name(account, desired, owned) else { continue };
        let namespace = account.namespace.clone();
        let object = entry(account, &secret);
        if has_entry(account, &secret, owned) {
            let problem = owned.contests.still_contested(&object).cloned();
            plan.failing.extend(problem.map(|problem| NamespaceProblem { namespace, problem }));
            continue;
        }
        let applied = || applied_by_a_tool(account, &secret);
        match owned.contests.blocks(&object, now).cloned().or_else(applied) {
            Some(problem) => plan.failing.push(NamespaceProblem { namespace, problem }),
            None => steps.push(Step::AddEntry(account.clone(), secret)),
        }
    }
    let makes_or_has = !steps.is_empty()
        || owned.accounts.iter().flat_map(ByNamespace::iter).any(|it| has_marks(it, owned));
    if makes_or_has && !owned.finalizers.contains(&FINALIZER) {
        plan.prerequisite = Some(Step::AddFinalizer(FINALIZER));
    }
    // A part for each account: one failed patch must not stop the others.
    plan.parts.extend(steps.into_iter().map(|it| vec![it]));
    plan
}

/// Adds the step that removes entries of this attachment that are not desired any more.
pub(super) fn remove(desired: &Desired, owned: &Owned, timing: RemovalTiming, plan: &mut Plan) {
    let (Some(accounts), Some(_)) = (&owned.accounts, &desired.secrets) else { return };
    let mut due_now = Vec::new();
    for account in accounts.iter() {
        for secret in account.marks.keys().filter(|it| account.is_marked(it, &owned.uid)) {
            let due = removal_date(account, secret, desired, owned, timing);
            let removal = ManagedObject::Removal(Box::new(entry(account, secret)));
            let blocked = owned.contests.blocks(&removal, timing.now);
            match due.filter(|it| *it <= timing.now) {
                Some(_) if blocked.is_none() => due_now.push((account.clone(), secret.clone())),
                Some(_) => plan.unremoved = plan.unremoved.take().or(blocked.cloned()),
                None => plan.note_due(due),
            }
        }
    }
    if !due_now.is_empty() {
        plan.parts.push(vec![Step::RemoveEntries(due_now)]);
    }
}

/// From when an entry of this attachment may be removed; `None` while that is unknown, or while the
/// entry has to stay.
pub(super) fn removal_date(
    account: &ServiceAccount,
    secret: &str,
    desired: &Desired,
    owned: &Owned,
    timing: RemovalTiming,
) -> Option<Timestamp> {
    let included = desired.accounts.include(&account.name);
    match desired.secret(&account.namespace) {
        Some(wanted) if wanted.name == secret => (!included).then_some(timing.now),
        // New pods need the old name until the account has the new one.
        Some(wanted) if included && !account.names(&wanted.name) => None,
        _ => removable_from(&account.namespace, desired, owned, timing),
    }
}

/// The pull secret that a service account should name; `None` where a Secret of another owner has
/// that name.
fn desired_secret_name(
    account: &ServiceAccount,
    desired: &Desired,
    owned: &Owned,
) -> Option<String> {
    if !desired.accounts.include(&account.name) {
        return None;
    }
    let wanted = desired.secret(&account.namespace)?;
    let found = owned.secret(&wanted.namespace, &wanted.name);
    found.is_none_or(|it| owned.may_write(it)).then(|| wanted.name.clone())
}

/// Whether all chosen service accounts of that namespace name the pull secret.
#[must_use]
pub fn all_accounts_name(wanted: &DesiredSecret, desired: &Desired, owned: &Owned) -> bool {
    let Some(accounts) = &owned.accounts else { return false };
    let mut here = accounts.within(&wanted.namespace);
    here.all(|it| !desired.accounts.include(&it.name) || it.names(&wanted.name))
}

/// Whether the account names that pull secret, and the entry is not that of a deleted attachment.
/// Such an entry is taken over, since otherwise it would never be removed.
fn has_entry(account: &ServiceAccount, secret: &str, owned: &Owned) -> bool {
    account.names(secret)
        && account.marks.get(secret).is_none_or(|it| !owned.gone_uids.contains(it))
}

fn has_marks(account: &ServiceAccount, owned: &Owned) -> bool {
    account.marks.values().any(|uid| *uid == owned.uid)
}

/// An entry, as the key of its contest.
#[must_use]
pub fn entry(account: &ServiceAccount, secret: &str) -> ManagedObject {
    let ServiceAccount { namespace, name, .. } = account.clone();
    ManagedObject::Entry { namespace, account: name, secret: secret.to_owned() }
}

/// The problem that a tool applies the list from a manifest, and would remove an entry at its next
/// run.
fn applied_by_a_tool(account: &ServiceAccount, secret: &str) -> Option<Problem> {
    let ServiceAccount { namespace, name, applied_by, .. } = account;
    let tool = applied_by.as_ref().filter(|_| !account.names(secret))?;
    Some(Problem::new(
        Cause::ExternallyManaged,
        format!(
            "add `- name: {secret}` to imagePullSecrets in the manifest of service account {name} in namespace {namespace}: {tool} applies that list, and would take an entry of acr-attach out again"
        ),
    ))
}

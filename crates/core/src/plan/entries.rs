//! The part of the plan that is about service accounts: which of them name the pull secret.

use jiff::Timestamp;

use super::secrets::{RemovalTiming, removable_from};
use super::{Desired, DesiredSecret, Finalizer, NamespaceProblem, Owned, Plan, Step};
use crate::delivery::contest::ManagedObject;
use crate::problem::{Cause, Problem};
use crate::snapshot::by_namespace::ByNamespace;
use crate::snapshot::cluster::ServiceAccount;

const FINALIZER: Finalizer = Finalizer::ServiceAccounts;

/// Lists what comes before everything else: entries in service accounts. A pod copies the names
/// when it is admitted, and never again, while a Secret that is missing then is only waited for.
#[must_use]
pub fn add_entries(desired: &Desired, owned: &Owned, now: Timestamp) -> Plan {
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
    // One account that cannot be patched must not keep the others.
    plan.parts.extend(steps.into_iter().map(|it| vec![it]));
    plan
}

/// Lists the entries of ours that are not desired any more, and lets go of the object after the
/// last.
pub(super) fn remove(desired: &Desired, owned: &Owned, timing: RemovalTiming, plan: &mut Plan) {
    let (Some(accounts), Some(_)) = (&owned.accounts, &desired.secrets) else { return };
    let (mut due_now, mut remains) = (Vec::new(), owned.unreadable_entries);
    for account in accounts.iter() {
        for secret in account.marks.keys().filter(|it| account.is_marked(it, &owned.uid)) {
            let due = removal_date(account, secret, desired, owned, timing);
            let removal = ManagedObject::Removal(Box::new(entry(account, secret)));
            let blocked = owned.contests.blocks(&removal, timing.now);
            match due.filter(|it| *it <= timing.now) {
                Some(_) if blocked.is_none() => due_now.push((account.clone(), secret.clone())),
                Some(_) => {
                    remains = true;
                    plan.unremoved = plan.unremoved.take().or(blocked.cloned());
                }
                None => {
                    remains = true;
                    plan.note_due(due);
                }
            }
        }
    }
    let adds = |it: &ServiceAccount| {
        desired_secret_name(it, desired, owned).is_some_and(|secret| !has_entry(it, &secret, owned))
    };
    let mut steps = Vec::new();
    if !due_now.is_empty() {
        steps.push(Step::RemoveEntries(due_now));
    }
    if !remains && !accounts.iter().any(adds) && owned.finalizers.contains(&FINALIZER) {
        // Only after all of them: the object must not go while one is left.
        steps.push(Step::RemoveFinalizer(FINALIZER));
    }
    plan.parts.push(steps);
}

/// From when on an entry of ours may go; `None` while that is not known, or while it is to stay.
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
        // Pods must not lose the old name before they get the new one.
        Some(wanted) if included && !account.names(&wanted.name) => None,
        _ => removable_from(&account.namespace, desired, owned, timing),
    }
}

/// The pull secret that a service account is to name; none where a Secret of that name is
/// somebody else's.
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

/// Whether all service accounts of that namespace name the pull secret that they are to name.
pub(super) fn all_accounts_name(wanted: &DesiredSecret, desired: &Desired, owned: &Owned) -> bool {
    let Some(accounts) = &owned.accounts else { return false };
    let mut here = accounts.within(&wanted.namespace);
    here.all(|it| !desired.accounts.include(&it.name) || it.names(&wanted.name))
}

/// Whether the account names that pull secret, and no attachment that is gone has put it there:
/// such an entry is taken over, or nobody would ever take it out.
fn has_entry(account: &ServiceAccount, secret: &str, owned: &Owned) -> bool {
    account.names(secret)
        && account.marks.get(secret).is_none_or(|it| !owned.gone_uids.contains(it))
}

fn has_marks(account: &ServiceAccount, owned: &Owned) -> bool {
    account.marks.values().any(|uid| *uid == owned.uid)
}

/// The object that an entry is.
#[must_use]
pub fn entry(account: &ServiceAccount, secret: &str) -> ManagedObject {
    let ServiceAccount { namespace, name, .. } = account.clone();
    ManagedObject::Entry { namespace, account: name, secret: secret.to_owned() }
}

/// Why an entry is not added: a tool that applies manifests would take it out at its next run.
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

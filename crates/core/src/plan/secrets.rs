//! The steps of the plan for pull secrets.

use jiff::Timestamp;

use super::{Desired, DesiredSecret, NamespaceProblem, Owned, Plan, RemovalTiming, Step, entries};
use crate::delivery::contest::ManagedObject;
use crate::problem::{Cause, Problem};
use crate::pull_secrets::Inputs;
use crate::snapshot::cluster::{Owner, StoredSecret};

/// A Secret to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretTarget {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The uid of the existing Secret, which is updated in place; `None` to create one.
    pub uid: Option<String>,
    /// Whether another writer has changed the existing Secret.
    pub edited: bool,
    /// Whether the existing Secret is immutable, so that it has to be deleted and created again.
    pub immutable: bool,
}

impl SecretTarget {
    /// The Secret, as the key of its contest.
    #[must_use]
    pub fn object(&self) -> ManagedObject {
        ManagedObject::Secret { namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

/// Which credential to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialOrigin {
    /// A new credential, requested and proven once for all targets.
    New,
    /// The accepted credential that this process holds.
    Current,
}

/// Adds the steps from the existing pull secrets to the desired ones.
///
/// | desired | found | step |
/// |---|---|---|
/// | yes | own Secret, fresh | – |
/// | yes | none, or own Secret that was changed or is due | `WriteSecrets` with the accepted credential, if that is fresh |
/// | yes | the same, without a fresh accepted credential | `WriteSecrets` with a new credential, to all Secrets that need one |
/// | yes | the same, and others refused or undid the last writes | none until the contest allows the next try |
/// | yes | Secret of another owner | failing, `NotOurs` |
/// | no, another name in that namespace | own Secret | `DeleteSecret` once the other Secret has served for the delay and service accounts name it |
/// | no, a role is | own Secret | `DeleteSecret` once the role was in force for the delay |
/// | no | own Secret | `DeleteSecret` |
///
/// A Secret that waits for its removal is renewed while its credential has the same subject.
pub(super) fn plan(desired: &Desired, owned: &Owned, timing: RemovalTiming, plan: &mut Plan) {
    let (Some(secrets), Some(stored)) = (&desired.secrets, &owned.secrets) else { return };
    let mut kept: Vec<_> = secrets.values().cloned().collect();
    for secret in stored.iter().filter(|it| it.is_owned_by(&owned.uid)) {
        if desired.wants_secret(&secret.namespace, &secret.name) {
            continue;
        }
        match removal_date(secret, desired, owned, timing) {
            // A part for each Secret: one failed deletion must not stop the others.
            Some(due) if due <= timing.now => delete_secret(secret, owned, timing.now, plan),
            due => {
                plan.note_due(due);
                kept.extend(still_renewed(secret, desired));
            }
        }
    }
    let Some(inputs) = &desired.inputs else { return };
    let step = write_secrets(&kept, inputs, owned, timing.now, plan);
    plan.parts.push(step.into_iter().collect());
}

/// Whether an attachment needs a new credential: the accepted one is not fresh, and a namespace waits
/// for it or none is chosen. In the second case status tells of a credential that cannot be had
/// before the first namespace needs it.
#[must_use]
pub fn credential_is_due(inputs: &Inputs, owned: &Owned, is_needed: bool, now: Timestamp) -> bool {
    is_needed && origin(inputs, owned, now) == CredentialOrigin::New
}

/// A Secret that is kept until its successor serves, if both can hold the same credential.
fn still_renewed(secret: &StoredSecret, desired: &Desired) -> Option<DesiredSecret> {
    let (held, wanted) = (secret.inputs.as_ref()?, desired.inputs.as_ref()?);
    (held.subject == wanted.subject).then(|| DesiredSecret {
        namespace: secret.namespace.clone(),
        name: secret.name.clone(),
        since: secret.created,
        named: false,
    })
}

fn write_secrets(
    secrets: &[DesiredSecret],
    inputs: &Inputs,
    owned: &Owned,
    now: Timestamp,
    plan: &mut Plan,
) -> Option<Step> {
    let mut stale = Vec::new();
    for wanted in secrets {
        let found = owned.secret(&wanted.namespace, &wanted.name);
        if let Some(foreign) = found.filter(|it| !owned.may_write(it)) {
            plan.failing.push(foreign_secret(foreign));
            continue;
        }
        if !found.is_some_and(|it| owned.is_fresh(it, inputs, now)) {
            stale.push(target(wanted, found));
        }
    }
    stale.retain(|it| may_write_now(it, owned, now, plan));
    for target in secrets.iter().map(|it| target(it, None)) {
        if let Some(problem) = owned.contests.still_contested(&target.object()) {
            plan.failing
                .push(NamespaceProblem { namespace: target.namespace, problem: problem.clone() });
        }
    }
    (!stale.is_empty()).then(|| Step::WriteSecrets(stale, origin(inputs, owned, now)))
}

/// Whether the contest of a Secret allows a write now.
fn may_write_now(target: &SecretTarget, owned: &Owned, now: Timestamp, plan: &mut Plan) -> bool {
    let Some(problem) = owned.contests.blocks(&target.object(), now) else { return true };
    let (namespace, problem) = (target.namespace.clone(), problem.clone());
    plan.unwritten.push(NamespaceProblem { namespace, problem });
    false
}

fn delete_secret(secret: &StoredSecret, owned: &Owned, now: Timestamp, plan: &mut Plan) {
    let (namespace, name) = (secret.namespace.clone(), secret.name.clone());
    let removal = ManagedObject::Removal(Box::new(ManagedObject::Secret { namespace, name }));
    match owned.contests.blocks(&removal, now) {
        // A part for each Secret: one failed deletion must not stop the others.
        None => plan.parts.push(vec![Step::DeleteSecret(secret.clone())]),
        Some(problem) => plan.unremoved = plan.unremoved.take().or(Some(problem.clone())),
    }
}

/// Chooses the accepted credential while it is fresh. No credential is ever read from a Secret: the
/// owner of one namespace must not write into others through the operator.
fn origin(inputs: &Inputs, owned: &Owned, now: Timestamp) -> CredentialOrigin {
    let accepted = owned.accepted.as_ref();
    let fresh = accepted.filter(|it| it.is_fresh(inputs, now));
    match fresh.filter(|it| !owned.refused_digests.contains(&it.digest)) {
        Some(_) => CredentialOrigin::Current,
        None => CredentialOrigin::New,
    }
}

fn target(wanted: &DesiredSecret, found: Option<&StoredSecret>) -> SecretTarget {
    SecretTarget {
        namespace: wanted.namespace.clone(),
        name: wanted.name.clone(),
        uid: found.map(|it| it.uid.clone()),
        edited: found.is_some_and(|it| !it.intact),
        immutable: found.is_some_and(|it| it.immutable),
    }
}

/// From when a Secret that is not desired any more may be deleted; `None` while that is unknown. An
/// entry that has to stay keeps the Secret.
fn removal_date(
    secret: &StoredSecret,
    desired: &Desired,
    owned: &Owned,
    timing: RemovalTiming,
) -> Option<Timestamp> {
    let here = owned.accounts.as_ref()?.within(&secret.namespace);
    let here = here.filter(|it| it.is_marked(&secret.name, &owned.uid));
    let entries = here.map(|it| entries::removal_date(it, &secret.name, desired, owned, timing));
    let last = entries.collect::<Option<Vec<_>>>()?.into_iter().max();
    let due = removable_from(&secret.namespace, desired, owned, timing)?;
    Some(last.map_or(due, |it| it.max(due)))
}

/// From when Secrets and entries of a name that is not desired any more may be removed from a
/// namespace; `None` while that is unknown.
pub(super) fn removable_from(
    namespace: &str,
    desired: &Desired,
    owned: &Owned,
    timing: RemovalTiming,
) -> Option<Timestamp> {
    if let Some(successor) = desired.secret(namespace) {
        return serving_since(successor, desired, owned, timing.now)?
            .checked_add(timing.delay)
            .ok();
    }
    if desired.grants_are_for_nodes { timing.replaced_at } else { Some(timing.now) }
}

/// Since when a pull secret serves (UTC); `None` if it does not.
fn serving_since(
    wanted: &DesiredSecret,
    desired: &Desired,
    owned: &Owned,
    now: Timestamp,
) -> Option<Timestamp> {
    let found = owned.secret(&wanted.namespace, &wanted.name)?;
    let serves = owned.serves(found, desired.inputs.as_ref()?, now);
    serves.then_some(found.created)
}

/// The problem that a Secret of another owner has the desired name.
#[must_use]
pub fn foreign_secret(found: &StoredSecret) -> NamespaceProblem {
    const RENAME: &str = "set pullSecret.secretName to another name and add that to chart value pullSecrets.names (flag --pull-secret-names)";
    let StoredSecret { namespace, name, .. } = found;
    let doing = format!("writing Secret {name} in namespace {namespace}");
    let (advice, account) = match found.owners.first() {
        Some(owner) => {
            let Owner { name: owner, .. } = owner;
            (
                format!("{RENAME}, or take namespace {namespace} out of attachment {owner}"),
                format!("{doing}: it belongs to attachment {owner}"),
            )
        }
        None => (
            format!(
                "delete it (kubectl delete secret {name} --namespace {namespace}), or {RENAME}"
            ),
            format!("{doing}: there is one that acr-attach did not make"),
        ),
    };
    let problem = Problem::advised(Cause::NotOurs, &advice, &[account]);
    NamespaceProblem { namespace: namespace.clone(), problem }
}

#[cfg(test)]
mod tests;

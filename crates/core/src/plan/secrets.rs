//! The part of the plan that is about pull secrets.

use jiff::{SignedDuration, Timestamp};

use super::{Desired, DesiredSecret, NamespaceProblem, Owned, Plan, Step, entries};
use crate::delivery::contest::ManagedObject;
use crate::problem::{Cause, Problem};
use crate::pull_secrets::Inputs;
use crate::snapshot::cluster::StoredSecret;

/// A Secret to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretTarget {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The uid of the Secret that is there; it is changed in place.
    pub uid: Option<String>,
    /// Whether somebody has changed what is there.
    pub edited: bool,
    /// Whether the API server refuses each change of what is there, so that it has to be deleted
    /// and made anew.
    pub immutable: bool,
}

impl SecretTarget {
    /// The object that the write is about.
    #[must_use]
    pub fn object(&self) -> ManagedObject {
        ManagedObject::Secret { namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

/// Where its credential comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialOrigin {
    /// A new one, made and proven for all targets together.
    New,
    /// The one that this process had accepted before, and still holds.
    Current,
}

/// What removals depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct RemovalTiming {
    /// When the plan is made.
    pub now: Timestamp,
    /// From when on what is desired counts; `None` while that is not known.
    pub replaced_at: Option<Timestamp>,
    /// How long a replacement must have been in force.
    pub delay: SignedDuration,
}

/// Lists the steps from the pull secrets that are there to those that should be.
///
/// | desired | found | step |
/// |---|---|---|
/// | yes | one of ours, fresh | – |
/// | yes | nothing, or one of ours that was changed or is due | `WriteSecrets`: the credential that was accepted last, if it is fresh |
/// | yes | the same, and the last one is not fresh | `WriteSecrets` a new one, to all that need it |
/// | yes | the same, and others refused or undid the last writes | nothing until the contest allows the next try |
/// | yes | somebody else's | failing, `NotOurs` |
/// | no, another in that namespace | one of ours | `DeleteSecret` when the other has served long enough, and service accounts name it |
/// | no, a role is | one of ours | `DeleteSecret` when the role has counted long enough |
/// | no | one of ours | `DeleteSecret` |
/// | none in any namespace | none | `WriteSecrets` to nothing, unless one that was accepted is fresh: the credential is proven |
///
/// What waits to be withdrawn is renewed like the rest while it is made from the same.
pub(super) fn plan(desired: &Desired, owned: &Owned, timing: RemovalTiming, plan: &mut Plan) {
    let (Some(secrets), Some(stored)) = (&desired.secrets, &owned.secrets) else { return };
    let mut kept: Vec<_> = secrets.values().cloned().collect();
    for secret in stored.iter().filter(|it| it.is_of(&owned.uid)) {
        if desired.wants_secret(&secret.namespace, &secret.name) {
            continue;
        }
        match removal_date(secret, desired, owned, timing) {
            // Each on its own: that one cannot be deleted must not keep the others.
            Some(due) if due <= timing.now => delete_secret(secret, owned, timing.now, plan),
            due => {
                plan.note_due(due);
                kept.extend(still_renewed(secret, desired));
            }
        }
    }
    let Some(inputs) = &desired.inputs else { return };
    let step = if kept.is_empty() && !desired.grants_are_for_nodes {
        prove_only(inputs, owned, timing.now)
    } else {
        write_secrets(&kept, inputs, owned, timing.now, plan)
    };
    plan.parts.push(step.into_iter().collect());
}

/// Where no namespace is there to be served: a credential that is made, proven and written
/// nowhere, so that one which cannot be had is told before the first namespace needs it.
fn prove_only(inputs: &Inputs, owned: &Owned, now: Timestamp) -> Option<Step> {
    let origin = origin(inputs, owned, now);
    (origin == CredentialOrigin::New).then(|| Step::WriteSecrets(Vec::new(), origin))
}

/// A Secret that serves until its successor does, if the same credential is good for both.
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
        match found.filter(|it| owned.is_fresh(it, inputs, now)) {
            Some(found) => plan.note_due(found.renew),
            None => stale.push(target(wanted, found)),
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

/// Whether a Secret may be written now. Where others refused or undid the last writes, it waits.
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
        // Each on its own: that one cannot be deleted must not keep the others.
        None => plan.parts.push(vec![Step::DeleteSecret(secret.clone())]),
        Some(problem) => plan.unremoved = plan.unremoved.take().or(Some(problem.clone())),
    }
}

/// The credential to write: the one that was accepted last while it is fresh. It never comes out of
/// a Secret: what a namespace's owner writes there must not reach other namespaces.
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

/// From when on a Secret of ours that is not desired any more may go; `None` while that is not
/// known. An entry that is to stay keeps it.
fn removal_date(
    secret: &StoredSecret,
    desired: &Desired,
    owned: &Owned,
    timing: RemovalTiming,
) -> Option<Timestamp> {
    let here = owned.accounts.iter().flat_map(|it| it.within(&secret.namespace));
    let here = here.filter(|it| it.is_marked(&secret.name, &owned.uid));
    let entries = here.map(|it| entries::removal_date(it, &secret.name, desired, owned, timing));
    let last = entries.collect::<Option<Vec<_>>>()?.into_iter().max();
    let due = removable_from(&secret.namespace, desired, owned, timing)?;
    Some(last.map_or(due, |it| it.max(due)))
}

/// From when on what is ours in a namespace may go, although nothing of that name is desired
/// there any more.
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

/// Since when a pull secret serves; `None` if it does not.
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

/// Since when all pull secrets serve instead of a role; `None` while one does not, or no service
/// account names it. A namespace that came after the first pull secret never depended on the role.
pub(super) fn all_serving_since(
    desired: &Desired,
    owned: &Owned,
    now: Timestamp,
) -> Option<Timestamp> {
    let secrets = desired.secrets.iter().flat_map(|it| it.values());
    let since = |it: &DesiredSecret| (it.since, serving_since(it, desired, owned, now));
    let served: Vec<_> = secrets
        .map(|it| (it, since(it)))
        .map(|(it, (came, since))| {
            (came, since.filter(|_| entries::all_accounts_name(it, desired, owned)))
        })
        .collect();
    let first = served.iter().filter_map(|(_, since)| *since).min()?;
    let depended = served.iter().filter(|(came, _)| *came <= first);
    depended.map(|(_, since)| *since).collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// Says that a Secret of that name is somebody else's.
#[must_use]
pub fn foreign_secret(found: &StoredSecret) -> NamespaceProblem {
    const RENAME: &str = "set pullSecret.secretName to another name and add that to chart value pullSecrets.names (flag --pull-secret-names)";
    let StoredSecret { namespace, name, .. } = found;
    let doing = format!("writing Secret {name} in namespace {namespace}");
    let (advice, account) = match found.owners.first() {
        Some(owner) => {
            (RENAME.to_owned(), format!("{doing}: it belongs to attachment {}", owner.name))
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

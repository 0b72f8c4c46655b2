//! The part of the plan that is about pull secrets.

use jiff::{SignedDuration, Timestamp};

use super::{Delivery, Desired, Failing, Owned, Plan, Step, entries};
use crate::delivery::contest::Kept;
use crate::problem::{Cause, Problem};
use crate::pull_secrets::Inputs;
use crate::snapshot::cluster::StoredSecret;

/// A Secret to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
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

impl Target {
    /// The object that the write is about.
    #[must_use]
    pub fn object(&self) -> Kept {
        Kept::Secret { namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

/// Where its credential comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A new one, made and proven for all targets together.
    Mint,
    /// The one that this process had accepted before, and still holds.
    Accepted,
}

/// What removals depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dates {
    /// When the plan is made.
    pub now: Timestamp,
    /// From when on what is desired counts; `None` while that is not known.
    pub replaced: Option<Timestamp>,
    /// How long a replacement must have been in force.
    pub delay: SignedDuration,
}

/// Lists the steps from the pull secrets that are there to those that should be.
///
/// | desired | found | step |
/// |---|---|---|
/// | yes | one of ours, fresh | – |
/// | yes | nothing, or one of ours that was changed or is due | `Provide`: the credential that was accepted last, if it is fresh |
/// | yes | the same, and the last one is not fresh | `Provide` a new one, to all that need it |
/// | yes | the same, and others refused or undid the last writes | nothing until the contest allows the next try |
/// | yes | somebody else's | failing, `NotOurs` |
/// | no, another in that namespace | one of ours | `Withdraw` when the other has served long enough, and service accounts name it |
/// | no, a role is | one of ours | `Withdraw` when the role has counted long enough |
/// | no | one of ours | `Withdraw` |
/// | none in any namespace | none | `Provide` to nothing, unless one that was accepted is fresh: the credential is proven |
///
/// What waits to be withdrawn is renewed like the rest while it is made from the same.
pub(super) fn plan(desired: &Desired, owned: &Owned, dates: Dates, plan: &mut Plan) {
    let (Some(deliveries), Some(stored)) = (&desired.deliveries, &owned.secrets) else { return };
    let mut kept: Vec<_> = deliveries.values().cloned().collect();
    for secret in stored.iter().filter(|it| it.is_of(&owned.uid)) {
        if desired.asks_for(&secret.namespace, &secret.name) {
            continue;
        }
        match removal(secret, desired, owned, dates) {
            // Each on its own: that one cannot be deleted must not keep the others.
            Some(due) if due <= dates.now => withdraw(secret, owned, dates.now, plan),
            due => {
                plan.is_due(due);
                kept.extend(waiting(secret, desired));
            }
        }
    }
    let Some(inputs) = &desired.inputs else { return };
    let step = if kept.is_empty() && !desired.of_nodes {
        trial(inputs, owned, dates.now)
    } else {
        provide(&kept, inputs, owned, dates.now, plan)
    };
    plan.parts.push(step.into_iter().collect());
}

/// Where no namespace is there to be served: a credential that is made, proven and written
/// nowhere, so that one which cannot be had is told before the first namespace needs it.
fn trial(inputs: &Inputs, owned: &Owned, now: Timestamp) -> Option<Step> {
    let origin = origin(inputs, owned, now);
    (origin == Origin::Mint).then(|| Step::Provide(Vec::new(), origin))
}

/// A Secret that serves until its successor does, if the same credential is good for both.
fn waiting(secret: &StoredSecret, desired: &Desired) -> Option<Delivery> {
    let (held, wanted) = (secret.inputs.as_ref()?, desired.inputs.as_ref()?);
    (held.subject == wanted.subject).then(|| Delivery {
        namespace: secret.namespace.clone(),
        name: secret.name.clone(),
        since: secret.created,
        named: false,
    })
}

fn provide(
    deliveries: &[Delivery],
    inputs: &Inputs,
    owned: &Owned,
    now: Timestamp,
    plan: &mut Plan,
) -> Option<Step> {
    let mut stale = Vec::new();
    for delivery in deliveries {
        let found = owned.secret(&delivery.namespace, &delivery.name);
        if let Some(foreign) = found.filter(|it| !owned.may_write(it)) {
            plan.failing.push(in_the_way(foreign));
            continue;
        }
        match found.filter(|it| owned.is_fresh(it, inputs, now)) {
            Some(found) => plan.is_due(found.renew),
            None => stale.push(target(delivery, found)),
        }
    }
    stale.retain(|it| is_free(it, owned, now, plan));
    for target in deliveries.iter().map(|it| target(it, None)) {
        if let Some(problem) = owned.contests.unsettled(&target.object()) {
            plan.failing.push(Failing { namespace: target.namespace, problem: problem.clone() });
        }
    }
    (!stale.is_empty()).then(|| Step::Provide(stale, origin(inputs, owned, now)))
}

/// Whether a Secret may be written now. Where others refused or undid the last writes, it waits.
fn is_free(target: &Target, owned: &Owned, now: Timestamp, plan: &mut Plan) -> bool {
    let Some(problem) = owned.contests.blocks(&target.object(), now) else { return true };
    let (namespace, problem) = (target.namespace.clone(), problem.clone());
    plan.unwritten.push(Failing { namespace, problem });
    false
}

fn withdraw(secret: &StoredSecret, owned: &Owned, now: Timestamp, plan: &mut Plan) {
    let (namespace, name) = (secret.namespace.clone(), secret.name.clone());
    let removal = Kept::Removal(Box::new(Kept::Secret { namespace, name }));
    match owned.contests.blocks(&removal, now) {
        // Each on its own: that one cannot be deleted must not keep the others.
        None => plan.parts.push(vec![Step::Withdraw(secret.clone())]),
        Some(problem) => plan.unremoved = plan.unremoved.take().or(Some(problem.clone())),
    }
}

/// The credential to write: the one that was accepted last while it is fresh. It never comes out of
/// a Secret: what a namespace's owner writes there must not reach other namespaces.
fn origin(inputs: &Inputs, owned: &Owned, now: Timestamp) -> Origin {
    let accepted = owned.accepted.as_ref();
    let fresh = accepted.filter(|it| it.is_fresh(inputs, now));
    match fresh.filter(|it| !owned.refused.contains(&it.digest)) {
        Some(_) => Origin::Accepted,
        None => Origin::Mint,
    }
}

fn target(delivery: &Delivery, found: Option<&StoredSecret>) -> Target {
    Target {
        namespace: delivery.namespace.clone(),
        name: delivery.name.clone(),
        uid: found.map(|it| it.uid.clone()),
        edited: found.is_some_and(|it| !it.intact),
        immutable: found.is_some_and(|it| it.immutable),
    }
}

/// From when on a Secret of ours that is not desired any more may go; `None` while that is not
/// known. An entry that is to stay keeps it.
fn removal(
    secret: &StoredSecret,
    desired: &Desired,
    owned: &Owned,
    dates: Dates,
) -> Option<Timestamp> {
    let here = owned.accounts.iter().flat_map(|it| it.within(&secret.namespace));
    let here = here.filter(|it| it.is_marked(&secret.name, &owned.uid));
    let entries = here.map(|it| entries::removal(it, &secret.name, desired, owned, dates));
    let last = entries.collect::<Option<Vec<_>>>()?.into_iter().max();
    let due = surplus_from(&secret.namespace, desired, owned, dates)?;
    Some(last.map_or(due, |it| it.max(due)))
}

/// From when on what is ours in a namespace may go, although nothing of that name is desired
/// there any more.
pub(super) fn surplus_from(
    namespace: &str,
    desired: &Desired,
    owned: &Owned,
    dates: Dates,
) -> Option<Timestamp> {
    if let Some(successor) = desired.delivery(namespace) {
        return serving_since(successor, desired, owned, dates.now)?.checked_add(dates.delay).ok();
    }
    if desired.of_nodes { dates.replaced } else { Some(dates.now) }
}

/// Since when a pull secret serves; `None` if it does not.
fn serving_since(
    delivery: &Delivery,
    desired: &Desired,
    owned: &Owned,
    now: Timestamp,
) -> Option<Timestamp> {
    let found = owned.secret(&delivery.namespace, &delivery.name)?;
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
    let deliveries = desired.deliveries.iter().flat_map(|it| it.values());
    let since = |it: &Delivery| (it.since, serving_since(it, desired, owned, now));
    let served: Vec<_> = deliveries
        .map(|it| (it, since(it)))
        .map(|(it, (came, since))| (came, since.filter(|_| entries::are_held(it, desired, owned))))
        .collect();
    let first = served.iter().filter_map(|(_, since)| *since).min()?;
    let depended = served.iter().filter(|(came, _)| *came <= first);
    depended.map(|(_, since)| *since).collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// Says that a Secret of that name is somebody else's.
#[must_use]
pub fn in_the_way(found: &StoredSecret) -> Failing {
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
    Failing { namespace: namespace.clone(), problem }
}

#[cfg(test)]
mod tests;

//! The part of the plan that is about pull secrets.

use jiff::{SignedDuration, Timestamp};

use super::{Delivery, Desired, Failing, Owned, Plan, Step};
use crate::domain::cluster::StoredSecret;
use crate::domain::problem::{Cause, Problem};

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
}

/// Where its credential comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A new one, made and proven for all targets together.
    Mint,
    /// The one that was accepted before, from a Secret that holds it.
    Copy {
        /// The namespace of that Secret.
        namespace: String,
        /// The digest that its content must have.
        digest: String,
    },
}

/// Lists the steps from the pull secrets that are there to those that should be.
///
/// | desired | found | step |
/// |---|---|---|
/// | yes | nothing, or one of ours that was changed | `Provide`: the credential that others hold, else a new one |
/// | yes | one of ours, to be renewed or made from something else | `Provide` a new one, everywhere |
/// | yes | one of ours, fresh | – |
/// | yes | somebody else's | failing, `NotOurs` |
/// | no, another in that namespace | one of ours | `Withdraw` when the other has served long enough |
/// | no, a role is | one of ours | `Withdraw` when the role has counted long enough |
/// | no | one of ours | `Withdraw` |
pub(super) fn plan(
    desired: &Desired,
    owned: &Owned,
    dates: (Option<Timestamp>, SignedDuration),
    now: Timestamp,
    plan: &mut Plan,
) {
    let (Some(deliveries), Some(stored)) = (&desired.deliveries, &owned.secrets) else { return };
    let provide = provide(deliveries, owned, now, plan);
    plan.parts.push(provide.into_iter().collect());
    for secret in stored.iter().filter(|it| it.is_of(&owned.uid)) {
        if desired.delivery(&secret.namespace, &secret.name).is_some() {
            continue;
        }
        match surplus_from(&secret.namespace, desired, owned, dates, now) {
            // Each on its own: that one cannot be deleted must not keep the others.
            Some(due) if due <= now => plan.parts.push(vec![Step::Withdraw(secret.clone())]),
            due => plan.is_due(due),
        }
    }
}

fn provide(
    deliveries: &[Delivery],
    owned: &Owned,
    now: Timestamp,
    plan: &mut Plan,
) -> Option<Step> {
    let (mut lacking, mut all, mut aging) = (Vec::new(), Vec::new(), false);
    for delivery in deliveries {
        let found = owned.secret(&delivery.namespace, &delivery.name);
        if let Some(foreign) = found.filter(|it| !owned.may_write(it)) {
            plan.failing.push(in_the_way(foreign));
            continue;
        }
        let target = target(delivery, found);
        all.push(target.clone());
        let ours = found.filter(|it| it.is_of(&owned.uid));
        match ours.filter(|it| it.serves(&delivery.inputs, now)) {
            Some(it) if it.is_fresh(&delivery.inputs, now) && !owned.refused => {
                plan.is_due(it.renew);
            }
            Some(_) => aging = true,
            None => lacking.push(target),
        }
    }
    if aging {
        return Some(Step::Provide(all, Origin::Mint));
    }
    let donor = deliveries.iter().find_map(|it| donor(it, owned, now));
    (!lacking.is_empty()).then(|| Step::Provide(lacking, donor.unwrap_or(Origin::Mint)))
}

fn target(delivery: &Delivery, found: Option<&StoredSecret>) -> Target {
    Target {
        namespace: delivery.namespace.clone(),
        name: delivery.name.clone(),
        uid: found.map(|it| it.uid.clone()),
        edited: found.is_some_and(|it| !it.intact),
    }
}

/// A Secret whose credential may be written elsewhere too. It must be the very one that this
/// process had accepted: who may write into one namespace must not write into others through us.
fn donor(delivery: &Delivery, owned: &Owned, now: Timestamp) -> Option<Origin> {
    let found = owned.secret(&delivery.namespace, &delivery.name)?;
    let good = found.is_of(&owned.uid)
        && found.is_fresh(&delivery.inputs, now)
        && !owned.refused
        && owned.accepted.as_ref() == Some(&found.digest);
    let (namespace, digest) = (found.namespace.clone(), found.digest.clone());
    good.then_some(Origin::Copy { namespace, digest })
}

/// From when on what is ours in a namespace may go, although nothing of that name is desired
/// there any more.
pub(super) fn surplus_from(
    namespace: &str,
    desired: &Desired,
    owned: &Owned,
    (replaced, delay): (Option<Timestamp>, SignedDuration),
    now: Timestamp,
) -> Option<Timestamp> {
    let mut successors = desired.deliveries.iter().flatten();
    if let Some(successor) = successors.find(|it| it.namespace == namespace) {
        return serving_since(successor, owned, now)?.checked_add(delay).ok();
    }
    match &desired.grants {
        Some(grants) if grants.is_empty() => Some(now),
        _ => replaced,
    }
}

/// Since when a pull secret serves; `None` if it does not.
pub(super) fn serving_since(
    delivery: &Delivery,
    owned: &Owned,
    now: Timestamp,
) -> Option<Timestamp> {
    let found = owned.secret(&delivery.namespace, &delivery.name)?;
    let serves = found.is_of(&owned.uid) && found.serves(&delivery.inputs, now) && !owned.refused;
    serves.then_some(found.created)
}

fn in_the_way(found: &StoredSecret) -> Failing {
    let StoredSecret { namespace, name, .. } = found;
    let doing = format!("writing Secret {name} in namespace {namespace}");
    let text = match &found.owner {
        Some(owner) => format!(
            "{doing}: it belongs to attachment {}; set pullSecret.secretName to another name, and add that to the operator's --pull-secret-names",
            owner.name
        ),
        None => format!(
            "{doing}: there is one that acr-attach did not make; delete it (kubectl delete secret {name} --namespace {namespace}), or set pullSecret.secretName to another name and add that to the operator's --pull-secret-names"
        ),
    };
    Failing { namespace: namespace.clone(), problem: Problem::new(Cause::NotOurs, text) }
}

#[cfg(test)]
mod tests;

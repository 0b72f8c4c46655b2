//! Removes Secrets and entries under names that the settings no longer allow. No watch shows them.

use std::collections::{BTreeMap, BTreeSet};

use acr_attach_core::plan::{Plan, Step};
use acr_attach_core::problem::Problem;
use acr_attach_core::snapshot::cluster::{ServiceAccount, StoredSecret};
use jiff::Timestamp;

use super::snapshot::Contents;
use super::{Applied, Applier, Lane};
use crate::attachment::Context;

/// Removes those of the given objects that are no longer desired, and due.
///
/// # Errors
/// While the caches have not been read.
pub async fn remove_unwatched(
    uid: &str,
    (secrets, accounts): (Vec<StoredSecret>, Vec<ServiceAccount>),
    ctx: &Context,
) -> Result<Applied, Problem> {
    let mut left: BTreeMap<String, Left> = BTreeMap::new();
    for it in secrets {
        left.entry(it.namespace.clone()).or_default().0.push(it);
    }
    for it in accounts {
        left.entry(it.namespace.clone()).or_default().1.push(it);
    }
    let mut all = Applied::default();
    for (namespace, left) in left {
        all.extend(remove_in(uid, &namespace, left, ctx).await?);
    }
    Ok(all)
}

/// What is left of an attachment in one namespace.
type Left = (Vec<StoredSecret>, Vec<ServiceAccount>);

async fn remove_in(
    uid: &str,
    namespace: &str,
    left: Left,
    ctx: &Context,
) -> Result<Applied, Problem> {
    let namespace = ctx.watches.namespaces.get("", namespace)?;
    let subject = namespace.as_ref().and_then(|it| {
        let subject = ctx.delivery.subject(uid, Lane::Secrets, &it.name)?;
        Some((it, subject.directive.desired(it)?, subject))
    });
    let Some((namespace, desired, subject)) = subject else { return Ok(Applied::default()) };
    let mut contents = Contents::of(&namespace.name, &ctx.watches)?;
    contents.secrets.extend(left.0.iter().cloned());
    if let Ok(all) = &mut contents.accounts {
        all.extend(left.1.iter().cloned());
    }
    let owned = contents.owned(&desired, &subject, &BTreeSet::new());
    let timing = subject.timing(Timestamp::now(), ctx.intervals.removal_delay);
    let planned = Lane::ALL.map(|lane| lane.plan(&desired, &owned, timing).parts.concat());
    let steps = planned.concat().into_iter().filter_map(|step| about(step, &left));
    let plan = Plan { parts: vec![steps.collect()], ..Plan::default() };
    let by = Applier { object: &subject.object, was_served: false, ctx };
    Ok(by.apply(&plan, None).await)
}

/// Reduces a step to the removal of what is left; `None` for any other step.
fn about(step: Step, (secrets, accounts): &Left) -> Option<Step> {
    match step {
        Step::RemoveEntries(mut entries) => {
            entries.retain(|(it, _)| accounts.contains(it));
            Some(Step::RemoveEntries(entries))
        }
        Step::DeleteSecret(secret) => {
            let is_left = secrets.iter().any(|it| it.uid == secret.uid);
            is_left.then_some(Step::DeleteSecret(secret))
        }
        _ => None,
    }
}

//! Removes what no watch shows: Secrets and entries under names that the settings no longer allow.

use std::collections::{BTreeMap, BTreeSet};

use acr_attach_core::delivery::Directive;
use acr_attach_core::plan::{Plan, RemovalTiming, Step};
use acr_attach_core::problem::Problem;
use acr_attach_core::snapshot::cluster::{ServiceAccount, StoredSecret};
use jiff::Timestamp;

use super::snapshot::Contents;
use super::{Applied, Applier, Lane};
use crate::attachment::Context;

/// Removes those of these objects that are not desired any more, and due.
///
/// # Errors
/// While the caches have not been read.
pub async fn remove_unwatched(
    uid: &str,
    (secrets, accounts): (Vec<StoredSecret>, Vec<ServiceAccount>),
    ctx: &Context,
) -> Result<Applied, Problem> {
    let mut left: BTreeMap<String, (Vec<StoredSecret>, Vec<ServiceAccount>)> = BTreeMap::new();
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

async fn remove_in(
    uid: &str,
    namespace: &str,
    (secrets, accounts): (Vec<StoredSecret>, Vec<ServiceAccount>),
    ctx: &Context,
) -> Result<Applied, Problem> {
    let Some(namespace) = ctx.watches.namespaces.get("", namespace)? else {
        return Ok(Applied::default());
    };
    let Some(subject) = ctx.delivery.subject(uid, Lane::Secrets, &namespace.name) else {
        return Ok(Applied::default());
    };
    let Some(desired) = subject.directive.desired(&namespace) else {
        return Ok(Applied::default());
    };
    let mut contents = Contents::of(&namespace.name, &ctx.watches)?;
    let is_left = |step: &Step| match step {
        Step::DeleteSecret(it) => secrets.iter().any(|left| left.uid == it.uid),
        _ => false,
    };
    contents.secrets.extend(secrets.iter().cloned());
    if let Ok(all) = &mut contents.accounts {
        all.extend(accounts.iter().cloned());
    }
    let owned = contents.owned(&desired, &subject, &BTreeSet::new());
    let now = Timestamp::now();
    let replaced_at = match *subject.directive {
        Directive::Remove => Some(now),
        _ => subject.directive.served().and_then(|it| it.replaced_at),
    };
    let timing = RemovalTiming { now, replaced_at, delay: ctx.intervals.removal_delay };
    let mut steps: Vec<Step> = Vec::new();
    for lane in Lane::ALL {
        for step in lane.plan(&desired, &owned, timing).parts.concat() {
            match step {
                Step::RemoveEntries(mut entries) => {
                    entries.retain(|(it, _)| accounts.iter().any(|left| left == it));
                    steps.push(Step::RemoveEntries(entries));
                }
                step if is_left(&step) => steps.push(step),
                _ => {}
            }
        }
    }
    let by = Applier { object: &subject.object, was_served: false, ctx };
    Ok(by.apply(&Plan { parts: vec![steps], ..Plan::default() }, None).await)
}

//! Lets the object go once no service account bears an entry of the attachment any more.

use std::time::Duration;

use acr_attach_core::api::ABANDON_ENTRIES;
use acr_attach_core::delivery::Deliveries;
use acr_attach_core::plan::Finalizer;
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::pull_secrets::Accounts;
use acr_attach_core::spec::policy::PULL_SECRETS;
use acr_attach_core::spec::{Method, Task};

use kube::ResourceExt;
use tokio::sync::OwnedRwLockWriteGuard;

use super::act::{Acted, Deed};
use super::observe::{Observation, Pass};
use super::unwatched::{Left, marked_accounts};

const FINALIZER: Finalizer = Finalizer::ServiceAccounts;
/// How long writes that have begun may take. A call to the API server has a deadline of 10 s.
const DRAIN: Duration = Duration::from_secs(30);

/// Removes the finalizer for entries where the attachment is to have none: it is being deleted, nodes
/// pull with a role, or the spec names no service account.
pub(super) async fn release_entries(seen: &mut Observation, left: &Left, pass: Pass<'_>) -> Acted {
    let mut acted = Acted::default();
    let may_add = match pass.task {
        Task::Attach(it) => match &it.method {
            Method::PullSecret(secret) => secret.accounts != Accounts::default(),
            Method::KubeletIdentity(_) => false,
        },
        Task::Detach(_) => false,
    };
    if may_add
        || pass.object.spec.suspend && matches!(pass.task, Task::Attach(_))
        || !pass.ctx.delivery.bears_finalizer(pass.object)
    {
        return acted;
    }
    if abandons(pass) {
        acted.extend(abandon(pass).await);
        return acted;
    }
    match release(left, pass).await {
        Ok(true) => acted.deeds.push(Deed::Finalizer(FINALIZER, false)),
        Ok(false) => {}
        Err(problem) if matches!(pass.task, Task::Detach(_)) => acted.problem = Some(problem),
        Err(problem) => seen.unremoved = seen.unremoved.take().or(Some(problem)),
    }
    acted
}

/// Whether a user lets the deleted attachment go without its entries being taken out.
fn abandons(pass: Pass<'_>) -> bool {
    let value = pass.object.annotations().get(ABANDON_ENTRIES);
    matches!(pass.task, Task::Detach(_)) && value.is_some_and(|it| it == "true")
}

/// Removes the finalizer, whatever is left.
async fn abandon(pass: Pass<'_>) -> Acted {
    let uid = pass.uid();
    let marked = pass.ctx.watches.accounts.select(|it| it.uids().contains(&uid));
    let left = marked.map(|it| it.len()).unwrap_or_default();
    match pass.ctx.kubernetes.remove_finalizer(pass.object, FINALIZER).await {
        Ok(()) => {
            let deeds = vec![Deed::Abandoned(left), Deed::Finalizer(FINALIZER, false)];
            Acted { deeds, ..Acted::default() }
        }
        Err(problem) => Acted { problem: Some(problem), ..Acted::default() },
    }
}

/// Returns whether the finalizer was removed. It stays while an entry is left or may be.
async fn release(left: &Left, pass: Pass<'_>) -> Result<bool, Problem> {
    let (uid, ctx) = (pass.uid(), pass.ctx);
    if !ctx.policy.pull_secrets {
        return Err(not_allowed());
    }
    let detaches = matches!(pass.task, Task::Detach(_));
    let marked = ctx.watches.accounts.select(|it| it.uids().contains(&uid))?;
    if !marked.is_empty() || left.may_hide_entries() {
        let unremoved = ctx.delivery.unremoved(&uid);
        let busy = || {
            let text = format!("removing entries from {} service accounts", marked.len());
            Problem::new(Cause::Busy, text)
        };
        let busy = (detaches && !marked.is_empty()).then(busy);
        return unremoved.filter(|_| detaches).or(busy).map_or(Ok(false), Err);
    }
    if !ctx.delivery.ask(&uid, Deliveries::are_complete).unwrap_or(true) {
        return Ok(false);
    }
    let _no_writes = drain(&uid, pass).await?;
    let names = ctx.policy.account_names.listed();
    let names = names.map_or_else(|| vec!["*".to_owned()], |it| it.iter().cloned().collect());
    for name in names {
        // A watch may lag behind, and nothing is removed after this.
        if !marked_accounts(&name, &uid, ctx).await?.is_empty() {
            let text = "removing entries from service accounts: the watch does not show all yet";
            return Err(Problem::new(Cause::Unavailable, text));
        }
    }
    ctx.kubernetes.remove_finalizer(pass.object, FINALIZER).await?;
    Ok(true)
}

/// Waits until all writes have ended that began before the attachment was to have no entries. None begins
/// while the guard is held.
async fn drain(uid: &str, pass: Pass<'_>) -> Result<Option<OwnedRwLockWriteGuard<()>>, Problem> {
    let Some(writers) = pass.ctx.delivery.writers(uid) else { return Ok(None) };
    let drained = tokio::time::timeout(DRAIN, writers.write_owned()).await;
    drained.map(Some).map_err(|_| {
        let text = "removing entries from service accounts: writes to them have not ended yet";
        Problem::new(Cause::Unavailable, text)
    })
}

fn not_allowed() -> Problem {
    let advice = format!(
        "set {PULL_SECRETS} to true, or let the attachment go and take them out by hand (annotation {ABANDON_ENTRIES}=true)"
    );
    let account =
        "taking pull secrets out of service accounts: the operator's settings do not allow it";
    Problem::advised(Cause::NotAllowed, &advice, &[account.to_owned()])
}

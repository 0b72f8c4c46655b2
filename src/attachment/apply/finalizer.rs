//! Removes the finalizer for entries once no service account bears an entry of the attachment any more.

use std::time::Duration;

use acr_attach_core::api::ABANDON_ENTRIES;
use acr_attach_core::delivery::Deliveries;
use acr_attach_core::outcome::changes::{Abandoned, Change};
use acr_attach_core::plan::Finalizer;
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::pull_secrets::Accounts;
use acr_attach_core::snapshot::cluster::ServiceAccount;
use acr_attach_core::spec::policy::PULL_SECRETS;
use acr_attach_core::spec::{Method, Task};
use kube::ResourceExt;
use tokio::sync::OwnedRwLockWriteGuard;

use crate::attachment::apply::Applied;
use crate::attachment::reconcile::Reconcile;
use crate::attachment::snapshot::Snapshot;
use crate::attachment::snapshot::unwatched::{Left, marked_accounts};

const FINALIZER: Finalizer = Finalizer::ServiceAccounts;
/// The longest wait for writes that have begun. A call to the API server has a deadline of 10 s.
const DRAIN: Duration = Duration::from_secs(30);

/// Removes the finalizer for entries where the attachment desires no entries: it is being deleted, nodes pull
/// with a role, or the spec names no service account.
pub async fn release_entries(seen: &mut Snapshot, left: &Left, this: Reconcile<'_>) -> Applied {
    let mut applied = Applied::default();
    let may_add = match this.task {
        Task::Attach(it) => match &it.method {
            Method::PullSecret(secret) => secret.accounts != Accounts::default(),
            Method::KubeletIdentity(_) => false,
        },
        Task::Detach(_) => false,
    };
    if may_add
        || this.object.spec.suspend && matches!(this.task, Task::Attach(_))
        || !this.ctx.delivery.bears_finalizer(this.object)
    {
        return applied;
    }
    if abandons(this) {
        applied.extend(abandon(this).await);
        return applied;
    }
    if let Some(unremoved) = &seen.unremoved {
        // An entry under a name that the settings no longer allow.
        applied.problem = matches!(this.task, Task::Detach(_)).then(|| unremoved.clone());
        return applied;
    }
    match release(left, this).await {
        Ok(Some(put_back)) => {
            let left = Some(put_back).filter(|it| *it > 0);
            applied.changes.extend(left.map(|it| Change::Abandoned(Abandoned::PutBack(it))));
            applied.changes.push(Change::Finalizer(FINALIZER, false));
        }
        Ok(None) => {}
        Err(problem) if matches!(this.task, Task::Detach(_)) => applied.problem = Some(problem),
        Err(problem) => seen.unremoved = seen.unremoved.take().or(Some(problem)),
    }
    applied
}

/// Whether a user has asked to let the deleted attachment go although entries are left.
fn abandons(this: Reconcile<'_>) -> bool {
    let value = this.object.annotations().get(ABANDON_ENTRIES);
    matches!(this.task, Task::Detach(_)) && value.is_some_and(|it| it == "true")
}

/// Removes the finalizer although entries may be left.
async fn abandon(this: Reconcile<'_>) -> Applied {
    let uid = this.uid();
    let marked = this.ctx.watches.accounts.select(|it| it.uids().contains(&uid));
    let left = marked.map(|it| it.len()).ok();
    match this.ctx.kubernetes.remove_finalizer(this.object, FINALIZER).await {
        Ok(()) => {
            let abandoned = Change::Abandoned(Abandoned::Asked(left));
            let changes = vec![abandoned, Change::Finalizer(FINALIZER, false)];
            Applied { changes, ..Applied::default() }
        }
        Err(problem) => Applied { problem: Some(problem), ..Applied::default() },
    }
}

/// Removes the finalizer, unless an entry is left or may be left. Does not wait for entries of a deleted
/// attachment that another writer puts back, since they would keep the finalizer for ever. Returns the number
/// of service accounts with such entries; `None` while the finalizer stays.
async fn release(left: &Left, this: Reconcile<'_>) -> Result<Option<usize>, Problem> {
    let (uid, ctx) = (this.uid(), this.ctx);
    let detaches = matches!(this.task, Task::Detach(_));
    if !ctx.policy.pull_secrets {
        return Err(not_allowed(detaches));
    }
    let put_back = ctx.delivery.ask(&uid, Deliveries::put_back).filter(|_| detaches);
    let put_back = put_back.unwrap_or_default();
    let is_left =
        |it: &ServiceAccount| !put_back.contains(&(it.namespace.clone(), it.name.clone()));
    let marked = ctx.watches.accounts.select(|it| it.uids().contains(&uid) && is_left(it))?;
    if !marked.is_empty() || left.may_hide_entries() {
        let unremoved = ctx.delivery.unremoved(&uid);
        let busy = || {
            let text = format!("removing entries from {} service accounts", marked.len());
            Problem::new(Cause::Busy, text)
        };
        let busy = (detaches && !marked.is_empty()).then(busy);
        return unremoved.filter(|_| detaches).or(busy).map_or(Ok(None), Err);
    }
    if !ctx.delivery.ask(&uid, Deliveries::are_complete).unwrap_or(true) {
        return Ok(None);
    }
    let _no_writes = drain(&uid, this).await?;
    let names = ctx.policy.account_names.listed();
    let names = names.map_or_else(|| vec!["*".to_owned()], |it| it.iter().cloned().collect());
    for name in names {
        // Lists anew, since the watch may lag behind, and nothing is removed once the finalizer is gone.
        if marked_accounts(&name, &uid, ctx).await?.iter().any(is_left) {
            let text = "removing entries from service accounts: the watch does not show all yet";
            return Err(Problem::new(Cause::Unavailable, text));
        }
    }
    ctx.kubernetes.remove_finalizer(this.object, FINALIZER).await?;
    Ok(Some(put_back.len()))
}

/// Waits for all writes that began while entries were still desired. The returned guard keeps further writes
/// from beginning.
async fn drain(
    uid: &str,
    this: Reconcile<'_>,
) -> Result<Option<OwnedRwLockWriteGuard<()>>, Problem> {
    let Some(writers) = this.ctx.delivery.writers(uid) else { return Ok(None) };
    let drained = tokio::time::timeout(DRAIN, writers.write_owned()).await;
    drained.map(Some).map_err(|_| {
        let text = "removing entries from service accounts: writes to them have not ended yet";
        Problem::new(Cause::Unavailable, text)
    })
}

/// Returns the problem that the settings do not allow the removal of entries. The advice names the annotation
/// only for an attachment that is being deleted, since only there the annotation counts.
fn not_allowed(detaches: bool) -> Problem {
    let abandon = format!(
        ", or let the attachment go and take them out by hand (annotation {ABANDON_ENTRIES}=true)"
    );
    let advice = format!("set {PULL_SECRETS} to true{}", if detaches { &abandon } else { "" });
    let account =
        "taking pull secrets out of service accounts: the operator's settings do not allow it";
    Problem::advised(Cause::NotAllowed, &advice, &[account.to_owned()])
}

//! Detaches attachments that vanished before a reconcile had detached them.
//!
//! A finalizer does not rule that out. The API server decides by what it read before whether an object is
//! deleted at once. An object that gets its first finalizer at that moment is deleted nevertheless.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::outcome::last_check::Scope;
use acr_attach_core::outcome::waits::retry;
use acr_attach_core::plan::Finalizer;
use acr_attach_core::problem::Problem;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::runtime::watcher::{self, Event};

use crate::attachment::Guarded;
use crate::attachment::context::Context;
use crate::attachment::reconcile::attach;
use crate::attachment::snapshot::registry::shown_assignments;
use crate::attachment::state::{AttachmentState, Findings, Revision};

/// The number of tries to release what a vanished attachment held.
const TRIES: u32 = 20;

/// The attachments that vanished before the watch showed them as being deleted: as it showed them last, by
/// name.
#[derive(Default)]
pub struct Vanished(Mutex<HashMap<String, RegistryAttachment>>);

impl Vanished {
    /// Takes an event of the watch. Returns the names of the attachments that are gone, or may be.
    pub fn seen(
        &self,
        event: &Result<Event<Guarded>, watcher::Error>,
        ctx: &Context,
    ) -> Vec<String> {
        match event {
            Ok(Event::Delete(gone)) => {
                let name = gone.name_any();
                if let Ok(object) = &gone.0
                    && object.metadata.deletion_timestamp.is_none()
                {
                    self.lock().insert(name.clone(), object.clone());
                }
                vec![name]
            }
            // The watch was interrupted, and does not show which attachments went meanwhile.
            Ok(Event::InitDone) => ctx.states.names(),
            _ => Vec::new(),
        }
    }

    /// Removes and returns the vanished attachment of that name, as the watch showed it last.
    pub fn take(&self, name: &str) -> Option<RegistryAttachment> {
        self.lock().remove(name)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, RegistryAttachment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Releases what the attachment held, as far as it can be found. `before` is the state after the last
/// reconcile. No reconcile of the attachment is running any more.
pub async fn let_go(last: RegistryAttachment, before: Option<AttachmentState>, ctx: Arc<Context>) {
    let before = before.filter(|it| it.revision.is_of(&Revision::of(&last)));
    let findings = before.as_ref().map(|it| it.findings.clone()).unwrap_or_default();
    let last = deleted(last, before.as_ref(), &ctx);
    for failures in 1..=TRIES {
        let Err(problem) = detach(&last, &findings, &ctx).await else { break };
        tracing::warn!(
            %problem, failures,
            "an attachment vanished before it was detached, and still holds something"
        );
        let wait = retry(problem.cause, failures, &ctx.intervals, fastrand::f64());
        tokio::time::sleep(wait.unsigned_abs()).await;
    }
    ctx.delivery.forget(&last.uid().unwrap_or_default());
}

/// Returns the attachment as it would be if a finalizer had delayed its deletion.
fn deleted(
    mut last: RegistryAttachment,
    before: Option<&AttachmentState>,
    ctx: &Context,
) -> RegistryAttachment {
    last.status = before.map_or(last.status.clone(), |it| it.newest_status(&last));
    last.metadata.deletion_timestamp = Some(Time(Timestamp::now()));
    let bore = finalizers(&last, before, ctx);
    last.metadata.finalizers = Some(bore.iter().map(|it| it.name().to_owned()).collect());
    last
}

/// Returns the finalizers that the attachment bore or should have borne: a user can remove one by hand.
fn finalizers(
    last: &RegistryAttachment,
    before: Option<&AttachmentState>,
    ctx: &Context,
) -> BTreeSet<Finalizer> {
    let mut all = Revision::of(last).finalizers().clone();
    all.extend(before.into_iter().flat_map(|it| it.revision.finalizers()));
    if !shown_assignments(last).is_empty() {
        all.insert(Finalizer::RoleAssignments);
    }
    let uid = last.uid().unwrap_or_default();
    let marked = ctx.watches.accounts.select(|it| it.marks.values().any(|mark| *mark == uid));
    if marked.is_ok_and(|it| !it.is_empty()) {
        all.insert(Finalizer::ServiceAccounts);
    }
    all
}

async fn detach(
    gone: &RegistryAttachment,
    findings: &Findings,
    ctx: &Context,
) -> Result<(), Problem> {
    if Revision::of(gone).finalizers().is_empty() || is_there(gone, ctx).await? {
        return Ok(());
    }
    ctx.delivery.let_go(&Arc::new(gone.clone()), ctx);
    let Some(outcome) = Box::pin(attach(gone, Scope::Azure, findings, None, ctx)).await else {
        return Ok(());
    };
    if let Some(problem) = outcome.failures.problem {
        return Err(problem);
    }
    tracing::info!(
        changes = outcome.changes.len(),
        "an attachment vanished before it was detached, and holds nothing any more"
    );
    Ok(())
}

/// Whether an attachment of that name exists. It may be the same one, no longer chosen by the watch's label
/// selector. It may also be a later one, which takes over the claims, since a claim is made from the name.
async fn is_there(gone: &RegistryAttachment, ctx: &Context) -> Result<bool, Problem> {
    let all = ctx.kubernetes.attachments().await?;
    Ok(all.values().any(|name| *name == gone.name_any()))
}

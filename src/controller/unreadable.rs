//! Objects that the API server stores and this version cannot read. They disturb no other.

use std::marker::PhantomData;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::core::error_boundary::InvalidObject;

use super::context::Context;
use super::memory::{Recollection, Trigger};
use super::news;
use crate::api::{RegistryAttachment, RegistryAttachmentStatus};
use crate::domain::problem::{Cause, Problem};
use crate::domain::schedule::{Ending, next_look};
use crate::domain::status::{self, Observed, Report};
use crate::domain::verdict::{History, Verdict};

type Unreadable = PartialObjectMeta<RegistryAttachment>;

/// Tells once of such an object, and returns how long to wait until the next look.
pub async fn report_unreadable(
    invalid: &InvalidObject,
    before: Option<&Recollection>,
    ctx: &Context,
) -> SignedDuration {
    let metadata = invalid.metadata.clone();
    let object = Unreadable { types: None, metadata, _phantom: PhantomData };
    let (name, trigger, now) = (object.name_any(), Trigger::of(&object), Timestamp::now());
    let problem = problem(&name, &invalid.error);
    let wait = next_look(Ending::Failed(&problem, 1), &ctx.intervals, now, fastrand::f64());
    if before.is_none_or(|it| it.trigger != trigger) {
        tracing::warn!(attachment.name = name, %problem, "an attachment cannot be read");
        tell(&object, &status(&object, problem, now), ctx).await;
    }
    let next_look = now.checked_add(wait).unwrap_or(now);
    let history = History::default();
    ctx.memory.keep(&name, Recollection { trigger, next_look, history, written: None });
    wait
}

fn problem(name: &str, error: &str) -> Problem {
    let text = format!(
        "reading attachment {name}: {error}; correct it or delete it (kubectl edit registryattachment {name})"
    );
    Problem::new(Cause::InvalidSpec, text)
}

fn status(object: &Unreadable, problem: Problem, now: Timestamp) -> RegistryAttachmentStatus {
    let verdict = Verdict::Stalled(problem);
    let report = Report {
        generation: object.metadata.generation.unwrap_or_default(),
        requested_at: None,
        deleting: object.metadata.deletion_timestamp.is_some(),
        observed: &Observed::default(),
        verdict: &verdict,
    };
    status::status(None, &report, now)
}

/// The API server may refuse to store even the status of such an object; then an event tells.
async fn tell(object: &Unreadable, status: &RegistryAttachmentStatus, ctx: &Context) {
    if let Err(problem) = ctx.kubernetes.set_status(object, status).await {
        tracing::warn!(attachment.name = object.name_any(), %problem, "status was not written");
    }
    if let Some(news) = news::of_readiness(None, status) {
        ctx.events.tell(object, news).await;
    }
}

//! The delivery controller: keeps pull secrets, and entries in service accounts, in each namespace. It
//! never waits for Azure.

mod apply;
mod attachment;
mod credentials;
mod entry;
mod finalizer;
mod lane;
mod owners;
mod queue;
mod reconcile;
mod reports;
mod secret;
mod snapshot;
mod state;
mod unwatched;

use std::convert::Infallible;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::runtime::Controller;
use kube::runtime::controller::{self, Action};
use kube::runtime::reflector::{ObjectRef, Store};
use tokio_util::sync::CancellationToken;

use crate::attachment::Context;
use crate::attachment::received;
use crate::cluster::watches::Metadata;
pub use apply::{Applied, Applier};
pub use lane::Lane;
pub use owners::Owners;
pub use state::Delivery;
pub use unwatched::remove_unwatched;

/// Reconciles namespaces until told to stop. Entries and Secrets have a queue each, so that a service
/// account does not wait behind thousands of renewals.
pub async fn run(
    namespaces: Store<Metadata<Namespace>>,
    ctx: Arc<Context>,
    stop: CancellationToken,
) {
    let lanes = Lane::ALL.map(|lane| follow(lane, namespaces.clone(), &ctx, stop.clone()));
    futures::future::join_all(lanes).await;
}

async fn follow(
    lane: Lane,
    namespaces: Store<Metadata<Namespace>>,
    ctx: &Arc<Context>,
    stop: CancellationToken,
) {
    ctx.metrics.delivery[lane as usize].begin(lane.concurrency());
    // The controller has no watch: namespaces are enqueued by name, once the caches have what it needs.
    let queue = futures::stream::iter(ctx.delivery.queues.queued(lane)).flat_map(received);
    Controller::for_stream(futures::stream::pending(), namespaces)
        .with_config(controller::Config::default().concurrency(lane.concurrency()))
        .reconcile_on(queue.map(|name| ObjectRef::new(&name)))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(
            move |namespace, ctx| async move { reconcile(lane, &namespace, &ctx).await },
            never,
            Arc::clone(ctx),
        )
        .for_each(async |_| {})
        .await;
}

/// Reconciles one namespace. For each attachment that chooses it or has something in it, writes what is
/// missing and removes what is no longer desired.
async fn reconcile(
    lane: Lane,
    namespace: &Metadata<Namespace>,
    ctx: &Context,
) -> Result<Action, Infallible> {
    let wait = reconcile::reconcile(lane, &namespace.name_any(), ctx).await;
    Ok(wait.map_or_else(Action::await_change, |it| Action::requeue(it.unsigned_abs())))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature of an error policy")]
fn never<K>(_: Arc<K>, error: &Infallible, _: Arc<Context>) -> Action {
    match *error {}
}

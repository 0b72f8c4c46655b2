//! Runs the attachment controller with its watches and triggers, and the delivery controller.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{PredicateConfig, WatchStreamExt};
use kube::{Client, ResourceExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::attachment::Guarded;
use crate::attachment::context::Context;
use crate::attachment::reconcile::reconcile;
use crate::attachment::state::{Revision, Trigger};
use crate::attachment::watch::attachments::Attachments;
use crate::attachment::watch::clocks;
use crate::attachment::watch::signals::{Signal, triggers};
use crate::attachment::watch::vanished::{Vanished, let_go};
use crate::cluster::watches::Metadata;
use crate::cluster::watching::Watching;
use crate::delivery;
use crate::life::Signs;
use crate::telemetry;

/// The resource name of attachments in requests.
const ATTACHMENTS: &str = "registryattachments";

/// Watches the attachments that the label selector chooses, and reconciles up to `concurrency` of them at once
/// until `stop` is cancelled. Running reconciles are finished then.
pub fn run(
    client: &Client,
    selector: &str,
    concurrency: u16,
    ctx: Arc<Context>,
    stop: CancellationToken,
) -> (Attachments, impl Future<Output = ()> + use<>) {
    let (store, writer) = reflector::store();
    let signs = Signs::default();
    let watching = Watching::new(client, signs.clone(), ctx.metrics.watches.clone());
    let api: Api<Guarded> = Api::all(watching.client(ATTACHMENTS));
    let vanished = Arc::new(Vanished::default());
    let (tell_gone, gone) = mpsc::unbounded_channel();
    let watched = watcher(api, watcher::Config::default().labels(selector))
        .default_backoff()
        .inspect({
            let watching = watching.clone();
            move |event| watch_failed(event.as_ref().err(), &watching)
        })
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .inspect({
            let (vanished, ctx) = (Arc::clone(&vanished), Arc::clone(&ctx));
            move |event| {
                see(event, &ctx);
                for name in vanished.seen(event, &ctx) {
                    // The receiver lives as long as the controller.
                    let _ = tell_gone.send(name);
                }
            }
        })
        .applied_objects()
        .predicate_filter(revision, PredicateConfig::default());
    let attachments = Attachments::new(store.clone(), signs);
    ctx.metrics.reconciles.begin(concurrency);
    let config = controller::Config::default().concurrency(concurrency);
    let reconciles = Controller::for_stream(watched, store.clone())
        .with_config(config)
        .reconcile_on(woken(store, Arc::clone(&ctx)))
        .reconcile_on(called(Arc::clone(&ctx)))
        .reconcile_on(reported(Arc::clone(&ctx)))
        // The controller takes up a name only after a running reconcile of that attachment has ended: it may
        // still write something that has to be released.
        .reconcile_on(received(gone).map(|name| ObjectRef::new(&name)))
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(reconcile, never, Arc::clone(&ctx));
    let (namespaces, writer) = reflector::store();
    let reconciles = async move {
        let attached = forget_the_gone(reconciles, vanished, Arc::clone(&ctx));
        // Both controllers finish what they have begun before the watches end.
        let both = futures::future::join(attached, deliver(namespaces, &ctx, stop));
        tokio::select! {
            ((), ()) = both => {}
            () = follow(watching, writer, &ctx) => {}
            () = clocks::watch(&ctx) => {}
        }
    };
    (attachments, reconciles)
}

/// Runs the delivery controller until `stop` is cancelled, if the settings allow pull secrets.
async fn deliver(
    namespaces: Store<Metadata<Namespace>>,
    ctx: &Arc<Context>,
    stop: CancellationToken,
) {
    if ctx.policy.pull_secrets {
        delivery::run(namespaces, Arc::clone(ctx), stop).await;
    }
}

/// Runs the watches that pull secrets depend on, if the settings allow pull secrets. Never returns.
async fn follow(watching: Watching, namespaces: Writer<Metadata<Namespace>>, ctx: &Context) {
    if ctx.policy.pull_secrets {
        let rules = (ctx.policy.clone(), ctx.namespace.clone());
        let signals = ctx.signals.sender.clone();
        ctx.watches.clone().follow(watching, rules, namespaces, signals).await;
    }
    std::future::pending::<()>().await;
}

/// Takes what the watch of attachments shows.
fn see(event: &Result<Event<Guarded>, watcher::Error>, ctx: &Context) {
    match event {
        Ok(Event::Apply(object) | Event::InitApply(object)) => {
            ctx.latest.show(&object.name_any(), Revision::of_guarded(object));
            show(object, ctx);
        }
        // Namespaces may hold something of attachments that were not known before.
        Ok(Event::InitDone) => ctx.delivery.everything(ctx),
        _ => {}
    }
}

/// Passes an attachment to the delivery controller as the watch shows it.
fn show(object: &Guarded, ctx: &Context) {
    match &object.0 {
        Ok(object) => ctx.delivery.show(&Arc::new(object.clone()), ctx),
        // The reconcile reads what detaching needs, and passes that to the delivery controller.
        Err(unreadable) if unreadable.metadata.deletion_timestamp.is_some() => {}
        Err(unreadable) => {
            ctx.delivery.leave(unreadable.metadata.uid.as_deref().unwrap_or_default());
        }
    }
}

/// Returns the attachments that are concerned by changes in the cluster, or by changes of other attachments in
/// Azure.
fn woken(
    attachments: Store<Guarded>,
    ctx: Arc<Context>,
) -> impl Stream<Item = ObjectRef<Guarded>> + Send + 'static {
    let signals = futures::stream::iter(ctx.signals.receive()).flat_map(received);
    signals.flat_map(move |signal| {
        tell_delivery(&signal, &ctx);
        let all = attachments.state();
        let concerned: Vec<_> = all
            .iter()
            .filter_map(|it| it.0.as_ref().ok())
            .filter_map(|it| Some((it.name_any(), triggers(&signal, it)?)))
            .map(|(name, trigger)| {
                ctx.states.trigger(&name, trigger);
                ObjectRef::new(&name)
            })
            .collect();
        futures::stream::iter(concerned)
    })
}

/// Passes a change in the cluster to the delivery controller.
fn tell_delivery(signal: &Signal, ctx: &Context) {
    match signal {
        Signal::Everything => ctx.delivery.everything(ctx),
        Signal::InNamespace(name) => ctx.delivery.queues.enqueue(name),
        Signal::NamespaceGone(name) => ctx.delivery.namespace_gone(name),
        Signal::Credential(_) => ctx.delivery.credentials_changed(ctx),
        Signal::Role(_) => {}
    }
}

/// Returns the attachments with new reports of namespaces.
fn reported(ctx: Arc<Context>) -> impl Stream<Item = ObjectRef<Guarded>> + Send + 'static {
    let names = futures::stream::iter(ctx.delivery.queues.reported()).flat_map(received);
    names.map(move |name| {
        ctx.states.trigger(&name, Trigger::Report);
        ObjectRef::new(&name)
    })
}

/// Returns the attachments in the queue for permits for Azure, each when a permit is free.
fn called(ctx: Arc<Context>) -> impl Stream<Item = ObjectRef<Guarded>> + Send + 'static {
    let names = futures::stream::iter(ctx.azure.notified()).flat_map(received);
    names.map(move |name| {
        ctx.states.trigger(&name, Trigger::Permit);
        ObjectRef::new(&name)
    })
}

pub(crate) fn received<T: Send + 'static>(
    from: mpsc::UnboundedReceiver<T>,
) -> impl Stream<Item = T> + Send + 'static {
    futures::stream::unfold(from, |mut from| async move { from.recv().await.map(|it| (it, from)) })
}

/// Returns a hash of what triggers a reconcile: the spec, the deletion, the finalizer for role assignments, and
/// the annotations by which a user requests or allows something. A change of status triggers none, since
/// acr-attach writes status itself.
#[expect(clippy::unnecessary_wraps, reason = "the signature of a predicate")]
fn revision(object: &Guarded) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    Revision::of_guarded(object).hash(&mut hasher);
    Some(hasher.finish())
}

type Reconcile =
    Result<(ObjectRef<Guarded>, Action), controller::Error<Infallible, watcher::Error>>;

/// Runs the reconciles, and releases what vanished attachments held. Dropping the future ends both, so that
/// neither outlives the term of the leader.
async fn forget_the_gone(
    reconciles: impl Stream<Item = Reconcile>,
    vanished: Arc<Vanished>,
    ctx: Arc<Context>,
) {
    let mut reconciles = std::pin::pin!(reconciles);
    // Runs concurrently with the reconciles, which must not wait for a release.
    let mut letting_go = JoinSet::new();
    while let Some(reconcile) = reconciles.next().await {
        let Err(controller::Error::ObjectNotFound(gone)) = reconcile else { continue };
        let before = ctx.states.remove(&gone.name);
        let last = vanished.take(&gone.name);
        if last.is_none() {
            ctx.delivery.forget_named(&gone.name);
        }
        if let Some(last) = last {
            let span = telemetry::reconcile(&gone.name, last.metadata.generation);
            while letting_go.try_join_next().is_some() {}
            letting_go.spawn(let_go(last, before, Arc::clone(&ctx)).instrument(span));
        }
    }
    letting_go.join_all().await;
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature of an error policy")]
fn never(_: Arc<Guarded>, error: &Infallible, _: Arc<Context>) -> Action {
    match *error {}
}

fn watch_failed(error: Option<&watcher::Error>, watching: &Watching) {
    let Some(error) = error else { return };
    watching.failed(ATTACHMENTS, error);
    let hint = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404 => {
            "; is the custom resource definition installed? (acr-attach crd | kubectl apply --server-side -f -)"
        }
        watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 403 => {
            "; the operator's service account needs the RBAC rules of deploy/base/acr-attach.yaml"
        }
        _ => "",
    };
    tracing::warn!("watching attachments: {error}{hint}");
}

//! The watches other than the one on attachments: namespaces, pull secrets, service accounts, and the
//! Secrets that hold client secrets. Each watch has its own backoff and delays no other.

use std::fmt::Debug;
use std::sync::Arc;

use acr_attach_core::snapshot::cluster::{Namespace, ServiceAccount, StoredSecret};
use acr_attach_core::spec::policy::{AllowedNames, Policy};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{Namespace as StoredNamespace, ServiceAccount as StoredAccount};
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

use super::cache::version;
use super::cache::{Cache, CacheChange, Key};
use super::client_secret::CredentialSeen;
use super::kubernetes::watch_failed;
use super::watching::Watching;
use super::{accounts, client_secret, secrets};
use crate::attachment::watch::signals::Signal;

/// How many objects are listed at once. Memory holds a page as a whole, and other writers may put much
/// into their Secrets and service accounts.
const PAGE: u32 = 100;
/// The field selector that leaves Helm's releases out. Helm keeps them as Secrets of up to 1 MiB in the
/// namespace of the release (helm.sh/docs/topics/advanced, "Storage backends").
const NO_RELEASES: &str = "type!=helm.sh/release.v1";

/// The caches that the watches fill.
#[derive(Clone, Debug)]
pub struct Watches {
    /// All namespaces.
    pub namespaces: Arc<Cache<Namespace>>,
    /// The Secrets of the names that pull secrets may have, of any owner.
    pub secrets: Arc<Cache<StoredSecret>>,
    /// Whether `secrets` contains Secrets without acr-attach's label too. It does not where any name is
    /// allowed.
    pub show_all_secrets: bool,
    /// The service accounts that may be changed.
    pub accounts: Arc<Cache<ServiceAccount>>,
    /// The Secrets in the operator's namespace.
    pub credentials: Arc<Cache<CredentialSeen>>,
}

impl Watches {
    /// Creates empty caches.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        let secrets = Cache::new("pull secrets", shown(&policy.secret_names));
        let accounts = Cache::new("service accounts", shown(&policy.account_names));
        Self {
            namespaces: Arc::new(Cache::new("namespaces", vec![None])),
            secrets: Arc::new(secrets),
            show_all_secrets: policy.secret_names.listed().is_some(),
            accounts: Arc::new(accounts),
            credentials: Arc::new(Cache::new("Secrets in the operator's namespace", vec![None])),
        }
    }

    /// Fills the caches until the future is dropped, and sends signals of changes. Namespaces are also kept in
    /// that store.
    pub async fn follow(
        self,
        watching: Watching,
        (policy, namespace): (Policy, String),
        store: Writer<Metadata<StoredNamespace>>,
        signals: UnboundedSender<Signal>,
    ) {
        let ends = Ends { watching, signals };
        let mut all = JoinSet::new();
        let namespaces = Feed {
            resource: "namespaces",
            cache: self.namespaces,
            reduce: namespace_seen,
            signal: namespace_signal,
            ends: ends.clone(),
        };
        let api = Api::all(ends.client("namespaces"));
        let shown = watcher(api, Config::default()).default_backoff().modify(strip).reflect(store);
        all.spawn(namespaces.take(0, shown));
        let secrets = Feed {
            resource: "secrets",
            cache: self.secrets,
            reduce: secrets::reduce,
            signal: |change| Signal::InNamespace(change.key.0.clone()),
            ends: ends.clone(),
        };
        let labelled = Config::default().labels(&secrets::selector());
        for (watch, config) in configs(&policy.secret_names, &labelled) {
            all.spawn(secrets.clone().follow(Api::all(ends.client("secrets")), watch, config));
        }
        let accounts = Feed {
            resource: "serviceaccounts",
            cache: self.accounts,
            reduce: accounts::reduce,
            signal: |change| Signal::InNamespace(change.key.0.clone()),
            ends: ends.clone(),
        };
        for (watch, config) in configs(&policy.account_names, &Config::default()) {
            let api = Api::<StoredAccount>::all(ends.client("serviceaccounts"));
            all.spawn(accounts.clone().follow(api, watch, config));
        }
        let api = Api::namespaced(ends.client("secrets"), &namespace);
        let credentials = Feed {
            resource: "secrets",
            cache: self.credentials,
            reduce: client_secret::reduce,
            signal: |change| Signal::Credential(change.clone()),
            ends,
        };
        let config = Config::default().fields(NO_RELEASES).page_size(PAGE);
        all.spawn(credentials.follow(api, 0, config));
        all.join_all().await;
    }
}

/// Returns the names to watch. A watch for each name lets the RBAC rules allow these names alone. Where any
/// name is allowed, one watch covers all.
fn shown(names: &AllowedNames) -> Vec<Option<String>> {
    names.listed().map_or_else(|| vec![None], |it| it.iter().cloned().map(Some).collect())
}

fn configs(names: &AllowedNames, any: &Config) -> Vec<(usize, Config)> {
    let config = |name: Option<String>| {
        let selected = match name {
            Some(name) => Config::default().fields(&format!("metadata.name={name}")),
            None => any.clone(),
        };
        selected.page_size(PAGE)
    };
    shown(names).into_iter().map(config).enumerate().collect()
}

/// The metadata of an object: all that is read of namespaces.
pub type Metadata<K> = PartialObjectMeta<K>;

/// Removes what the store does not need.
fn strip(object: &mut Metadata<StoredNamespace>) {
    object.managed_fields_mut().clear();
    object.annotations_mut().clear();
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of a reduction")]
fn namespace_seen(object: &Metadata<StoredNamespace>) -> Option<(Key, Namespace)> {
    let name = object.name_any();
    let seen = Namespace {
        name: name.clone(),
        labels: object.labels().clone(),
        terminating: object.metadata.deletion_timestamp.is_some(),
        created: object.creation_timestamp().map(|it| it.0).unwrap_or_default(),
    };
    Some(((String::new(), name), seen))
}

fn namespace_signal(change: &CacheChange<Namespace>) -> Signal {
    let name = change.key.1.clone();
    if change.after.is_some() { Signal::InNamespace(name) } else { Signal::NamespaceGone(name) }
}

/// The source of the watches' clients, and the sender of signals of changes.
#[derive(Clone)]
struct Ends {
    watching: Watching,
    signals: UnboundedSender<Signal>,
}

impl Ends {
    /// Returns the client for one watch of that resource.
    fn client(&self, resource: &'static str) -> Client {
        self.watching.client(resource)
    }
}

/// Fills a cache from the watches of one kind.
struct Feed<K, T> {
    resource: &'static str,
    cache: Arc<Cache<T>>,
    reduce: fn(&K) -> Option<(Key, T)>,
    signal: fn(&CacheChange<T>) -> Signal,
    ends: Ends,
}

impl<K, T> Clone for Feed<K, T> {
    fn clone(&self) -> Self {
        let (cache, ends) = (Arc::clone(&self.cache), self.ends.clone());
        Self { resource: self.resource, cache, reduce: self.reduce, signal: self.signal, ends }
    }
}

impl<K, T> Feed<K, T>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    T: Clone + PartialEq,
{
    async fn follow(self, api: Api<K>, watch: usize, config: Config) {
        self.take(watch, watcher(api, config).default_backoff()).await;
    }

    /// Fills the cache from the events of one watch.
    async fn take(self, watch: usize, events: impl Stream<Item = watcher::Result<Event<K>>>) {
        let mut events = std::pin::pin!(events);
        let mut listed = Vec::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) => listed.extend(self.reduced(&object)),
                Ok(Event::InitDone) => self.listed(watch, std::mem::take(&mut listed)),
                Ok(Event::Apply(object)) => {
                    let reduced = self.reduced(&object);
                    self.tell(
                        reduced.and_then(|(key, version, value)| {
                            self.cache.apply(key, version, value)
                        }),
                    );
                }
                Ok(Event::Delete(object)) => {
                    let reduced = self.reduced(&object);
                    self.tell(
                        reduced.and_then(|(key, version, _)| self.cache.delete(key, version)),
                    );
                }
                Err(error) => {
                    self.ends.watching.failed(self.resource, &error);
                    let problem = watch_failed(self.cache.what(), &error);
                    tracing::warn!(%problem, "a watch failed");
                    self.cache.fail(watch, problem);
                }
            }
        }
    }

    fn reduced(&self, object: &K) -> Option<(Key, u64, T)> {
        let (key, value) = (self.reduce)(object)?;
        Some((key, version(object.meta().resource_version.as_deref()), value))
    }

    fn listed(&self, watch: usize, list: Vec<(Key, u64, T)>) {
        let (changes, first) = self.cache.replace(watch, list);
        if first {
            // No receiver is left only when the operator ends.
            let _ = self.ends.signals.send(Signal::Everything);
        } else {
            for change in changes {
                self.tell(Some(change));
            }
        }
    }

    fn tell(&self, change: Option<CacheChange<T>>) {
        if let Some(change) = change {
            let _ = self.ends.signals.send((self.signal)(&change));
        }
    }
}

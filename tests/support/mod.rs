//! A world for one test: a simulated Azure of its own, an operator of its own under a service
//! account of its own, and attachments that only this operator serves. The control plane is
//! shared, unless a test touches what worlds have in common.

mod in_flight;
pub mod kubelet;
mod look;
pub mod programs;
pub mod reader;
pub mod recording;
pub mod release;
pub mod replica;
mod rights;
pub mod secrets;
pub mod transcript;

use std::sync::Arc;
use std::time::Duration;

use acr_attach::Connections;
use acr_attach::life::Limits;
use acr_attach::settings::Settings;
use acr_attach_azure::{Budget, Cloud, Identity};
use acr_attach_core::api::{RegistryAttachment, RegistryAttachmentStatus};
use acr_attach_core::lease::Election;
use acr_attach_core::outcome::waits::Intervals;
use acr_attach_core::spec::policy::Policy;
use azure_core::credentials::Secret;
use azure_sim::model::{DEFAULT_TENANT, READER, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR};
use azure_sim::{AzureSim, Model};
use control_plane::{Cluster, ControlPlane, Options};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Client, Resource};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use in_flight::InFlight;
use recording::Recording;

pub use look::{DEADLINE, find, in_time, message, operator};

pub const SECRET: &str = "a-secret-of-the-operator";
/// The label by which an operator knows its attachments.
pub const LABEL: &str = "acr-attach.dev/world";

/// See above.
pub struct World {
    pub azure: Arc<AzureSim>,
    /// As an administrator.
    pub client: Client,
    pub cluster: Cluster,
    pub settings: Settings,
    pub id: String,
    /// Whether this test causes refusals of the API server or requests unknown to Azure on purpose.
    expects_refusals: bool,
    /// What stands between the operator and the API server, if something does.
    pub through: Option<Box<dyn Fn(Client) -> Client + Send + Sync>>,
    operator: Option<Operator>,
    in_flight: InFlight,
    recording: Option<Recording>,
    /// Only in a world that is alone.
    pub plane: Option<ControlPlane>,
}

struct Operator {
    stop: CancellationToken,
    task: JoinHandle<()>,
    address: std::net::SocketAddr,
}

/// As it is by default.
fn election() -> Election {
    Election {
        lease: "acr-attach".to_owned(),
        duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(2),
    }
}

/// An Azure as `World::new` tells, and the operator's identity in it.
async fn azure(model: impl FnOnce(&mut Model)) -> (Arc<AzureSim>, Identity) {
    let mut azure = Model::default_tenant();
    let registry = azure.registry("contoso").add();
    let prod = azure.cluster("prod").add();
    let operator = azure.application("acr-attach").secret(SECRET).add();
    azure.assign(&operator, READER, &registry.id());
    azure.assign(&operator, READER, &prod.id());
    azure.assign(&operator, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, &registry.id());
    model(&mut azure);
    let client = operator.client_id.unwrap();
    let (tenant, secret) = (DEFAULT_TENANT.to_owned(), Secret::new(SECRET));
    let azure = Arc::new(AzureSim::start(azure).await.unwrap());
    (azure, Identity::ClientSecret { tenant, client, secret })
}

async fn plane() -> ControlPlane {
    let crds = vec![acr_attach_core::api::crd_yaml().unwrap()];
    let options = Options { crds, ..Options::from_env().unwrap() };
    ControlPlane::start(&options).await.unwrap()
}

impl World {
    /// A world in which registry `contoso` and cluster `prod` exist, and the operator may read
    /// both and assign roles.
    pub async fn new() -> Self {
        Self::with(|_| {}, |_| {}).await
    }

    /// The same, with another Azure or other settings.
    pub async fn with(
        model: impl FnOnce(&mut Model),
        settings: impl FnOnce(&mut Settings),
    ) -> Self {
        let cluster = Cluster::from_env().unwrap().expect(
            "these tests need a control plane: run `make test`, or `make control-plane` in another terminal and export what it prints",
        );
        let mut world = Self::in_cluster(cluster, model, settings).await;
        world.start().await;
        world
    }

    /// A world with a control plane of its own. The operator is not started yet.
    pub async fn alone() -> Self {
        Self::alone_with(|_| {}, |_| {}).await
    }

    /// The same, with another Azure or other settings.
    pub async fn alone_with(
        model: impl FnOnce(&mut Model),
        settings: impl FnOnce(&mut Settings),
    ) -> Self {
        let plane = plane().await;
        let cluster = plane.cluster().clone();
        let mut world = Self::in_cluster(cluster, model, settings).await;
        world.plane = Some(plane);
        world
    }

    /// Another cluster in the Azure of that world, with an operator of the same identity. The
    /// operator is started.
    pub async fn beside(other: &Self) -> Self {
        let plane = plane().await;
        let cluster = plane.cluster().clone();
        let mut world = Self::of(cluster, Arc::clone(&other.azure), |settings| {
            settings.identity = other.settings.identity.clone();
            settings.intervals = other.settings.intervals;
        })
        .await;
        world.plane = Some(plane);
        world.start().await;
        world
    }

    /// The cluster of that world built anew: of the same names, and with another uid. The operator is not
    /// started yet.
    pub async fn rebuilt(other: &Self) -> Self {
        let plane = plane().await;
        let (cluster, azure) = (plane.cluster().clone(), Arc::clone(&other.azure));
        let mut world = Self::named(cluster, azure, &other.id, |settings| {
            settings.identity = other.settings.identity.clone();
            settings.intervals = other.settings.intervals;
        })
        .await;
        world.plane = Some(plane);
        world
    }

    /// A world with a control plane of its own in which nothing is installed. An operator with
    /// default settings that is installed as README tells is this world's.
    pub async fn fresh(settings: impl FnOnce(&mut Settings)) -> Self {
        let options = Options::from_env().unwrap();
        let plane = ControlPlane::start(&options).await.unwrap();
        let (azure, identity) = azure(|_| {}).await;
        let mut world = Self::bare(plane.cluster().clone(), azure, "system", |it| {
            it.identity = identity;
            it.attachment_selector = String::new();
            settings(it);
        })
        .await;
        world.plane = Some(plane);
        world
    }

    async fn in_cluster(
        cluster: Cluster,
        model: impl FnOnce(&mut Model),
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let (azure, identity) = azure(model).await;
        Self::of(cluster, azure, |settings| {
            settings.identity = identity;
            change(settings);
        })
        .await
    }

    async fn of(
        cluster: Cluster,
        azure: Arc<AzureSim>,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let id = Uuid::new_v4().simple().to_string()[..10].to_owned();
        Self::named(cluster, azure, &id, change).await
    }

    async fn named(
        cluster: Cluster,
        azure: Arc<AzureSim>,
        id: &str,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let mut world = Self::bare(cluster, azure, id, change).await;
        world.grant_rights().await;
        world.record().await;
        world
    }

    /// Without rights in the cluster.
    async fn bare(
        cluster: Cluster,
        azure: Arc<AzureSim>,
        id: &str,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let mut id = id.to_owned();
        let mut settings = Settings {
            cloud: Cloud::Public,
            identity: Identity::None,
            policy: Policy::default(),
            namespace: format!("acr-attach-{id}"),
            token_file: None,
            subscription: None,
            acr_audience: None,
            attachment_selector: format!("{LABEL}={id}"),
            concurrency: 16,
            intervals: Intervals {
                resync: SignedDuration::from_secs(2),
                patience: SignedDuration::from_secs(2),
                removal_delay: SignedDuration::from_secs(1),
                // As the resync, whatever a test sets that to.
                transition: SignedDuration::from_hours(1),
                visibility: SignedDuration::from_secs(2),
                ..Intervals::DEFAULT
            },
            budget: Budget::default(),
            election: Some(election()),
            instance: "world".to_owned(),
            metrics_per_object: true,
            limits: Limits::default(),
        };
        change(&mut settings);
        if rights::are_own(&settings) {
            // The policies that worlds share leave this one alone.
            let own = format!("x{}", &id[1..]);
            settings.namespace = settings.namespace.replace(&id, &own);
            settings.attachment_selector = settings.attachment_selector.replace(&id, &own);
            id = own;
        }
        let client = cluster.admin().await.unwrap();
        Self {
            azure,
            client,
            cluster,
            settings,
            id,
            expects_refusals: false,
            through: None,
            operator: None,
            in_flight: InFlight::default(),
            recording: None,
            plane: None,
        }
    }

    /// Where the operator's service account lives.
    pub fn namespace(&self) -> String {
        format!("acr-attach-{}", self.id)
    }

    /// The name under which the audit log knows the operator.
    pub fn user(&self) -> String {
        Cluster::service_account_user(&self.namespace(), "acr-attach")
    }

    /// Starts the operator.
    pub async fn start(&mut self) {
        let kubeconfig = self.cluster.service_account(&self.namespace(), "acr-attach").await;
        let kubernetes = self.cluster.client(kubeconfig.unwrap()).await.unwrap();
        let kubernetes = self.in_flight.of(kubernetes);
        let kubernetes = match &self.through {
            Some(through) => through(kubernetes),
            None => kubernetes,
        };
        let http = self.http();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Connections {
            http,
            kubernetes,
            listener,
            metrics: prometheus_client::registry::Registry::default(),
        };
        let stop = CancellationToken::new();
        let run = acr_attach::run(self.settings.clone(), connections, stop.clone());
        let task = tokio::spawn(async move { run.await.unwrap() });
        self.operator = Some(Operator { stop, task, address });
    }

    /// For all of Azure.
    pub fn http(&self) -> reqwest::Client {
        let certificate = reqwest::Certificate::from_pem(self.azure.ca_pem().as_bytes()).unwrap();
        reqwest::Client::builder()
            .proxy(reqwest::Proxy::all(self.azure.proxy_url()).unwrap())
            .tls_certs_only([certificate])
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap()
    }

    /// Tells the operator to stop, and waits until it has.
    pub async fn stop(&mut self) {
        let operator = self.operator.take().unwrap();
        operator.stop.cancel();
        operator.task.await.unwrap();
    }

    /// Starts another operator, and then stops the one that there was.
    pub async fn take_over(&mut self) {
        let former = self.operator.take().unwrap();
        self.start().await;
        former.stop.cancel();
        former.task.await.unwrap();
    }

    /// Where the operator's pages are.
    pub fn address(&self) -> std::net::SocketAddr {
        self.operator.as_ref().unwrap().address
    }

    /// One of the operator's pages.
    pub async fn page(&self, path: &str) -> (u16, String) {
        let address = self.address();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("http://{address}{path}")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Says that this test causes refusals of the API server on purpose, also to who compares the
    /// rights with all calls afterwards.
    pub async fn expect_refusals(&mut self) {
        self.expects_refusals = true;
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let label = json!({"metadata": {"labels": {"acr-attach.dev/expects-refusals": "true"}}});
        let params = PatchParams::default();
        namespaces.patch(&self.namespace(), &params, &Patch::Merge(label)).await.unwrap();
    }

    pub fn attachments(&self) -> Api<RegistryAttachment> {
        Api::all(self.client.clone())
    }

    /// The name of an attachment of this world: names are shared by all worlds.
    pub fn name(&self, name: &str) -> String {
        format!("{name}-{}", self.id)
    }

    /// The spec of an attachment of `contoso` to `prod`.
    pub fn spec(&self) -> Value {
        self.azure.read(|model| {
            json!({
                "registry": {"resourceId": model.find_registry("contoso").unwrap().id()},
                "method": "KubeletIdentity",
                "kubeletIdentity": {"clusterResourceId": model.find_cluster("prod").unwrap().id()},
            })
        })
    }

    /// Creates or changes an attachment as `kubectl apply --server-side` does.
    pub async fn apply(&self, name: &str, spec: Value) -> RegistryAttachment {
        self.try_apply(name, spec).await.unwrap()
    }

    pub async fn try_apply(&self, name: &str, spec: Value) -> kube::Result<RegistryAttachment> {
        let name = self.name(name);
        let manifest = json!({
            "apiVersion": RegistryAttachment::api_version(&()),
            "kind": RegistryAttachment::kind(&()),
            "metadata": {"name": name, "labels": {LABEL: self.id}},
            "spec": spec,
        });
        let params = PatchParams::apply("user").force();
        self.attachments().patch(&name, &params, &Patch::Apply(&manifest)).await
    }

    /// Changes one with a merge patch.
    pub async fn patch(&self, name: &str, patch: Value) {
        let params = PatchParams::default();
        self.attachments().patch(&self.name(name), &params, &Patch::Merge(&patch)).await.unwrap();
    }

    pub async fn delete(&self, name: &str) {
        self.stored().delete(&self.name(name), &DeleteParams::default()).await.unwrap();
    }

    /// Attachments as they are stored, whether or not this version can read them.
    pub fn stored(&self) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<RegistryAttachment>(&());
        Api::all_with(self.client.clone(), &resource)
    }

    pub async fn status(&self, name: &str) -> RegistryAttachmentStatus {
        let object = self.attachments().get(&self.name(name)).await.unwrap();
        object.status.unwrap_or_default()
    }
}

impl Drop for World {
    /// Every test also proves that the operator asked Azure nothing that Azure does not know, and
    /// the API server nothing that its rules do not allow.
    fn drop(&mut self) {
        if let Some(operator) = self.operator.take() {
            operator.task.abort();
        }
        if std::thread::panicking() || self.expects_refusals {
            return;
        }
        let unknown: Vec<_> = self.azure.journal().into_iter().filter(|it| !it.known).collect();
        assert!(unknown.is_empty(), "Azure does not know these requests: {unknown:#?}");
        let refused: Vec<_> = self
            .cluster
            .calls_by(&self.user())
            .unwrap()
            .into_iter()
            .filter(|it| matches!(it.code, Some(401 | 403)))
            .collect();
        assert!(refused.is_empty(), "the API server refused these calls: {refused:#?}");
    }
}

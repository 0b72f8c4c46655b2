//! A world for one test: a simulated Azure of its own, an operator of its own under a service
//! account of its own, and attachments that only this operator serves. The control plane is
//! shared, unless a test touches what worlds have in common.

use std::time::Duration;

use acr_attach::Connections;
use acr_attach::api::{RegistryAttachment, RegistryAttachmentStatus};
use acr_attach::azure::{Cloud, Identity};
use acr_attach::domain::schedule::Intervals;
use acr_attach::settings::Settings;
use azure_core::credentials::Secret;
use azure_sim::model::{
    DEFAULT_TENANT, Principal, READER, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, RoleAssignment,
};
use azure_sim::{AzureSim, Call, Model};
use control_plane::{Cluster, ControlPlane, Options};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub const SECRET: &str = "a-secret-of-the-operator";
/// How long a condition may take to come true. Far more than it needs on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);
const LABEL: &str = "acr-attach.dev/world";

/// See above.
pub struct World {
    pub azure: AzureSim,
    /// As an administrator.
    pub client: Client,
    pub cluster: Cluster,
    pub settings: Settings,
    pub id: String,
    /// Refusals of the API server or requests unknown to Azure that this test causes on purpose.
    pub expects_refusals: bool,
    operator: Option<Operator>,
    /// Only in a world that is alone.
    pub plane: Option<ControlPlane>,
}

struct Operator {
    stop: CancellationToken,
    task: JoinHandle<()>,
    address: std::net::SocketAddr,
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
        let options = Options::from_env().unwrap();
        let plane = ControlPlane::start(&Options {
            crds: vec![acr_attach::api::crd_yaml().unwrap()],
            ..options
        })
        .await
        .unwrap();
        let cluster = plane.cluster().clone();
        let mut world = Self::in_cluster(cluster, |_| {}, |_| {}).await;
        world.plane = Some(plane);
        world
    }

    async fn in_cluster(
        cluster: Cluster,
        model: impl FnOnce(&mut Model),
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let mut azure = Model::default_tenant();
        let registry = azure.registry("contoso").add();
        let prod = azure.cluster("prod").add();
        let operator = azure.application("acr-attach").secret(SECRET).add();
        azure.assign(&operator, READER, &registry.id());
        azure.assign(&operator, READER, &prod.id());
        azure.assign(&operator, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, &registry.id());
        model(&mut azure);
        let id = Uuid::new_v4().simple().to_string()[..10].to_owned();
        let mut settings = Settings {
            cloud: Cloud::Public,
            identity: Identity::ClientSecret {
                tenant: DEFAULT_TENANT.to_owned(),
                client: operator.client_id.clone().unwrap(),
                secret: Secret::new(SECRET),
            },
            allowed_registries: "".parse().unwrap(),
            attachment_selector: format!("{LABEL}={id}"),
            concurrency: 16,
            intervals: Intervals {
                resync: SignedDuration::from_secs(2),
                patience: SignedDuration::from_secs(2),
                removal_delay: SignedDuration::from_secs(1),
            },
        };
        change(&mut settings);
        let azure = AzureSim::start(azure).await.unwrap();
        let client = cluster.admin().await.unwrap();
        let world = Self {
            azure,
            client,
            cluster,
            settings,
            id,
            expects_refusals: false,
            operator: None,
            plane: None,
        };
        world.grant_rights().await;
        world
    }

    /// A service account with exactly the rights of `deploy/rbac.yaml`.
    async fn grant_rights(&self) {
        let documents = serde_saphyr::from_multiple::<Value>(include_str!("../deploy/rbac.yaml"));
        let documents = documents.unwrap();
        self.install::<ClusterRole>(&Api::all(self.client.clone()), &documents[0]).await;
        self.install::<Role>(&Api::namespaced(self.client.clone(), "default"), &documents[1]).await;
        let namespace = self.namespace();
        self.install::<Namespace>(
            &Api::all(self.client.clone()),
            &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        )
        .await;
        self.install::<ServiceAccount>(
            &Api::namespaced(self.client.clone(), &namespace),
            &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "acr-attach", "namespace": namespace}}),
        )
        .await;
        let binding = |kind: &str, role: &str, to: &str| {
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
                "metadata": {"name": namespace},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": to},
                "subjects": [{"kind": "ServiceAccount", "name": "acr-attach", "namespace": namespace}],
            })
        };
        self.install::<ClusterRoleBinding>(
            &Api::all(self.client.clone()),
            &binding("ClusterRoleBinding", "ClusterRole", "acr-attach"),
        )
        .await;
        self.install::<RoleBinding>(
            &Api::namespaced(self.client.clone(), "default"),
            &binding("RoleBinding", "Role", "acr-attach-events"),
        )
        .await;
    }

    async fn install<K>(&self, api: &Api<K>, manifest: &Value)
    where
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        let name = manifest["metadata"]["name"].as_str().unwrap();
        let params = PatchParams::apply("world").force();
        api.patch(name, &params, &Patch::Apply(manifest)).await.unwrap();
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
        let certificate = reqwest::Certificate::from_pem(self.azure.ca_pem().as_bytes()).unwrap();
        let http = reqwest::Client::builder()
            .proxy(reqwest::Proxy::all(self.azure.proxy_url()).unwrap())
            .tls_certs_only([certificate])
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
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

    /// Tells the operator to stop, and waits until it has.
    pub async fn stop(&mut self) {
        let operator = self.operator.take().unwrap();
        operator.stop.cancel();
        operator.task.await.unwrap();
    }

    /// One of the operator's pages.
    pub async fn page(&self, path: &str) -> (u16, String) {
        let address = self.operator.as_ref().unwrap().address;
        let answer = reqwest::get(format!("http://{address}{path}")).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
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
        self.attachments().delete(&self.name(name), &DeleteParams::default()).await.unwrap();
    }

    pub async fn status(&self, name: &str) -> RegistryAttachmentStatus {
        let object = self.attachments().get(&self.name(name)).await.unwrap();
        object.status.unwrap_or_default()
    }

    /// Waits until the attachment is Ready for its newest generation.
    pub async fn until_ready(&self, name: &str) -> RegistryAttachmentStatus {
        self.until_reason(name, "Ready", "Attached").await
    }

    /// Waits until a condition has that reason, for the newest generation.
    pub async fn until_reason(
        &self,
        name: &str,
        condition: &str,
        reason: &str,
    ) -> RegistryAttachmentStatus {
        let what = format!("{name} to have condition {condition} with reason {reason}");
        self.until(&what, || async {
            let object = self.attachments().get(&self.name(name)).await.unwrap();
            let status = object.status.unwrap_or_default();
            let found = find(&status, condition);
            let fits = status.observed_generation == object.metadata.generation
                && found.is_some_and(|(_, it, _)| it == reason);
            fits.then_some(status)
        })
        .await
    }

    /// Waits until the attachment is gone.
    pub async fn until_gone(&self, name: &str) {
        self.until(&format!("{name} to be gone"), || async {
            let found = self.attachments().get_opt(&self.name(name)).await.unwrap();
            found.is_none().then_some(())
        })
        .await;
    }

    /// Waits until something can be had.
    pub async fn until<T, F: Future<Output = Option<T>>>(
        &self,
        what: &str,
        mut look: impl FnMut() -> F,
    ) -> T {
        let waiting = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(25));
            loop {
                ticks.tick().await;
                if let Some(found) = look().await {
                    return found;
                }
            }
        };
        let found = tokio::time::timeout(DEADLINE, waiting).await.ok();
        match found {
            Some(found) => found,
            None => panic!("waited {DEADLINE:?} for {what}; {}", self.describe().await),
        }
    }

    /// Waits until Azure has answered so many more calls of that kind.
    pub async fn until_calls(&self, call: Call, more: usize) {
        let before = self.calls(call);
        let what = format!("{more} more calls {call:?}");
        self.until(&what, || async { (self.calls(call) >= before + more).then_some(()) }).await;
    }

    pub fn calls(&self, call: Call) -> usize {
        let journal = self.azure.journal();
        journal.iter().filter(|it| it.call == Some(call) && it.status.is_some()).count()
    }

    /// The writes to Azure that were answered.
    pub fn azure_writes(&self) -> usize {
        self.azure.journal().iter().filter(|it| it.call.is_some_and(Call::is_write)).count()
    }

    /// The operator's writes to the API server, without events.
    pub fn api_writes(&self) -> usize {
        let writes = self.cluster.writes_by(&self.user()).unwrap();
        writes.iter().filter(|it| it.resource != "events").count()
    }

    /// The role assignments on `contoso` that let somebody pull.
    pub fn pull_assignments(&self) -> Vec<RoleAssignment> {
        use azure_sim::model::{ACR_PULL, REPOSITORY_READER};
        self.azure.read(|model| {
            let scope = model.find_registry("contoso").map(azure_sim::model::Registry::id);
            let on_registry = |it: &&RoleAssignment| {
                scope.as_ref().is_some_and(|scope| it.scope.eq_ignore_ascii_case(scope))
                    && [ACR_PULL, REPOSITORY_READER].contains(&it.role.as_str())
            };
            model.role_assignments.iter().filter(on_registry).cloned().collect()
        })
    }

    /// The object id of the kubelet identity of `prod`.
    pub fn kubelet(&self) -> String {
        self.azure.read(|model| {
            let cluster = model.find_cluster("prod").unwrap();
            cluster.kubelet_identity.as_ref().unwrap().object_id.clone()
        })
    }

    /// The reasons of the events about an attachment, oldest first, and whether each warns.
    pub async fn events(&self, name: &str) -> Vec<(String, String)> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), "default");
        let params = ListParams::default().fields(&format!("regarding.name={}", self.name(name)));
        let mut list = events.list(&params).await.unwrap().items;
        list.sort_by_key(|it| it.event_time.as_ref().map(|it| it.0));
        let words = |it: Event| (it.type_.unwrap_or_default(), it.reason.unwrap_or_default());
        list.into_iter().map(words).collect()
    }

    /// Waits until there is an event with that reason about an attachment.
    pub async fn until_event(&self, name: &str, kind: &str, reason: &str) {
        let wanted = (kind.to_owned(), reason.to_owned());
        self.until(&format!("a {kind} event {reason} about {name}"), || async {
            self.events(name).await.contains(&wanted).then_some(())
        })
        .await;
    }

    async fn describe(&self) -> String {
        let params = ListParams::default().labels(&format!("{LABEL}={}", self.id));
        let mut lines = vec!["attachments:".to_owned()];
        for it in self.attachments().list(&params).await.into_iter().flatten() {
            let status = serde_json::to_string_pretty(&it.status).unwrap_or_default();
            lines.push(format!("{} {status}", it.name_any()));
        }
        let journal = self.azure.journal();
        for it in journal.iter().rev().take(15).rev() {
            lines.push(format!("{} {} {:?} {:?}", it.method, it.path, it.status, it.code));
        }
        lines.join("\n")
    }
}

/// The operator's service principal.
pub fn operator(azure: &Model) -> Principal {
    azure.principals.iter().find(|it| it.display_name == "acr-attach").cloned().unwrap()
}

/// Status, reason and message of a condition.
pub fn find<'a>(
    status: &'a RegistryAttachmentStatus,
    condition: &str,
) -> Option<(&'a str, &'a str, &'a str)> {
    let conditions = status.conditions.iter().flatten();
    conditions
        .filter(|it| it.type_ == condition)
        .map(|it| (it.status.as_str(), it.reason.as_str(), it.message.as_str()))
        .next()
}

/// The message of Ready.
pub fn message(status: &RegistryAttachmentStatus) -> &str {
    find(status, "Ready").map_or("", |(_, _, message)| message)
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
            .into_iter()
            .flatten()
            .filter(|it| matches!(it.code, Some(401 | 403)))
            .collect();
        assert!(refused.is_empty(), "the API server refused these calls: {refused:#?}");
    }
}

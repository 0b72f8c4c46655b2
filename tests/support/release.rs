//! The chart, installed by helm in a cluster whose pods run, with Azure behind a proxy.

use std::path::PathBuf;

use azure_sim::model::DEFAULT_TENANT;
use control_plane::Cluster;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::Api;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use super::kubelet::Kubelet;
use super::programs::{command, said};
use super::secrets::{CLIENT_SECRET, with_puller};
use super::{World, operator};

/// Where README installs it.
pub const NAMESPACE: &str = "acr-attach-system";

/// The client id of the service principal in the samples.
const PULLER: &str = "c1000000-0000-4000-8000-000000000001";

/// See above.
pub struct Release {
    /// Runs the pods.
    pub kubelet: Kubelet,
    cluster: Cluster,
    values: PathBuf,
    identity: String,
    _folder: TempDir,
}

impl Release {
    /// Nothing is installed yet; the operator's identity and the samples' service principal are in
    /// Azure, and Entra trusts the cluster.
    pub async fn new(world: &World) -> Self {
        trust(world);
        let folder = tempfile::tempdir().unwrap();
        let variable = |name: &str| json!({"name": name, "value": world.azure.proxy_url()});
        // What this network needs: it has a proxy with a certificate of its own.
        let values = json!({
            "caBundle": {"configMap": "proxy-ca"},
            "extraEnv": [variable("HTTPS_PROXY"), variable("HTTP_PROXY")],
        });
        let file = folder.path().join("values.json");
        std::fs::write(&file, values.to_string()).unwrap();
        let ca = folder.path().join("ca.crt");
        std::fs::write(&ca, world.azure.ca_pem()).unwrap();
        let client = world.azure.read(|azure| operator(azure).client_id).unwrap();
        let identity = format!(
            "azure.auth=workloadIdentity,azure.clientId={client},azure.tenantId={DEFAULT_TENANT}"
        );
        let kubelet = Kubelet::new(&world.cluster, NAMESPACE).await;
        let cluster = world.cluster.clone();
        let release = Self { kubelet, cluster, values: file, identity, _folder: folder };
        release.say(&format!("create namespace {NAMESPACE}")).await;
        let ca = format!(
            "create configmap proxy-ca --namespace {NAMESPACE} --from-file={}",
            ca.display()
        );
        release.say(&ca).await;
        release
    }

    /// helm, for this cluster.
    pub fn helm(&self, arguments: &str) -> Command {
        let mut helm = command("helm");
        helm.args(arguments.split_whitespace());
        helm.args(["--namespace", NAMESPACE, "--timeout", "120s"]);
        helm.env("KUBECONFIG", self.cluster.admin_kubeconfig());
        helm
    }

    /// `helm install` or `helm upgrade` of a chart as README tells, with more flags.
    pub fn apply(&self, verb: &str, chart: &str, flags: &[&str]) -> Command {
        let mut helm = self.helm(&format!("{verb} acr-attach {chart} --wait"));
        helm.args(["--set", "image.repository=registry.example/acr-attach"]);
        helm.args(["--set", &self.identity]).args(flags).arg("--values").arg(&self.values);
        helm
    }

    /// kubectl with these words, which must succeed.
    pub async fn say(&self, words: &str) -> String {
        let mut kubectl = command("kubectl");
        kubectl.args(words.split_whitespace()).env("KUBECONFIG", self.cluster.admin_kubeconfig());
        said(&mut kubectl, "").await
    }

    /// Both quick starts of README.
    pub async fn quick_starts(&self) {
        self.say("apply -f deploy/samples/kubelet-identity.yaml").await;
        self.say("create namespace awesomeapps").await;
        let secret = format!(
            "create secret generic acr-sp --namespace {NAMESPACE} --from-literal=clientSecret={CLIENT_SECRET}"
        );
        self.say(&secret).await;
        self.say("apply -f deploy/samples/pull-secret.yaml").await;
        for name in ["contoso", "contoso-pull"] {
            self.say(&format!(
                "wait --for=condition=Ready registryattachment/{name} --timeout=120s"
            ))
            .await;
        }
    }

    /// The operator's Deployment.
    pub async fn deployment(&self) -> Option<Deployment> {
        let api: Api<Deployment> = Api::namespaced(self.cluster.admin().await.unwrap(), NAMESPACE);
        api.get_opt("acr-attach").await.unwrap()
    }
}

/// Entra knows the cluster's issuer, and whose tokens the operator's identity takes.
fn trust(world: &World) {
    let issuer = world.cluster.service_account_issuer().to_owned();
    let key = std::fs::read_to_string(world.cluster.service_account_public_key()).unwrap();
    let subject = Cluster::service_account_user(NAMESPACE, "acr-attach");
    world.azure.update(|azure| {
        azure.add_token_issuer(&issuer, &key);
        with_puller(azure);
        for it in &mut azure.principals {
            match it.display_name.as_str() {
                "puller" => it.client_id = Some(PULLER.to_owned()),
                "acr-attach" => it.federate(&issuer, &subject),
                _ => {}
            }
        }
    });
}

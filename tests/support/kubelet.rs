//! A kubelet without containers: what a pod runs is a process of this machine, with the pod's arguments,
//! environment, files and service account, and at an address of its own.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use control_plane::Cluster;
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, Pod, Secret, Volume};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::{Client, ResourceExt};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;

use super::in_time;
use super::replica::{address, program};

/// Where each mount of a container is on this machine.
type Mounts = Vec<(String, PathBuf)>;

/// See above. It serves one namespace.
pub struct Kubelet {
    cluster: Cluster,
    client: Client,
    pods: Api<Pod>,
    namespace: String,
    folder: TempDir,
    http: reqwest::Client,
}

/// The process of a pod.
struct Process {
    child: Child,
    log: PathBuf,
    /// Where its probes go, if it has any.
    ready: Option<String>,
    is_ready: bool,
}

impl Kubelet {
    /// For that namespace.
    pub async fn new(cluster: &Cluster, namespace: &str) -> Self {
        let client = cluster.admin().await.unwrap();
        Self {
            cluster: cluster.clone(),
            pods: Api::namespaced(client.clone(), namespace),
            client,
            namespace: namespace.to_owned(),
            folder: tempfile::tempdir().unwrap(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// Runs pods while that story goes on.
    pub async fn during(&self, story: impl Future<Output = ()>) {
        tokio::select! {
            () = story => {}
            () = self.run() => {}
        }
    }

    fn logs(&self) -> String {
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|it| it.unwrap().path());
        let logs = files.filter(|it| it.extension().is_some_and(|it| it == "log"));
        logs.map(|it| std::fs::read_to_string(it).unwrap()).collect::<Vec<_>>().join("\n")
    }

    async fn run(&self) {
        let mut processes = HashMap::new();
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        loop {
            ticks.tick().await;
            let pods = self.pods.list(&ListParams::default()).await.unwrap();
            for pod in &pods {
                self.look_after(pod, &mut processes).await;
            }
            // No node is named in these pods, so that one that is deleted goes at once
            // (kubernetes/kubernetes, pkg/registry/core/pod, `CheckGracefulDelete`).
            let there: HashSet<_> = pods.iter().filter_map(ResourceExt::uid).collect();
            for (_, process) in processes.extract_if(|uid, _| !there.contains(uid)) {
                stop(process).await;
            }
        }
    }

    async fn look_after(&self, pod: &Pod, processes: &mut HashMap<String, Process>) {
        let uid = pod.uid().unwrap();
        let has_ended = matches!(phase(pod), "Succeeded" | "Failed");
        if pod.metadata.deletion_timestamp.is_some() {
            if let Some(process) = processes.remove(&uid) {
                stop(process).await;
            }
            self.forget(pod).await;
        } else if let Some(process) = processes.get_mut(&uid) {
            self.look_at(pod, process).await;
        } else if !has_ended {
            processes.insert(uid, self.start(pod).await);
        }
    }

    /// Starts what the pod's container runs.
    async fn start(&self, pod: &Pod) -> Process {
        let container = container(pod);
        let mounts = self.mount(pod).await;
        let address = address();
        let arguments: Vec<_> = container.args.iter().flatten().collect();
        let arguments: Vec<_> =
            arguments.into_iter().map(|it| listen(&here(it, &mounts), address)).collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let mut command = program(&arguments);
        for variable in container.env.iter().flatten() {
            command.env(&variable.name, here(&self.value(pod, variable).await, &mounts));
        }
        command.env("KUBECONFIG", self.kubeconfig(pod).await);
        let log = self.folder.path().join(format!("{}.log", pod.name_any()));
        let file = File::create(&log).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let probe = container.readiness_probe.as_ref();
        let ready = probe.map(|_| format!("http://{address}/readyz"));
        Process { child: command.spawn().unwrap(), log, ready, is_ready: false }
    }

    /// Tells how the process of a pod stands.
    async fn look_at(&self, pod: &Pod, process: &mut Process) {
        let now = jiff::Timestamp::now().to_string();
        if let Some(ended) = process.child.try_wait().unwrap() {
            let message = std::fs::read_to_string(&process.log).unwrap();
            let code = ended.code().unwrap_or(-1);
            let state = json!({"terminated": {"exitCode": code, "message": message, "startedAt": now, "finishedAt": now}});
            let phase = if ended.success() { "Succeeded" } else { "Failed" };
            return self.report(pod, phase, false, &state).await;
        }
        let Some(url) = &process.ready else { return };
        let answer = self.http.get(url).send().await;
        let is_ready = answer.is_ok_and(|it| it.status().is_success());
        if is_ready != process.is_ready {
            process.is_ready = is_ready;
            let state = json!({"running": {"startedAt": now}});
            self.report(pod, "Running", is_ready, &state).await;
        }
    }

    async fn report(&self, pod: &Pod, phase: &str, is_ready: bool, state: &Value) {
        let (name, image) = (&container(pod).name, &container(pod).image);
        let status = json!({"name": name, "image": image, "imageID": "x", "restartCount": 0, "ready": is_ready, "state": state});
        let is = if is_ready { "True" } else { "False" };
        let now = jiff::Timestamp::now().to_string();
        let conditions = ["Ready", "ContainersReady"]
            .map(|it| json!({"type": it, "status": is, "lastTransitionTime": now}));
        let patch = json!({"status": {"phase": phase, "conditions": conditions, "containerStatuses": [status]}});
        let params = PatchParams::default();
        // A pod may be gone by now.
        let _ = self.pods.patch_status(&pod.name_any(), &params, &Patch::Merge(&patch)).await;
    }

    /// The pod's processes are gone, and so may it.
    async fn forget(&self, pod: &Pod) {
        let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
        let now = DeleteParams::default().grace_period(0).preconditions(preconditions);
        // Somebody else may have been faster.
        let _ = self.pods.delete(&pod.name_any(), &now).await;
    }

    async fn kubeconfig(&self, pod: &Pod) -> PathBuf {
        let kubeconfig = self.cluster.service_account(&self.namespace, account(pod)).await.unwrap();
        let path = self.folder.path().join(format!("{}.kubeconfig", pod.name_any()));
        std::fs::write(&path, serde_json::to_string(&kubeconfig).unwrap()).unwrap();
        path
    }

    async fn value(&self, pod: &Pod, variable: &EnvVar) -> String {
        if let Some(value) = &variable.value {
            return value.clone();
        }
        let source = variable.value_from.as_ref().unwrap();
        if let Some(reference) = &source.secret_key_ref {
            let secret = self.secret(&reference.name).await;
            return String::from_utf8(secret.data.unwrap()[&reference.key].0.clone()).unwrap();
        }
        match source.field_ref.as_ref().unwrap().field_path.as_str() {
            "metadata.name" => pod.name_any(),
            "metadata.namespace" => pod.namespace().unwrap(),
            other => panic!("this kubelet knows no field {other}"),
        }
    }

    async fn secret(&self, name: &str) -> Secret {
        Api::namespaced(self.client.clone(), &self.namespace).get(name).await.unwrap()
    }

    /// Puts the files of the pod's volumes where its process finds them.
    async fn mount(&self, pod: &Pod) -> Mounts {
        let volumes = pod.spec.as_ref().unwrap().volumes.iter().flatten();
        let mut folders = HashMap::new();
        for volume in volumes {
            let folder = self.folder.path().join(pod.name_any()).join(&volume.name);
            std::fs::create_dir_all(&folder).unwrap();
            self.fill(&folder, pod, volume).await;
            folders.insert(volume.name.clone(), folder);
        }
        let mounts = container(pod).volume_mounts.iter().flatten();
        mounts.map(|it| (it.mount_path.clone(), folders[&it.name].clone())).collect()
    }

    async fn fill(&self, folder: &Path, pod: &Pod, volume: &Volume) {
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
        if let Some(source) = &volume.config_map {
            let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
            let map = maps.get(&source.name).await.unwrap();
            for (name, text) in map.data.iter().flatten() {
                write(name, text.as_bytes());
            }
        }
        if let Some(name) = volume.secret.as_ref().and_then(|it| it.secret_name.as_ref()) {
            let data = self.secret(name).await.data.unwrap();
            for (name, bytes) in &data {
                write(name, &bytes.0);
            }
        }
        let sources = volume.projected.iter().flat_map(|it| it.sources.iter().flatten());
        for token in sources.filter_map(|it| it.service_account_token.as_ref()) {
            // The one for the API server is in the kubeconfig.
            let Some(audience) = &token.audience else { continue };
            let life = Duration::from_secs(token.expiration_seconds.unwrap().try_into().unwrap());
            let (namespace, account) = (&self.namespace, account(pod));
            let text = self.cluster.service_account_token(namespace, account, audience, life).await;
            write(&token.path, text.unwrap().as_bytes());
        }
    }
}

impl Drop for Kubelet {
    /// Shows what the processes have logged when a test fails.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
    }
}

fn container(pod: &Pod) -> &Container {
    &pod.spec.as_ref().unwrap().containers[0]
}

fn account(pod: &Pod) -> &str {
    pod.spec.as_ref().unwrap().service_account_name.as_deref().unwrap()
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|it| it.phase.as_deref()).unwrap_or_default()
}

/// A text with paths as they are on this machine.
fn here(text: &str, mounts: &Mounts) -> String {
    mounts.iter().fold(text.to_owned(), |text, (mount, folder)| {
        text.replace(mount, folder.to_str().unwrap())
    })
}

/// The argument for the address to listen on, with the pod's.
fn listen(argument: &str, address: SocketAddr) -> String {
    match argument.strip_prefix("--listen=") {
        Some(_) => format!("--listen={address}"),
        None => argument.to_owned(),
    }
}

async fn stop(mut process: Process) -> ExitStatus {
    if let Some(id) = process.child.id() {
        let id = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
        kill_process(id, Signal::TERM).unwrap();
    }
    in_time("the process of a pod to end", process.child.wait()).await.unwrap()
}

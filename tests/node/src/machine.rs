//! The node: containerd, kubelet and kube-proxy, set up as on any other node.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use control_plane::{Cluster, NodeFiles};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    commands::run,
    programs::{Program, command},
    until::until,
};

/// The node's name.
pub const NAME: &str = "node-1";
/// Its address.
pub const ADDRESS: &str = "10.99.0.1";
/// The network device that joins the pods.
pub const BRIDGE: &str = "pods0";
/// What pods get their addresses from.
const PODS: &str = "10.98.0.0/24";
/// The address under which pods find the API server: the first of the range of services.
pub const API_SERVICE: &str = "10.0.0.1";
/// The image that holds a pod together.
const PAUSE: &str = "localhost/pause:1";
/// Where containerd listens.
const SOCKET: &str = "/run/containerd/containerd.sock";
/// The hosts for which a kubelet asks Microsoft's credential provider, as AKS configures it: no regional endpoints.
const HOSTS: [&str; 4] = ["*.azurecr.io", "*.azurecr.cn", "*.azurecr.de", "*.azurecr.us"];
/// What node images of AKS have beside them since August 2026 (`AgentBaker` pull request 8994).
const REGIONAL_HOSTS: [&str; 4] =
    ["*.*.geo.azurecr.io", "*.*.geo.azurecr.cn", "*.*.geo.azurecr.de", "*.*.geo.azurecr.us"];
/// How long a program may take to be there.
const LIMIT: Duration = Duration::from_secs(60);

/// Switches a node off.
const POWER_OFF: &str = include_str!("power_off.sh");
/// containerd's configuration.
const CONTAINERD: &str = r#"
version = 3
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "PAUSE"
[plugins."io.containerd.cri.v1.runtime"]
# Without the right to lower it, no pod would start.
restrict_oom_score_adj = true
# A profile would stay in the kernel.
disable_apparmor = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "FOLDER/cni"
"#;

/// The programs of the node, and what they are started with.
pub struct Machine {
    programs: PathBuf,
    /// The folder of configuration and logs.
    folder: PathBuf,
    files: NodeFiles,
    containerd: Option<Program>,
    kubelet: Option<Program>,
    proxy: Option<Program>,
}

impl Machine {
    /// Writes the configuration. Nothing runs yet. The nodes of a cluster know the client id of
    /// their identity.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn new(
        programs: &Path,
        folder: &Path,
        cluster: &Cluster,
        identity: &Value,
    ) -> Result<Self> {
        let machine = Self {
            programs: fs::canonicalize(programs)?,
            folder: folder.into(),
            files: cluster.node_files(),
            containerd: None,
            kubelet: None,
            proxy: None,
        };
        let here = folder.display().to_string();
        let containerd = CONTAINERD.replace("PAUSE", PAUSE).replace("FOLDER", &here);
        fs::create_dir(folder.join("cni"))?;
        machine.write("containerd.toml", &containerd)?;
        machine.write("cni/10-bridge.conflist", &network().to_string())?;
        machine.write("azure.json", &identity.to_string())?;
        machine.write_credential_provider(&HOSTS)?;
        machine.write("kubelet.yaml", &machine.kubelet_configuration().to_string())?;
        machine.write("kube-proxy.yaml", &machine.proxy_configuration().to_string())?;
        Ok(machine)
    }

    /// Starts containerd and gives it the images that are never pulled.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_containerd(&mut self, images: &[(PathBuf, &[&str])]) -> Result<()> {
        let mut command = self.command("containerd");
        command.arg("--config").arg(self.folder.join("containerd.toml"));
        self.containerd = Some(Program::start("containerd", command, &self.logs())?);
        until("containerd answers", LIMIT, async || self.ctr(&["version"]).await.map(drop)).await?;
        for (archive, flags) in images {
            let archive = archive.display().to_string();
            self.ctr(&[&["images", "import"], *flags, &[&archive]].concat()).await?;
        }
        Ok(())
    }

    /// Starts kubelet.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn start_kubelet(&mut self) -> Result<()> {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let mut command = self.command("kubelet");
        command.args([
            format!("--config={}", file("kubelet.yaml")),
            format!("--kubeconfig={}", self.files.kubelet.display()),
            format!("--hostname-override={NAME}"),
            format!("--node-ip={ADDRESS}"),
            format!("--image-credential-provider-config={}", file("credential-provider.yaml")),
            format!("--image-credential-provider-bin-dir={}", self.programs.display()),
            "--v=2".into(),
        ]);
        self.kubelet = Some(Program::start("kubelet", command, &self.logs())?);
        Ok(())
    }

    /// Starts kube-proxy, by which pods reach services.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn start_proxy(&mut self) -> Result<()> {
        let mut command = self.command("kube-proxy");
        command.arg(format!("--config={}", self.folder.join("kube-proxy.yaml").display()));
        command.arg(format!("--hostname-override={NAME}"));
        self.proxy = Some(Program::start("kube-proxy", command, &self.logs())?);
        Ok(())
    }

    /// Ends kubelet and starts it again. It has forgotten the credentials that it kept.
    ///
    /// # Errors
    /// When it does not end, or cannot be run.
    pub async fn restart_kubelet(&mut self) -> Result<()> {
        if let Some(kubelet) = self.kubelet.take() {
            kubelet.stop().await?;
        }
        self.start_kubelet()
    }

    /// Lets the kubelet ask its credential provider for regional endpoints too, as newer node images do.
    ///
    /// # Errors
    /// When a file cannot be written, or the kubelet does not end or cannot be run.
    pub async fn learn_regional_hosts(&mut self) -> Result<()> {
        self.write_credential_provider(&[HOSTS, REGIONAL_HOSTS].concat())?;
        self.restart_kubelet().await
    }

    /// Takes the name of an image away, so that it has to be pulled again.
    ///
    /// # Errors
    /// When containerd refuses.
    pub async fn forget(&self, image: &str) -> Result<()> {
        self.ctr(&["images", "remove", "--sync", image]).await.map(drop)
    }

    /// Turns the node off, as by its switch, and on again: every process of it dies at once, and
    /// what is in memory is lost; disks stay.
    ///
    /// # Errors
    /// When something cannot be ended, or does not come up.
    pub async fn restart(&mut self) -> Result<()> {
        let all = [self.kubelet.take(), self.proxy.take(), self.containerd.take()];
        for program in all.into_iter().flatten() {
            program.kill().await?;
        }
        run(Command::new("sh").args(["-c", POWER_OFF, "power-off", &self.group()])).await?;
        self.start_containerd(&[]).await?;
        self.start_kubelet()?;
        self.start_proxy()
    }

    /// Fails when a program has ended by itself.
    ///
    /// # Errors
    /// With the end of its log.
    pub fn expect_running(&mut self) -> Result<()> {
        let programs = [&mut self.containerd, &mut self.kubelet, &mut self.proxy];
        programs.into_iter().flatten().try_for_each(Program::expect_running)
    }

    fn command(&self, name: &str) -> Command {
        command(&self.programs.join(name))
    }

    async fn ctr(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command("ctr");
        command.args(["--address", SOCKET, "--namespace", "k8s.io"]).args(arguments);
        run(&mut command).await
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// The control group that holds all pods. It is named as the folder.
    fn group(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    fn kubelet_configuration(&self) -> Value {
        let NodeFiles { authority, certificate, key, .. } = &self.files;
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            // The machine may have either version of control groups.
            "failCgroupV1": false,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": format!("/{}", self.group()),
            "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
            "healthzPort": 0,
            "oomScoreAdj": 0,
            "failSwapOn": false,
            "authentication": {
                "anonymous": {"enabled": false},
                "webhook": {"enabled": true},
                "x509": {"clientCAFile": authority},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": certificate,
            "tlsPrivateKeyFile": key,
            "clusterDNS": [ADDRESS],
            "clusterDomain": "cluster.local",
            // The machine's disk may be as full as it is.
            "evictionHard": {
                "memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%",
                "nodefs.inodesFree": "0%", "imagefs.inodesFree": "0%",
            },
            "imageGCHighThresholdPercent": 100,
            "nodeStatusUpdateFrequency": "2s",
        })
    }

    /// As on AKS: Microsoft's provider, for hosts of Azure's registries.
    fn write_credential_provider(&self, hosts: &[&str]) -> Result<()> {
        let configuration = json!({
            "apiVersion": "kubelet.config.k8s.io/v1",
            "kind": "CredentialProviderConfig",
            "providers": [{
                "name": "acr-credential-provider",
                "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
                "defaultCacheDuration": "10m",
                "matchImages": hosts,
                "args": [self.folder.join("azure.json")],
            }],
        });
        self.write("credential-provider.yaml", &configuration.to_string())
    }

    fn proxy_configuration(&self) -> Value {
        json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": self.files.proxy},
            "mode": "iptables",
            "clusterCIDR": PODS,
            // These are the machine's, not the private network's.
            "conntrack": {"maxPerCore": 0, "min": 0},
        })
    }
}

/// The network of pods: a bridge and a range of addresses.
fn network() -> Value {
    json!({"cniVersion": "1.0.0", "name": "pods", "plugins": [{
        "type": "bridge", "bridge": BRIDGE, "isGateway": true, "ipMasq": false, "hairpinMode": true,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": PODS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }]})
}

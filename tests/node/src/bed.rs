//! Everything that runs in the private world.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use control_plane::{Cluster, ControlPlane, Node, Options};
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::{Api, Client};
use tokio::process::Command;

use crate::{
    Flags,
    azure::Azure,
    commands::{Commands, run},
    machine::{ADDRESS, API_SERVICE, Machine, NAME},
    programs::{Program, command},
    terminal::say_done,
    until::until,
};

/// The image of the operator, which is never pulled.
pub const OPERATOR_IMAGE: &str = "localhost/acr-attach";
/// Its tag, as `make image` writes it.
pub const OPERATOR_TAG: &str = "acr-attach";
/// Where the images are behind Azure's registries.
const IMAGES: &str = "127.0.0.1:5000";
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// How long the node may take to be ready.
const LIMIT: Duration = Duration::from_secs(60);

/// A cluster of one node, and an Azure around it.
pub struct Bed {
    /// Azure.
    pub azure: Azure,
    /// The node.
    pub machine: Machine,
    /// kubectl and helm.
    pub commands: Commands,
    /// A client with the administrator's rights.
    pub client: Client,
    /// The folder of the private world.
    pub folder: PathBuf,
    others: [Program; 2],
}

impl Bed {
    /// Lets a node join, with all that is around it, and waits until it is ready.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn start(flags: &Flags, folder: &Path, cluster: &Cluster) -> Result<Self> {
        let start = Instant::now();
        let logs = folder.join("logs");
        let address: IpAddr = ADDRESS.parse()?;
        let azure = Azure::start(cluster, address, &format!("http://{IMAGES}")).await?;
        trust(azure.sim.ca_pem(), folder).await?;
        let others = [registry(flags, folder)?, name_server(&logs)?];
        say_done("a registry behind a simulated Azure, and DNS that knows both", start);

        let start = Instant::now();
        let identity = azure.node_configuration();
        let mut machine = Machine::new(&flags.programs, folder, cluster, &identity)?;
        let image = |name: &str| flags.images.join(name);
        let operator = (image("operator.tar"), &["--base-name", OPERATOR_IMAGE] as &[_]);
        machine.start_containerd(&[(image("pause.tar"), &[]), operator]).await?;
        machine.start_kubelet()?;
        machine.start_proxy()?;
        let client = cluster.admin().await?;
        let home = folder.join("home");
        let commands = Commands::new(&flags.programs, cluster.admin_kubeconfig(), home);
        let folder = folder.to_owned();
        let mut bed = Self { azure, machine, commands, client, folder, others };
        let node = bed.node_is_ready().await?;
        say_done(format_args!("node {NAME} is Ready: {node}"), start);
        Ok(bed)
    }

    /// Waits until the node says that it is ready, and returns what it runs.
    ///
    /// # Errors
    /// When that takes too long, or a program of it has ended.
    async fn node_is_ready(&mut self) -> Result<String> {
        let nodes: Api<NodeObject> = Api::all(self.client.clone());
        let look = async || {
            let status = nodes.get(NAME).await?.status.context("it has no status")?;
            let conditions = status.conditions.unwrap_or_default();
            let ready = conditions.iter().find(|it| it.type_ == "Ready");
            let ready = ready.context("it does not say whether it is")?;
            let message = ready.message.clone().unwrap_or_default();
            anyhow::ensure!(ready.status == "True", message);
            let info = status.node_info.context("it does not say what it runs")?;
            Ok(format!("kubelet {}, {}", info.kubelet_version, info.container_runtime_version))
        };
        let ready = until("the node is ready", LIMIT, look).await;
        self.expect_running()?;
        ready
    }

    /// Fails when a program has ended by itself.
    ///
    /// # Errors
    /// With the end of its log.
    pub fn expect_running(&mut self) -> Result<()> {
        self.machine.expect_running()?;
        self.others.iter_mut().try_for_each(Program::expect_running)
    }
}

/// A control plane that the node can join.
///
/// # Errors
/// When it does not come up.
pub async fn control_plane(flags: &Flags) -> Result<ControlPlane> {
    let start = Instant::now();
    let node = Node { name: NAME.into(), address: ADDRESS.parse()? };
    let programs = fs::canonicalize(&flags.programs)?;
    let options = Options { programs: vec![programs], node: Some(node), crds: Vec::new() };
    let plane = ControlPlane::start(&options).await.context("no control plane")?;
    say_done(format_args!("control plane {}", plane.cluster().version().await?), start);
    Ok(plane)
}

/// Adds a certificate to those that every program of the node trusts.
async fn trust(certificate: &str, folder: &Path) -> Result<()> {
    let all = fs::read_to_string(CERTIFICATES)?;
    let file = folder.join("etc/ca-certificates.crt");
    fs::write(&file, format!("{all}\n{certificate}"))?;
    fs::write(folder.join("azure-ca.crt"), certificate)?;
    run(Command::new("mount").arg("--bind").arg(file).arg(CERTIFICATES)).await.map(drop)
}

/// The registry that holds the images. Only Azure speaks to it.
fn registry(flags: &Flags, folder: &Path) -> Result<Program> {
    let storage = fs::canonicalize(flags.images.join("registry"))?;
    let config = serde_json::json!({
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {
            "filesystem": {"rootdirectory": storage},
            "maintenance": {"readonly": {"enabled": true}},
        },
        "http": {"addr": IMAGES, "secret": "none"},
    });
    let file = folder.join("registry.yaml");
    fs::write(&file, config.to_string())?;
    let mut command = command(&fs::canonicalize(flags.programs.join("registry"))?);
    // It would send traces to somebody who is not there.
    command.env("OTEL_TRACES_EXPORTER", "none").arg("serve").arg(file);
    Program::start("registry", command, &folder.join("logs"))
}

/// DNS for node and pods: Azure's hosts and the API server. No other name exists.
fn name_server(logs: &Path) -> Result<Program> {
    let mut command = command("dnsmasq".as_ref());
    command
        .args(["--keep-in-foreground", "--conf-file=/dev/null", "--log-facility=-", "--user=root"])
        .args(["--no-resolv", "--no-hosts", "--bind-interfaces", "--local=//", "--pid-file="])
        .arg("--local=/#/")
        .arg(format!("--listen-address={ADDRESS}"))
        .args(Azure::hosts().map(|host| format!("--host-record={host},{ADDRESS}")))
        .arg(format!("--host-record=kubernetes.default.svc.cluster.local,{API_SERVICE}"));
    Program::start("dnsmasq", command, logs)
}

//! The operator as a process of its own, since only so its memory is its own.

use std::process::Stdio;
use std::time::Duration;

use azure_sim::model::DEFAULT_TENANT;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::world::{SECRET, World, operator};

/// How long it may take to end.
const END: Duration = Duration::from_secs(15);

/// A running operator.
pub struct Program {
    child: Child,
    /// Holds its kubeconfig and the certificate of its Azure.
    _folder: TempDir,
}

/// What a process holds of the machine's memory, in bytes.
#[derive(Clone, Copy)]
pub struct Memory {
    /// At this moment.
    pub resident: u64,
    /// At most so far.
    pub peak: u64,
}

impl Program {
    /// Starts it in that world, with these arguments more.
    pub async fn start(world: &World, arguments: &[&str]) -> Self {
        let account = world.cluster.service_account(&world.namespace(), "acr-attach").await;
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, serde_json::to_string(&account.unwrap()).unwrap()).unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, world.azure.ca_pem()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_acr-attach"));
        command
            .args(["run", "--listen", "127.0.0.1:0"])
            .args(["--attachment-selector", &world.settings.attachment_selector])
            .args(arguments)
            .arg("--ca-file")
            .arg(ca)
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .env("POD_NAMESPACE", world.namespace())
            .env("HTTPS_PROXY", world.azure.proxy_url())
            .env("HTTP_PROXY", world.azure.proxy_url())
            .env("AZURE_TENANT_ID", DEFAULT_TENANT)
            .env("AZURE_CLIENT_ID", world.azure.read(|azure| operator(azure).client_id).unwrap())
            .env("AZURE_CLIENT_SECRET", SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        Self { child: command.spawn().unwrap(), _folder: folder }
    }

    /// What proc(5) says, which Linux alone has.
    pub fn memory(&self) -> Memory {
        let path = format!("/proc/{}/status", self.child.id().unwrap());
        let status = std::fs::read_to_string(path).unwrap();
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            // It counts in units of 1024 bytes and calls them kB.
            line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
        };
        Memory { resident: bytes("VmRSS:"), peak: bytes("VmHWM:") }
    }

    /// Tells it to end, and waits until it has.
    pub async fn stop(mut self) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
        tokio::time::timeout(END, self.child.wait()).await.unwrap().unwrap();
    }
}

/// In megabytes, which may be less than before.
pub fn megabytes(bytes: u64, before: u64) -> f64 {
    let number = |it: u64| f64::from(u32::try_from(it / 1000).unwrap());
    (number(bytes) - number(before)) / 1000.0
}

//! The unchanged program as a process of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use azure_sim::model::DEFAULT_TENANT;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::{SECRET, World, in_time, operator};

/// The port at which the programs of tests listen. It is below those that Linux gives to outgoing
/// connections.
const PORT: u16 = 18_080;

/// Names another program than the one that Cargo has built, such as the one in the image.
const PROGRAM_VARIABLE: &str = "ACR_ATTACH_PROGRAM";

/// The program with an empty environment.
pub fn program(arguments: &[&str]) -> Command {
    match std::env::var(PROGRAM_VARIABLE) {
        Ok(path) => program_at(Path::new(&path), arguments),
        Err(_) => program_at(Path::new(env!("CARGO_BIN_EXE_acr-attach")), arguments),
    }
}

/// The program that is there.
pub fn program_at(path: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(path);
    // Without HOME the user's own kubeconfig would be found by way of the password file.
    command.args(arguments).env_clear().env("HOME", "/dev/null").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Tells the program to stop, and waits until it has.
pub async fn end(mut child: Child) -> ExitStatus {
    kill_process(id(&child), Signal::TERM).unwrap();
    in_time("the program to end", child.wait()).await.unwrap()
}

/// Where a program can listen: all of 127/8 is this machine, and no other program has this address.
/// A port that was free a moment ago would be a race.
pub fn address() -> SocketAddr {
    let [a, b, c, ..] = *uuid::Uuid::new_v4().as_bytes();
    SocketAddr::from(([127, a | 1, b, c | 1], PORT))
}

fn id(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap()
}

impl World {
    /// The program in this world, through its proxy, with what it needs in that folder.
    pub async fn program(&self, folder: &TempDir, arguments: &[&str]) -> Command {
        let account = self.cluster.service_account(&self.namespace(), "acr-attach").await.unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, serde_json::to_string(&account).unwrap()).unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, self.azure.ca_pem()).unwrap();
        let mut command = program(&["run"]);
        command
            .args(arguments)
            .env("ACR_ATTACH_LISTEN", "127.0.0.1:0")
            .args(["--attachment-selector", &self.settings.attachment_selector])
            .arg("--ca-file")
            .arg(ca)
            .env("KUBECONFIG", kubeconfig)
            .env("POD_NAMESPACE", self.namespace())
            .env("HTTPS_PROXY", self.azure.proxy_url())
            .env("HTTP_PROXY", self.azure.proxy_url())
            .env("AZURE_TENANT_ID", DEFAULT_TENANT)
            .env("AZURE_CLIENT_ID", self.azure.read(|azure| operator(azure).client_id).unwrap());
        command
    }

    /// A replica of that name, with these arguments more.
    pub async fn replica(&self, name: &str, arguments: &[&str]) -> Replica {
        let folder = tempfile::tempdir().unwrap();
        let mut command = self.program(&folder, arguments).await;
        command.env("AZURE_CLIENT_SECRET", SECRET).env("POD_NAME", name);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (log, told) = watch::channel(String::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                log.send_modify(|log| *log += &(line + "\n"));
            }
        });
        Replica { child, told, _folder: folder }
    }
}

/// A process of the operator.
pub struct Replica {
    child: Child,
    told: watch::Receiver<String>,
    _folder: TempDir,
}

impl Replica {
    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.id(), signal).unwrap();
    }

    /// Its process.
    pub fn id(&self) -> Pid {
        id(&self.child)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.told.borrow().clone()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has ended.
    pub async fn ended(mut self) -> ExitStatus {
        in_time("the replica to end", self.child.wait()).await.unwrap()
    }
}

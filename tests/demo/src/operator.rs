//! The unchanged operator as a child process.

use std::{
    env,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{self, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Error, Result, anyhow, bail};
use azure_sim::model::{DEFAULT_TENANT, FederatedCredential};
use tokio::{
    process::{Child, Command},
    time::{Instant, interval, timeout},
};

use crate::world::World;

/// The namespace of the operator's service account.
pub const NAMESPACE: &str = "acr-attach-system";
/// The operator's service account.
pub const ACCOUNT: &str = "acr-attach";
/// Short, so that what somebody changes in Azure is seen while one looks. A shorter one would be no
/// faster: what is known of a cluster counts as new for that long.
pub const RESYNC: Duration = Duration::from_secs(5);
/// Short too, and long enough to see in status that something waits to be removed.
pub const REMOVAL_DELAY: Duration = Duration::from_secs(10);
/// The default name, and the names that two samples need.
pub const PULL_SECRET_NAMES: &str = "acr-pull,acr-pull-contoso,acr-pull-fabrikam";

/// Below the ports that Linux gives to outgoing connections.
const PORT: u16 = 18_080;
/// A kubelet would renew the token; here nobody does, and nobody plays longer than a day.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// Generous: only an operator that never gets ready meets it.
const READY_DEADLINE: Duration = Duration::from_secs(120);
/// Generous too: the operator ends within 3 s of a machine that has time for it.
const END_DEADLINE: Duration = Duration::from_secs(60);
/// How much of the log is shown when something went wrong.
const LAST_LINES: usize = 10;

/// Tells the operator to end as soon as its own input closes, which the kernel sees to
/// whatever becomes of the demo.
const GUARD: &str = r#"trap '' HUP INT TERM; read -r line; kill -TERM "$1""#;

/// A running operator.
///
/// Ctrl-C does not reach it: it is told to end after the demo has said so. When the value is
/// dropped it is killed, and when the demo is killed its guard ends it.
pub struct Operator {
    // Dropped in this order: the guard must not outlive the process whose id it knows.
    child: Child,
    guard: Child,
    log: PathBuf,
    address: SocketAddr,
}

impl Operator {
    /// Starts it. The log goes to a file of its own.
    ///
    /// # Errors
    /// When a file cannot be written or the program cannot be run.
    pub async fn start(world: &World, program: &Path, log: PathBuf) -> Result<Self> {
        let address = address();
        let output = File::create(&log)
            .with_context(|| format!("cannot write the log to {}", log.display()))?;
        let child = command(world, program, address)
            .await?
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let id = child.id().context("the operator has no process id")?;
        let guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "demo-guard", &id.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot run /bin/sh")?;
        Ok(Self { child, guard, log, address })
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// When it ends before, or is not ready in time.
    pub async fn until_ready(&mut self) -> Result<()> {
        let address = self.address;
        let start = Instant::now();
        let mut ticks = interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            if let Some(status) = self.child.try_wait()? {
                bail!("the operator ended ({status}) before it was ready");
            }
            match is_ready(address).await {
                Ok(()) => return Ok(()),
                Err(answer) if start.elapsed() > READY_DEADLINE => {
                    bail!("the operator was not ready after {READY_DEADLINE:?}: {answer:#}")
                }
                Err(_) => {}
            }
        }
    }

    /// Waits until it ends although nobody told it to.
    pub async fn ended(&mut self) -> Error {
        match self.child.wait().await {
            Ok(status) => anyhow!("the operator ended by itself ({status})"),
            Err(error) => anyhow!("cannot wait for the operator: {error}"),
        }
    }

    /// Adds the end of its log to what went wrong.
    pub fn explain(&self, error: &Error) -> Error {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n  ");
        anyhow!("{error:#}\nThe operator's log (--log FILE keeps it) ends with:\n  {last}")
    }

    /// Tells it to end, and waits until it has.
    ///
    /// # Errors
    /// When it does not end in time, or not well. It is gone nevertheless.
    pub async fn stop(mut self) -> Result<()> {
        let status = match self.child.try_wait()? {
            Some(status) => status,
            None => self.end().await?,
        };
        // Its number may soon be another process's.
        self.guard.kill().await?;
        if !status.success() {
            bail!("the operator ended with {status}");
        }
        Ok(())
    }

    /// The guard sends the signal.
    async fn end(&mut self) -> Result<ExitStatus> {
        drop(self.guard.stdin.take());
        if let Ok(status) = timeout(END_DEADLINE, self.child.wait()).await {
            return Ok(status?);
        }
        self.child.kill().await?;
        bail!("the operator did not end within {END_DEADLINE:?} and was killed")
    }
}

/// Where the operator listens: all of 127/8 is this machine, and this address is another one for each
/// process. A port that was free a moment ago would be a race.
fn address() -> SocketAddr {
    let [_, a, b, c] = process::id().to_be_bytes();
    SocketAddr::from(([127, a, b, c], PORT))
}

/// The operator as it runs in a cluster: a kubeconfig and a federated token of its service
/// account, and a proxy on the way to Azure.
async fn command(world: &World, program: &Path, address: SocketAddr) -> Result<Command> {
    let cluster = world.plane.cluster();
    let kubeconfig = cluster.service_account(NAMESPACE, ACCOUNT).await?;
    let kubeconfig = world.write("operator.kubeconfig", &serde_json::to_string(&kubeconfig)?)?;
    let audience = FederatedCredential::AUDIENCE;
    let token = cluster.service_account_token(NAMESPACE, ACCOUNT, audience, TOKEN_LIFETIME).await?;
    let mut command = Command::new(program);
    let of_others = |name: &str| {
        let name = name.to_ascii_uppercase();
        let starts = ["AZURE_", "ACR_ATTACH_", "KUBE", "POD_"];
        starts.iter().any(|it| name.starts_with(it)) || name.ends_with("_PROXY")
    };
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(of_others)) {
        command.env_remove(name);
    }
    command
        .args(["run", "--log-format", "text"])
        .args(["--resync", &format!("{}s", RESYNC.as_secs())])
        .args(["--removal-delay", &format!("{}s", REMOVAL_DELAY.as_secs())])
        .args(["--pull-secret-names", PULL_SECRET_NAMES])
        .args(["--listen", &address.to_string()])
        .arg("--ca-file")
        .arg(world.write("azure-ca.pem", world.azure.sim.ca_pem())?)
        .env("KUBECONFIG", kubeconfig)
        .env("POD_NAMESPACE", NAMESPACE)
        .env("HTTPS_PROXY", world.azure.sim.proxy_url())
        .env("HTTP_PROXY", world.azure.sim.proxy_url())
        .env("AZURE_TENANT_ID", DEFAULT_TENANT)
        .env("AZURE_CLIENT_ID", &world.azure.client_id)
        .env("AZURE_FEDERATED_TOKEN_FILE", world.write("federated-token", &token)?)
        // The log goes to a file.
        .env("NO_COLOR", "1");
    Ok(command)
}

async fn is_ready(address: SocketAddr) -> Result<()> {
    // On loopback there is neither a proxy nor a certificate.
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
    let client = client.timeout(Duration::from_secs(10)).build()?;
    client.get(format!("http://{address}/readyz")).send().await?.error_for_status()?;
    Ok(())
}

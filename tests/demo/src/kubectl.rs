//! The real kubectl, run as a user would type it.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::{process::Command, time::timeout};

use crate::terminal::{say_command, say_lines};

/// No command of the demo takes longer, not even one that waits.
const DEADLINE: Duration = Duration::from_secs(180);

/// kubectl with the administrator's rights.
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

impl Kubectl {
    /// kubectl for the cluster of a kubeconfig. In the folder `cache` it keeps what it has
    /// learnt of the API server.
    pub fn new(program: PathBuf, kubeconfig: &Path, cache: PathBuf) -> Self {
        Self { program, kubeconfig: kubeconfig.into(), cache }
    }

    /// The folder of the program.
    pub fn folder(&self) -> &Path {
        self.program.parent().unwrap_or(&self.program)
    }

    /// Says the command, runs it and says its output.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub async fn show(&self, arguments: &str) -> Result<()> {
        say_command(&format!("kubectl {arguments}"));
        let output = self.run(arguments).await?;
        say_lines(&String::from_utf8_lossy(&output.stdout));
        say_lines(&String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Runs the command. Arguments are separated by spaces and hold none; single quotes are for
    /// the shell of who types it.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub async fn run(&self, arguments: &str) -> Result<Output> {
        let running = Command::new(&self.program)
            .args(arguments.replace('\'', "").split_whitespace())
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", &self.cache)
            .stdin(Stdio::null())
            // Ctrl-C is for the demo, which then drops this.
            .process_group(0)
            .kill_on_drop(true)
            .output();
        let output = timeout(DEADLINE, running)
            .await
            .map_err(|_| anyhow!("`kubectl {arguments}` took more than {DEADLINE:?}"))?
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`kubectl {arguments}` failed: {}", said.trim());
        }
        Ok(output)
    }
}

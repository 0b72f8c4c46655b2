//! Programs that run as long as the private world does, each with a log of its own.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// How long a program may take to end.
const LIMIT: Duration = Duration::from_secs(60);
/// How much of a log goes into an error.
const LAST_LINES: usize = 15;

/// A running program.
#[derive(Debug)]
pub struct Program {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Program {
    /// Starts it. Its log is appended to.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn start(name: &str, mut command: Command, logs: &Path) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot run {name}"))?;
        Ok(Self { name: name.into(), log, child })
    }

    /// Fails when it has ended.
    ///
    /// # Errors
    /// With the end of its log.
    pub fn expect_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}):\n{}", self.name, self.last_lines()),
        }
    }

    /// Ends it as a crash does.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn kill(mut self) -> Result<()> {
        let killed = timeout(LIMIT, self.child.kill()).await;
        killed.with_context(|| format!("{} does not die", self.name))?.map_err(Into::into)
    }

    /// Tells it to end, and waits until it has.
    ///
    /// # Errors
    /// When it has ended before, or cannot be waited for.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        self.expect_running()?;
        if let Some(id) = self.child.id().and_then(|it| Pid::from_raw(it.cast_signed())) {
            kill_process(id, Signal::TERM)?;
        }
        let ended = timeout(LIMIT, self.child.wait()).await;
        ended
            .with_context(|| format!("{} does not end when told to", self.name))?
            .map_err(Into::into)
    }

    /// The end of its log.
    fn last_lines(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }
}

/// A program that ends with its owner, with nothing of the user's own settings. It finds the programs
/// beside it before those of the distribution: containerd looks for its shim, and for runc.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    let distribution = std::env::var("PATH").unwrap_or_default();
    let beside = program.parent().unwrap_or(Path::new("/"));
    command.env_clear().env("PATH", format!("{}:{distribution}", beside.display()));
    command.kill_on_drop(true);
    command
}

//! Commands that end by themselves.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::{process::Command, time::timeout};

use crate::terminal::{say_command, say_lines};

/// No command takes longer, not even one that waits.
const LIMIT: Duration = Duration::from_secs(180);

/// Runs a command and returns what it says.
///
/// # Errors
/// When it fails or takes too long, with what it said.
pub async fn run(command: &mut Command) -> Result<String> {
    let name = shown(command);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output =
        timeout(LIMIT, command.output()).await.map_err(|_| anyhow!("`{name}` takes too long"))?;
    let output = output.with_context(|| format!("cannot run `{name}`"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let error = String::from_utf8_lossy(&output.stderr);
    bail!("`{name}` failed ({}): {}{said}", output.status, error)
}

fn shown(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|it| it.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// kubectl and helm with the administrator's rights, as a user types them in the root of the
/// repository.
pub struct Commands {
    programs: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
}

impl Commands {
    /// For the cluster of that kubeconfig. What they keep is in that folder.
    pub fn new(programs: &Path, kubeconfig: PathBuf, home: PathBuf) -> Self {
        Self { programs: programs.into(), kubeconfig, home }
    }

    /// Says a command, runs it, and says what it says.
    ///
    /// # Errors
    /// When it fails.
    pub async fn show(&self, line: &str) -> Result<()> {
        say_command(line);
        say_lines(&self.quietly(line).await?);
        Ok(())
    }

    /// Runs a command and returns what it says. Words are separated by spaces and hold none.
    ///
    /// # Errors
    /// When it fails.
    pub async fn quietly(&self, line: &str) -> Result<String> {
        run(&mut self.command(line)).await
    }

    fn command(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        let program = self.programs.join(words.next().unwrap_or_default());
        let mut command = Command::new(program);
        command.args(words).env_clear().env("HOME", &self.home).env("KUBECONFIG", &self.kubeconfig);
        command
    }
}

//! One running program of the control plane.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::{Child, Command};

use crate::{Error, layout::Layout};

/// How much of a log goes into an error.
const LAST_LINES: usize = 20;

/// A running program and its log.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    log: PathBuf,
    child: Child,
}

impl Program {
    /// Starts a program in a process group that exists already.
    ///
    /// It gets an empty environment: etcd takes flags from variables, and a
    /// proxy has no place on loopback.
    pub fn spawn(
        (name, path): (&'static str, &Path),
        arguments: Vec<String>,
        layout: &Layout,
        group: i32,
    ) -> Result<Self, Error> {
        let log = layout.log(name);
        let open = || File::options().create(true).append(true).open(&log);
        let output = open().map_err(Error::file("open", &log))?;
        let errors = output.try_clone().map_err(Error::file("open", &log))?;
        let child = Command::new(path)
            .args(arguments)
            .env_clear()
            .current_dir(layout.root())
            .process_group(group)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|source| Error::Spawn { program: path.display().to_string(), source })?;
        Ok(Self { name, log, child })
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Fails when the program has ended, and says what its log says.
    pub fn expect_running(&mut self, goal: &str) -> Result<(), Error> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(Error::Ended {
                program: self.name,
                status,
                goal: goal.into(),
                log: self.last_lines(),
            }),
            Err(source) => Err(Error::file("wait for", self.name)(source)),
        }
    }

    /// Kills the program and waits until it is gone.
    pub async fn kill(&mut self) -> Result<(), Error> {
        self.child.kill().await.map_err(Error::file("kill", self.name))
    }

    /// The end of the log.
    pub fn last_lines(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }
}

//! Runs a command in the foreground for as long as a control plane lives.

use std::{
    ffi::OsString, fs, os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    signal::unix::{Signal as Signals, SignalKind, signal},
    time::timeout,
};

use crate::{ControlPlane, DIRECTORY_VARIABLE, Error};

/// How long a command that was told to end may take for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Holds a command back until the janitor knows of it, whatever becomes of this process: the
/// janitor takes the folder away, and then there is nothing to wait for. The command keeps the
/// process id.
const GATE: &str = r#"
while [ ! -e "$0/go" ]; do
    [ -d "$0" ] || exit 1
    sleep 0.01
done
exec "$@"
"#;

/// Runs a command with `KUBECONFIG` and `CONTROL_PLANE_DIR` set, and returns its
/// exit code, as a shell would: 128 and the signal when one killed it.
///
/// SIGINT and SIGTERM end the command with SIGTERM, and with SIGKILL when it
/// takes longer than five seconds. When this process is killed, the command
/// gets SIGTERM too.
///
/// # Errors
///
/// When no command can be started at all. One that does not exist is code 127, as in a shell.
pub async fn run(plane: &mut ControlPlane, command: &[OsString]) -> Result<u8, Error> {
    let Some(program) = command.first() else { return Ok(0) };
    // First: a signal that comes before would end this process and leave the command.
    let mut signals = EndSignals::listen()?;
    let spawn_error = |source| Error::Spawn { program: program.display().to_string(), source };
    let folder = plane.cluster().dir().to_path_buf();
    let mut child = Command::new("/bin/sh")
        .args(["-c", GATE])
        .arg(&folder)
        .args(command)
        .env("KUBECONFIG", plane.admin_kubeconfig())
        .env(DIRECTORY_VARIABLE, plane.cluster().dir())
        .spawn()
        .map_err(spawn_error)?;
    plane.also_ends(child.id())?;
    let go = folder.join("go");
    fs::write(&go, "").map_err(Error::file("write", &go))?;
    let status = tokio::select! {
        status = child.wait() => status,
        () = signals.told() => end(&mut child).await,
    };
    // Its number may soon be another process's.
    plane.also_ends(None)?;
    status.map(code).map_err(Error::file("wait for", program))
}

/// What tells this process to end: SIGINT and SIGTERM, from the moment it listens.
#[derive(Debug)]
pub struct EndSignals {
    interrupt: Signals,
    terminate: Signals,
}

impl EndSignals {
    /// Listens from now on. Until then either signal ends the process at once.
    ///
    /// # Errors
    ///
    /// When the operating system does not let it listen for them.
    pub fn listen() -> Result<Self, Error> {
        let listen =
            |kind| signal(kind).map_err(Error::file("listen for signals of", "this process"));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Returns when one has come.
    pub async fn told(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
        }
    }
}

async fn end(child: &mut Child) -> std::io::Result<ExitStatus> {
    if let Some(id) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        // It may have ended by itself, since Ctrl-C in a terminal reaches it too.
        kill_process(id, Signal::TERM).or_else(|error| match error {
            rustix::io::Errno::SRCH => Ok(()),
            other => Err(other),
        })?;
    }
    if let Ok(status) = timeout(PATIENCE, child.wait()).await {
        return status;
    }
    child.kill().await?;
    child.wait().await
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

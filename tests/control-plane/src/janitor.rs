//! Ends the programs and removes the folder, whatever becomes of the owner.
//!
//! Destructors do not run when a process is killed, nor for a `static`, and a
//! parent-death signal follows the thread that started a program rather than
//! the process. So a process of its own waits until the owner's end of a pipe
//! closes, which the kernel does in every case.

use std::{
    ffi::OsStr,
    io::{self, PipeWriter, Write, pipe},
    path::Path,
    process::Stdio,
};

use tokio::process::{Child, Command};

use crate::Error;

/// Gives the programs a process group that exists before the first of them and
/// until the last, so that the sweeper needs no list of them.
const LEADER: &str = "trap '' HUP INT TERM; read -r line";

/// Waits for the owner's end, then ends everything and removes the folder.
///
/// Each line that comes is the id of a process outside the group that is to end
/// as well; the last line counts. The programs are killed outright: nothing of
/// theirs outlives the folder. The loop ends when no process of the group is
/// left, or after five seconds when dead ones are not reaped by anybody.
const SWEEPER: &str = r#"
trap '' HUP INT TERM
also=
while read -r line; do also=$line; done
[ -z "$also" ] || kill -TERM "$also"
tries=0
while kill -KILL "-$1" && [ "$tries" -lt 100 ]; do
    sleep 0.05
    tries=$((tries + 1))
done
rm -rf -- "$2"
"#;

/// The processes that watch over one control plane.
#[derive(Debug)]
pub(crate) struct Janitor {
    group: i32,
    leader: Child,
    sweeper: Child,
    /// Closing these tells the leader and the sweeper that the owner is gone.
    /// Nobody else holds them: Rust's pipes are closed on exec.
    leader_input: PipeWriter,
    sweeper_input: PipeWriter,
}

impl Janitor {
    /// Starts the watch over a folder that need not exist yet.
    ///
    /// A program that is spawned into the group from now on cannot be missed:
    /// until it has joined the group, its half-born process holds the pipe
    /// open itself.
    pub fn start(folder: &Path) -> Result<Self, Error> {
        let (leader, leader_input) = shell("leader", LEADER, &[folder.as_os_str()])?;
        let id = leader.id().ok_or_else(|| Error::Spawn {
            program: "/bin/sh (control-plane-leader)".into(),
            source: io::Error::other("it has no process id"),
        })?;
        let group = id.cast_signed();
        let (sweeper, sweeper_input) =
            shell("sweeper", SWEEPER, &[id.to_string().as_ref(), folder.as_os_str()])?;
        Ok(Self { group, leader, sweeper, leader_input, sweeper_input })
    }

    /// The process group that programs have to join.
    pub fn group(&self) -> i32 {
        self.group
    }

    /// Names a process outside the group that gets SIGTERM at the end, or none.
    pub fn also_ends(&mut self, process: Option<u32>) -> Result<(), Error> {
        let line = process.map(|id| id.to_string()).unwrap_or_default();
        writeln!(self.sweeper_input, "{line}").map_err(Error::file("write to", "the janitor"))
    }

    /// Has everything ended and removed, and waits for it.
    pub async fn sweep(self) -> Result<(), Error> {
        let Self { mut leader, mut sweeper, leader_input, sweeper_input, .. } = self;
        drop((leader_input, sweeper_input));
        let (_, swept) = tokio::join!(leader.wait(), sweeper.wait());
        swept.map(drop).map_err(Error::file("wait for", "the janitor"))
    }
}

/// Starts a script in a process group of its own, so that Ctrl-C does not reach
/// it, and returns the writing end of its standard input.
fn shell(name: &str, script: &str, arguments: &[&OsStr]) -> Result<(Child, PipeWriter), Error> {
    let name = format!("control-plane-{name}");
    let spawn = || {
        let (reader, writer) = pipe()?;
        let child = Command::new("/bin/sh")
            .args(["-c", script, &name])
            .args(arguments)
            .current_dir("/")
            .process_group(0)
            .stdin(reader)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok((child, writer))
    };
    spawn().map_err(|source| Error::Spawn { program: format!("/bin/sh ({name})"), source })
}

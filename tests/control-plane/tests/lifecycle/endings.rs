//! Nothing is left, however the owner ends.

use std::{path::Path, process::Stdio};

use control_plane::{ControlPlane, Options};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{eventually, nothing_is_left, processes_that_mention, room, room_for};

/// A `control-plane run` that puts its folder into a temporary one.
struct Owner {
    temp: TempDir,
    process: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Owner {
    /// Runs a shell script under a control plane.
    fn of(script: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_control-plane"))
            .args(["run", "--", "sh", "-c", script])
            .env("TMPDIR", temp.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { temp, process, output }
    }

    fn signal(&self, signal: Signal) {
        let id = self.process.id().unwrap().cast_signed();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    async fn next_line(&mut self) -> String {
        self.output.next_line().await.unwrap().expect("the owner ended early")
    }

    async fn exit_code(&mut self) -> i32 {
        self.process.wait().await.unwrap().code().unwrap()
    }

    fn nothing_is_left(&self) -> bool {
        nothing_is_left(self.temp.path())
    }
}

#[tokio::test]
async fn the_exit_code_of_the_command_is_passed_on() {
    let _room = room().await;
    let mut owner = Owner::of(r#"test -d "$CONTROL_PLANE_DIR" && test -f "$KUBECONFIG" && exit 7"#);
    assert_eq!(owner.exit_code().await, 7);
    assert!(owner.nothing_is_left());
}

#[tokio::test]
async fn ctrl_c_ends_the_command_and_leaves_nothing() {
    let _room = room().await;
    let mut owner = Owner::of("echo ready; exec sleep 600");
    assert_eq!(owner.next_line().await, "ready");
    owner.signal(Signal::INT);
    assert_eq!(owner.exit_code().await, 128 + 15);
    assert!(owner.nothing_is_left());
}

#[tokio::test]
async fn a_command_that_ignores_sigterm_is_killed() {
    let _room = room().await;
    let mut owner = Owner::of("trap '' TERM; echo ready; exec sleep 600");
    assert_eq!(owner.next_line().await, "ready");
    owner.signal(Signal::TERM);
    assert_eq!(owner.exit_code().await, 128 + 9);
    assert!(owner.nothing_is_left());
}

#[tokio::test]
async fn a_killed_owner_leaves_nothing() {
    let _room = room().await;
    let mut owner = Owner::of("echo $$; exec sleep 600");
    let command = owner.next_line().await;
    owner.process.kill().await.unwrap();
    eventually("nothing is left", || async { owner.nothing_is_left() }).await;
    let command = Path::new("/proc").join(command);
    eventually("the command is gone, too", || async { !command.exists() }).await;
}

#[tokio::test]
async fn an_owner_killed_while_it_starts_leaves_nothing() {
    let _room = room().await;
    for moment in ["sweeper", "/etcd ", "/kube-apiserver ", "/kube-controller-manager "] {
        let mut owner = Owner::of("exit 0");
        eventually(&format!("there is a process {moment}"), || async {
            let lines = processes_that_mention(owner.temp.path());
            lines.iter().any(|line| line.contains(moment))
        })
        .await;
        owner.process.kill().await.unwrap();
        eventually("nothing is left", || async { owner.nothing_is_left() }).await;
    }
}

#[tokio::test]
async fn a_panicking_owner_leaves_nothing_and_two_start_at_the_same_time() {
    let _room = room_for(2).await;
    let (send, receive) = tokio::sync::oneshot::channel();
    let owner = tokio::spawn(async move {
        let options = Options::from_env().unwrap();
        let (one, two) = tokio::join!(ControlPlane::start(&options), ControlPlane::start(&options));
        let (one, two) = (one.unwrap(), two.unwrap());
        send.send([one.cluster().dir().to_path_buf(), two.cluster().dir().to_path_buf()]).unwrap();
        panic!("on purpose");
    });
    let folders = receive.await.unwrap();
    assert!(owner.await.unwrap_err().is_panic());
    for folder in folders {
        let gone = || async { !folder.exists() && nothing_is_left(&folder) };
        eventually("nothing is left", gone).await;
    }
}

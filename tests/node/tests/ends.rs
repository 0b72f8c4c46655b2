//! Whatever ends it in the middle, nothing of it is left. `make e2e` runs this, one after the other.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic, in its own functions too"
)]

use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// Generous: only what hangs meets it.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
#[ignore = "needs root and the programs of a node: `make e2e`"]
fn ctrl_c_takes_everything_along() {
    let (mut child, lines) = started();
    kill_process(id(&child), Signal::INT).unwrap();
    let said = rest(&lines);
    assert!(said.contains("no process, mount, network device, control group or file"), "{said}");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
#[ignore = "needs root and the programs of a node: `make e2e`"]
fn what_is_killed_leaves_nothing_either() {
    let before = worlds();
    let (mut child, lines) = started();
    let mine: Vec<_> = worlds().difference(&before).cloned().collect();
    assert_eq!(mine.len(), 1, "{mine:?}");
    kill_process(id(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    rest(&lines);
    let start = Instant::now();
    while !left(&mine[0]).is_empty() {
        assert!(start.elapsed() < LIMIT, "{:?} are left", left(&mine[0]));
        std::thread::yield_now();
    }
}

/// Starts it and waits until its node is ready.
fn started() -> (Child, Receiver<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut child = Command::new(env!("CARGO_BIN_EXE_node"))
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        output.lines().map_while(Result::ok).try_for_each(|it| sender.send(it))
    });
    while !lines.recv_timeout(LIMIT).unwrap().contains("is Ready") {}
    (child, lines)
}

/// What it says until the last process of the private world has ended, which holds the other end.
fn rest(lines: &Receiver<String>) -> String {
    let mut said = String::new();
    loop {
        match lines.recv_timeout(LIMIT) {
            Ok(line) => said = said + &line + "\n",
            Err(RecvTimeoutError::Disconnected) => return said,
            Err(RecvTimeoutError::Timeout) => panic!("it does not end, and has said: {said}"),
        }
    }
}

fn id(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// The folders of private worlds.
fn worlds() -> BTreeSet<PathBuf> {
    let all = fs::read_dir(env::temp_dir()).unwrap().map(|it| it.unwrap().path());
    let is_world = |it: &PathBuf| it.to_string_lossy().contains("acr-attach-node-");
    all.filter(is_world).collect()
}

/// What is there of the world of that folder: the folder, control groups, processes.
fn left(world: &Path) -> Vec<PathBuf> {
    let name = world.file_name().unwrap();
    let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().map(|it| it.unwrap().path());
    let groups =
        hierarchies.map(|it| it.join(name)).chain([Path::new("/sys/fs/cgroup").join(name)]);
    let all = groups.chain([world.to_owned()]).filter(|it| it.exists());
    let processes = fs::read_dir("/proc").unwrap().map(|it| it.unwrap().path());
    let knows = |it: &PathBuf| {
        let line = fs::read_to_string(it.join("cmdline")).unwrap_or_default();
        line.contains(&*name.to_string_lossy())
    };
    all.chain(processes.filter(knows)).collect()
}

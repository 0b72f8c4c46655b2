//! What on the machine a run could leave behind, and nothing that others change meanwhile.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};

use crate::machine::BRIDGE;

/// Where a node's programs keep what they have.
const FOLDERS: [&str; 7] = [
    "/run/containerd",
    "/run/netns",
    "/var/lib/containerd",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
];

/// What a kubelet sets for the whole machine.
const SETTINGS: [&str; 6] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// Everything of the machine that a private world could have changed, each in words.
#[derive(Debug)]
pub struct Remains(BTreeSet<String>);

impl Remains {
    /// Looks at the machine, for the world of that name, in that folder.
    pub fn look(name: &str, folder: &Path) -> Self {
        let devices = Path::new("/sys/class/net").join(BRIDGE);
        let folders = FOLDERS.iter().map(PathBuf::from).chain(groups(name));
        let paths = folders.chain([folder.to_owned(), devices]).filter(|it| it.exists());
        let paths = paths.map(|it| it.display().to_string());
        let settings = SETTINGS.iter().map(|it| format!("{it} is {}", read("/proc/sys", it)));
        Self(paths.chain(settings).chain(mounts(name)).chain(processes(name)).collect())
    }

    /// Compares with what was there before.
    ///
    /// # Errors
    /// When something is left; the error names it.
    pub fn expect_none_since(&self, before: &Self) -> Result<()> {
        let left: Vec<_> = self.0.difference(&before.0).cloned().collect();
        ensure!(left.is_empty(), "something is left: {}", left.join(", "));
        Ok(())
    }
}

/// Where the control groups of a world are: one in version 2, else one for each controller.
fn groups(name: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    paths(root).into_iter().chain([root.to_owned()]).map(|it| it.join(name)).collect()
}

fn mounts(name: &str) -> Vec<String> {
    let all = read("/proc", "self/mounts");
    all.lines().filter(|it| it.contains(name)).map(|it| format!("mount {it}")).collect()
}

/// Processes whose command line or control group names the world. This one's does not.
fn processes(name: &str) -> Vec<String> {
    let named = paths("/proc".as_ref()).into_iter().filter_map(|process| {
        let process = process.display().to_string();
        let line = read(&process, "cmdline").replace('\0', " ");
        let knows = line.contains(name) || read(&process, "cgroup").contains(name);
        knows.then(|| format!("process {process} ({line})"))
    });
    named.collect()
}

fn read(folder: &str, name: &str) -> String {
    fs::read_to_string(Path::new(folder).join(name)).unwrap_or_default().trim().to_owned()
}

fn paths(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|it| it.path()).collect()
}

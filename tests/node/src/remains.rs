//! What is on the machine that a run could leave behind.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

/// Everything of the machine that the private world could have changed.
#[derive(Debug, Eq, PartialEq)]
pub struct Remains {
    /// Mount points.
    mounts: BTreeSet<String>,
    /// Network devices.
    devices: BTreeSet<String>,
    /// Control groups, two levels deep.
    groups: BTreeSet<String>,
    /// Folders in which a node's programs keep what they have.
    folders: BTreeSet<String>,
    /// What a kubelet sets for the whole machine.
    settings: Vec<String>,
}

/// Settings that a kubelet writes.
const SETTINGS: [&str; 6] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

impl Remains {
    /// Looks at the machine.
    pub fn look() -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let point = |line: &str| line.split(' ').nth(1).map(str::to_owned);
        let roots = ["/run", "/var/lib", "/var/log", "/etc/cni"];
        Self {
            mounts: mounts.lines().filter_map(point).collect(),
            devices: names("/sys/class/net".as_ref()),
            groups: groups(),
            folders: roots.iter().flat_map(|it| kubernetes(it.as_ref())).collect(),
            settings: SETTINGS.iter().map(|it| read(&Path::new("/proc/sys").join(it))).collect(),
        }
    }

    /// Compares with what was there before, and with the processes that know of the private
    /// world.
    ///
    /// # Errors
    /// When something is left; the error names it.
    pub fn expect_none_since(&self, before: &Self, folder: &Path, group: &str) -> Result<()> {
        let pairs = [
            (&self.mounts, &before.mounts),
            (&self.devices, &before.devices),
            (&self.groups, &before.groups),
            (&self.folders, &before.folders),
        ];
        let more = pairs.iter().flat_map(|(now, then)| now.difference(then));
        let mut left: Vec<_> = more.cloned().chain(processes(folder, group)).collect();
        if folder.exists() {
            left.push(folder.display().to_string());
        }
        if self.settings != before.settings {
            left.push(format!("settings in /proc/sys: {:?}", self.settings));
        }
        if left.is_empty() { Ok(()) } else { bail!("something is left: {}", left.join(", ")) }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|it| it.file_name().to_string_lossy().into_owned()).collect()
}

fn paths(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|it| it.path()).collect()
}

/// Control groups of either version.
fn groups() -> BTreeSet<String> {
    let roots = paths("/sys/fs/cgroup".as_ref()).into_iter().filter(|it| it.is_dir());
    let deeper = roots.flat_map(|it| paths(&it)).filter(|it| it.is_dir());
    deeper.map(|it| it.display().to_string()).collect()
}

/// Folders there that containers or Kubernetes use.
fn kubernetes(folder: &Path) -> Vec<String> {
    let is = |name: &String| {
        ["containerd", "kube", "cni", "netns", "calico", "pods"].iter().any(|it| name.contains(it))
    };
    let found = names(folder).into_iter().filter(is);
    found.map(|it| folder.join(it).display().to_string()).collect()
}

/// Processes whose command line or control group names the private world.
fn processes(folder: &Path, group: &str) -> Vec<String> {
    let folder = folder.display().to_string();
    let own = std::process::id().to_string();
    let others = paths("/proc".as_ref()).into_iter().filter(|it| !it.ends_with(&own));
    let knows = |it: &PathBuf| {
        let line = read(&it.join("cmdline"));
        (line.contains(&folder) || read(&it.join("cgroup")).contains(group)).then_some(line)
    };
    let named = others.filter(|it| it.join("cmdline").exists()).filter_map(|it| {
        let line = knows(&it)?;
        Some(format!("process {} ({})", it.display(), line.replace('\0', " ")))
    });
    named.collect()
}

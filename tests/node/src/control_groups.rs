//! Control groups for the pods of a private world.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

const ROOT: &str = "/sys/fs/cgroup";
/// What a kubelet needs of version 2.
const NEEDED: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];

/// The controllers of version 2 that the root does not hand down yet. None where there is version 1.
pub fn missing() -> Vec<&'static str> {
    let root = Path::new(ROOT);
    if !root.join("cgroup.controllers").exists() {
        return Vec::new();
    }
    let handed_down = fs::read_to_string(control()).unwrap_or_default();
    let is_missing = |it: &&str| !handed_down.split_whitespace().any(|there| there == *it);
    NEEDED.into_iter().filter(is_missing).collect()
}

/// Makes a group of that name in every hierarchy, which has these controllers too.
///
/// # Errors
/// When the kernel refuses.
pub fn make(name: &str, missing: &[&str]) -> Result<()> {
    for each in missing {
        let text = format!("+{each}");
        fs::write(control(), text).with_context(|| format!("the kernel keeps {each} back"))?;
    }
    for hierarchy in hierarchies()? {
        let path = hierarchy.join(name);
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    Ok(())
}

fn control() -> PathBuf {
    Path::new(ROOT).join("cgroup.subtree_control")
}

/// The roots: one in version 2, else one for each controller or some together, to which links lead.
fn hierarchies() -> Result<Vec<PathBuf>> {
    if control().exists() {
        return Ok(vec![ROOT.into()]);
    }
    let all = fs::read_dir(ROOT)?.collect::<Result<Vec<_>, _>>()?;
    let folders = all.iter().filter(|it| it.file_type().is_ok_and(|it| it.is_dir()));
    Ok(folders.map(fs::DirEntry::path).collect())
}

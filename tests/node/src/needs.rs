//! What the machine must have.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::Flags;

/// Commands of the distribution, and Debian's packages for them.
const COMMANDS: [(&str, &str); 8] = [
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("runc", "runc"),
    ("dnsmasq", "dnsmasq-base"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("/etc/ssl/certs/ca-certificates.crt", "ca-certificates"),
];

/// Programs of this repository's own making.
const PROGRAMS: [&str; 13] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
    "containerd",
    "containerd-shim-runc-v2",
    "ctr",
    "registry",
    "acr-credential-provider",
    "helm",
];

/// Files of the repository that are used as they are.
const FILES: [&str; 3] =
    ["charts/acr-attach/Chart.yaml", "deploy/check/kustomization.yaml", "tests/node/manifests"];

/// Says what is missing, all of it at once.
///
/// # Errors
/// When something is.
pub fn check(flags: &Flags) -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("a node needs Linux: its programs use namespaces and control groups");
    }
    if !rustix::process::geteuid().is_root() {
        bail!(
            "a node needs root, for mounts, networks and control groups of its own; run it as root, or `make test`, which needs none"
        );
    }
    if let Some(missing) = FILES.iter().find(|it| !Path::new(it).exists()) {
        bail!("there is no {missing} here; start this in the root of the repository");
    }
    let commands = COMMANDS.iter().filter(|(command, _)| find(command).is_none());
    let commands: Vec<_> =
        commands.map(|(command, package)| format!("{command} (package {package})")).collect();
    if !commands.is_empty() {
        bail!("missing: {}; install them with apt-get, or run `make e2e`", commands.join(", "));
    }
    let programs = PROGRAMS.iter().map(|it| flags.programs.join(it));
    let images = ["pause.tar", "operator.tar", "registry"].map(|it| flags.images.join(it));
    let missing: Vec<_> = programs.chain(images).filter(|it| !it.exists()).collect();
    if let Some(first) = missing.first() {
        bail!("there is no {}; `make e2e` makes it", first.display());
    }
    Ok(())
}

/// The path of a command, looked for as a shell does.
fn find(command: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(command)).find(|it| it.is_file())
}

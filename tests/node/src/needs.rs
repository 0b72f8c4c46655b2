//! What `make e2e` makes before this program can do anything. What the machine itself must have,
//! `tests/node/needs` says before anything is made.

use std::path::Path;

use anyhow::{Result, bail};

use crate::Flags;

/// Programs of the control plane, of the node, and of whoever uses them.
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

/// Says what is missing.
///
/// # Errors
/// When something is.
pub fn check(flags: &Flags) -> Result<()> {
    if let Some(missing) = FILES.iter().find(|it| !Path::new(it).exists()) {
        bail!("there is no {missing} here; start this in the root of the repository");
    }
    let programs = PROGRAMS.iter().map(|it| flags.programs.join(it));
    let images = ["pause.tar", "operator.tar", "registry"].map(|it| flags.images.join(it));
    match programs.chain(images).find(|it| !it.exists()) {
        Some(missing) => bail!("there is no {}; `make e2e` makes it", missing.display()),
        None => Ok(()),
    }
}

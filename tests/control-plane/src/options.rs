//! What a control plane is started from.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::{Error, Node, error::Error::MissingProgram};

/// Names a folder of ready-made programs, as in controller-runtime's envtest.
pub const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";

/// Where `make tools` puts the programs, below the root of the repository.
const BUILT: &str = "target/tools/bin";

/// What every control plane needs.
const NEEDED: [&str; 3] =
    [crate::flags::ETCD, crate::flags::API_SERVER, crate::flags::CONTROLLER_MANAGER];

/// What a control plane is started from.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The folders that hold `etcd`, `kube-apiserver` and `kube-controller-manager`. A program is
    /// taken from the first folder that has it.
    pub programs: Vec<PathBuf>,
    /// `CustomResourceDefinition` manifests as YAML text, each with one or more documents.
    ///
    /// They are served before kube-controller-manager starts: its garbage
    /// collector learns kinds that come later only every 30 s
    /// (`NewGarbageCollector … Sync(30*time.Second)` in its source).
    pub crds: Vec<String>,
    /// The node that is to join, if one is.
    pub node: Option<Node>,
}

impl Options {
    /// Takes the programs from the folder that `KUBEBUILDER_ASSETS` names, and those that it lacks
    /// from `target/tools/bin` in the current folder or the nearest one above: setup-envtest brings
    /// no kube-controller-manager.
    ///
    /// # Errors
    ///
    /// When the current folder cannot be told.
    pub fn from_env() -> Result<Self, Error> {
        let named = env::var_os(ASSETS_VARIABLE).filter(|named| !named.is_empty());
        let ready_made = named.as_ref().map(absolute).transpose()?;
        let programs = ready_made.into_iter().chain([built_programs()?]).collect();
        Ok(Self { programs, ..Self::default() })
    }

    /// Adds a manifest that stands in a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn crd_file(mut self, path: &Path) -> Result<Self, Error> {
        self.crds
            .push(std::fs::read_to_string(path).map_err(Error::file("read the manifest", path))?);
        Ok(self)
    }

    /// The path of a program, in the first folder that has it.
    ///
    /// # Errors
    ///
    /// When no folder has it.
    pub fn program(&self, name: &str) -> Result<PathBuf, Error> {
        let mut paths = self.programs.iter().map(|folder| folder.join(name));
        let found = paths.find(|path| path.is_file());
        found.ok_or_else(|| MissingProgram { name: name.into(), folders: self.programs.clone() })
    }

    /// Says which program is missing before anything is started.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let scheduler = self.node.as_ref().map(|_| &crate::flags::SCHEDULER);
        NEEDED.iter().chain(scheduler).try_for_each(|name| self.program(name).map(drop))
    }
}

/// The programs run in a folder of their own, so their path must not be relative.
fn absolute(path: &OsString) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(Error::file("find", path))
}

fn built_programs() -> Result<PathBuf, Error> {
    let here = env::current_dir().map_err(Error::file("find the current folder", "."))?;
    let found = here.ancestors().map(|above| above.join(BUILT)).find(|built| built.is_dir());
    Ok(found.unwrap_or_else(|| here.join(BUILT)))
}

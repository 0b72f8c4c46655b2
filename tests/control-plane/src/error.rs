//! What can go wrong, each with what was tried and what to do.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

/// Why a control plane could not be started, used or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program is in none of the folders of programs.
    #[error(
        "there is no {name} in {}: `make tools` builds it, or KUBEBUILDER_ASSETS names a folder \
         that holds it ready-made",
        listed(folders)
    )]
    MissingProgram {
        /// The program.
        name: String,
        /// Where it was looked for.
        folders: Vec<PathBuf>,
    },

    /// A file or folder could not be read or written.
    #[error("cannot {attempt} {}: {source}", path.display())]
    File {
        /// What was tried, as a verb.
        attempt: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// A program, or the process that clears up behind them, could not be started.
    #[error("cannot start {program}: {source}; is it executable on this machine?")]
    Spawn {
        /// The program.
        program: String,
        /// What the operating system said.
        source: io::Error,
    },

    /// A program ended although it should run.
    #[error("{program} ended ({status}) before {goal}; the end of its log:\n{log}")]
    Ended {
        /// The program.
        program: &'static str,
        /// Its exit status.
        status: ExitStatus,
        /// What was waited for.
        goal: String,
        /// The last lines of its log.
        log: String,
    },

    /// Something did not come true in time.
    #[error(
        "waited {} s in vain until {goal}: {answer}; the end of the log of {program}:\n{log}",
        waited.as_secs()
    )]
    Late {
        /// What was waited for.
        goal: String,
        /// How long.
        waited: Duration,
        /// What was seen last.
        answer: String,
        /// The program that should have made it true.
        program: &'static str,
        /// The last lines of its log.
        log: String,
    },

    /// A certificate or key could not be made.
    #[error("cannot make the certificate of {name}: {source}")]
    Certificate {
        /// The common name in the certificate, or the key's purpose.
        name: String,
        /// What rcgen said.
        source: rcgen::Error,
    },

    /// A manifest to install is not a `CustomResourceDefinition` in YAML.
    #[error("a manifest to install is no CustomResourceDefinition: {0}")]
    Manifest(String),

    /// A kubeconfig could not be written or understood.
    #[error("cannot use the kubeconfig {}: {reason}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// The API server refused a request or could not be reached.
    #[error("cannot {attempt}: {source}")]
    Kubernetes {
        /// What was tried.
        attempt: String,
        /// The answer.
        source: Box<kube::Error>,
    },

    /// A line of the audit log is not an audit event.
    #[error("line {line} of the audit log {} is no audit event: {source}", path.display())]
    Audit {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },

    /// The API server was to be started while it runs.
    #[error("kube-apiserver is running already; stop_api_server comes first")]
    Running,

    /// Something is left although the control plane was ended.
    #[error("{} is still there after the end of the control plane; remove it by hand", .0.display())]
    LeftBehind(PathBuf),
}

fn listed(folders: &[PathBuf]) -> String {
    folders.iter().map(|it| it.display().to_string()).collect::<Vec<_>>().join(" or ")
}

impl Error {
    /// Turns an I/O error into [`Error::File`], for use with `map_err`.
    pub(crate) fn file(
        attempt: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { attempt, path, source }
    }

    /// Turns a client error into [`Error::Kubernetes`], for use with `map_err`.
    pub(crate) fn kubernetes(attempt: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let attempt = attempt.into();
        move |source| Self::Kubernetes { attempt, source: Box::new(source) }
    }

    /// Whether a program ended because somebody else took its port first.
    pub(crate) fn is_port_taken(&self) -> bool {
        matches!(self, Self::Ended { log, .. } if log.contains("address already in use"))
    }
}

//! `control-plane run -- COMMAND`: a Kubernetes control plane for as long as a
//! command runs.

use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Instant};

use clap::Parser;
use control_plane::{
    ControlPlane, Error, Options,
    command::{self, EndSignals},
};

/// A real Kubernetes control plane on loopback, for tests and demos.
#[derive(Parser)]
#[command(version)]
enum Cli {
    /// Starts a control plane, runs a command, and ends both.
    ///
    /// The command gets `KUBECONFIG` and `CONTROL_PLANE_DIR`, and its exit code
    /// is passed on. Without a command the control plane stays up until Ctrl-C.
    Run {
        /// A file with custom resource definitions to install first.
        #[arg(long = "crd", value_name = "FILE")]
        crds: Vec<PathBuf>,
        /// The command and its arguments.
        #[arg(last = true)]
        command: Vec<OsString>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli::Run { crds, command } = Cli::parse();
    match run(crds, command).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("control-plane: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(crds: Vec<PathBuf>, command: Vec<OsString>) -> Result<u8, Error> {
    let start = Instant::now();
    let options = crds.iter().try_fold(Options::from_env()?, |all, crd| all.crd_file(crd))?;
    let mut plane = ControlPlane::start(&options).await?;
    let version = plane.cluster().version().await?;
    eprintln!("control plane {version} ready in {:.1} s", start.elapsed().as_secs_f64());
    let code = if command.is_empty() {
        println!("export KUBECONFIG={}", plane.admin_kubeconfig().display());
        EndSignals::listen()?.told().await;
        Ok(0)
    } else {
        command::run(&mut plane, &command).await
    };
    plane.stop().await?;
    code
}

//! `node`: pods that really pull. One node with kubelet, containerd and Microsoft's credential
//! provider joins a real control plane; a registry stands behind a simulated Azure; the operator runs
//! in pods from its own image and chart.
//!
//! All of it lives in a private world of namespaces, which takes everything along when it ends.

mod azure;
mod bed;
mod check;
mod commands;
mod control_groups;
mod figures;
mod machine;
mod needs;
mod pods;
mod private;
mod programs;
mod remains;
mod story;
mod terminal;
mod until;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

/// Proves on a real node that pods pull from what acr-attach has attached.
///
/// Started as root in the root of the repository, on Linux. Nothing is left of it in the end.
#[derive(Clone, Debug, Parser)]
#[command(version)]
struct Flags {
    /// The folder of the programs of control plane and node.
    #[arg(long, default_value = "target/tools/bin")]
    programs: PathBuf,
    /// The folder of the images.
    #[arg(long, default_value = "target/node/images")]
    images: PathBuf,
    /// The folder of the private world, in which this process is. For the program's own use.
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let outcome = match &flags.inside {
        None => private::run(&flags).await,
        Some(folder) => story::run(&flags, folder).await,
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nnode: {error:#}");
            ExitCode::FAILURE
        }
    }
}

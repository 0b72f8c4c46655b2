//! `azure-sim`: the simulator as a program, for demos and tests of whole processes.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context, Result};
use azure_sim::{AzureSim, Model, Options};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// Azure, simulated behind an HTTPS forward proxy.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address of the proxy; port 0 takes any free port.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Address of the control port.
    #[arg(long, default_value = "127.0.0.1:0")]
    control: SocketAddr,
    /// Address where every host is answered over TLS, for clients without a proxy.
    #[arg(long)]
    direct: Option<SocketAddr>,
    /// Address where instance metadata is answered, for clients without a proxy.
    #[arg(long)]
    instance_metadata: Option<SocketAddr>,
    /// The model as JSON; without it, one tenant with an empty subscription.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Where to write the certificate that clients have to trust (PEM).
    #[arg(long)]
    ca_file: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { listen, control, direct, instance_metadata, model, ca_file } =
        Arguments::parse();
    let options = Options { listen, control, direct, instance_metadata };
    let model = match model {
        Some(file) => read_model(&file)?,
        None => Model::default_tenant(),
    };
    // Before the line is printed, so that whoever reads it can end the program.
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen to SIGTERM")?;
    let sim = AzureSim::start_with(model, options).await?;
    std::fs::write(&ca_file, sim.ca_pem())
        .with_context(|| format!("cannot write the certificate to {}", ca_file.display()))?;
    println!("{} ca={}", addresses(&sim), ca_file.display());
    tokio::select! {
        _ = terminate.recv() => {}
        result = tokio::signal::ctrl_c() => result.context("cannot listen to Ctrl-C")?,
    }
    Ok(())
}

/// Where the simulator is to be reached, in words `name=value`.
fn addresses(sim: &AzureSim) -> String {
    let mut text = format!("proxy={} control={}", sim.proxy_url(), sim.control_url());
    for (name, address) in
        [("direct", sim.direct_address()), ("instance-metadata", sim.instance_metadata_address())]
    {
        if let Some(address) = address {
            text = format!("{text} {name}={address}");
        }
    }
    text
}

fn read_model(file: &PathBuf) -> Result<Model> {
    let name = file.display();
    let text = std::fs::read(file).with_context(|| format!("cannot read the model {name}"))?;
    serde_json::from_slice(&text).with_context(|| format!("{name} is not a model"))
}

//! `demo`: acr-attach at work against a real API server and a simulated Azure, on loopback and
//! without root.

mod aks;
mod azure;
mod detach;
#[cfg(test)]
mod documents;
mod entra;
mod figures;
mod follow;
mod kubectl;
mod made;
mod nodes;
mod operator;
mod other_clusters;
mod play;
mod pull_secret;
mod pulls;
mod registry;
mod rights;
#[cfg(test)]
mod samples;
mod somebody;
mod stopwatch;
mod story;
mod terminal;
mod until;
mod world;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Parser;
use control_plane::command::EndSignals;
use tokio_util::sync::CancellationToken;

use crate::{
    figures::Figures,
    operator::Operator,
    terminal::{say, say_done},
    world::World,
};

/// Shows acr-attach at work against a real API server and a simulated Azure.
///
/// Started in the root of the repository. The programs of Kubernetes come from the folder that
/// `KUBEBUILDER_ASSETS` names, and from target/tools/bin. Nothing is left of it in the end.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// The operator's program.
    #[arg(long, default_value = "target/demo/acr-attach")]
    operator: PathBuf,
    /// End after the story, with exit code 0 only if all went well.
    #[arg(long)]
    once: bool,
    /// How long the simulated Azure takes for each answer, in milliseconds.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    azure_latency: u64,
    /// Where the operator's log goes; without it, into a file that goes with the demo.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let started = Instant::now();
    match demo(&Flags::parse(), started).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ndemo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn demo(flags: &Flags, started: Instant) -> Result<()> {
    let told = told()?;
    let world = tokio::select! {
        world = World::start(flags) => world.context("the start failed")?,
        () = told.cancelled() => bail!("interrupted"),
    };
    let outcome = with_operator(flags, &world, started, &told).await;
    let start = Instant::now();
    say("");
    let stopped = world.stop().await.context("clearing up failed");
    if stopped.is_ok() {
        say_done("ended, nothing is left", start);
    }
    outcome.and(stopped)
}

/// Cancelled when this process gets SIGINT or SIGTERM, at any time from now on.
fn told() -> Result<CancellationToken> {
    let told = CancellationToken::new();
    let token = told.clone();
    let mut signals = EndSignals::listen()?;
    tokio::spawn(async move {
        signals.told().await;
        token.cancel();
    });
    Ok(told)
}

/// Starts the operator, tells the story, and ends the operator.
async fn with_operator(
    flags: &Flags,
    world: &World,
    started: Instant,
    told: &CancellationToken,
) -> Result<()> {
    let start = Instant::now();
    let log = flags.log.clone().unwrap_or_else(|| world.plane.cluster().dir().join("operator.log"));
    let mut operator = Operator::start(world, &flags.operator, log).await?;
    let outcome = tokio::select! {
        outcome = show(flags, world, &mut operator, (started, start)) => {
            outcome.map_err(|error| operator.explain(&error))
        }
        () = told.cancelled() => Err(anyhow!("interrupted")),
    };
    let outcome = match outcome {
        Ok(()) if !flags.once => tokio::select! {
            outcome = stay(world, &mut operator, started) => {
                outcome.map_err(|error| operator.explain(&error))
            }
            () = told.cancelled() => Ok(()),
        },
        other => other,
    };
    let stopped = operator.stop().await;
    outcome.and(stopped)
}

/// What ends by itself.
async fn show(
    flags: &Flags,
    world: &World,
    operator: &mut Operator,
    (started, operator_started): (Instant, Instant),
) -> Result<()> {
    operator.until_ready().await?;
    say_done("operator ready", operator_started);
    let story = async {
        let times = story::tell(world, started).await?;
        Figures { times }.say(flags.azure_latency);
        Ok(())
    };
    tokio::select! {
        outcome = story => outcome,
        error = operator.ended() => Err(error),
    }
}

/// What stays up until somebody ends it.
async fn stay(world: &World, operator: &mut Operator, started: Instant) -> Result<()> {
    tokio::select! {
        outcome = play::play(world, started) => outcome,
        error = operator.ended() => Err(error),
    }
}

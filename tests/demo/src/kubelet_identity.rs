//! Method `KubeletIdentity`, as on AKS: a role for the identity that the nodes pull with.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::{
    made::assignments,
    stopwatch::created_to_ready,
    terminal::{say, say_heading, say_lines},
    world::World,
};

/// What is applied, and the name that stands in it.
pub const SAMPLE: &str = "deploy/samples/kubelet-identity.yaml";
pub const NAME: &str = "contoso";

/// Attaches and returns the time from the creation to Ready.
///
/// # Errors
/// When the attachment does not turn Ready.
pub async fn attach(world: &World) -> Result<Duration> {
    say_heading("Method KubeletIdentity, as on AKS");
    let stopwatch = created_to_ready(world.client.clone(), NAME).await?;
    let (took, ()) = tokio::try_join!(stopwatch.stopped(), world.apply(SAMPLE, NAME))?;
    say(format_args!("  Ready {:.2} s after it was created.", took.as_secs_f64()));
    Ok(took)
}

/// Shows what is there now, in the cluster and in Azure.
///
/// # Errors
/// When there is nothing in Azure.
pub async fn look(world: &World) -> Result<()> {
    let made = world.azure.made();
    let (requests, writes) = world.azure.requests();
    world.show_message(NAME).await?;
    say_heading(&format!("In Azure, after {requests} requests, {writes} of them to write"));
    if made.is_empty() {
        bail!("the attachment is Ready, but there is no role assignment in Azure");
    }
    say_lines(&assignments(&made));
    Ok(())
}

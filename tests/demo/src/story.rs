//! What becomes of an attachment over time: on AKS first, then on other clusters.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::{
    aks,
    other_clusters::{self, Kept},
    world::World,
};

/// How long things took that a user waits for.
pub struct Times {
    /// From the creation of the attachment by role to Ready.
    pub granted: Duration,
    /// From the creation of the attachment by pull secret to Ready.
    pub provided: Duration,
    /// From the start of the demo until both methods had been seen Ready.
    pub both_ready: Duration,
    /// What was timed while the pull secret was kept.
    pub kept: Kept,
}

/// Tells it, and returns how long things took.
///
/// # Errors
/// When something does not go well.
pub async fn tell(world: &World, started: Instant) -> Result<Times> {
    let granted = aks::tell(world).await?;
    let provided = other_clusters::attach(world).await.context("attaching failed")?;
    let both_ready = started.elapsed();
    let kept = other_clusters::keep(world).await?;
    Ok(Times { granted, provided, both_ready, kept })
}

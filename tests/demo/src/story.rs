//! What a user does with it: attach both ways, look, detach; then, on AKS, what happens over time.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::{
    aks,
    detach::detach,
    kubelet_identity,
    pull_secret::{self, NAMED},
    terminal::say_heading,
    world::World,
};

/// The messages of events hold resource ids, which are wider than a terminal.
const EVENT_COLUMNS: &str =
    "ATTACHMENT:.involvedObject.name,TYPE:.type,REASON:.reason,ACTION:.action";

/// How long things took that a user waits for.
pub struct Times {
    /// From the creation of the attachment by role to Ready.
    pub granted: Duration,
    /// From the creation of the attachment by pull secret to Ready.
    pub provided: Duration,
    /// From the start of the demo until both were Ready.
    pub both_ready: Duration,
    /// From the deletion of a pull secret to its return.
    pub restored: Duration,
    /// From the labelling of a namespace until it was served.
    pub served: Duration,
}

/// Tells it, and returns how long things took.
///
/// # Errors
/// When something does not go well.
pub async fn tell(world: &World, started: Instant) -> Result<Times> {
    let granted = kubelet_identity::attach(world).await.context("attaching failed")?;
    kubelet_identity::look(world).await.context("looking at the attachment failed")?;
    let provided = pull_secret::attach(world).await.context("attaching failed")?;
    let both_ready = started.elapsed();
    pull_secret::look(world).await.context("looking at the pull secret failed")?;
    pull_secret::pull(world, NAMED).await?;
    let restored = pull_secret::delete_by_hand(world).await?;
    let served = pull_secret::label(world).await?;
    look_at_both(world).await?;
    detach(world).await.context("detaching failed")?;
    aks::tell(world).await?;
    Ok(Times { granted, provided, both_ready, restored, served })
}

/// Shows both attachments, and what has been told of them.
async fn look_at_both(world: &World) -> Result<()> {
    say_heading("Look at both");
    world.kubectl.show("get regatt").await?;
    let columns = format!("--output=custom-columns={EVENT_COLUMNS}");
    world.kubectl.show(&format!("get events --sort-by=.eventTime {columns}")).await
}

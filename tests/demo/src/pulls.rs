//! Pulls that never pause, whatever is done to the Secret that they are made with.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use reqwest::Client;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    azure::IMAGE,
    pull_secret::{NAMED, SECRET},
    registry::{self, Login},
    world::World,
};

/// Time between two pulls.
pub const PAUSE: Duration = Duration::from_millis(200);

/// Does something, and pulls all the while with what the Secret holds at that moment. Returns what
/// came of it, and the number of pulls.
///
/// # Errors
/// When that fails, or a pull does.
pub async fn during<T>(world: &World, what: impl Future<Output = Result<T>>) -> Result<(T, usize)> {
    let end = CancellationToken::new();
    let secrets = Api::namespaced(world.client.clone(), NAMED);
    // A task of its own: it must not delay what is timed meanwhile.
    let pulls = tokio::spawn(pull(secrets, world.azure.client()?, end.clone()));
    let mut pulls = AbortOnDropHandle::new(pulls);
    let outcome = tokio::select! {
        outcome = what => outcome?,
        early = &mut pulls => bail!("after {} pulls there came no other", early??),
    };
    end.cancel();
    Ok((outcome, pulls.await??))
}

/// Pulls until the end, and counts. A pod that is created while there is no Secret waits for it,
/// and so does this.
async fn pull(secrets: Api<Secret>, client: Client, end: CancellationToken) -> Result<usize> {
    let mut pulls = 0;
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !end.is_cancelled() {
        ticks.tick().await;
        let Some(secret) = secrets.get_opt(SECRET).await? else { continue };
        let login = Login::of(&secret, IMAGE.0)?;
        let pulled = registry::pull(&client, &login, IMAGE).await;
        pulled.with_context(|| format!("pull {} failed", pulls + 1))?;
        pulls += 1;
    }
    Ok(pulls)
}

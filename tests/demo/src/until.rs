//! Waiting for what comes by itself.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::time::interval;

/// Longer than anything takes that the demo waits for.
const DEADLINE: Duration = Duration::from_secs(120);

/// Asks until there is an answer.
///
/// # Errors
/// When there is none in time, or asking fails.
pub async fn until<T>(what: &str, ask: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    let mut ticks = interval(Duration::from_millis(20));
    loop {
        ticks.tick().await;
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if start.elapsed() > DEADLINE {
            bail!("waited {DEADLINE:?} for {what}");
        }
    }
}

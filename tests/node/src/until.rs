//! Waiting for something to come true, with an end to it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::{Instant, sleep, timeout};

/// One look takes no longer.
const LOOK: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks until the answer is good.
///
/// # Errors
/// The last answer, when that takes too long.
pub async fn until<T, F>(goal: &str, limit: Duration, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let start = Instant::now();
    loop {
        let looked = timeout(LOOK, look()).await.context("no answer");
        match looked.flatten() {
            Ok(value) => return Ok(value),
            Err(error) if start.elapsed() > limit => {
                let late = format!("waited {} s for this: {goal}", limit.as_secs());
                return Err(error).context(late);
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

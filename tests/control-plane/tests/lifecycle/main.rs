//! The control plane as its users need it, with the real programs.
//!
//! The programs come from `make tools` or `KUBEBUILDER_ASSETS`.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy exempts only functions marked as tests"
)]

mod behaviour;
mod endings;
mod failures;

use std::{fs, path::Path, time::Duration};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{sleep, timeout},
};

/// How long anything may take that a test waits for. Only what never comes meets it.
const DEADLINE: Duration = Duration::from_secs(120);

/// How many tests may have a control plane at a time: each takes 400 MB.
static ROOM: Semaphore = Semaphore::const_new(2);

async fn room() -> SemaphorePermit<'static> {
    room_for(1).await
}

async fn room_for(planes: u32) -> SemaphorePermit<'static> {
    ROOM.acquire_many(planes).await.unwrap()
}

/// Asks until the answer is yes.
async fn eventually<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let asking = async {
        while !ask().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let asked = timeout(DEADLINE, asking).await;
    asked.unwrap_or_else(|_| panic!("waited {DEADLINE:?} in vain until {what}"));
}

/// The command lines of the processes that mention a path.
fn processes_that_mention(path: &Path) -> Vec<String> {
    let path = path.to_str().unwrap();
    fs::read_dir("/proc")
        .expect("these tests look at /proc")
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(path))
        .collect()
}

/// Whether a folder is empty, or gone, and no process mentions it.
fn nothing_is_left(folder: &Path) -> bool {
    let empty = fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    empty && processes_that_mention(folder).is_empty()
}

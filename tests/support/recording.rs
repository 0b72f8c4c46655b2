//! What Flux's and Argo CD's own code judges afterwards: every version of every attachment of a
//! world, one JSON object a line.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use kube::api::Api;
use kube::core::DynamicObject;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::task::JoinHandle;

use super::{LABEL, World};

/// Names the folder for the recordings of a whole run.
const FOLDER: &str = "GITOPS_RECORDINGS";

/// Records until it is dropped.
pub struct Recording {
    task: JoinHandle<()>,
    deleted: Arc<AtomicUsize>,
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Recording {
    /// Records what that API shows from now on.
    pub async fn start(api: Api<DynamicObject>, selector: &str, file: &Path) -> Self {
        let mut file = File::create(file).unwrap();
        let deleted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&deleted);
        let config = watcher::Config::default().labels(selector);
        let mut events = watcher(api, config).default_backoff().boxed();
        // What was there before is a version too, and what comes later is missed by nobody.
        while !matches!(write(&mut file, events.next().await, &count), Some(Event::InitDone)) {}
        let task = tokio::spawn(async move {
            loop {
                write(&mut file, events.next().await, &count);
            }
        });
        Self { task, deleted }
    }

    /// How many attachments have gone.
    pub fn deleted(&self) -> usize {
        self.deleted.load(Ordering::Acquire)
    }
}

/// Writes a version down. An API server that is away for a moment is asked again; versions that
/// came and went meanwhile are lost.
fn write(
    file: &mut File,
    event: Option<watcher::Result<Event<DynamicObject>>>,
    deleted: &AtomicUsize,
) -> Option<Event<DynamicObject>> {
    let event = event.expect("a watch never ends").ok()?;
    match &event {
        Event::Apply(object) | Event::InitApply(object) => {
            let line = serde_json::to_string(object).unwrap();
            writeln!(file, "{line}").unwrap();
        }
        Event::Delete(_) => drop(deleted.fetch_add(1, Ordering::AcqRel)),
        Event::Init | Event::InitDone => {}
    }
    Some(event)
}

impl World {
    /// From now on, a test puts into status or into the definition what the operator does not.
    pub fn stop_recording(&mut self) {
        self.recording = None;
    }

    /// Records this world where the run keeps its recordings, if it keeps any.
    pub(super) async fn record(&mut self) {
        let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
        std::fs::create_dir_all(&folder).unwrap();
        // Tests are named by their threads.
        let test = std::thread::current().name().unwrap_or("world").replace("::", ".");
        let file = folder.join(format!("{test}-{}.jsonl", self.id));
        let selector = format!("{LABEL}={}", self.id);
        self.recording = Some(Recording::start(self.stored(), &selector, &file).await);
    }
}

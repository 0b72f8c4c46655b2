//! What the watch has shown last, for reconciles at work that it may concern.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::attachment::state::Revision;

/// By name of the attachment; only those that somebody waits for.
#[derive(Debug, Default)]
pub struct Latest(Mutex<HashMap<String, watch::Sender<Option<Revision>>>>);

impl Latest {
    /// Takes what the watch shows.
    pub fn show(&self, name: &str, revision: Revision) {
        if let Some(shown) = self.lock().get(name) {
            shown.send_replace(Some(revision));
        }
    }

    /// Waits until the watch shows another spec of the attachment than the one worked on.
    pub async fn another_spec(&self, name: &str, worked_on: &Revision) {
        let mut shown = {
            let mut all = self.lock();
            all.retain(|_, it| it.receiver_count() > 0);
            all.entry(name.to_owned()).or_insert_with(|| watch::Sender::new(None)).subscribe()
        };
        let differs = |it: &Option<Revision>| {
            it.as_ref().is_some_and(|it| it.is_of(worked_on) && !it.has_spec_of(worked_on))
        };
        if shown.wait_for(differs).await.is_err() {
            // Nobody shows anything any more.
            std::future::pending::<()>().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Option<Revision>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

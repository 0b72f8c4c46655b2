//! The revisions that the watch has shown last, for running reconciles that a newer spec interrupts.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::attachment::state::Revision;

/// The last revisions by the name of the attachment; only those that a reconcile waits for.
#[derive(Debug, Default)]
pub struct Latest(Mutex<HashMap<String, watch::Sender<Option<Revision>>>>);

impl Latest {
    /// Takes the revision that the watch shows of an attachment.
    pub fn show(&self, name: &str, revision: Revision) {
        if let Some(shown) = self.lock().get(name) {
            shown.send_replace(Some(revision));
        }
    }

    /// Waits until the watch shows another spec of the attachment than the one that is reconciled.
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
            // The sender is gone, so no other spec will be shown.
            std::future::pending::<()>().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Option<Revision>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

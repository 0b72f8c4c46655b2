//! Finds attachments that are gone, whose Secrets and entries may be taken over.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use acr_attach_core::problem::Problem;
use tokio::sync::Mutex;

use crate::cluster::kubernetes::Kubernetes;

/// How long an attachment of another operator counts as existing without being read again.
const ALIVE: Duration = Duration::from_secs(60);

/// By uid: attachments that this operator's watch does not show, as they were last read.
#[derive(Debug, Default)]
pub struct Owners(Mutex<HashMap<String, Seen>>);

#[derive(Clone, Copy, Debug)]
enum Seen {
    /// Final: a uid is never used again.
    Gone,
    Alive(Instant),
}

impl Owners {
    /// Returns the uids that belong to no attachment. Lists attachments live and without a selector: a
    /// list that lags behind must not give away what an attachment still owns.
    ///
    /// # Errors
    /// When the API server does not answer or refuses.
    pub async fn gone(
        &self,
        uids: &BTreeSet<String>,
        kubernetes: &Kubernetes,
    ) -> Result<BTreeSet<String>, Problem> {
        if uids.is_empty() {
            return Ok(BTreeSet::new());
        }
        // The lock is held while listing, so that all waiting callers share one list.
        let mut seen = self.0.lock().await;
        let is_known = |uid: &String| match seen.get(uid) {
            Some(Seen::Gone) => true,
            Some(Seen::Alive(at)) => at.elapsed() < ALIVE,
            None => false,
        };
        if !uids.iter().all(is_known) {
            let alive = kubernetes.attachments().await?;
            let now = Instant::now();
            seen.retain(|_, it| !matches!(it, Seen::Alive(at) if at.elapsed() > ALIVE));
            seen.extend(uids.iter().map(|uid| {
                let is_alive = alive.contains_key(uid);
                (uid.clone(), if is_alive { Seen::Alive(now) } else { Seen::Gone })
            }));
        }
        let is_gone = |uid: &&String| matches!(seen.get(*uid), Some(Seen::Gone));
        Ok(uids.iter().filter(is_gone).cloned().collect())
    }
}

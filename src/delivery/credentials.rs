//! The credential of each attachment, and the namespaces that wait for one.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Lane;
use super::state::Delivery;
use crate::cluster::secrets::Written;

impl Delivery {
    /// The credential that was accepted last.
    #[must_use]
    pub fn accepted(&self, uid: &str) -> Option<Arc<Written>> {
        self.lock().get(uid)?.accepted.clone()
    }

    /// Stores a new credential, and enqueues the namespaces that wait for one.
    pub fn accept(&self, uid: &str, credential: Arc<Written>) {
        let mut all = self.lock();
        let Some(known) = all.get_mut(uid) else { return };
        known.accepted = Some(credential);
        for namespace in known.deliveries.waiting().clone() {
            known.deliveries.await_secret(&namespace);
            self.queues.add(Lane::Secrets, &namespace);
        }
    }

    /// Stores the refused credentials, and enqueues the namespaces that hold one of them.
    pub fn refuse(&self, uid: &str, refused: &BTreeSet<String>) {
        let mut all = self.lock();
        let Some(known) = all.get_mut(uid).filter(|it| it.refused != *refused) else { return };
        known.refused.clone_from(refused);
        let holding = known.deliveries.credentials().clone();
        for namespace in refused.iter().filter_map(|it| holding.get(it)).flatten() {
            known.deliveries.await_secret(namespace);
            self.queues.add(Lane::Secrets, namespace);
        }
    }
}

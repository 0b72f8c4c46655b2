//! The finalizer for entries. It is added before the first entry, and removed after the last.

use std::sync::Arc;

use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::plan::Finalizer;
use acr_attach_core::problem::{Cause, Problem};
use kube::ResourceExt;
use tokio::sync::RwLock;

use super::attachment::Attachment;
use super::state::Delivery;
use crate::attachment::Context;

impl Delivery {
    /// Whether an attachment bears the finalizer for entries, or has got it since the object was read.
    #[must_use]
    pub fn bears_finalizer(&self, object: &RegistryAttachment) -> bool {
        let all = self.lock();
        let known = object.uid().and_then(|uid| all.get(&uid));
        let name = Finalizer::ServiceAccounts.name();
        known.is_some_and(Attachment::has_finalizer)
            || object.finalizers().iter().any(|it| it == name)
    }

    /// Returns the lock that writes for an attachment hold for reading.
    #[must_use]
    pub fn writers(&self, uid: &str) -> Option<Arc<RwLock<()>>> {
        self.lock().get(uid).map(|it| Arc::clone(&it.writers))
    }

    /// Adds the finalizer for entries, once for all namespaces.
    ///
    /// # Errors
    /// When the API server does not answer or refuses; `NotFound` for an attachment that is not known.
    pub async fn add_finalizer(&self, uid: &str, ctx: &Context) -> Result<(), Problem> {
        let lock = self.lock().get(uid).map(|it| Arc::clone(&it.finalizer));
        let lock = lock.ok_or_else(|| {
            Problem::new(Cause::NotFound, "adding a finalizer: the attachment has gone")
        })?;
        let _one_at_a_time = lock.lock().await;
        let object = {
            let all = self.lock();
            all.get(uid).filter(|it| !it.has_finalizer()).map(|it| Arc::clone(&it.object))
        };
        let Some(object) = object else { return Ok(()) };
        let since = ctx.kubernetes.add_finalizer(&object, Finalizer::ServiceAccounts).await?;
        if let Some(known) = self.lock().get_mut(uid) {
            known.finalizer_since = Some(since);
        }
        Ok(())
    }
}

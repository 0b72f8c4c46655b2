//! The attachment controller. It keeps what is in Azure: roles, and one proven credential for each attachment
//! by pull secret. It is the only controller that talks to Azure.
//!
//! A reconcile reads a `snapshot` of the cluster and of Azure, asks `acr-attach-core` what is desired and
//! which steps lead there, and takes the steps (`apply`). Then it judges and tells how the attachment stands
//! (`report`), and keeps what the next reconcile needs (`state`).

mod apply;
mod context;
mod controller;
pub(crate) mod facts;
mod reconcile;
mod report;
mod snapshot;
mod state;
pub(crate) mod watch;

use acr_attach_core::api::RegistryAttachment;
use kube::core::DeserializeGuard;

pub use context::{Context, Rules};
pub(crate) use controller::received;
pub use controller::run;
pub use watch::attachments::Attachments;
pub use watch::held::held;

/// An attachment, or what is left of one that this version cannot read.
pub type Guarded = DeserializeGuard<RegistryAttachment>;

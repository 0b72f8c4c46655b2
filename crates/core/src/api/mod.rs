//! The custom resource `RegistryAttachment`, as users write and read it. Data without decisions.

mod conditions;
mod crd;
mod pull_secret;
mod spec;
mod status;

pub use conditions::{ConditionType, Reason};
pub use crd::{crd, crd_yaml};
pub use pull_secret::{
    CredentialForm, NamespaceChoice, PullSecretSpec, SecretKeyRef, ServicePrincipalSpec,
};
pub use spec::{
    DeletionPolicy, KubeletIdentitySpec, MethodChoice, RegistryAttachment, RegistryAttachmentSpec,
    RegistrySpec,
};
pub use status::{
    IdentityType, KubeletIdentityStatus, MethodInUse, NamespaceFailure, Ownership,
    PullSecretStatus, RegistryAttachmentStatus, RegistryStatus, RoleAssignmentMode,
    RoleAssignmentStatus, RoleUser,
};

/// The annotation whose every change asks for a fresh look, as Flux sets it with
/// `flux reconcile`. Its value is echoed in `status.lastHandledReconcileAt`.
pub const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";

/// The annotation that releases the roles of former identities of nodes: their object ids, separated by
/// commas. A user sets it once no node pulls with these identities any more.
pub const RELEASE: &str = "acr-attach.dev/release";

/// The annotation that lets a deleted attachment go although service accounts bear entries of it. Its value
/// is `true`.
pub const ABANDON_ENTRIES: &str = "acr-attach.dev/abandon-entries";

/// The finalizers. Each is present only while something exists that garbage collection cannot
/// undo: a claim on a role assignment, an entry in a service account.
pub const FINALIZERS: [&str; 2] =
    ["acr-attach.dev/role-assignments", "acr-attach.dev/service-accounts"];

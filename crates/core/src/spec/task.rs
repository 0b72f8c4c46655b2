//! What a reconcile is to bring about.

use super::policy::Policy;
use super::{Attachment, IdentitySource, Method, RegistryName, identity_source, registry, served};
use crate::api::{DeletionPolicy, MethodChoice, MethodInUse, RegistryAttachmentSpec};
use crate::problem::Problem;

/// What to do with an attachment. Only [`Detach`](Self::Detach) means that everything is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Attach the registry by that method.
    Attach(MethodInUse),
    /// Detach: the object is being deleted.
    Detach,
    /// The method is not decided yet: create and remove nothing.
    Undecided,
}

/// The task of a reconcile, from the spec and the operator's settings.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// Attach as the spec asks.
    Attach(Box<Attachment>),
    /// Remove everything of the attachment from the cluster and from that registry. Without a
    /// registry, role assignments stay unchanged.
    Detach(Option<DetachedRegistry>),
}

/// The registry of an attachment that is detached.
#[derive(Clone, Debug, PartialEq)]
pub struct DetachedRegistry {
    /// How the spec names it.
    pub registry: RegistryName,
    /// The source of the kubelet identity, if one may have pulled: a registry's name was looked up in
    /// the subscription of that cluster.
    pub source: Option<IdentitySource>,
}

impl Task {
    /// The task to attach as the spec asks, by that method.
    ///
    /// # Errors
    /// `InvalidSpec`; `NotAllowed` where the operator's settings forbid it.
    pub fn attach(
        spec: &RegistryAttachmentSpec,
        method: MethodInUse,
        policy: &Policy,
    ) -> Result<Self, Problem> {
        let attachment = Attachment::of(spec, method)?;
        policy.permit(&attachment)?;
        Ok(Self::Attach(Box::new(attachment)))
    }

    /// The task to keep serving the pull secrets of a spec that is invalid or forbidden elsewhere; `None`
    /// where that part of it is invalid or forbidden too.
    #[must_use]
    pub fn keep_serving(spec: &RegistryAttachmentSpec, policy: &Policy) -> Option<Self> {
        let (registry, secret) = served(spec).ok()?;
        policy.permit_served(&registry, &secret).ok()?;
        let method = Method::PullSecret(secret);
        Some(Self::Attach(Box::new(Attachment { registry, method, prepare_for_abac: false })))
    }

    /// The task to detach. Only the registry of the spec has to be valid.
    #[must_use]
    pub fn detach(spec: &RegistryAttachmentSpec) -> Self {
        Self::Detach(match (spec.deletion_policy, registry(&spec.registry)) {
            // No role is ever assigned on a registry that the spec names by its login server.
            (DeletionPolicy::Orphan, _) | (_, Ok(RegistryName::LoginServer(_)) | Err(_)) => None,
            (_, Ok(registry)) => {
                let by_role = spec.method != MethodChoice::PullSecret;
                let source = identity_source(spec.kubelet_identity.as_ref());
                Some(DetachedRegistry { registry, source: source.ok().filter(|_| by_role) })
            }
        })
    }
}

//! The types and the reasons of conditions: two closed sets.

/// The types of conditions. Ready is always present; the others only where they say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionType {
    /// True: what the spec of `observedGeneration` asks for holds.
    Ready,
    /// True, or absent: work or a retry is pending.
    Reconciling,
    /// True, or absent: somebody has to change something first.
    Stalled,
    /// Whether the role that pulling needs is assigned. Only where assigning it is our task.
    AccessGranted,
    /// Whether the pull secret is in every namespace that is to have it, of which there is one at
    /// least, and named by its service accounts.
    PullSecretsReady,
    /// Whether the credential in use can be renewed: False where the last try failed that was
    /// due, or its client secret is gone. It stays good until the time that the message names.
    CredentialFresh,
    /// True, or absent: something that this attachment made and does not need any more, a role
    /// assignment, a Secret or an entry in a service account, waits to be removed, or cannot be. It
    /// takes nothing from Ready.
    Obsolete,
}

impl ConditionType {
    /// The word in `conditions[].type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::AccessGranted => "AccessGranted",
            Self::PullSecretsReady => "PullSecretsReady",
            Self::CredentialFresh => "CredentialFresh",
            Self::Obsolete => "Obsolete",
        }
    }
}

/// The reasons of conditions: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Everything asked for holds.
    Attached,
    /// Work has begun and nothing has failed.
    Progressing,
    /// The object is deleted and what it owns is being removed.
    Detaching,
    /// `spec.suspend` is true: what is there is told, and nothing of it is changed.
    Suspended,
    /// No namespace is to have the pull secret: none is named, and none has the labels.
    NoNamespaces,
    /// A namespace that the spec names does not exist, or is being deleted.
    NamespaceMissing,
    /// What the schema cannot see is wrong in the spec.
    InvalidSpec,
    /// Azure or the cluster is set up in a way that this method cannot serve.
    Unsupported,
    /// The operator's settings do not allow it.
    NotAllowed,
    /// Something of somebody else's is in the way.
    NotOurs,
    /// Another tool keeps what would have to be changed.
    ExternallyManaged,
    /// Admission in the cluster refuses a write: a quota, a policy or a webhook.
    AdmissionDenied,
    /// Auto cannot tell whether the cluster is AKS; or Azure refuses for a reason that is not
    /// known here.
    Undetermined,
    /// Entra does not accept the identity.
    AuthenticationFailed,
    /// The identity lacks a right.
    AccessDenied,
    /// The registry, the cluster or a credential does not exist.
    NotFound,
    /// Azure does not yet know what was just made.
    Propagating,
    /// A user has to say that no node pulls with a former identity any more.
    AwaitingRelease,
    /// Azure asks to wait.
    Throttled,
    /// No answer, or a failure of Azure or of the API server.
    Unavailable,
    /// A limit of Azure is reached.
    QuotaExceeded,
    /// A lock in Azure forbids the change.
    Locked,
    /// A fault of the operator itself.
    Internal,
}

impl Reason {
    /// The word in `conditions[].reason`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attached => "Attached",
            Self::Progressing => "Progressing",
            Self::Detaching => "Detaching",
            Self::Suspended => "Suspended",
            Self::NoNamespaces => "NoNamespaces",
            Self::NamespaceMissing => "NamespaceMissing",
            Self::InvalidSpec => "InvalidSpec",
            Self::Unsupported => "Unsupported",
            Self::NotAllowed => "NotAllowed",
            Self::NotOurs => "NotOurs",
            Self::ExternallyManaged => "ExternallyManaged",
            Self::AdmissionDenied => "AdmissionDenied",
            Self::Undetermined => "Undetermined",
            Self::AuthenticationFailed => "AuthenticationFailed",
            Self::AccessDenied => "AccessDenied",
            Self::NotFound => "NotFound",
            Self::Propagating => "Propagating",
            Self::AwaitingRelease => "AwaitingRelease",
            Self::Throttled => "Throttled",
            Self::Unavailable => "Unavailable",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::Locked => "Locked",
            Self::Internal => "Internal",
        }
    }
}

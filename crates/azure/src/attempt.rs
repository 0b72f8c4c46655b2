//! What is tried at Azure, for messages and for what to do about a refusal.

use acr_attach_core::ids::PrincipalId;
use thiserror::Error as ThisError;

/// What is tried, for messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, ThisError)]
#[error("{doing} {target}")]
pub(super) struct Attempt {
    /// What it is about.
    pub subject: Subject,
    /// Such as `reading registry`.
    pub doing: &'static str,
    /// The resource id.
    pub target: String,
    /// The action that the identity needs on it.
    pub action: &'static str,
    /// A built-in role that contains the action.
    pub role: &'static str,
    /// What the role is needed on, where that is not the target.
    pub scope: Option<String>,
    /// Who is to get a role by it, where that is known.
    pub principal: Option<PrincipalId>,
    /// Whether Azure has just shown what the role is needed on. Azure refuses a request about
    /// something that does not exist in the same words as one without a right.
    pub is_there: bool,
}

/// What a request is about. What to do about a refusal depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Subject {
    /// A registry or what is assigned on it, as Azure Resource Manager knows it.
    #[default]
    Registry,
    /// A managed cluster, or what tells which one it is.
    Cluster,
    /// A service principal in Microsoft Graph.
    ServicePrincipal,
    /// A registry itself. It is asked for a service principal, all others for the operator.
    LoginServer,
}

impl Attempt {
    /// What the role is needed on; `None` where that is nothing in Azure Resource Manager.
    pub(super) fn scope(&self) -> Option<&str> {
        let target = self.target.starts_with("/subscriptions/").then_some(&*self.target);
        self.scope.as_deref().or(target)
    }

    /// The subscription that holds what the role is needed on.
    pub(super) fn subscription(&self) -> Option<&str> {
        self.scope()?.split('/').nth(2)
    }
}

//! What a request to Azure attempts, for messages and advice.

use acr_attach_core::ids::PrincipalId;
use thiserror::Error as ThisError;

/// What a request attempts, shown as `reading registry /subscriptions/…`.
#[derive(Clone, Debug, Default, PartialEq, Eq, ThisError)]
#[error("{operation} {target}")]
pub(super) struct Attempt {
    /// The kind of resource, on which the advice depends.
    pub subject: Subject,
    /// Such as `reading registry`.
    pub operation: &'static str,
    /// What the operation applies to: a resource id, a login server, or a client id.
    pub target: String,
    /// The Azure action that the identity needs on the target.
    pub action: &'static str,
    /// A built-in role that contains the action.
    pub role: &'static str,
    /// The scope that needs the role, if that is not the target.
    pub scope: Option<String>,
    /// The principal that would get a role, where that is known.
    pub principal: Option<PrincipalId>,
    /// Whether the scope is known to exist. Azure gives the same answer for a scope that does not
    /// exist and for a missing right, so the advice has to name both.
    pub scope_exists: bool,
}

/// The kind of resource that a request is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Subject {
    /// A registry or its role assignments, in Azure Resource Manager.
    #[default]
    Registry,
    /// A managed cluster, or a resource that leads to the cluster.
    Cluster,
    /// A service principal in Microsoft Graph.
    ServicePrincipal,
    /// A registry's own endpoints. The caller there is a service principal; for all other subjects
    /// it is the operator.
    LoginServer,
}

impl Attempt {
    /// The scope that needs the role; `None` if it is not in Azure Resource Manager.
    pub(super) fn scope(&self) -> Option<&str> {
        let target = self.target.starts_with("/subscriptions/").then_some(&*self.target);
        self.scope.as_deref().or(target)
    }

    /// The id of the subscription that contains the scope.
    pub(super) fn subscription(&self) -> Option<&str> {
        self.scope()?.split('/').nth(2)
    }
}

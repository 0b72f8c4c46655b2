//! ARM's errors: `{"error":{"code","message"}}` with the texts of the live service.

use hyper::StatusCode;
use serde_json::json;

use crate::{
    http::{Reply, Request},
    model::{DenyAssignment, scope::dashless},
};

/// An error of ARM or of a resource provider behind it.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub(crate) struct ArmError {
    status: StatusCode,
    code: String,
    message: String,
    header: Option<(&'static str, String)>,
}

impl ArmError {
    pub(crate) fn new(status: StatusCode, code: &str, message: String) -> Self {
        Self { status, code: code.into(), message, header: None }
    }

    pub(crate) fn bad_request(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message.into())
    }

    pub(crate) fn conflict(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message.into())
    }

    pub(crate) fn with_header(self, name: &'static str, value: String) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    /// What ARM's own gateway does not find.
    fn not_found_by_gateway(code: &str, message: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
            .with_header("x-ms-failure-cause", "gateway".into())
    }

    /// A request that this simulator does not know; the journal marks it.
    pub(crate) fn unknown(request: &Request) -> Self {
        let message = format!(
            "No HTTP resource was found that matches the request URI 'https://{}{}' and method \
             {}.",
            request.host, request.path, request.method
        );
        Self::not_found_by_gateway("NotFound", message)
    }

    pub(crate) fn subscription_not_found(subscription: &str) -> Self {
        let message = format!("The subscription '{subscription}' could not be found.");
        Self::not_found_by_gateway("SubscriptionNotFound", message)
    }

    pub(crate) fn group_not_found(group: &str) -> Self {
        let message = format!("Resource group '{group}' could not be found.");
        Self::not_found_by_gateway("ResourceGroupNotFound", message)
    }

    /// `kind` with namespace, such as `Microsoft.ContainerRegistry/registries`.
    pub(crate) fn resource_not_found(kind: &str, name: &str, group: &str) -> Self {
        let message = format!(
            "The Resource '{kind}/{name}' under resource group '{group}' was not found. For more \
             details please go to https://aka.ms/ARMResourceNotFoundFix"
        );
        Self::not_found_by_gateway("ResourceNotFound", message)
    }

    pub(crate) fn role_assignment_not_found(name: &str) -> Self {
        let message = format!("The role assignment '{name}' is not found.");
        Self::new(StatusCode::NOT_FOUND, "RoleAssignmentNotFound", message)
    }

    pub(crate) fn role_definition_does_not_exist(id: &str) -> Self {
        let id = dashless(id);
        let message = format!("The specified role definition with ID '{id}' does not exist.");
        Self::bad_request("RoleDefinitionDoesNotExist", message)
    }

    pub(crate) fn principal_not_found(principal: &str, tenant: &str) -> Self {
        let message = format!(
            "Principal {} does not exist in the directory {tenant}. Check that you have the \
             correct principal ID. If you are creating this principal and then immediately \
             assigning a role, this error might be related to a replication delay. In this case, \
             set the role assignment principalType property to a value, such as ServicePrincipal, \
             User, or Group.  See https://aka.ms/docs-principaltype",
            dashless(principal)
        );
        Self::bad_request("PrincipalNotFound", message)
    }

    pub(crate) fn scope_locked(scope: &str, operation: &str, lock: &str) -> Self {
        let message = format!(
            "The scope '{scope}' cannot perform {operation} operation because following scope(s) \
             are locked: '{lock}'. Please remove the lock and try again."
        );
        Self::conflict("ScopeLocked", message)
    }

    /// Reads carry the short text; writes of role assignments also name conditions. A deletion
    /// without any right was recorded with the short one (azure-service-operator issue 5009);
    /// what a condition makes of it was not seen.
    pub(crate) fn authorization_failed(
        client: &str,
        object_id: &str,
        action: &str,
        scope: &str,
    ) -> Self {
        let is_delegable = ["write", "delete"]
            .iter()
            .any(|it| action == format!("Microsoft.Authorization/roleAssignments/{it}"));
        let or_condition = if is_delegable { " or an ABAC condition not fulfilled" } else { "" };
        let message = format!(
            "The client '{client}' with object id '{object_id}' does not have authorization{or_condition} \
             to perform action '{action}' over scope '{scope}' or the scope is invalid. If access \
             was recently granted, please refresh your credentials."
        );
        Self::new(StatusCode::FORBIDDEN, "AuthorizationFailed", message)
    }

    /// The text is that of Azure docs, `network-function-manager/delete-functions`, the code that of
    /// `Azure/deployment-stacks` issue 123.
    pub(crate) fn denied(
        (client, object_id): (&str, &str),
        action: &str,
        scope: &str,
        by: &DenyAssignment,
    ) -> Self {
        let message = format!(
            "The client '{client}' with object id '{object_id}' has permission to perform action \
             '{action}' on scope '{scope}'; however, the access is denied because of the deny \
             assignment with name '{}' and Id '{}' at scope '{}'.",
            by.name, by.id, by.scope
        );
        Self::new(StatusCode::FORBIDDEN, "DenyAssignmentAuthorizationFailed", message)
    }

    pub(crate) fn into_reply(self) -> Reply {
        let body = json!({"error": {"code": self.code, "message": self.message}});
        let reply = Reply::json(self.status, &body).coded(&self.code);
        match self.header {
            Some((name, value)) => reply.header(name, value),
            None => reply,
        }
    }
}

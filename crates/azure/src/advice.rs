//! Advice for failures of Azure.

use super::entra::{ClientCredential, Identity, ServicePrincipal};
use super::error::{Attempt, Error, Failure, Subject};
use super::{permission, versions};

impl Error {
    /// The advice for this failure. Empty if there is nothing to do, or none is known.
    pub(super) fn advice(&self) -> String {
        let Failure::Refused { status, code, object_id, deny_assignment, .. } = &*self.failure
        else {
            return match &*self.failure {
                Failure::SignIn { advice, .. } => advice.clone(),
                Failure::NoAnswer(_) | Failure::Unreadable(_) if self.is_about_login_server() => {
                    LOGIN_SERVER.to_owned()
                }
                _ => String::new(),
            };
        };
        if self.is_about_login_server() {
            return self.registry_advice();
        }
        if DENIED.contains(&code.as_str()) {
            return permission::advice(&self.attempt, object_id.as_deref());
        }
        if code == DENY_ASSIGNMENT {
            return denied_by(deny_assignment.as_deref(), object_id.as_deref());
        }
        if let Some(advice) = by_code(code, &self.attempt) {
            return advice;
        }
        match status {
            403 => format!(
                "check the operator's proxy, and that its identity has {}: Azure, or something on the way there, forbids it",
                self.attempt.action
            ),
            401 => "check the operator's --cloud, and the clock of its node: Azure does not accept the token that Entra gave the operator".to_owned(),
            404 => not_found(&self.attempt),
            _ => String::new(),
        }
    }

    /// A detail after the description of the failure: the missing right, or Azure's message if the code
    /// has no advice here.
    pub(super) fn detail(&self) -> String {
        let Failure::Refused { status, code, text, deny_assignment, .. } = &*self.failure else {
            return String::new();
        };
        if DENIED.contains(&code.as_str()) {
            return format!(", which needs {}", self.attempt.action);
        }
        let is_known = by_code(code, &self.attempt).is_some() || deny_assignment.is_some();
        // A 404 has advice of its own. The messages of the others differ each time.
        let is_left_out = matches!(status, 404 | 429 | 500..);
        if is_known || is_left_out || text.is_empty() {
            return String::new();
        }
        format!("; Azure says: {text}")
    }

    fn is_about_login_server(&self) -> bool {
        self.attempt.subject == Subject::LoginServer
    }

    /// The advice for a failure at a registry's own endpoints.
    fn registry_advice(&self) -> String {
        match &*self.failure {
            Failure::Refused { status: 401, .. } => {
                "assign the service principal AcrPull, or Container Registry Repository Reader where the registry has repository permissions (az role assignment create --assignee <client id> --role AcrPull --scope <registry id>), and wait up to 10 minutes: Entra accepts it, so it has no role there that lets it pull, or the registry is of another tenant, or takes no tokens for Azure Resource Manager where the tenant knows no others".to_owned()
            }
            Failure::Refused { status: 403, address: Some(address), .. } => format!(
                "allow the operator's address {address} in the registry's firewall, give the cluster a private endpoint, or set pullSecret.credential to ClientSecret, which needs no exchange"
            ),
            Failure::Refused { status: 403, .. } => {
                "check the registry's network rules and the operator's proxy: one of them forbids the request".to_owned()
            }
            Failure::Refused { status: 404, .. } => LOGIN_SERVER.to_owned(),
            _ => String::new(),
        }
    }
}

/// The error codes for a missing right.
const DENIED: [&str; 3] =
    ["AuthorizationFailed", "LinkedAuthorizationFailed", "Authorization_RequestDenied"];

/// The error code for a deny assignment, which no role overrides.
const DENY_ASSIGNMENT: &str = "DenyAssignmentAuthorizationFailed";

/// The advice for a host that does not answer like a registry.
const LOGIN_SERVER: &str = "check that this is the registry's login server (az acr show --name <name> --query loginServer; registry is immutable) and that the operator can reach it";

/// The advice for an error code of Azure Resource Manager or of Microsoft Graph.
fn by_code(code: &str, attempt: &Attempt) -> Option<String> {
    let text = match code {
        "InvalidAuthenticationTokenTenant" => other_tenant(attempt.subject),
        "ScopeLocked" => {
            "remove the lock from the registry, or from the resource group or subscription that contains it (az lock list shows them)"
        }
        // "This limit is fixed and cannot be increased" (learn.microsoft.com, "Troubleshoot Azure
        // RBAC limits").
        "RoleAssignmentLimitExceeded" => {
            "remove some role assignments of the subscription that are not needed (az role assignment list --all shows them), or assign roles to groups instead of their members: it holds as many as Azure allows, and that limit is fixed"
        }
        "RequestDisallowedByPolicy" => {
            "exempt this scope from the policy, or change it: a policy of Azure forbids this"
        }
        "UnmatchedPrincipalType" | "InvalidPrincipalId" | "PrincipalTypeNotSupported" => PRINCIPAL,
        "RoleDefinitionDoesNotExist" => {
            "wait a few minutes; where the cloud has no role Container Registry Repository Reader yet, which a registry with repository permissions needs, switch the registry back (az acr update --role-assignment-mode rbac): Azure does not know that role there"
        }
        "InvalidRoleAssignmentId" => "acr-attach has a fault; please report it",
        code if versions::UNKNOWN_VERSION_CODES.contains(&code) => {
            "update acr-attach: this cloud or region knows no api-version that it can use"
        }
        _ => return with_details(code, attempt),
    };
    Some(text.to_owned())
}

/// The advice for an error code, with what was tried.
fn with_details(code: &str, attempt: &Attempt) -> Option<String> {
    Some(match code {
        "ReadOnlyDisabledSubscription" => {
            let subscription = attempt.subscription().unwrap_or("of the registry");
            format!(
                "enable subscription {subscription} again (learn.microsoft.com, \"Reactivate a disabled Azure subscription\"): while it is disabled, nothing in it can be changed"
            )
        }
        "MissingSubscriptionRegistration" | "SubscriptionNotRegistered" => {
            unregistered_provider(attempt)
        }
        "RoleAssignmentExists" => {
            let scope = attempt.scope().unwrap_or_default();
            format!(
                "wait: the role is assigned already, and Azure's lists do not show it yet; where this lasts, find it (az role assignment list --scope \"{scope}\") and delete it"
            )
        }
        "PrincipalNotFound" => format!(
            "an identity that was made a moment ago is known within minutes; where this lasts, {PRINCIPAL}"
        ),
        "RoleAssignmentUpdateNotPermitted" => name_taken(attempt),
        _ => return None,
    })
}

/// The advice for a deny assignment. It overrides every role, and its creator can exclude an identity
/// from it (learn.microsoft.com, "Understand Azure deny assignments").
fn denied_by(assignment: Option<&str>, object_id: Option<&str>) -> String {
    let operator = object_id.unwrap_or("of the operator's identity");
    let named = assignment.map_or_else(String::new, |it| format!(" {it}"));
    format!(
        "exclude object id {operator} from deny assignment{named}, where that was made (a deployment stack takes --deny-settings-excluded-principals): no role overrides it"
    )
}

/// The advice for an unregistered resource provider. A subscription has only resources of registered
/// providers (learn.microsoft.com, "Resolve errors for resource provider registration").
fn unregistered_provider(attempt: &Attempt) -> String {
    let namespace = attempt.action.split('/').next().unwrap_or_default();
    let subscription = attempt.subscription().unwrap_or_default();
    format!(
        "correct the subscription if another one is meant; else register {namespace} in it (az provider register --namespace {namespace} --subscription {subscription}), which takes some minutes: without that nothing of it can be there"
    )
}

/// The advice for an invalid principal id. An application and its service principal are two objects,
/// and only the service principal can hold a role (learn.microsoft.com, "Application and service
/// principal objects in Microsoft Entra ID").
const PRINCIPAL: &str = "check that kubeletIdentity.principalId, or pullSecret.servicePrincipal.objectId, is the object id of the managed identity or service principal, and not the client id or the object id of its application (az ad sp show --id <client id> --query id prints it), and that it is in the registry's tenant";

/// The advice for a name that another role assignment has already. That may be at any scope. Azure
/// only says: "Tenant ID, application ID, principal ID, and scope are not allowed to be updated".
fn name_taken(attempt: &Attempt) -> String {
    let name = attempt.target.rsplit('/').next().unwrap_or_default();
    format!(
        "find role assignment {name} (az role assignment list --all --query \"[?name=='{name}']\") and delete it (az role assignment delete --ids <its id>): it is for another identity, role or scope, and acr-attach changes nothing that it did not make"
    )
}

fn other_tenant(subject: Subject) -> &'static str {
    match subject {
        Subject::Cluster => {
            "correct kubeletIdentity.clusterResourceId if another cluster is meant, give the operator an identity of the cluster's tenant, or set method to PullSecret, which works across tenants: the cluster is in another tenant than the operator's identity, and so than any registry that it can assign a role on"
        }
        _ => {
            "use method PullSecret with registry.loginServer, which works across tenants and asks nothing of Azure Resource Manager (registry is immutable: delete this attachment and create one), or give the operator an identity of the registry's tenant if the cluster is there too: the registry is in another tenant than the operator's identity"
        }
    }
}

/// The advice for a resource that does not exist.
fn not_found(attempt: &Attempt) -> String {
    match attempt.subject {
        Subject::Cluster => {
            "check the spelling of kubeletIdentity.clusterResourceId (az aks show --name <cluster> --resource-group <group> --query id prints it), or create the cluster".to_owned()
        }
        Subject::ServicePrincipal => format!(
            "check the client id, or create its service principal (az ad sp create --id {}): the tenant of the operator's identity has none",
            attempt.target
        ),
        _ => "check the spelling of the registry's id (it is immutable: delete this attachment and create one with the right id), or create the registry".to_owned(),
    }
}

/// The advice for a failed sign-in, by the error code of Entra. Empty if none is known.
pub(super) fn for_sign_in(code: Option<&str>, identity: &Identity) -> String {
    match (code.unwrap_or_default(), identity) {
        // 70021, and since 2024 700211, 700212, 700213 and their variants.
        (code, identity) if code.starts_with("AADSTS70021") => for_federated_token(identity),
        (code, Identity::ServicePrincipal(it)) => for_service_principal(code, it),
        (code, _) => for_operator(code),
    }
}

fn for_federated_token(identity: &Identity) -> String {
    let command = identity.federated_credential().map_or_else(String::new, |it| {
        format!(" ({})", it.command(identity.client().unwrap_or_default()))
    });
    format!(
        "add a federated credential to the application{command}, whose issuer Entra must be able to reach: none of those that it has matches"
    )
}

fn for_service_principal(code: &str, principal: &ServicePrincipal) -> String {
    let ServicePrincipal { client, credential, .. } = principal;
    match (code, credential) {
        ("AADSTS7000215", ClientCredential::Secret { origin, .. }) => format!(
            "put the value (not the id) of a valid client secret into {origin}; a new one may take a minute to be accepted"
        ),
        ("AADSTS7000222", ClientCredential::Secret { origin, .. }) => format!(
            "create another client secret (az ad app credential reset --append --id {client}) and put it into {origin}"
        ),
        ("AADSTS700016", _) => "check pullSecret.servicePrincipal.clientId and tenantId".to_owned(),
        ("AADSTS90002", _) => "check pullSecret.servicePrincipal.tenantId".to_owned(),
        ("AADSTS500011" | "AADSTS50001", _) => "check the operator's --acr-audience".to_owned(),
        _ => String::new(),
    }
}

fn for_operator(code: &str) -> String {
    let text = match code {
        "AADSTS7000215" => "set AZURE_CLIENT_SECRET to a valid secret's value",
        "AADSTS7000222" => "create another client secret, and set AZURE_CLIENT_SECRET to its value",
        "AADSTS700016" => "check AZURE_CLIENT_ID and AZURE_TENANT_ID",
        "AADSTS90002" => "check AZURE_TENANT_ID",
        _ => "",
    };
    text.to_owned()
}

#[cfg(test)]
mod tests;

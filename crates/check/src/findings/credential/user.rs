//! The kinds of users in pull secrets, and the advice for each.

use acr_attach_core::pull_secrets::TOKEN_USER;

use super::super::{Target, one_line};

/// The kind of user that a user name stands for at a registry (Azure/acr, docs/Token-BasicAuth.md; azure-docs,
/// container-registry-authentication.md and container-registry-repository-scoped-permissions.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum User {
    /// The user of a registry token, which is the password.
    RegistryToken,
    /// A service principal. The user name is its client id.
    ServicePrincipal,
    /// The registry's admin user. The user name is the registry's name.
    Admin,
    /// A token of the registry with a scope map. The user name is the token's name.
    ScopedToken,
}

impl User {
    /// The kind of user with this name.
    pub fn of(name: &str, target: &Target) -> Self {
        if name == TOKEN_USER {
            Self::RegistryToken
        } else if uuid::Uuid::try_parse(name).is_ok() {
            Self::ServicePrincipal
        } else if name.eq_ignore_ascii_case(target.registry_name()) {
            Self::Admin
        } else {
            Self::ScopedToken
        }
    }

    /// The text for a refusal, as far as the registry explains it.
    pub fn refused(self, wrong_secret: bool) -> &'static str {
        match self {
            Self::ServicePrincipal if wrong_secret => {
                "refused (401): the client id or its secret is wrong, or the secret has expired"
            }
            Self::RegistryToken | Self::ServicePrincipal => {
                "refused (401): it is not valid any more, or has no role there"
            }
            Self::Admin => {
                "refused (401): the password of the registry's admin user is wrong, or that user is disabled"
            }
            Self::ScopedToken => {
                "refused (401): the registry has no such token, or the token is disabled, or its password is wrong or has expired; the user name of a service principal is its client id, a GUID"
            }
        }
    }

    /// The advice for a password that the registry refuses.
    pub fn new_password(
        self,
        name: &str,
        secret: &str,
        wrong_secret: bool,
        target: &Target,
    ) -> String {
        let (namespace, registry) = (&target.namespace, target.registry_name());
        let name = one_line(name);
        match self {
            Self::RegistryToken => format!(
                "Let it be renewed: the condition CredentialFresh of the RegistryAttachment that serves namespace {namespace} tells why it was not (kubectl describe registryattachments); where none does, make Secret {secret} anew"
            ),
            Self::ServicePrincipal => {
                let right = if wrong_secret {
                    String::new()
                } else {
                    format!(", or give it a role: {}", self.role(&name))
                };
                format!(
                    "Put a valid client secret into Secret {secret} (az ad app credential reset --append --id {name} makes one){right}; a RegistryAttachment does it by itself once the Secret of its clientSecretRef holds one"
                )
            }
            Self::Admin => format!(
                "Put its password into Secret {secret}: az acr credential show --name {registry} tells it, and says so where the admin user is disabled. Better, let a RegistryAttachment serve namespace {namespace}: the admin user may push too, and all that use it share one password"
            ),
            Self::ScopedToken => format!(
                "Put a password of that token into Secret {secret}: az acr token credential generate --name {name} --registry {registry} --password1 makes one, and ends the former; az acr token list --registry {registry} lists the tokens"
            ),
        }
    }

    /// The command that allows pulling from the repository.
    pub fn right(self, name: &str, repository: &str, target: &Target) -> String {
        match self {
            Self::ScopedToken => {
                let (name, registry) = (one_line(name), target.registry_name());
                format!(
                    "az acr token show --name {name} --registry {registry} --query scopeMapId tells its scope map, and az acr scope-map update --name <scope map> --registry {registry} --add-repository {repository} content/read adds to it"
                )
            }
            _ => self.role(&one_line(name)),
        }
    }

    fn role(self, name: &str) -> String {
        match self {
            Self::ServicePrincipal => role(&format!("--assignee {name}")),
            _ => role("--assignee <its client id>"),
        }
    }
}

/// The command that assigns a role for pulling.
pub(super) fn role(assignee: &str) -> String {
    format!(
        "az role assignment create {assignee} --role AcrPull --scope <registry id>, with role \"Container Registry Repository Reader\" where the registry is in mode \"RBAC Registry + ABAC Repository Permissions\""
    )
}

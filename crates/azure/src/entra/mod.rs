//! The identities that sign in to Entra: the operator's, and those of service principals.

mod federation;
mod principal;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::ClientOptions;
use azure_identity::{
    ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId,
};

pub(super) use federation::FederatedCredential;
use federation::TokenFile;
pub use federation::claims;
pub use principal::{ClientCredential, ServicePrincipal};

/// An identity that signs in: the operator's, or that of a service principal.
#[derive(Clone, Debug)]
pub enum Identity {
    /// No identity. Attachments that need Azure Resource Manager say which variables to set.
    None,
    /// A service principal with a client secret.
    ClientSecret {
        /// Tenant (directory) id.
        tenant: String,
        /// Application (client) id.
        client: String,
        /// The secret.
        secret: Secret,
    },
    /// A workload identity, which signs in with a token of the cluster.
    Workload {
        /// Tenant (directory) id.
        tenant: String,
        /// Application (client) id.
        client: String,
        /// The file in which the kubelet keeps that token.
        token_file: PathBuf,
    },
    /// A service principal whose credential is written into pull secrets.
    ServicePrincipal(ServicePrincipal),
    /// A managed identity of the node.
    Managed {
        /// Client id of a user-assigned identity; `None` means the system-assigned identity.
        client: Option<String>,
    },
}

impl Identity {
    /// The client id, if it is known.
    #[must_use]
    pub fn client(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::ClientSecret { client, .. } | Self::Workload { client, .. } => Some(client),
            Self::ServicePrincipal(it) => Some(&it.client),
            Self::Managed { client } => client.as_deref(),
        }
    }

    /// The credential that gets its tokens; `None` for no identity.
    pub(super) fn credential(
        &self,
        options: ClientOptions,
    ) -> azure_core::Result<Option<Arc<dyn TokenCredential>>> {
        Ok(match self {
            Self::None => None,
            Self::ClientSecret { tenant, client, secret } => {
                Some(secret_credential(tenant, client, secret, options)?)
            }
            Self::Workload { tenant, client, token_file } => {
                Some(token_credential(tenant, client, token_file, options)?)
            }
            Self::ServicePrincipal(ServicePrincipal { tenant, client, credential }) => {
                Some(match credential {
                    ClientCredential::Secret { value, .. } => {
                        secret_credential(tenant, client, value, options)?
                    }
                    ClientCredential::Token(file) => {
                        token_credential(tenant, client, file, options)?
                    }
                })
            }
            Self::Managed { client } => {
                let user_assigned_id = client.clone().map(UserAssignedId::ClientId);
                let client_options = options;
                let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options };
                Some(ManagedIdentityCredential::new(Some(options))?)
            }
        })
    }

    /// The federated credential that its token needs; `None` if it signs in without such a token, or
    /// the file cannot be read.
    pub(super) fn federated_credential(&self) -> Option<FederatedCredential> {
        match self {
            Self::Workload { token_file: file, .. }
            | Self::ServicePrincipal(ServicePrincipal {
                credential: ClientCredential::Token(file),
                ..
            }) => FederatedCredential::read(file),
            _ => None,
        }
    }
}

fn secret_credential(
    tenant: &str,
    client: &str,
    secret: &Secret,
    client_options: ClientOptions,
) -> azure_core::Result<Arc<dyn TokenCredential>> {
    let options = Some(ClientSecretCredentialOptions { client_options });
    Ok(ClientSecretCredential::new(tenant, client.to_owned(), secret.clone(), options)?)
}

fn token_credential(
    tenant: &str,
    client: &str,
    file: &Path,
    client_options: ClientOptions,
) -> azure_core::Result<Arc<dyn TokenCredential>> {
    let options = Some(ClientAssertionCredentialOptions { client_options });
    let (tenant, client) = (tenant.to_owned(), client.to_owned());
    let assertion = TokenFile(file.to_owned());
    Ok(ClientAssertionCredential::new(tenant, client, assertion, options)?)
}

/// As messages name the identity.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("nobody"),
            Self::ClientSecret { tenant, client, .. } => {
                write!(f, "client {client} of tenant {tenant} with a client secret")
            }
            Self::Workload { tenant, client, token_file } => write!(
                f,
                "client {client} of tenant {tenant} with the federated token in {}",
                token_file.display()
            ),
            Self::ServicePrincipal(ServicePrincipal { tenant, client, credential }) => {
                write!(f, "client {client} of tenant {tenant} with {credential}")
            }
            Self::Managed { client: Some(client) } => write!(f, "managed identity {client}"),
            Self::Managed { client: None } => f.write_str("the system-assigned managed identity"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let identity = Identity::ClientSecret {
            tenant: "t".into(),
            client: "c".into(),
            secret: Secret::new("marker"),
        };
        assert!(!format!("{identity} {identity:?}").contains("marker"));
    }
}

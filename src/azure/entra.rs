//! The operator's own identity in Entra.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use azure_core::credentials::{Secret, TokenCredential};
use azure_core::error::{ErrorKind, ResultExt};
use azure_core::http::{ClientMethodOptions, ClientOptions};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions,
    ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId,
};

use super::acr::ServicePrincipal;

/// Who signs in: the operator, or a service principal for which it does.
#[derive(Clone, Debug)]
pub enum Identity {
    /// Nobody. Attachments that need Azure Resource Manager say what to set.
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
    /// A workload identity: a token of the cluster stands in for a secret.
    Workload {
        /// Tenant (directory) id.
        tenant: String,
        /// Application (client) id.
        client: String,
        /// The file that the kubelet keeps that token in.
        token_file: PathBuf,
    },
    /// A service principal whose credential is written into pull secrets.
    ServicePrincipal(ServicePrincipal),
    /// A managed identity of the node.
    Managed {
        /// Client id of a user-assigned one; absent: the system-assigned one.
        client: Option<String>,
    },
}

impl Identity {
    /// Its client id, where that is known.
    #[must_use]
    pub fn client(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::ClientSecret { client, .. } | Self::Workload { client, .. } => Some(client),
            Self::ServicePrincipal(it) => Some(&it.client),
            Self::Managed { client } => client.as_deref(),
        }
    }

    /// What hands out tokens for it; `None` for nobody.
    pub(super) fn credential(
        &self,
        client_options: ClientOptions,
    ) -> azure_core::Result<Option<Arc<dyn TokenCredential>>> {
        Ok(match self {
            Self::None => None,
            Self::ClientSecret { tenant, client, secret }
            | Self::ServicePrincipal(ServicePrincipal { tenant, client, secret, .. }) => {
                let options = ClientSecretCredentialOptions { client_options };
                Some(ClientSecretCredential::new(
                    tenant,
                    client.clone(),
                    secret.clone(),
                    Some(options),
                )?)
            }
            Self::Workload { tenant, client, token_file } => {
                let assertion = TokenFile(token_file.clone());
                let options = ClientAssertionCredentialOptions { client_options };
                Some(ClientAssertionCredential::new(
                    tenant.clone(),
                    client.clone(),
                    assertion,
                    Some(options),
                )?)
            }
            Self::Managed { client } => {
                let user_assigned_id = client.clone().map(UserAssignedId::ClientId);
                let options = ManagedIdentityCredentialOptions { user_assigned_id, client_options };
                Some(ManagedIdentityCredential::new(Some(options))?)
            }
        })
    }

    /// What has to match a federated credential, as the token in the file says it.
    pub(super) fn federation(&self) -> Option<Federation> {
        match self {
            Self::Workload { token_file, .. } => Federation::read(token_file),
            _ => None,
        }
    }
}

/// For messages.
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
            Self::ServicePrincipal(ServicePrincipal { tenant, client, origin, .. }) => {
                write!(f, "client {client} of tenant {tenant} with the client secret in {origin}")
            }
            Self::Managed { client: Some(client) } => write!(f, "managed identity {client}"),
            Self::Managed { client: None } => f.write_str("the system-assigned managed identity"),
        }
    }
}

/// The file is read each time: the kubelet replaces it well before the token in it expires.
#[derive(Debug)]
struct TokenFile(PathBuf);

#[async_trait::async_trait]
impl ClientAssertion for TokenFile {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let token = tokio::fs::read_to_string(&self.0).await;
        let token = token.with_context_fn(ErrorKind::Credential, || {
            format!("the federated token cannot be read from {}", self.0.display())
        })?;
        Ok(token.trim().to_owned())
    }
}

/// What a federated credential has to say so that Entra accepts the token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Federation {
    issuer: String,
    subject: String,
    audience: String,
}

impl Federation {
    fn read(file: &Path) -> Option<Self> {
        let token = std::fs::read_to_string(file).ok()?;
        let payload = token.trim().split('.').nth(1)?;
        let payload = azure_core::base64::decode_url_safe(payload).ok()?;
        let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let audience = &claims["aud"];
        Some(Self {
            issuer: text(&claims["iss"])?,
            subject: text(&claims["sub"])?,
            audience: text(audience).or_else(|| text(&audience[0]))?,
        })
    }
}

impl fmt::Display for Federation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issuer, subject, audience } = self;
        write!(f, "issuer {issuer}, subject {subject}, audience {audience}")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_must_match_is_read_from_the_token_itself() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let claims = r#"{"iss":"https://issuer","sub":"system:serviceaccount:a:b","aud":["api://AzureADTokenExchange"]}"#;
        let payload = azure_core::base64::encode_url_safe(claims);
        writeln!(file, "header.{payload}.signature").unwrap();
        let federation = Federation::read(file.path()).unwrap();
        assert_eq!(
            federation.to_string(),
            "issuer https://issuer, subject system:serviceaccount:a:b, audience api://AzureADTokenExchange"
        );
        assert_eq!(Federation::read(Path::new("/does/not/exist")), None);
    }

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

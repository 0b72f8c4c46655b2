//! Service principals, whose credentials the operator writes into pull secrets.

use std::fmt;
use std::path::PathBuf;

use acr_attach_core::ids::PrincipalId;
use azure_core::credentials::Secret;
use azure_core::http::ClientOptions;

use super::{Identity, claims};
use crate::error::{Attempt, Error};

/// A service principal and its credential. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct ServicePrincipal {
    /// Tenant (directory) id.
    pub tenant: String,
    /// Application (client) id.
    pub client: String,
    /// The credential for the sign-in.
    pub credential: ClientCredential,
}

/// The credential with which a service principal signs in.
#[derive(Clone, Debug)]
pub enum ClientCredential {
    /// A client secret.
    Secret {
        /// The secret.
        value: Secret,
        /// Where the secret comes from, for messages.
        origin: String,
    },
    /// A federated token of the cluster, in a file that the kubelet keeps current.
    Token(PathBuf),
}

/// As messages name the credential.
impl fmt::Display for ClientCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret { origin, .. } => write!(f, "the client secret in {origin}"),
            Self::Token(file) => write!(f, "the federated token in {}", file.display()),
        }
    }
}

impl ServicePrincipal {
    /// Signs in, and returns a new token for the audience.
    pub(crate) async fn token(
        &self,
        audience: &str,
        attempt: &Attempt,
        options: ClientOptions,
    ) -> Result<Secret, Error> {
        let identity = Identity::ServicePrincipal(self.clone());
        let failed = |error: azure_core::Error| Error::failed(attempt, &identity, &error);
        let credential = identity.credential(options).map_err(failed)?;
        let credential = credential.ok_or_else(|| Error::no_identity(attempt))?;
        let scope = format!("{audience}/.default");
        let token = credential.get_token(&[&scope], None).await.map_err(failed)?;
        Ok(token.token)
    }

    /// The object id, read from a token for the audience. This needs no right, and cannot find another
    /// principal.
    pub(crate) async fn object_id(
        &self,
        audience: &str,
        options: ClientOptions,
    ) -> Result<PrincipalId, Error> {
        let attempt = Attempt {
            operation: "getting a token that tells the object id of client",
            target: self.client.clone(),
            ..Attempt::default()
        };
        let token = self.token(audience, &attempt, options).await?;
        let claims = claims(token.secret()).unwrap_or_default();
        let id = claims["oid"].as_str().map(str::parse).transpose();
        let id = id.map_err(|error| Error::unreadable(&attempt, error))?;
        id.ok_or_else(|| Error::unreadable(&attempt, "the token has no oid"))
    }
}

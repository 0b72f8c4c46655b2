//! Service principals whose credentials are written into pull secrets.

use std::fmt;
use std::path::PathBuf;

use acr_attach_core::ids::PrincipalId;
use azure_core::credentials::Secret;
use azure_core::http::ClientOptions;

use super::{Identity, claims};
use crate::error::{Attempt, Error};

/// A service principal, and what proves that it asks. Its `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct ServicePrincipal {
    /// Tenant (directory) id.
    pub tenant: String,
    /// Application (client) id.
    pub client: String,
    /// What it signs in with.
    pub credential: ClientCredential,
}

/// What a service principal signs in with.
#[derive(Clone, Debug)]
pub enum ClientCredential {
    /// A client secret.
    Secret {
        /// The secret.
        value: Secret,
        /// Where it is from, for messages.
        origin: String,
    },
    /// The token of the cluster that the kubelet keeps in that file.
    Token(PathBuf),
}

/// For messages.
impl fmt::Display for ClientCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret { origin, .. } => write!(f, "the client secret in {origin}"),
            Self::Token(file) => write!(f, "the federated token in {}", file.display()),
        }
    }
}

impl ServicePrincipal {
    /// Signs in. The token is for that audience, and from no cache.
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

    /// Its object id, as a token says it that it gets for that audience: no right is needed for
    /// it, and no other principal can be meant.
    pub(crate) async fn object_id(
        &self,
        audience: &str,
        options: ClientOptions,
    ) -> Result<PrincipalId, Error> {
        let attempt = Attempt {
            doing: "getting a token that tells the object id of client",
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

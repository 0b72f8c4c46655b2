//! The sign-in of a service principal, whose token a registry exchanges.

use std::sync::PoisonError;

use azure_core::credentials::Secret;

use super::RegistrySession;
use crate::entra::ServicePrincipal;
use crate::error::Error;

/// The audience of registries, the same in all clouds (cloud-provider-azure,
/// pkg/credentialprovider).
pub const AUDIENCE: &str = "https://containerregistry.azure.net";

impl RegistrySession {
    /// Signs the principal in for the audience of registries, or for Azure Resource Manager's where the
    /// tenant does not know that. Returns the token, and whether it has Azure Resource Manager's
    /// audience by such a fallback.
    pub(super) async fn sign_in(
        &self,
        principal: &ServicePrincipal,
    ) -> Result<(Secret, bool), Error> {
        let registries = &self.registries;
        let arm = registries.cloud.arm();
        if let Some(audience) = &registries.audience {
            return Ok((self.token(principal, audience).await?, false));
        }
        if registries.lacks_audience(&principal.tenant) {
            return Ok((self.token(principal, arm).await?, true));
        }
        match self.token(principal, AUDIENCE).await {
            Err(error) if error.is_unknown_audience() => {
                let token = self.token(principal, arm).await?;
                let tenants = &registries.tenants_without_audience;
                let mut tenants = tenants.lock().unwrap_or_else(PoisonError::into_inner);
                tenants.push(principal.tenant.clone());
                Ok((token, true))
            }
            token => Ok((token?, false)),
        }
    }

    async fn token(&self, principal: &ServicePrincipal, audience: &str) -> Result<Secret, Error> {
        let attempt = self.attempt("getting a token for registry");
        principal.token(audience, &attempt, self.registries.options.clone()).await
    }
}

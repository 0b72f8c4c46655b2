//! Whether a request to `/v2/` may pass: by access token, or by user name and password
//! (Azure/acr `docs/AAD-OAuth.md`, "Catalog listing using SP/Admin with Basic Auth").

use super::{Context, credential::Identity, error::Refusal, scope::Access};

impl Context<'_> {
    /// Checks that the credential is good, and allows one of what is wanted, if anything is.
    ///
    /// # Errors
    /// 401 with a challenge for the first that is wanted.
    pub(super) fn authorize(&self, wanted: &[Access]) -> Result<(), Refusal> {
        let identity = self.identity(wanted.first())?;
        let allows = |it: &Access| self.granted(&identity.rights, it).is_some();
        if wanted.is_empty() || wanted.iter().any(allows) {
            return Ok(());
        }
        Err(self.challenge(wanted.first(), Some("insufficient_scope")))
    }

    fn identity(&self, wanted: Option<&Access>) -> Result<Identity, Refusal> {
        if self.request.header("authorization").is_none() {
            return Err(self.challenge(wanted, None));
        }
        if let Some((user, password)) = self.request.basic() {
            return self.basic(&user, &password).map_err(|_| Refusal::wrong_basic());
        }
        let token = self.request.bearer().and_then(|it| self.access_token(it));
        token.ok_or_else(|| self.challenge(wanted, Some("invalid_token")))
    }

    fn challenge(&self, wanted: Option<&Access>, error: Option<&str>) -> Refusal {
        Refusal::challenge(&self.request.host, &self.registry.service(), wanted, error)
    }
}

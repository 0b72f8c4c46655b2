//! The service name of a registry, which requests for tokens have to contain.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use acr_attach_core::ids::LoginServer;
use azure_core::http::headers::HeaderName;
use azure_core::http::{Context, Method, PipelineSendOptions, Request};

use super::RegistrySession;
use crate::acr::bearer;
use crate::entra::Identity;
use crate::error::{Attempt, Error};

const WWW_AUTHENTICATE: HeaderName = HeaderName::from_static("www-authenticate");

impl RegistrySession {
    /// The service that the registry's challenge names. At a regional endpoint it differs from the host.
    /// Without a challenge, the host is used.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub(super) async fn service(&self, attempt: &Attempt) -> Result<String, Error> {
        if let Some(service) = self.services().get(&self.server).cloned() {
            return Ok(service);
        }
        let mut request = Request::new(self.url(attempt, "/v2/")?, Method::Get);
        let options = PipelineSendOptions { skip_checks: true, ..PipelineSendOptions::default() };
        let answer =
            self.registries.pipeline.send(&Context::new(), &mut request, Some(options)).await;
        let answer = answer.map_err(|error| Error::failed(attempt, &Identity::None, &error))?;
        let challenge = answer.headers().get_optional_str(&WWW_AUTHENTICATE);
        let Some(service) = challenge.and_then(|it| bearer::parameter(it, "service")) else {
            return Ok(self.server.to_string());
        };
        self.services().insert(self.server.clone(), service.to_owned());
        Ok(service.to_owned())
    }

    fn services(&self) -> MutexGuard<'_, HashMap<LoginServer, String>> {
        self.registries.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

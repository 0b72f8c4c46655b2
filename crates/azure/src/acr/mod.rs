//! The token endpoints of registries, which exchange tokens and check credentials (Azure/acr,
//! docs/AAD-OAuth.md and docs/Token-BasicAuth.md).

pub mod bearer;
mod challenge;
mod form;
mod sign_in;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use acr_attach_core::ids::LoginServer;
use acr_attach_core::pull_secrets::TOKEN_USER;
use acr_attach_core::pull_secrets::proof::{Probe, Proof, UnprovenCredential};
use azure_core::credentials::Secret;
use azure_core::http::headers::{AUTHORIZATION, CONTENT_TYPE};
use azure_core::http::{
    ClientOptions, Context, Method, Pipeline, PipelineSendOptions, Request, Url,
};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use sign_in::AUDIENCE;

use super::entra::claims;
pub use form::form_body;

use super::cloud::Cloud;
use super::entra::{Identity, ServicePrincipal};
use super::error::{Attempt, Error, Refusal, Subject};

/// How many sessions with one registry may be open at once.
const MAX_SESSIONS: usize = 8;

/// A client for all registries and service principals.
#[derive(Debug)]
pub(super) struct Registries {
    cloud: Cloud,
    options: ClientOptions,
    pipeline: Pipeline,
    /// The configured audience of tokens, if there is one.
    audience: Option<String>,
    /// The ids of tenants that do not know the audience of registries.
    tenants_without_audience: Mutex<Vec<String>>,
    permits: Mutex<HashMap<LoginServer, Arc<Semaphore>>>,
    /// The service names of registries, from their challenges.
    services: Mutex<HashMap<LoginServer, String>>,
}

/// A user name and password for a registry. `Debug` does not show the password.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// When the password expires, if it is a token.
    pub expires: Option<Timestamp>,
    /// How long the password is valid from its issue, by the registry's clock.
    pub life: Option<SignedDuration>,
}

/// A credential, and what the registry answered when it was tried.
#[derive(Debug)]
pub struct ProbedCredential {
    /// The credential.
    pub credential: Credential,
    /// Whether the registry has proven the credential.
    pub proof: Proof,
    /// Whether the sign-in used the audience of Azure Resource Manager, because the tenant does not
    /// know that of registries.
    pub by_arm_audience: bool,
}

/// Access to one registry for one reconcile. It holds one of the registry's permits.
#[derive(Debug)]
pub struct RegistrySession {
    registries: Arc<Registries>,
    server: LoginServer,
    _permit: OwnedSemaphorePermit,
}

impl Registries {
    pub(super) fn new(cloud: Cloud, options: ClientOptions, audience: Option<String>) -> Self {
        let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let policies = (Vec::new(), Vec::new());
        let pipeline =
            Pipeline::new(Some(name), Some(version), options.clone(), policies.0, policies.1, None);
        let (tenants_without_audience, permits, services) = <_>::default();
        Self { cloud, options, pipeline, audience, tenants_without_audience, permits, services }
    }

    pub(super) fn session(
        self: &Arc<Self>,
        server: &LoginServer,
    ) -> Result<RegistrySession, Error> {
        let mut permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
        // A registry without an open session needs no entry.
        permits.retain(|_, it| it.available_permits() < MAX_SESSIONS);
        let free =
            permits.entry(server.clone()).or_insert_with(|| Arc::new(Semaphore::new(MAX_SESSIONS)));
        let permit = Arc::clone(free).try_acquire_owned();
        let permit = permit.map_err(|_| Error::busy(server.as_str(), MAX_SESSIONS, None))?;
        Ok(RegistrySession {
            registries: Arc::clone(self),
            server: server.clone(),
            _permit: permit,
        })
    }

    fn lacks_audience(&self, tenant: &str) -> bool {
        let all = self.tenants_without_audience.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().any(|it| it == tenant)
    }
}

impl RegistrySession {
    /// Exchanges a token of the principal for a refresh token of the registry, and tries that.
    ///
    /// # Errors
    /// When Entra or the registry refuses the principal, or does not answer.
    pub async fn registry_token(
        &self,
        principal: &ServicePrincipal,
        probe: &Probe,
    ) -> Result<ProbedCredential, Error> {
        #[derive(Deserialize)]
        struct Wire {
            refresh_token: String,
        }
        let (token, by_arm_audience) = self.sign_in(principal).await?;
        let attempt = self.attempt("getting a token from registry");
        let service = self.service(&attempt).await?;
        let url = self.url(&attempt, "/oauth2/exchange")?;
        let form = form_body(
            &url,
            &[
                ("grant_type", "access_token"),
                ("service", &service),
                ("tenant", &principal.tenant),
                ("access_token", token.secret()),
            ],
        );
        let mut request = Request::new(url, Method::Post);
        request.insert_header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        request.set_body(form);
        let wire: Wire = self.read(&attempt, request).await?;
        let (expires, life) = lifetime(&attempt, &wire.refresh_token)?;
        let credential = Credential {
            user: TOKEN_USER.to_owned(),
            password: wire.refresh_token.into(),
            expires: Some(expires),
            life: Some(life),
        };
        let proof = self.prove(&credential, probe).await?;
        Ok(ProbedCredential { credential, proof, by_arm_audience })
    }

    /// Makes a credential of the principal's client id and client secret, and tries that.
    ///
    /// # Errors
    /// When Entra or the registry refuses the principal, or does not answer.
    pub async fn client_secret(
        &self,
        principal: &ServicePrincipal,
        secret: &Secret,
        probe: &Probe,
    ) -> Result<ProbedCredential, Error> {
        let (_, by_arm_audience) = self.sign_in(principal).await?;
        let (user, password) = (principal.client.clone(), secret.clone());
        let credential = Credential { user, password, expires: None, life: None };
        let proof = self.prove(&credential, probe).await?;
        Ok(ProbedCredential { credential, proof, by_arm_audience })
    }

    /// Tries a credential at the registry.
    ///
    /// # Errors
    /// When the registry refuses the credential, or does not answer.
    pub async fn prove(&self, credential: &Credential, probe: &Probe) -> Result<Proof, Error> {
        let proof = match probe {
            Probe::Login => self.log_in(credential).await.map(|()| Proof::Proven),
            Probe::Repository(name) => self.try_repository(credential, name).await,
        };
        match proof {
            Err(error) if error.is_firewall() => Ok(Proof::Unproven(UnprovenCredential::Firewall)),
            proof => proof,
        }
    }

    async fn log_in(&self, credential: &Credential) -> Result<(), Error> {
        self.access(Some(credential), None).await.map(drop)
    }

    async fn try_repository(&self, credential: &Credential, name: &str) -> Result<Proof, Error> {
        let can_pull = match self.access(Some(credential), Some(name)).await {
            Ok(access) => access,
            Err(error) if error.is_refused() => false,
            Err(error) => return Err(error),
        };
        if !can_pull {
            // The refusal is of the repository, which need not exist, or of the credential itself. A login
            // without a repository fails only in the second case.
            self.log_in(credential).await?;
            return Ok(Proof::Unproven(UnprovenCredential::Repository));
        }
        // Only a refusal shows that the registry does not allow anonymous pulls.
        let anonymous = match self.access(None, Some(name)).await {
            Err(error) if error.is_refused() => false,
            answer => answer?,
        };
        Ok(if anonymous { Proof::Unproven(UnprovenCredential::Anonymous) } else { Proof::Proven })
    }

    /// Requests an access token as container runtimes do. Returns whether the token allows pulling from
    /// the repository.
    async fn access(
        &self,
        credential: Option<&Credential>,
        repository: Option<&str>,
    ) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Wire {
            access_token: String,
        }
        let attempt = self.attempt("asking for access to registry");
        let service = self.service(&attempt).await?;
        let mut url = self.url(&attempt, "/oauth2/token")?;
        url.query_pairs_mut().append_pair("service", &service);
        if let Some(name) = repository {
            url.query_pairs_mut().append_pair("scope", &format!("repository:{name}:pull"));
        }
        let mut request = Request::new(url, Method::Get);
        if let Some(Credential { user, password, .. }) = credential {
            let basic = azure_core::base64::encode(format!("{user}:{}", password.secret()));
            request.insert_header(AUTHORIZATION, format!("Basic {basic}"));
        }
        let wire: Wire = self.read(&attempt, request).await?;
        let unreadable = || Error::unreadable(&attempt, "its token is none");
        let access = claims(&wire.access_token).ok_or_else(unreadable)?;
        let access = access["access"].as_array().cloned().unwrap_or_default();
        let pulls = |it: &Value| {
            it["name"].as_str() == repository
                && it["actions"].as_array().is_some_and(|it| it.iter().any(|it| it == "pull"))
        };
        Ok(access.iter().any(pulls))
    }

    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        attempt: &Attempt,
        mut request: Request,
    ) -> Result<T, Error> {
        let options = PipelineSendOptions { skip_checks: true, ..PipelineSendOptions::default() };
        let context = Context::new();
        let answer = self.registries.pipeline.send(&context, &mut request, Some(options)).await;
        let answer = answer.map_err(|error| Error::failed(attempt, &Identity::None, &error))?;
        if !answer.status().is_success() {
            return Err(Error::refused(attempt, Refusal::read(&answer)));
        }
        // The unexpected value may be a token, so the message has only the position of the error.
        let parsed = serde_json::from_slice(answer.body().as_ref());
        parsed.map_err(|error| {
            let position = format!("{:?} at column {}", error.classify(), error.column());
            Error::unreadable(attempt, position)
        })
    }

    fn url(&self, attempt: &Attempt, path: &str) -> Result<Url, Error> {
        let url = Url::parse(&format!("https://{}{path}", self.server));
        url.map_err(|error| Error::unreadable(attempt, error))
    }

    fn attempt(&self, operation: &'static str) -> Attempt {
        let target = self.server.to_string();
        Attempt { subject: Subject::LoginServer, operation, target, ..Attempt::default() }
    }
}

/// When a token expires, and how long it is valid from its issue. The latter does not depend on the
/// operator's clock, which may differ from the registry's.
fn lifetime(attempt: &Attempt, token: &str) -> Result<(Timestamp, SignedDuration), Error> {
    let claims = claims(token).unwrap_or_default();
    let time = |name: &str| Timestamp::from_second(claims[name].as_i64()?).ok();
    let (now, expires) = (Timestamp::now(), time("exp"));
    let expires = expires
        .ok_or_else(|| Error::unreadable(attempt, "its token does not tell when it ends"))?;
    if expires <= now {
        let text = format!(
            "its token ended at {expires:.0}, and here it is {now:.0}; set the clock of the operator's node"
        );
        return Err(Error::unreadable(attempt, text));
    }
    Ok((expires, expires.duration_since(time("iat").unwrap_or(now))))
}

//! A registry's own endpoints: a credential is exchanged there, and proven
//! (Azure/acr, docs/AAD-OAuth.md and docs/Token-BasicAuth.md).

pub mod bearer;
mod challenge;
mod sign_in;
mod wire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use acr_attach_core::ids::LoginServer;
use acr_attach_core::pull_secrets::TOKEN_USER;
use acr_attach_core::pull_secrets::proof::{Doubt, Probe, Proof};
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
pub use wire::form;

use super::cloud::Cloud;
use super::entra::{Identity, ServicePrincipal};
use super::error::{Attempt, Error, Refusal, Subject};

/// How many passes may speak to one registry at once.
const PLACES: usize = 8;

/// The registries, as any service principal sees them.
#[derive(Debug)]
pub(super) struct Registries {
    cloud: Cloud,
    options: ClientOptions,
    pipeline: Pipeline,
    /// The audience to ask tokens for, if it is given.
    audience: Option<String>,
    /// Tenants that do not know the audience of registries.
    strange_tenants: Mutex<Vec<String>>,
    places: Mutex<HashMap<LoginServer, Arc<Semaphore>>>,
    /// What registries call themselves in their challenges.
    services: Mutex<HashMap<LoginServer, String>>,
}

/// What a pull secret holds. Its `Debug` shows no password.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// When it ends, if it tells.
    pub expires: Option<Timestamp>,
    /// How long it lives from when it was made, by the clock of who made it.
    pub life: Option<SignedDuration>,
}

/// A credential that was accepted.
#[derive(Debug)]
pub struct Minted {
    /// The credential.
    pub credential: Credential,
    /// What the registry said of it.
    pub proof: Proof,
    /// Whether the tenant does not know the audience of registries, so that Azure Resource
    /// Manager's was used.
    pub by_arm_audience: bool,
}

/// The right of one pass to speak to one registry.
#[derive(Debug)]
pub struct RegistrySession {
    registries: Arc<Registries>,
    server: LoginServer,
    _place: OwnedSemaphorePermit,
}

impl Registries {
    pub(super) fn new(cloud: Cloud, options: ClientOptions, audience: Option<String>) -> Self {
        let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let policies = (Vec::new(), Vec::new());
        let pipeline =
            Pipeline::new(Some(name), Some(version), options.clone(), policies.0, policies.1, None);
        let (strange_tenants, places, services) = <_>::default();
        Self { cloud, options, pipeline, audience, strange_tenants, places, services }
    }

    pub(super) fn session(
        self: &Arc<Self>,
        server: &LoginServer,
    ) -> Result<RegistrySession, Error> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        // Registries that nobody speaks to need no entry.
        places.retain(|_, it| it.available_permits() < PLACES);
        let free = places.entry(server.clone()).or_insert_with(|| Arc::new(Semaphore::new(PLACES)));
        let place = Arc::clone(free).try_acquire_owned();
        let place = place.map_err(|_| Error::busy(server.as_str(), PLACES, None))?;
        Ok(RegistrySession { registries: Arc::clone(self), server: server.clone(), _place: place })
    }

    fn is_strange(&self, tenant: &str) -> bool {
        let all = self.strange_tenants.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().any(|it| it == tenant)
    }
}

impl RegistrySession {
    /// Makes a refresh token of the registry, and proves it.
    ///
    /// # Errors
    /// When Entra or the registry does not accept the principal, or does not answer.
    pub async fn registry_token(
        &self,
        principal: &ServicePrincipal,
        probe: &Probe,
    ) -> Result<Minted, Error> {
        #[derive(Deserialize)]
        struct Wire {
            refresh_token: String,
        }
        let (token, by_arm_audience) = self.sign_in(principal).await?;
        let attempt = self.attempt("getting a token from registry");
        let service = self.service(&attempt).await?;
        let url = self.url(&attempt, "/oauth2/exchange")?;
        let form = form(
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
        Ok(Minted { credential, proof, by_arm_audience })
    }

    /// Takes the principal's own id and secret, and proves them.
    ///
    /// # Errors
    /// When Entra or the registry does not accept the principal, or does not answer.
    pub async fn client_secret(
        &self,
        principal: &ServicePrincipal,
        secret: &Secret,
        probe: &Probe,
    ) -> Result<Minted, Error> {
        let (_, by_arm_audience) = self.sign_in(principal).await?;
        let (user, password) = (principal.client.clone(), secret.clone());
        let credential = Credential { user, password, expires: None, life: None };
        let proof = self.prove(&credential, probe).await?;
        Ok(Minted { credential, proof, by_arm_audience })
    }

    /// Asks the registry about a credential.
    ///
    /// # Errors
    /// When it refuses it, or does not answer.
    pub async fn prove(&self, credential: &Credential, probe: &Probe) -> Result<Proof, Error> {
        let proof = match probe {
            Probe::Login => self.log_in(credential).await.map(|()| Proof::Proven),
            Probe::Repository(name) => self.try_repository(credential, name).await,
        };
        match proof {
            Err(error) if error.is_firewall() => Ok(Proof::Unproven(Doubt::Firewall)),
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
            // It may be the repository, which is invented, or the credential.
            self.log_in(credential).await?;
            return Ok(Proof::Unproven(Doubt::Repository));
        }
        // Only a refusal says that not everybody may pull.
        let anybody = match self.access(None, Some(name)).await {
            Err(error) if error.is_refused() => false,
            answer => answer?,
        };
        Ok(if anybody { Proof::Unproven(Doubt::Anonymous) } else { Proof::Proven })
    }

    /// Asks for an access token as container runtimes do, and tells whether it lets pull.
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
        // What does not fit may be a token, so that only the place of the mistake is told.
        let parsed = serde_json::from_slice(answer.body().as_ref());
        parsed.map_err(|error| {
            let place = format!("{:?} at column {}", error.classify(), error.column());
            Error::unreadable(attempt, place)
        })
    }

    fn url(&self, attempt: &Attempt, path: &str) -> Result<Url, Error> {
        let url = Url::parse(&format!("https://{}{path}", self.server));
        url.map_err(|error| Error::unreadable(attempt, error))
    }

    fn attempt(&self, doing: &'static str) -> Attempt {
        let target = self.server.to_string();
        Attempt { subject: Subject::LoginServer, doing, target, ..Attempt::default() }
    }
}

/// When a token ends, and how long it lives: the clock here may be another than the registry's.
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

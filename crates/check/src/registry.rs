//! The endpoints of a registry, as container runtimes and the kubelet's credential provider use them
//! (distribution, docs/content/spec; Azure/acr, docs/AAD-OAuth.md).

use std::time::Duration;

use acr_attach_azure::{Refusal, claims, form_body};
use acr_attach_core::ids::LoginServer;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Client, Method, Url};
use serde::Deserialize;
use serde_json::Value;

use super::http::{self, Fault, send};
use super::instance_metadata::NodeToken;
use crate::docker_config::Login;
use crate::findings::challenge::{Challenge, Denied, TokenService};
use crate::findings::credential::Outcome;
use crate::findings::manifest::Manifest;
use crate::image::{Image, Platform};

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The media types that container runtimes accept. A registry does not serve other manifests.
const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// The media types of image indexes, which list images by platform.
const INDEX_TYPES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// Asks a registry without a credential, and reads its challenge.
pub(super) async fn challenge(http: &Client, server: &LoginServer) -> Result<Challenge, Fault> {
    let answer = send(http.get(format!("https://{server}/v2/")), DEADLINE).await?;
    Ok(Challenge {
        status: answer.status,
        authenticate: answer.header(WWW_AUTHENTICATE.as_str()),
        denied: denied(&answer),
    })
}

/// A client for a registry whose token service is known.
pub(super) struct Registry<'a> {
    pub http: &'a Client,
    pub server: &'a LoginServer,
    pub tokens: TokenService,
}

impl Registry<'_> {
    /// Exchanges a token of Entra for a refresh token, as the credential provider on the node does: at the host
    /// and for the service in the registry's challenge (cloud-provider-azure,
    /// `pkg/credentialprovider/azure_acr_helper.go`).
    pub async fn exchange(&self, node: &NodeToken) -> Result<String, Outcome> {
        let fields = [
            ("grant_type", "access_token"),
            ("service", &self.tokens.service),
            ("tenant", &node.tenant),
            ("access_token", &node.token),
        ];
        let url = Url::parse(&self.tokens.realm).and_then(|it| it.join("/oauth2/exchange"));
        let url = url.map_err(|it| no_answer(&it))?;
        let body = form_body(&url, &fields);
        let request = self.http.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = send(request.body(body), DEADLINE).await.map_err(|it| no_answer(&it))?;
        match answer.status {
            200 => answer
                .text("refresh_token")
                .ok_or_else(|| no_answer(&"there is no token in its answer")),
            401 => Err(Outcome::NotExchanged),
            _ => Err(other_outcome(&answer)),
        }
    }

    /// Requests an access token as container runtimes do. Without a login the request is anonymous. Without a
    /// repository it only checks the credential.
    pub async fn access(
        &self,
        login: Option<&Login>,
        repository: Option<&str>,
    ) -> (Outcome, Option<String>) {
        match (self.token(login, repository).await, repository) {
            (Ok(token), Some(name)) if allows_pull(&token, name) => (Outcome::Pulls, Some(token)),
            (Ok(_), Some(_)) => (Outcome::NoRight, None),
            (Ok(token), None) => (Outcome::Accepted, Some(token)),
            // Either the credential or the access to the repository is refused.
            (Err(Outcome::Refused { .. }), Some(_)) if login.is_some() => {
                match self.token(login, None).await {
                    Ok(_) => (Outcome::NoRight, None),
                    Err(outcome) => (outcome, None),
                }
            }
            (Err(outcome), _) => (outcome, None),
        }
    }

    async fn token(
        &self,
        login: Option<&Login>,
        repository: Option<&str>,
    ) -> Result<String, Outcome> {
        let mut query = vec![("service", self.tokens.service.clone())];
        query.extend(repository.map(|it| ("scope", format!("repository:{it}:pull"))));
        let url = Url::parse_with_params(&self.tokens.realm, query);
        let mut request = self.http.get(url.map_err(|it| no_answer(&it))?);
        if let Some(login) = login {
            // Container runtimes send any bytes, so the header must not require UTF-8.
            request = request.header(AUTHORIZATION, login.basic());
        }
        let answer = send(request, DEADLINE).await.map_err(|it| no_answer(&it))?;
        match answer.status {
            200 => answer
                .text("access_token")
                .ok_or_else(|| no_answer(&"there is no token in its answer")),
            // Azure/docker-login issue 46 has these words. The message itself is not shown, since it may repeat
            // the secret that was sent.
            401 => Err(Outcome::Refused {
                expired: None,
                flaw: login.and_then(Login::flaw),
                wrong_secret: Refusal::of(401, &answer.body)
                    .message
                    .contains("Invalid clientid or client secret"),
            }),
            _ => Err(other_outcome(&answer)),
        }
    }

    /// Looks for the image, and for its platforms if it is an index.
    pub async fn manifest(&self, image: &Image, token: &str) -> Manifest {
        self.find(image, token).await.unwrap_or_else(|it| it)
    }

    async fn find(&self, image: &Image, token: &str) -> Result<Manifest, Manifest> {
        let head = self.ask(Method::HEAD, image, &image.reference, token).await?;
        let digest = head.header("docker-content-digest");
        let kind = head.header(CONTENT_TYPE.as_str()).unwrap_or_default();
        if !kind.split(';').next().is_some_and(|it| INDEX_TYPES.contains(&it.trim())) {
            return Ok(Manifest::Found(digest));
        }
        let reference = digest.as_ref().unwrap_or(&image.reference);
        let index = self.ask(Method::GET, image, reference, token).await?;
        let index: Index = serde_json::from_slice(&index.body)
            .map_err(|_| Manifest::NoAnswer("its index cannot be read".to_owned()))?;
        let platforms = index.manifests.into_iter().map(|it| it.platform).collect();
        Ok(Manifest::Index { digest, platforms })
    }

    async fn ask(
        &self,
        method: Method,
        image: &Image,
        reference: &str,
        token: &str,
    ) -> Result<http::Answer, Manifest> {
        let url = format!("https://{}/v2/{}/manifests/{reference}", self.server, image.repository);
        let request =
            self.http.request(method, url).header(ACCEPT, MANIFEST_TYPES).bearer_auth(token);
        match send(request, DEADLINE).await {
            Ok(answer) if answer.status == 200 => Ok(answer),
            Ok(answer) => Err(Manifest::Refused(answer.status)),
            Err(fault) => Err(Manifest::NoAnswer(fault.to_string())),
        }
    }
}

/// The fields of an index that are used (OCI image specification, `image-index.md`).
#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    platform: Option<Platform>,
}

fn no_answer(reason: &impl ToString) -> Outcome {
    Outcome::NoAnswer(reason.to_string())
}

/// The outcome of an answer that neither accepts nor refuses the credential.
fn other_outcome(answer: &http::Answer) -> Outcome {
    denied(answer).map_or(Outcome::Other(answer.status), Outcome::Denied)
}

/// The refusal of the registry's firewall; `None` for any other answer.
fn denied(answer: &http::Answer) -> Option<Denied> {
    let refusal = Refusal::of(answer.status, &answer.body);
    let is_firewall = answer.status == 403 && refusal.code == "DENIED";
    is_firewall.then(|| Denied { address: refusal.address() })
}

/// Whether an access token allows pulling from the repository.
fn allows_pull(token: &str, repository: &str) -> bool {
    let claims = claims(token).unwrap_or_default();
    let pulls = |it: &Value| {
        let actions = it["actions"].as_array();
        it["name"] == repository
            && actions.is_some_and(|it| it.iter().any(|it| it == "pull" || it == "*"))
    };
    claims["access"].as_array().is_some_and(|it| it.iter().any(pulls))
}

//! A registry's own endpoints, as container runtimes and the kubelet's credential provider use them
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
use crate::findings::credential::Answer;
use crate::findings::manifest::Manifest;
use crate::image::{Image, Platform};

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// What container runtimes take. A registry hides manifests of other kinds.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// Those of them that list images by platform.
const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// What a registry answers without a credential.
pub(super) async fn challenge(http: &Client, server: &LoginServer) -> Result<Challenge, Fault> {
    let answer = send(http.get(format!("https://{server}/v2/")), DEADLINE).await?;
    Ok(Challenge {
        status: answer.status,
        authenticate: answer.header(WWW_AUTHENTICATE.as_str()),
        denied: denied(&answer),
    })
}

/// A registry that says where it gives tokens.
pub(super) struct Registry<'a> {
    pub http: &'a Client,
    pub server: &'a LoginServer,
    pub tokens: TokenService,
}

impl Registry<'_> {
    /// Exchanges a token of Entra for a refresh token, as the credential provider on the node does: at the host
    /// that the registry sends to, for the service that it names (cloud-provider-azure,
    /// `pkg/credentialprovider/azure_acr_helper.go`).
    pub async fn exchange(&self, node: &NodeToken) -> Result<String, Answer> {
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
            401 => Err(Answer::NotExchanged),
            _ => Err(other(&answer)),
        }
    }

    /// Asks for an access token as container runtimes do, with a credential or without, to pull from a
    /// repository or for nothing.
    pub async fn access(
        &self,
        login: Option<&Login>,
        repository: Option<&str>,
    ) -> (Answer, Option<String>) {
        match (self.token(login, repository).await, repository) {
            (Ok(token), Some(name)) if may_pull(&token, name) => (Answer::Pulls, Some(token)),
            (Ok(_), Some(_)) => (Answer::NoRight, None),
            (Ok(token), None) => (Answer::Accepted, Some(token)),
            // It may be the repository, or the credential.
            (Err(Answer::Refused { .. }), Some(_)) if login.is_some() => {
                match self.token(login, None).await {
                    Ok(_) => (Answer::NoRight, None),
                    Err(answer) => (answer, None),
                }
            }
            (Err(answer), _) => (answer, None),
        }
    }

    async fn token(
        &self,
        login: Option<&Login>,
        repository: Option<&str>,
    ) -> Result<String, Answer> {
        let mut query = vec![("service", self.tokens.service.clone())];
        query.extend(repository.map(|it| ("scope", format!("repository:{it}:pull"))));
        let url = Url::parse_with_params(&self.tokens.realm, query);
        let mut request = self.http.get(url.map_err(|it| no_answer(&it))?);
        if let Some(login) = login {
            // Base64 takes any bytes, and so do container runtimes.
            request = request.header(AUTHORIZATION, login.basic());
        }
        let answer = send(request, DEADLINE).await.map_err(|it| no_answer(&it))?;
        match answer.status {
            200 => answer
                .text("access_token")
                .ok_or_else(|| no_answer(&"there is no token in its answer")),
            // The words of Azure/docker-login issue 46. What a registry says is not repeated: it may be what
            // it was sent.
            401 => Err(Answer::Refused {
                ended: None,
                flaw: login.and_then(Login::flaw),
                wrong_secret: Refusal::of(401, &answer.body)
                    .message
                    .contains("Invalid clientid or client secret"),
            }),
            _ => Err(other(&answer)),
        }
    }

    /// Whether the image is there, and for which platforms where there are several.
    pub async fn manifest(&self, image: &Image, token: &str) -> Manifest {
        self.found(image, token).await.unwrap_or_else(|it| it)
    }

    async fn found(&self, image: &Image, token: &str) -> Result<Manifest, Manifest> {
        let head = self.ask(Method::HEAD, image, &image.reference, token).await?;
        let digest = head.header("docker-content-digest");
        let kind = head.header(CONTENT_TYPE.as_str()).unwrap_or_default();
        if !kind.split(';').next().is_some_and(|it| INDEXES.contains(&it.trim())) {
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
        let request = self.http.request(method, url).header(ACCEPT, MANIFESTS).bearer_auth(token);
        match send(request, DEADLINE).await {
            Ok(answer) if answer.status == 200 => Ok(answer),
            Ok(answer) => Err(Manifest::Refused(answer.status)),
            Err(fault) => Err(Manifest::NoAnswer(fault.to_string())),
        }
    }
}

/// What is read of an index (OCI image specification, `image-index.md`).
#[derive(Deserialize)]
struct Index {
    manifests: Vec<Described>,
}

#[derive(Deserialize)]
struct Described {
    platform: Option<Platform>,
}

fn no_answer(reason: &impl ToString) -> Answer {
    Answer::NoAnswer(reason.to_string())
}

/// An answer that says nothing of the credential.
fn other(answer: &http::Answer) -> Answer {
    denied(answer).map_or(Answer::Other(answer.status), Answer::Denied)
}

/// The firewall's refusal, if that is it.
fn denied(answer: &http::Answer) -> Option<Denied> {
    let refusal = Refusal::of(answer.status, &answer.body);
    let is_firewall = answer.status == 403 && refusal.code == "DENIED";
    is_firewall.then(|| Denied { address: refusal.address() })
}

/// Whether an access token lets pull from that repository.
fn may_pull(token: &str, repository: &str) -> bool {
    let claims = claims(token).unwrap_or_default();
    let pulls = |it: &Value| {
        let actions = it["actions"].as_array();
        it["name"] == repository
            && actions.is_some_and(|it| it.iter().any(|it| it == "pull" || it == "*"))
    };
    claims["access"].as_array().is_some_and(|it| it.iter().any(pulls))
}

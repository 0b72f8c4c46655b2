//! A registry's own endpoints, as container runtimes and the kubelet's credential provider use them
//! (distribution, docs/content/spec; Azure/acr, docs/AAD-OAuth.md).

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Client, Url};
use serde_json::Value;

use super::http::{Fault, send};
use super::instance_metadata::NodeToken;
use crate::azure::{Refusal, claims, form};
use crate::domain::check::credential::Answer;
use crate::domain::check::manifest::Manifest;
use crate::domain::check::network::Challenge;
use crate::domain::image::Image;
use crate::domain::names::LoginServer;

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// What container runtimes take. A registry hides manifests of other kinds.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// A registry.
pub(super) struct Registry<'a> {
    pub http: &'a Client,
    pub server: &'a LoginServer,
}

impl Registry<'_> {
    /// What it answers without a credential.
    pub async fn challenge(&self) -> Result<Challenge, Fault> {
        let answer = send(self.http.get(self.url("/v2/")), DEADLINE).await?;
        let refusal = Refusal::of(answer.status, &answer.body);
        Ok(Challenge {
            status: answer.status,
            authenticate: answer.header(WWW_AUTHENTICATE.as_str()),
            address: refusal.address(),
            code: refusal.code,
        })
    }

    /// Exchanges a token of Entra for a refresh token, as the credential provider on the node does.
    pub async fn exchange(&self, node: &NodeToken) -> Result<String, Answer> {
        let fields = [
            ("grant_type", "access_token"),
            ("service", self.server.as_str()),
            ("tenant", &node.tenant),
            ("access_token", &node.token),
        ];
        let url = self.url("/oauth2/exchange");
        let body = form(&Url::parse(&url).map_err(|it| no_answer(&it))?, &fields);
        let request = self.http.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = send(request.body(body), DEADLINE).await.map_err(|it| no_answer(&it))?;
        match answer.status {
            200 => answer
                .text("refresh_token")
                .ok_or_else(|| no_answer(&"there is no token in its answer")),
            401 => Err(Answer::NotExchanged),
            status => Err(Answer::Other(status)),
        }
    }

    /// Asks for an access token as container runtimes do, with a credential or without, to pull from a
    /// repository or for nothing.
    pub async fn access(
        &self,
        login: Option<(&str, &str)>,
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
        login: Option<(&str, &str)>,
        repository: Option<&str>,
    ) -> Result<String, Answer> {
        let mut query = vec![("service", self.server.to_string())];
        query.extend(repository.map(|it| ("scope", format!("repository:{it}:pull"))));
        let url = Url::parse_with_params(&self.url("/oauth2/token"), query);
        let mut request = self.http.get(url.map_err(|it| no_answer(&it))?);
        if let Some((user, password)) = login {
            request = request.basic_auth(user, Some(password));
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
                wrong_secret: Refusal::of(401, &answer.body)
                    .message
                    .contains("Invalid clientid or client secret"),
            }),
            status => Err(Answer::Other(status)),
        }
    }

    /// Whether the image is there.
    pub async fn manifest(&self, image: &Image, token: &str) -> Manifest {
        let Image { repository, reference } = image;
        let url = self.url(&format!("/v2/{repository}/manifests/{reference}"));
        let request = self.http.head(url).header(ACCEPT, MANIFESTS).bearer_auth(token);
        match send(request, DEADLINE).await {
            Ok(answer) if answer.status == 200 => {
                Manifest::Found(answer.header("docker-content-digest"))
            }
            Ok(answer) => Manifest::Refused(answer.status),
            Err(fault) => Manifest::NoAnswer(fault.to_string()),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.server)
    }
}

fn no_answer(reason: &impl ToString) -> Answer {
    Answer::NoAnswer(reason.to_string())
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

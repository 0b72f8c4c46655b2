//! What a container runtime does with a pull secret: it asks for a manifest, is told where to get
//! a token, gets one with user and password, and asks again.

use anyhow::{Context as _, Result, anyhow, bail};
use k8s_openapi::api::core::v1::Secret;
use reqwest::{
    Client, RequestBuilder, Response, StatusCode, Url,
    header::{ACCEPT, WWW_AUTHENTICATE},
};
use serde_json::Value;

const CONTENT: &str = ".dockerconfigjson";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DIGEST: &str = "docker-content-digest";

/// User and password for one registry. It has no `Debug`: neither is for the terminal.
pub struct Login {
    user: String,
    password: String,
}

impl Login {
    /// Takes them from a pull secret.
    ///
    /// # Errors
    /// When it holds none for that registry.
    pub fn of(secret: &Secret, server: &str) -> Result<Self> {
        let data = secret.data.as_ref().and_then(|it| it.get(CONTENT));
        let data = data.with_context(|| format!("the Secret has no {CONTENT}"))?;
        // What is wrong with it is not told: that could quote it.
        let config: Value =
            serde_json::from_slice(&data.0).map_err(|_| anyhow!("{CONTENT} is no JSON"))?;
        let text = |name: &str| config["auths"][server][name].as_str().map(str::to_owned);
        let login = text("username").zip(text("password"));
        let (user, password) = login.with_context(|| format!("it has no login for {server}"))?;
        Ok(Self { user, password })
    }
}

/// A request and its answer, without any credential.
#[derive(Debug)]
pub struct Exchange {
    /// Method, path and query.
    pub asked: String,
    /// What it was asked with.
    pub with: &'static str,
    /// The status of the answer.
    pub answer: StatusCode,
}

/// Pulls the manifest of `server`/`repository`:`tag`, and returns what it took.
///
/// # Errors
/// When the registry gives it to everybody, or does not take the login.
pub async fn pull(
    http: &Client,
    login: &Login,
    (server, repository, tag): (&str, &str, &str),
) -> Result<Vec<Exchange>> {
    let url: Url = format!("https://{server}/v2/{repository}/manifests/{tag}").parse()?;
    let manifest = || http.get(url.clone()).header(ACCEPT, MANIFEST);
    let mut exchanges = Vec::new();

    let answer = send(manifest(), "nothing", &mut exchanges).await?;
    let challenge = answer.headers().get(WWW_AUTHENTICATE).and_then(|it| it.to_str().ok());
    if answer.status() != StatusCode::UNAUTHORIZED {
        bail!("{url} was answered {} to somebody without a credential", answer.status());
    }
    let where_to =
        challenge.and_then(token_url).context("the registry does not ask for a token")?;

    let request = http.get(where_to).basic_auth(&login.user, Some(&login.password));
    let answer = send(request, "the Secret", &mut exchanges).await?.error_for_status()?;
    let answer: Value =
        serde_json::from_slice(&answer.bytes().await?).map_err(|_| anyhow!("no JSON, no token"))?;
    let token = answer["access_token"].as_str().context("the registry gave no token")?;

    let answer = send(manifest().bearer_auth(token), "the token", &mut exchanges).await?;
    let answer = answer.error_for_status()?;
    answer.headers().get(DIGEST).context("the manifest came without its digest")?;
    Ok(exchanges)
}

/// What the registry answers to a login that asks to pull from a repository.
///
/// # Errors
/// When it does not answer.
pub async fn answer(
    http: &Client,
    login: &Login,
    (server, repository, _): (&str, &str, &str),
) -> Result<StatusCode> {
    let asked = format!("service={server}&scope=repository:{repository}:pull");
    let request = http.get(format!("https://{server}/oauth2/token?{asked}"));
    Ok(request.basic_auth(&login.user, Some(&login.password)).send().await?.status())
}

async fn send(
    request: RequestBuilder,
    with: &'static str,
    exchanges: &mut Vec<Exchange>,
) -> Result<Response> {
    let answer = request.send().await?;
    let url = answer.url();
    let query = url.query().map(|it| format!("?{it}")).unwrap_or_default();
    let asked = format!("GET {}{query}", url.path());
    exchanges.push(Exchange { asked, with, answer: answer.status() });
    Ok(answer)
}

/// Where a challenge sends for a token
/// (distribution, `docs/content/spec/auth/token.md`).
fn token_url(challenge: &str) -> Option<Url> {
    let mut parts = challenge.strip_prefix("Bearer ")?.split('"');
    let (mut realm, mut query) = (None, Vec::new());
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        match name.trim_matches([',', ' ', '=']) {
            "realm" => realm = Some(value),
            name => query.push(format!("{name}={value}")),
        }
    }
    format!("{}?{}", realm?, query.join("&")).parse().ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn a_challenge_tells_where_to_get_a_token_for_what() {
        let challenge = concat!(
            r#"Bearer realm="https://contoso.azurecr.io/oauth2/token","#,
            r#"service="contoso.azurecr.io",scope="repository:hello:pull,push""#
        );
        let url = token_url(challenge).unwrap();
        let expected = "service=contoso.azurecr.io&scope=repository:hello:pull,push";
        assert_eq!((url.path(), url.query()), ("/oauth2/token", Some(expected)));
        assert_eq!(token_url("Basic realm=\"https://contoso.azurecr.io\""), None);
        assert_eq!(token_url("Bearer service=\"contoso.azurecr.io\""), None);
    }

    #[test]
    fn a_login_is_for_one_registry() {
        let text = r#"{"auths": {"a.azurecr.io": {"username": "u", "password": "p"}}}"#;
        let data = [(CONTENT.to_owned(), ByteString(text.into()))].into();
        let secret = Secret { data: Some(data), ..Secret::default() };
        let login = Login::of(&secret, "a.azurecr.io").unwrap();
        assert_eq!((&*login.user, &*login.password), ("u", "p"));
        assert!(Login::of(&secret, "b.azurecr.io").is_err());
        assert!(Login::of(&Secret::default(), "a.azurecr.io").is_err());
    }
}

//! The request path of Azure Resource Manager: token, paging, error body, deadline. Microsoft Graph
//! answers in the same form, and uses it too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use acr_attach_core::ids::PrincipalId;
use azure_core::http::headers::CONTENT_TYPE;
use azure_core::http::policies::Policy;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_core::http::{
    ClientOptions, Context, Method, Pipeline, PipelineSendOptions, Request, Url,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::cloud::Cloud;
use super::entra::{Identity, ServicePrincipal};
use super::error::{Attempt, Error, Refusal};
use super::rate_limiter::{self, RateLimiters, Reservation};
use super::versions::Versions;

/// How long one request may take, with the sign-in before it. (The sign-in by instance metadata has
/// retries of its own, which no option turns off.)
const DEADLINE: Duration = Duration::from_secs(45);
/// How many pages one list may have.
const MAX_PAGES: usize = 50;

/// A client for Azure Resource Manager with one identity, for one reconcile.
#[derive(Debug)]
pub(super) struct Arm {
    cloud: Cloud,
    /// The URL before all paths, without a slash at the end. Tokens are sent only there.
    base: &'static str,
    identity: Identity,
    options: ClientOptions,
    pipeline: Arc<Mutex<Option<Arc<Pipeline>>>>,
    versions: Arc<Versions>,
    reservation: Reservation,
}

/// A request to send.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub attempt: &'a Attempt,
    pub method: Method,
    /// The path and query after the host.
    pub path: String,
    pub body: Option<serde_json::Value>,
}

impl<'a> Call<'a> {
    pub(super) fn get(attempt: &'a Attempt, path: String) -> Self {
        Self { attempt, method: Method::Get, path, body: None }
    }
}

impl Arm {
    pub(super) fn new(
        cloud: Cloud,
        identity: Identity,
        options: ClientOptions,
        limiters: &Arc<RateLimiters>,
    ) -> Self {
        Self {
            cloud,
            base: cloud.arm(),
            identity,
            options,
            pipeline: Arc::default(),
            versions: Arc::default(),
            reservation: Reservation::empty(limiters),
        }
    }

    /// The same client with an empty reservation, for another reconcile.
    pub(super) fn for_reconcile(&self) -> Self {
        Self {
            cloud: self.cloud,
            base: self.base,
            identity: self.identity.clone(),
            options: self.options.clone(),
            pipeline: Arc::clone(&self.pipeline),
            versions: Arc::clone(&self.versions),
            reservation: self.reservation.for_reconcile(),
        }
    }

    /// A client for Microsoft Graph with the same identity. It signs in again, because a token of Graph
    /// contains the rights: an older token would not show a right that was granted since.
    pub(super) fn graph(&self) -> Self {
        Self { base: self.cloud.graph(), pipeline: Arc::default(), ..self.for_reconcile() }
    }

    /// The object id of a service principal, from its own token for Azure Resource Manager.
    pub(super) async fn object_id_of(
        &self,
        principal: &ServicePrincipal,
    ) -> Result<PrincipalId, Error> {
        principal.object_id(self.cloud.arm(), self.options.clone()).await
    }

    /// Sends a request and reads the answer; `None` for an answer without a body.
    ///
    /// Azure may refuse a token that has not expired, because it was revoked or the clock is wrong.
    /// Such a token is replaced once. An api-version that Azure does not support is replaced by a
    /// supported one.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
    ) -> Result<Option<T>, Error> {
        let pipeline = self.pipeline(call.attempt)?;
        let sent = self.versions.version(&call.path, Instant::now());
        let answer = match self.try_send(call, &pipeline).await {
            Err(error) if error.is_token_refused() => {
                self.discard(&pipeline);
                let pipeline = self.pipeline(call.attempt)?;
                self.try_send(call, &pipeline).await?
            }
            Err(error) if self.has_other_version(call, &sent, &error) => {
                self.try_send(call, &pipeline).await?
            }
            answer => answer?,
        };
        if answer.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&answer)
            .map(Some)
            .map_err(|error| Error::unreadable(call.attempt, error))
    }

    /// Whether the error lists another api-version for a retry. That version is recorded.
    fn has_other_version(&self, call: &Call<'_>, sent: &str, refusal: &Error) -> bool {
        self.versions.record(&call.path, sent, refusal.versions(), Instant::now())
    }

    /// Sends a request whose successful answer always has a body.
    pub(super) async fn read<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, Error> {
        let answer = self.send(call).await?;
        answer.ok_or_else(|| Error::unreadable(call.attempt, "it is empty"))
    }

    /// Reads all pages of a list.
    pub(super) async fn list<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<Vec<T>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page<T> {
            value: Vec<T>,
            next_link: Option<String>,
        }
        let mut call = call;
        let mut all = Vec::new();
        for _ in 0..MAX_PAGES {
            let page: Page<T> = self.read(&call).await?;
            all.extend(page.value);
            let Some(link) = page.next_link.filter(|it| !it.is_empty()) else { return Ok(all) };
            call.path = self.path_of(&link).ok_or_else(|| {
                Error::unreadable(call.attempt, "its next page is on another host")
            })?;
        }
        Err(Error::unreadable(call.attempt, format!("it has more than {MAX_PAGES} pages")))
    }

    /// Path and query of a link; `None` if it leads to another host than the token may be sent to.
    fn path_of(&self, link: &str) -> Option<String> {
        let (link, base) = (Url::parse(link).ok()?, Url::parse(self.base).ok()?);
        let query = link.query().map_or_else(String::new, |it| format!("?{it}"));
        (link.origin() == base.origin()).then(|| format!("{}{query}", link.path()))
    }

    /// The api-version that is sent for a path: the one in it, or its replacement.
    pub(super) fn version(&self, path: &str) -> String {
        self.versions.version(path, Instant::now())
    }

    async fn try_send(&self, call: &Call<'_>, pipeline: &Pipeline) -> Result<Vec<u8>, Error> {
        let key = rate_limiter::key(&call.path);
        let limited = |it| Error::rate_limited(call.attempt, key, it);
        self.reservation.acquire(key, call.method, Instant::now()).map_err(limited)?;
        let answer = self.exchange(call, pipeline).await;
        if let Some(wait) = answer.as_ref().err().and_then(Error::pause) {
            self.reservation.pause(key, call.method, wait, Instant::now());
        }
        answer
    }

    async fn exchange(&self, call: &Call<'_>, pipeline: &Pipeline) -> Result<Vec<u8>, Error> {
        let mut request = self.request(call)?;
        let context = Context::new();
        let options = PipelineSendOptions { skip_checks: true, ..PipelineSendOptions::default() };
        let answer = pipeline.send(&context, &mut request, Some(options));
        let answer = tokio::time::timeout(DEADLINE, answer)
            .await
            .map_err(|_| Error::timed_out(call.attempt, DEADLINE))?
            .map_err(|error| Error::failed(call.attempt, &self.identity, &error))?;
        if answer.status().is_success() {
            return Ok(answer.into_body().as_ref().to_vec());
        }
        Err(Error::refused(call.attempt, Refusal::read(&answer)))
    }

    fn request(&self, call: &Call<'_>) -> Result<Request, Error> {
        let path = self.versions.replaced(&call.path, Instant::now());
        let url = Url::parse(&format!("{}{path}", self.base))
            .map_err(|error| Error::unreadable(call.attempt, error))?;
        let mut request = Request::new(url, call.method);
        if let Some(body) = &call.body {
            request.insert_header(CONTENT_TYPE, "application/json");
            request.set_body(body.to_string());
        }
        Ok(request)
    }

    /// The pipeline that adds the identity's token to requests.
    fn pipeline(&self, attempt: &Attempt) -> Result<Arc<Pipeline>, Error> {
        let mut current = self.pipeline.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = current.as_ref() {
            return Ok(Arc::clone(pipeline));
        }
        let credential = self.identity.credential(self.options.clone());
        let credential = credential
            .map_err(|error| Error::failed(attempt, &self.identity, &error))?
            .ok_or_else(|| Error::no_identity(attempt))?;
        let scope = format!("{}/.default", self.base);
        let bearer: Arc<dyn Policy> =
            Arc::new(BearerTokenAuthorizationPolicy::new(credential, [scope]));
        let pipeline = Arc::new(Pipeline::new(
            Some(env!("CARGO_PKG_NAME")),
            Some(env!("CARGO_PKG_VERSION")),
            self.options.clone(),
            Vec::new(),
            vec![bearer],
            None,
        ));
        Ok(Arc::clone(current.insert(pipeline)))
    }

    /// Discards a pipeline whose token was refused, unless another call has replaced it already. The
    /// next request signs in again: a credential keeps its token until that expires, so only a new
    /// credential gets a new token.
    fn discard(&self, refused: &Arc<Pipeline>) {
        let mut current = self.pipeline.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|it| Arc::ptr_eq(it, refused)) {
            *current = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(
        "https://management.azure.com/a/b?x=1&$skiptoken=y%2Fz",
        Some("/a/b?x=1&$skiptoken=y%2Fz")
    )]
    #[case("https://MANAGEMENT.azure.com:443/a", Some("/a"))]
    #[case("https://management.azure.com.evil/a", None)]
    #[case("https://management.azure.com@evil/a", None)]
    #[case("http://management.azure.com/a", None)]
    #[case("/a", None)]
    fn a_link_to_another_host_is_not_followed(#[case] link: &str, #[case] path: Option<&str>) {
        let options = ClientOptions::default();
        let arm = Arm::new(Cloud::Public, Identity::None, options, &Arc::default());
        assert_eq!(arm.path_of(link).as_deref(), path);
    }
}

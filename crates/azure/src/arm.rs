//! The one request path of Azure Resource Manager, and of Microsoft Graph, which answers alike:
//! token, paging, error body, deadline.

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
use super::gate::{self, Gates, Reserved};
use super::versions::Versions;

/// How long one request may take, the sign-in before it included. (Instance metadata has retries
/// of its own that options do not reach.)
const DEADLINE: Duration = Duration::from_secs(45);
/// How many pages one list may have.
const MOST_PAGES: usize = 50;

/// Azure Resource Manager, as one identity sees it, for one pass.
#[derive(Debug)]
pub(super) struct Arm {
    cloud: Cloud,
    /// The URL before all paths. Tokens go there and nowhere else.
    base: &'static str,
    identity: Identity,
    options: ClientOptions,
    session: Arc<Mutex<Option<Arc<Pipeline>>>>,
    versions: Arc<Versions>,
    reserved: Reserved,
}

/// A request, before it is sent.
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
        gates: &Arc<Gates>,
    ) -> Self {
        Self {
            cloud,
            base: cloud.arm(),
            identity,
            options,
            session: Arc::default(),
            versions: Arc::default(),
            reserved: Reserved::nothing(gates),
        }
    }

    /// The same for another pass.
    pub(super) fn for_a_pass(&self) -> Self {
        Self {
            cloud: self.cloud,
            base: self.base,
            identity: self.identity.clone(),
            options: self.options.clone(),
            session: Arc::clone(&self.session),
            versions: Arc::clone(&self.versions),
            reserved: self.reserved.anew(),
        }
    }

    /// Microsoft Graph, as the same identity sees it. It signs in anew: rights there are in the
    /// token, so that one from before a grant would not show it.
    pub(super) fn graph(&self) -> Self {
        Self { base: self.cloud.graph(), session: Arc::default(), ..self.for_a_pass() }
    }

    /// The object id of a service principal, as its own token for Azure Resource Manager says it.
    pub(super) async fn object_id_of(
        &self,
        principal: &ServicePrincipal,
    ) -> Result<PrincipalId, Error> {
        principal.object_id(self.cloud.arm(), self.options.clone()).await
    }

    /// Sends a request and reads its answer; `None` for an answer without a body.
    ///
    /// A token that is refused although it has not expired (it was revoked, or the clock is
    /// wrong) is replaced once. An api-version that Azure does not know is replaced by one that
    /// it knows.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
    ) -> Result<Option<T>, Error> {
        let session = self.session(call.attempt)?;
        let sent = self.versions.of(&call.path, Instant::now());
        let answer = match self.try_send(call, &session).await {
            Err(error) if error.is_token_refused() => {
                self.forget(&session);
                let session = self.session(call.attempt)?;
                self.try_send(call, &session).await?
            }
            Err(error) if self.learns(call, &sent, &error) => self.try_send(call, &session).await?,
            answer => answer?,
        };
        if answer.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&answer)
            .map(Some)
            .map_err(|error| Error::unreadable(call.attempt, error))
    }

    /// Whether that refusal of an api-version leaves another one to ask with.
    fn learns(&self, call: &Call<'_>, sent: &str, refusal: &Error) -> bool {
        self.versions.learn(&call.path, sent, refusal.versions(), Instant::now())
    }

    /// Reads something that is always there when the answer is good.
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
        for _ in 0..MOST_PAGES {
            let page: Page<T> = self.read(&call).await?;
            all.extend(page.value);
            let Some(link) = page.next_link.filter(|it| !it.is_empty()) else { return Ok(all) };
            call.path = self.path_of(&link).ok_or_else(|| {
                Error::unreadable(call.attempt, "its next page is on another host")
            })?;
        }
        Err(Error::unreadable(call.attempt, format!("it has more than {MOST_PAGES} pages")))
    }

    /// Path and query of a link, if it leads to where the token may go.
    fn path_of(&self, link: &str) -> Option<String> {
        let (link, base) = (Url::parse(link).ok()?, Url::parse(self.base).ok()?);
        let query = link.query().map_or_else(String::new, |it| format!("?{it}"));
        (link.origin() == base.origin()).then(|| format!("{}{query}", link.path()))
    }

    /// The api-version that a path is asked for with: the one in it, or one that stands in for it.
    pub(super) fn version(&self, path: &str) -> String {
        self.versions.of(path, Instant::now())
    }

    async fn try_send(&self, call: &Call<'_>, pipeline: &Pipeline) -> Result<Vec<u8>, Error> {
        let gate = gate::name(&call.path);
        let shut = |shut| Error::shut(call.attempt, gate, shut);
        self.reserved.pass(gate, call.method, Instant::now()).map_err(shut)?;
        let answer = self.exchange(call, pipeline).await;
        if let Some(wait) = answer.as_ref().err().and_then(Error::throttled) {
            self.reserved.pause(gate, call.method, wait, Instant::now());
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
        let path = self.versions.known(&call.path, Instant::now());
        let url = Url::parse(&format!("{}{path}", self.base))
            .map_err(|error| Error::unreadable(call.attempt, error))?;
        let mut request = Request::new(url, call.method);
        if let Some(body) = &call.body {
            request.insert_header(CONTENT_TYPE, "application/json");
            request.set_body(body.to_string());
        }
        Ok(request)
    }

    /// The pipeline that signs requests with the identity's token.
    fn session(&self, attempt: &Attempt) -> Result<Arc<Pipeline>, Error> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = session.as_ref() {
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
        Ok(Arc::clone(session.insert(pipeline)))
    }

    /// The next request signs in anew, unless another has done so meanwhile. The credential keeps
    /// a token until it expires, so only a new credential asks for another.
    fn forget(&self, refused: &Arc<Pipeline>) {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if session.as_ref().is_some_and(|it| Arc::ptr_eq(it, refused)) {
            *session = None;
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
    fn a_next_page_keeps_the_token_where_it_belongs(
        #[case] link: &str,
        #[case] path: Option<&str>,
    ) {
        let options = ClientOptions::default();
        let arm = Arm::new(Cloud::Public, Identity::None, options, &Arc::default());
        assert_eq!(arm.path_of(link).as_deref(), path);
    }
}

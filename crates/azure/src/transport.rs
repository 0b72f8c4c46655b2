//! The one way out: every request to Azure, tokens included, passes here. It bounds how long each
//! takes and how much it brings, counts them, and lets writes through only while this replica leads.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use acr_attach_core::lease::NotLeading;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, Headers, RETRY_AFTER};
use azure_core::http::{AsyncRawResponse, HttpClient, Method, Request, StatusCode, Transport};
use jiff::Timestamp;
use serde::Deserialize;
use thiserror::Error;

use super::cloud::Cloud;

/// How long one request may take, its whole answer included.
const DEADLINE: Duration = Duration::from_secs(20);
/// How much one answer may hold. A list of role assignments can be megabytes.
const MOST_BYTES: usize = 16 << 20;

/// By these Microsoft's support finds a request, and those that it led to.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");

/// Whether this process may write at the moment. Each request that changes something in Azure asks
/// before it is sent.
pub trait Fence: Debug + Send + Sync {
    /// Checks it.
    ///
    /// # Errors
    /// When it may not: another replica may be writing by now.
    fn check(&self) -> Result<(), NotLeading>;
}

/// Counts requests to Azure.
pub trait Recorder: Debug + Send + Sync {
    /// Counts a request: to which service, about what, with which HTTP status as an answer (`none`
    /// without one), and how long it took.
    fn requested(
        &self,
        service: &'static str,
        operation: &'static str,
        code: &str,
        duration: Duration,
    );

    /// Notes that a service answered with 429, for one subscription, one registry or all of Entra, and
    /// that this part of it gets no requests until then.
    fn throttled(&self, service: &'static str, until: Timestamp);
}

/// Why a request brought no answer that a caller could use.
#[derive(Debug, Error)]
pub(super) enum Fault {
    #[error("no answer from {0} within {limit} s", limit = DEADLINE.as_secs())]
    TimedOut(String),
    #[error("the answer from {0} is larger than {limit} MiB", limit = MOST_BYTES >> 20)]
    TooLarge(String),
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    #[error("{host}: {reason}")]
    Broken { host: String, reason: String },
    #[error("{}{description}", code.as_ref().map_or_else(String::new, |it| format!("{it}: ")))]
    SignIn { status: u16, code: Option<String>, description: String, retry_after: Option<Duration> },
}

/// That way, over one HTTP client.
pub(super) fn bounded(
    http: reqwest::Client,
    cloud: Cloud,
    fence: Arc<dyn Fence>,
    recorder: Arc<dyn Recorder>,
) -> Transport {
    Transport::new(Arc::new(Bounded { http, cloud, fence, recorder }))
}

#[derive(Debug)]
struct Bounded {
    http: reqwest::Client,
    cloud: Cloud,
    fence: Arc<dyn Fence>,
    recorder: Arc<dyn Recorder>,
}

#[async_trait::async_trait]
impl HttpClient for Bounded {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let host = request.url().host_str().unwrap_or_default().to_owned();
        let service = self.service(&host);
        let answer = self.answer(request, &host, service).await;
        answer.map_err(|fault| azure_core::Error::new(ErrorKind::Other, fault))
    }
}

impl Bounded {
    async fn answer(
        &self,
        request: &Request,
        host: &str,
        service: &'static str,
    ) -> Result<AsyncRawResponse, Fault> {
        let start = Instant::now();
        let answer = tokio::time::timeout(DEADLINE, self.exchange(request, host)).await;
        let answer = answer.unwrap_or_else(|_| Err(Fault::TimedOut(host.to_owned())));
        let code =
            answer.as_ref().map_or_else(|_| "none".to_owned(), |(status, ..)| status.to_string());
        let (operation, took) = (operation(request), start.elapsed());
        self.recorder.requested(service, operation, &code, took);
        let id =
            |name| answer.as_ref().ok().and_then(|(_, headers, _)| headers.get_optional_str(name));
        tracing::debug!(
            service,
            operation,
            code,
            milliseconds = took.as_millis(),
            azure_request_id = id(&REQUEST_ID),
            azure_correlation_id = id(&CORRELATION_ID),
            "asked Azure"
        );
        let (status, headers, body) = answer?;
        if status == StatusCode::TooManyRequests {
            let until = Timestamp::now() + wait(retry_after(&headers));
            self.recorder.throttled(service, until);
        }
        match service {
            ENTRA | IMDS if !status.is_success() => Err(refusal(status, &headers, &body)),
            _ => Ok(AsyncRawResponse::from_bytes(status, headers, body)),
        }
    }

    async fn exchange(
        &self,
        request: &Request,
        host: &str,
    ) -> Result<(StatusCode, Headers, Vec<u8>), Fault> {
        let broken = |reason: String| Fault::Broken { host: host.to_owned(), reason };
        if is_write(request) {
            self.fence.check()?;
        }
        let response = self.http.execute_request(request).await;
        let response = response.map_err(|error| broken(innermost(&error)))?;
        let (status, headers, mut stream) = response.deconstruct();
        let mut body = Vec::new();
        while let Some(part) = futures::StreamExt::next(&mut stream).await {
            body.extend_from_slice(&part.map_err(|error| broken(innermost(&error)))?);
            if body.len() > MOST_BYTES {
                return Err(Fault::TooLarge(host.to_owned()));
            }
        }
        Ok((status, headers, body))
    }

    fn service(&self, host: &str) -> &'static str {
        match host {
            "169.254.169.254" => IMDS,
            it if it == self.cloud.authority_host() => ENTRA,
            it if self.cloud.arm().ends_with(it) => "arm",
            it if self.cloud.graph().ends_with(it) => "graph",
            it if it.ends_with(self.cloud.login_server_suffix()) => "acr",
            _ => "other",
        }
    }
}

/// Whether a request changes something in Azure. Those for tokens are posted, and do not.
fn is_write(request: &Request) -> bool {
    matches!(request.method(), Method::Put | Method::Patch | Method::Delete)
}

const ENTRA: &str = "entra";
const IMDS: &str = "imds";

/// What a request is about, for metrics: its method and the kind of thing it names.
fn operation(request: &Request) -> &'static str {
    let path = request.url().path().to_ascii_lowercase();
    let names = |kind: &str| path.contains(kind);
    match request.method() {
        Method::Put if names("/roleassignments/") => "put_role_assignment",
        Method::Delete if names("/roleassignments/") => "delete_role_assignment",
        Method::Get if names("/roleassignments/") => "get_role_assignment",
        Method::Get if names("/roleassignments") => "list_role_assignments",
        Method::Get if names("/registries/") => "get_registry",
        Method::Get if names("/managedclusters/") => "get_managed_cluster",
        Method::Get if names("/registries") => "list_registries",
        Method::Get if names("/managedclusters") => "list_managed_clusters",
        Method::Get if names("/serviceprincipals") => "get_service_principal",
        Method::Get if names("/resourcegroups/") => "get_resource_group",
        _ if names("/oauth2/exchange") => "exchange",
        _ if names("/oauth2/") => "token",
        _ => "other",
    }
}

/// What was the matter in the end: the first errors of a chain only say that something was.
fn innermost(error: &azure_core::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// Reads a refusal of Entra or of instance metadata.
///
/// It is read here because `azure_identity` loses code and status of an answer whose text
/// contains a line break, as Entra's do.
fn refusal(status: StatusCode, headers: &Headers, body: &[u8]) -> Fault {
    #[derive(Deserialize, Default)]
    struct Body {
        #[serde(default)]
        error: String,
        #[serde(default)]
        error_description: String,
    }
    let status = u16::from(status);
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    // What follows, on lines of its own or on the same, differs at each try.
    let line = body.error_description.lines().next().unwrap_or_default();
    let line = line.split(" Trace ID:").next().unwrap_or_default();
    let (code, text) = match line.split_once(": ") {
        Some((code, text)) if code.starts_with("AADSTS") => (Some(code.to_owned()), text),
        _ => (None, line),
    };
    let description = match (text, body.error.as_str()) {
        ("", "") => format!("HTTP status {status}"),
        ("", error) => format!("HTTP status {status}, {error}"),
        (text, _) => text.to_owned(),
    };
    Fault::SignIn { status, code, description, retry_after: retry_after(headers) }
}

/// How long Azure is left alone after 429. It always sends Retry-After then; without it, half a
/// minute is half a token bucket. More than ten minutes it is not trusted to know.
pub(super) fn wait(retry_after: Option<Duration>) -> Duration {
    let wait = retry_after.unwrap_or(Duration::from_secs(30));
    wait.clamp(Duration::from_secs(1), Duration::from_secs(600))
}

/// Retry-After in seconds, as Azure Resource Manager and Entra send it.
pub(super) fn retry_after(headers: &Headers) -> Option<Duration> {
    let seconds: u64 = headers.get_optional_str(&RETRY_AFTER)?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

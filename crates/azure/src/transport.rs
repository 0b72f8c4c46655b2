//! The HTTP transport of every request to Azure, sign-ins included. It limits the time and the size
//! of each answer, counts requests, and sends writes only while this replica leads.

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

/// How long one request may take, until the end of its answer.
const DEADLINE: Duration = Duration::from_secs(20);
/// How large one answer may be. A list of role assignments can have megabytes.
const MAX_BYTES: usize = 16 << 20;

/// The header with the id by which Microsoft's support finds a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
/// The header with the id that relates a request to the requests that Azure made for it.
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");

/// The fence before writes: it says whether this replica may write now. Every request that changes
/// something in Azure is checked before it is sent.
pub trait Fence: Debug + Send + Sync {
    /// Checks that this replica may write.
    ///
    /// # Errors
    /// When this replica may not write, because another one may be the leader by now.
    fn check(&self) -> Result<(), NotLeading>;
}

/// Counts requests to Azure.
pub trait Recorder: Debug + Send + Sync {
    /// Counts a request: its service, its operation, the HTTP status of the answer (`none` without an
    /// answer), and how long it took.
    fn requested(
        &self,
        service: &'static str,
        operation: &'static str,
        code: &str,
        duration: Duration,
    );

    /// Records that a service answered with 429 for one subscription, one registry or all of Entra.
    /// That part of the service gets no requests until the given time.
    fn throttled(&self, service: &'static str, until: Timestamp);
}

/// Why a request has no usable answer.
#[derive(Debug, Error)]
pub(super) enum Fault {
    #[error("no answer from {0} within {limit} s", limit = DEADLINE.as_secs())]
    TimedOut(String),
    #[error("the answer from {0} is larger than {limit} MiB", limit = MAX_BYTES >> 20)]
    TooLarge(String),
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    #[error("{host}: {reason}")]
    Broken { host: String, reason: String },
    #[error("{}{description}", code.as_ref().map_or_else(String::new, |it| format!("{it}: ")))]
    SignIn { status: u16, code: Option<String>, description: String, retry_after: Option<Duration> },
}

/// The transport, over one HTTP client.
pub(super) fn bounded(
    http: reqwest::Client,
    cloud: Cloud,
    fence: Arc<dyn Fence>,
    recorder: Arc<dyn Recorder>,
) -> Transport {
    Transport::new(Arc::new(BoundedClient { http, cloud, fence, recorder }))
}

#[derive(Debug)]
struct BoundedClient {
    http: reqwest::Client,
    cloud: Cloud,
    fence: Arc<dyn Fence>,
    recorder: Arc<dyn Recorder>,
}

#[async_trait::async_trait]
impl HttpClient for BoundedClient {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let host = request.url().host_str().unwrap_or_default().to_owned();
        let service = self.service(&host);
        let answer = self.answer(request, &host, service).await;
        answer.map_err(|fault| azure_core::Error::new(ErrorKind::Other, fault))
    }
}

impl BoundedClient {
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
            let until = Timestamp::now() + pause(retry_after(&headers));
            self.recorder.throttled(service, until);
        }
        match service {
            ENTRA | IMDS if !status.is_success() => Err(sign_in_fault(status, &headers, &body)),
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
        let response = response.map_err(|error| broken(root_cause(&error)))?;
        let (status, headers, mut stream) = response.deconstruct();
        let mut body = Vec::new();
        while let Some(part) = futures::StreamExt::next(&mut stream).await {
            body.extend_from_slice(&part.map_err(|error| broken(root_cause(&error)))?);
            if body.len() > MAX_BYTES {
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

/// Whether a request changes something in Azure. POST is used for tokens only, and changes nothing.
fn is_write(request: &Request) -> bool {
    matches!(request.method(), Method::Put | Method::Patch | Method::Delete)
}

const ENTRA: &str = "entra";
const IMDS: &str = "imds";

/// The operation of a request, for metrics: its method and the kind of resource.
fn operation(request: &Request) -> &'static str {
    let path = request.url().path().to_ascii_lowercase();
    let has = |kind: &str| path.contains(kind);
    match request.method() {
        Method::Put if has("/roleassignments/") => "put_role_assignment",
        Method::Delete if has("/roleassignments/") => "delete_role_assignment",
        Method::Get if has("/roleassignments/") => "get_role_assignment",
        Method::Get if has("/roleassignments") => "list_role_assignments",
        Method::Get if has("/registries/") => "get_registry",
        Method::Get if has("/managedclusters/") => "get_managed_cluster",
        Method::Get if has("/registries") => "list_registries",
        Method::Get if has("/managedclusters") => "list_managed_clusters",
        Method::Get if has("/serviceprincipals") => "get_service_principal",
        Method::Get if has("/resourcegroups/") => "get_resource_group",
        _ if has("/oauth2/exchange") => "exchange",
        _ if has("/oauth2/") => "token",
        _ => "other",
    }
}

/// The last source of an error. The errors before it only say that something failed.
fn root_cause(error: &azure_core::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// Reads an error answer of Entra or of instance metadata.
///
/// This crate parses the body itself, because `azure_identity` loses the code and the status when the
/// text contains a line break, as Entra's does.
fn sign_in_fault(status: StatusCode, headers: &Headers, body: &[u8]) -> Fault {
    #[derive(Deserialize, Default)]
    struct Body {
        #[serde(default)]
        error: String,
        #[serde(default)]
        error_description: String,
    }
    let status = u16::from(status);
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    // The rest of the text differs each time: trace id, correlation id and timestamp.
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

/// How long to pause after a 429. Azure always sends Retry-After then. Without the header the
/// pause is 30 seconds, in which Azure's token buckets refill. No pause is longer than ten minutes.
pub(super) fn pause(retry_after: Option<Duration>) -> Duration {
    let pause = retry_after.unwrap_or(Duration::from_secs(30));
    pause.clamp(Duration::from_secs(1), Duration::from_secs(600))
}

/// The header Retry-After, which Azure Resource Manager and Entra send in seconds.
pub(super) fn retry_after(headers: &Headers) -> Option<Duration> {
    let seconds: u64 = headers.get_optional_str(&RETRY_AFTER)?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

//! A request read whole, and an answer: what the faces work with.

use std::net::IpAddr;

use axum::body::{Body, Bytes};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures::stream;
use hyper::{
    HeaderMap, Method, Response, StatusCode,
    body::Incoming,
    header::{HeaderName, HeaderValue},
    http::request::Parts,
};
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// Requests with a larger body are refused.
const BODY_LIMIT: usize = 1 << 20;
/// Piece by piece, a huge body costs no memory.
static CHUNK: [u8; 16_384] = [b'x'; 16_384];

/// A request, with its body.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) host: String,
    /// The address at the other end of the connection.
    pub(crate) client: IpAddr,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    /// Reads the body; `None` if it is too large or breaks off.
    pub(crate) async fn read(
        host: &str,
        client: IpAddr,
        request: hyper::Request<Incoming>,
    ) -> (Self, bool) {
        let (Parts { method, uri, headers, .. }, body) = request.into_parts();
        let body = axum::body::to_bytes(Body::new(body), BODY_LIMIT).await;
        let complete = body.is_ok();
        let request = Self {
            host: host.to_ascii_lowercase(),
            client,
            method,
            path: uri.path().into(),
            query: uri.query().unwrap_or_default().into(),
            headers,
            body: body.unwrap_or_default(),
        };
        (request, complete)
    }

    /// The segments of the path, decoded.
    pub(crate) fn segments(&self) -> Vec<String> {
        let decode = |it: &str| percent_decode_str(it).decode_utf8_lossy().into_owned();
        self.path.split('/').filter(|it| !it.is_empty()).map(decode).collect()
    }

    /// A query parameter, by name in any case.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        self.parameters(name).next()
    }

    /// All values of a query parameter, by name in any case.
    pub(crate) fn parameters(&self, name: &str) -> impl Iterator<Item = String> {
        let pairs = url::form_urlencoded::parse(self.query.as_bytes());
        pairs.filter(move |it| it.0.eq_ignore_ascii_case(name)).map(|it| it.1.into_owned())
    }

    /// A field of the form in the body.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        self.fields(name).next()
    }

    /// All values of a field of the form in the body.
    pub(crate) fn fields(&self, name: &str) -> impl Iterator<Item = String> {
        let pairs = url::form_urlencoded::parse(&self.body);
        pairs.filter(move |it| it.0 == name).map(|it| it.1.into_owned())
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|it| it.to_str().ok())
    }

    /// The token after `Bearer`.
    pub(crate) fn bearer(&self) -> Option<&str> {
        self.credential("Bearer")
    }

    /// User name and password after `Basic`.
    pub(crate) fn basic(&self) -> Option<(String, String)> {
        let decoded = BASE64_STANDARD.decode(self.credential("Basic")?).ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        decoded.split_once(':').map(|(user, password)| (user.into(), password.into()))
    }

    fn credential(&self, wanted: &str) -> Option<&str> {
        let (scheme, credential) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case(wanted).then(|| credential.trim())
    }

    /// `host/path`, what faults are matched with.
    pub(crate) fn target(&self) -> String {
        format!("{}{}", self.host, self.path)
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The error code, for the journal.
    pub(crate) code: Option<String>,
    /// Who knows the rest of the answer: the base URL of a backend.
    pub(crate) backend: Option<String>,
    body: ReplyBody,
}

#[derive(Debug)]
enum ReplyBody {
    Whole(Bytes),
    Huge(u64),
    Streamed(Body),
}

impl Reply {
    /// An answer with a JSON body.
    pub(crate) fn json(status: StatusCode, value: &Value) -> Self {
        Self::text(status, "application/json; charset=utf-8", value.to_string())
    }

    /// An answer without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        let body = ReplyBody::Whole(Bytes::new());
        Self { status, headers: HeaderMap::new(), code: None, backend: None, body }
    }

    /// An answer with any body.
    pub(crate) fn text(status: StatusCode, content_type: &'static str, body: String) -> Self {
        let reply = Self { body: ReplyBody::Whole(body.into()), ..Self::empty(status) };
        reply.header("content-type", content_type)
    }

    /// A body that is no JSON, however one looks at it.
    pub(crate) fn garbage() -> Self {
        Self::text(StatusCode::OK, "application/json", "<html>\u{fffd}{\"error\":".into())
    }

    /// A body of any length.
    pub(crate) fn huge(bytes: u64) -> Self {
        let reply = Self { body: ReplyBody::Huge(bytes), ..Self::empty(StatusCode::OK) };
        reply.header("content-type", "application/json")
    }

    /// An answer that a backend gives.
    pub(crate) fn from_backend(base: &str) -> Self {
        Self { backend: Some(base.into()), ..Self::empty(StatusCode::OK) }
    }

    /// Adds what the backend answered.
    pub(crate) fn completed(mut self, answer: Response<Body>) -> Self {
        let (parts, body) = answer.into_parts();
        self.headers.extend(parts.headers);
        Self { status: parts.status, backend: None, body: ReplyBody::Streamed(body), ..self }
    }

    /// Adds a header; one that HTTP does not allow is left out.
    pub(crate) fn header(mut self, name: &'static str, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// Notes the error code.
    pub(crate) fn coded(self, code: &str) -> Self {
        Self { code: Some(code.into()), ..self }
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let body = match self.body {
            ReplyBody::Whole(bytes) => Body::from(bytes),
            ReplyBody::Huge(bytes) => huge_body(bytes),
            ReplyBody::Streamed(body) => body,
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

fn huge_body(bytes: u64) -> Body {
    Body::from_stream(stream::unfold(bytes, |left| async move {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK.len());
        let chunk = Bytes::from_static(&CHUNK[..size]);
        (size > 0).then(|| (Ok::<_, std::io::Error>(chunk), left - size as u64))
    }))
}

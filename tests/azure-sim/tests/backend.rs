//! A registry with one image, as `distribution` would serve it on loopback.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{Method, Response, StatusCode, header::HeaderMap, response::Builder},
};
use futures::channel::mpsc::UnboundedReceiver;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::{net::TcpListener, task::AbortHandle};

pub const MEDIA: &str = "application/vnd.oci.image.manifest.v1+json";
/// The blob that comes as the test feeds it, of [`SLOW_LENGTH`] bytes.
pub const SLOW: &str = "sha256:510";
pub const SLOW_LENGTH: usize = 8;

/// What the backend was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
}

/// The image `samples/nginx:v1`.
#[derive(Debug, Default)]
pub struct Image {
    pub config: Bytes,
    pub layer: Bytes,
    pub manifest: Bytes,
}

/// What the slow blob is made of.
pub type Pieces = UnboundedReceiver<Result<Bytes, std::io::Error>>;

#[derive(Default)]
struct Inner {
    image: Image,
    asked: Mutex<Vec<Asked>>,
    slow: Mutex<Option<Pieces>>,
}

/// A running backend; ends when dropped.
pub struct Backend {
    pub url: String,
    inner: Arc<Inner>,
    task: AbortHandle,
}

impl Backend {
    pub async fn start() -> Self {
        let inner = Arc::new(Inner { image: Image::new(), ..Inner::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, inner, task: task.abort_handle() }
    }

    pub fn image(&self) -> &Image {
        &self.inner.image
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.inner.asked.lock().unwrap().clone()
    }

    pub fn feed(&self, pieces: Pieces) {
        *self.inner.slow.lock().unwrap() = Some(pieces);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Image {
    fn new() -> Self {
        let config = Bytes::from_static(b"{\"architecture\":\"amd64\",\"os\":\"linux\"}");
        let layer: Bytes = (0..=255).cycle().take(300_000).collect();
        let entry = |media: &str, blob: &Bytes| json!({"mediaType": media, "digest": digest(blob), "size": blob.len()});
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MEDIA,
            "config": entry("application/vnd.oci.image.config.v1+json", &config),
            "layers": [entry("application/vnd.oci.image.layer.v1.tar", &layer)],
        });
        Self { manifest: manifest.to_string().into(), config, layer }
    }
}

pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".into(), |text, it| format!("{text}{it:02x}"))
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response<Body> {
    let (parts, _) = request.into_parts();
    let (path, method) = (parts.uri.path().to_owned(), parts.method.clone());
    let headers = parts.headers.clone();
    let target = parts.uri.to_string();
    inner.asked.lock().unwrap().push(Asked { method, target, headers: parts.headers });
    let image = &inner.image;
    match path.strip_prefix("/v2/").and_then(|it| it.strip_prefix("samples/nginx/")) {
        Some("tags/list") => Response::builder()
            .header("link", "</v2/samples/nginx/tags/list?last=v1&n=1>; rel=\"next\"")
            .header("content-type", "application/json; charset=utf-8")
            .body(r#"{"name":"samples/nginx","tags":["v1"]}"#.into())
            .unwrap(),
        Some(path) => {
            let is = |kind: &str, blob: &Bytes| path == format!("{kind}/{}", digest(blob));
            if path == "manifests/v1" || is("manifests", &image.manifest) {
                entity(MEDIA, &image.manifest, &headers)
            } else if is("blobs", &image.config) {
                entity("application/octet-stream", &image.config, &headers)
            } else if is("blobs", &image.layer) {
                entity("application/octet-stream", &image.layer, &headers)
            } else if path == format!("blobs/{SLOW}") {
                let pieces = inner.slow.lock().unwrap().take().unwrap();
                let response = Response::builder().header("content-length", SLOW_LENGTH);
                response.body(Body::from_stream(pieces)).unwrap()
            } else {
                unknown()
            }
        }
        None => unknown(),
    }
}

fn unknown() -> Response<Body> {
    let body = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"from the backend"}]}"#;
    let response = Response::builder().status(StatusCode::NOT_FOUND);
    response.header("content-type", "application/json; charset=utf-8").body(body.into()).unwrap()
}

/// The whole, the rest from `Range: bytes=N-`, or 304.
fn entity(media: &str, bytes: &Bytes, asked: &HeaderMap) -> Response<Body> {
    let header = |name: &str| asked.get(name).map(|it| it.to_str().unwrap());
    let (digest, length) = (digest(bytes), bytes.len());
    let etag = format!("\"{digest}\"");
    let response = described(Response::builder(), media, &digest, &etag);
    if header("if-none-match") == Some(&etag) {
        return response.status(StatusCode::NOT_MODIFIED).body(Body::empty()).unwrap();
    }
    let from = header("range").and_then(|it| it.strip_prefix("bytes=")?.strip_suffix('-'));
    match from.map(|it| it.parse::<usize>().unwrap()) {
        Some(from) => response
            .status(StatusCode::PARTIAL_CONTENT)
            .header("content-range", format!("bytes {from}-{}/{length}", length - 1))
            .body(bytes.slice(from..).into())
            .unwrap(),
        None => response.body(bytes.clone().into()).unwrap(),
    }
}

fn described(response: Builder, media: &str, digest: &str, etag: &str) -> Builder {
    response
        .header("content-type", media)
        .header("docker-content-digest", digest)
        .header("etag", etag)
        .header("accept-ranges", "bytes")
        .header("set-cookie", "not=for-clients")
}

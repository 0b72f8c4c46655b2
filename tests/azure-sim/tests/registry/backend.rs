//! A registry whose content is that of a real one.

use azure_sim::Call;
use futures::channel::mpsc::unbounded;
use reqwest::{Method, Response};

use super::{Bench, By, HOST, refused};
use crate::backend::{Backend, MEDIA, SLOW, digest};

const MANIFEST: &str = "/v2/samples/nginx/manifests/v1";
const PULL: &str = "repository:samples/nginx:pull";

/// A bench with the role to pull from what `backend` holds.
async fn bench(backend: &Backend) -> Bench {
    let bench = Bench::pulling().await;
    set_content(&bench, &backend.url);
    bench
}

fn set_content(bench: &Bench, url: &str) {
    bench.update(|it| it.registry_mut("contoso").unwrap().content = Some(url.into()));
}

fn blob(of: &str) -> String {
    format!("/v2/samples/nginx/blobs/{of}")
}

/// An authorized GET with further headers.
async fn get(bench: &Bench, path: &str, headers: &[(&str, &str)]) -> Response {
    let token = bench.access_token(bench.secret(), PULL).await;
    let request = bench.world.client.get(format!("https://{HOST}{path}")).bearer_auth(token);
    let add = |request: reqwest::RequestBuilder, it: &(&str, &str)| request.header(it.0, it.1);
    headers.iter().fold(request, add).send().await.unwrap()
}

#[tokio::test]
async fn what_may_be_read_is_answered_from_there() {
    let backend = Backend::start().await;
    let bench = bench(&backend).await;
    let image = backend.image();
    let got = bench.get(MANIFEST, bench.secret()).await.expect(200);
    assert_eq!(got.text.as_bytes(), image.manifest);
    assert_eq!(got.header("content-type"), MEDIA);
    assert_eq!(got.header("docker-content-digest"), digest(&image.manifest));
    assert_eq!(got.header("docker-distribution-api-version"), "registry/2.0");
    assert_eq!(got.header("x-ms-correlation-request-id").len(), 36);
    assert_eq!(got.header("set-cookie"), "");
    let head = bench.send(Method::HEAD, MANIFEST, bench.secret()).await.expect(200);
    assert_eq!(head.header("content-length"), image.manifest.len().to_string());
    assert_eq!(
        (head.header("docker-content-digest"), &*head.text),
        (&*digest(&image.manifest), "")
    );

    let layer = get(&bench, &blob(&digest(&image.layer)), &[]).await;
    assert_eq!(layer.headers()["content-length"], image.layer.len().to_string());
    assert_eq!(layer.bytes().await.unwrap(), image.layer);
    let entry = bench.world.sim.journal().pop().unwrap();
    assert_eq!((entry.call, entry.status), (Some(Call::RegistryBlob), Some(200)));
    assert_eq!(entry.principal.as_ref(), Some(&bench.app.object_id));
}

#[tokio::test]
async fn path_query_and_telling_headers_go_both_ways_and_the_credential_does_not() {
    let backend = Backend::start().await;
    let bench = bench(&backend).await;
    let path = "/v2/samples/nginx/tags/list?n=1&last=v%2F0";
    let tags = get(&bench, path, &[("accept", "a/b"), ("accept", "c/d"), ("x-other", "1")]).await;
    let link = "</v2/samples/nginx/tags/list?last=v1&n=1>; rel=\"next\"";
    assert_eq!(tags.headers()["link"], link);
    let asked = backend.asked().pop().unwrap();
    assert_eq!((asked.method, &*asked.target), (Method::GET, path));
    let accepted: Vec<_> = asked.headers.get_all("accept").iter().collect();
    assert_eq!(accepted, ["a/b", "c/d"]);
    for name in ["authorization", "x-other"] {
        assert!(!asked.headers.contains_key(name), "{name}");
    }

    let whole = &backend.image().layer;
    let path = blob(&digest(whole));
    let part = get(&bench, &path, &[("range", "bytes=299990-")]).await;
    assert_eq!(
        (part.status().as_u16(), &part.headers()["accept-ranges"]),
        (206, &"bytes".parse().unwrap())
    );
    assert_eq!(part.headers()["content-range"], "bytes 299990-299999/300000");
    let etag = part.headers()["etag"].clone();
    assert_eq!(part.bytes().await.unwrap(), whole.slice(299_990..));
    let same = get(&bench, &path, &[("if-none-match", etag.to_str().unwrap())]).await;
    assert_eq!((same.status().as_u16(), &same.headers()["etag"]), (304, &etag));

    let unknown = bench.get("/v2/team/app/manifests/v1", bench.secret()).await;
    assert_eq!(refused(unknown, 404, "NAME_UNKNOWN"), "from the backend");
}

#[tokio::test]
async fn a_blob_comes_piece_by_piece() {
    let backend = Backend::start().await;
    let bench = bench(&backend).await;
    let (pieces, receiver) = unbounded();
    backend.feed(receiver);
    pieces.unbounded_send(Ok("half".into())).unwrap();
    let mut answer = get(&bench, &blob(SLOW), &[]).await;
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "half");
    pieces.unbounded_send(Ok("rest".into())).unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "rest");
    assert_eq!(answer.chunk().await.unwrap(), None);
}

#[tokio::test]
async fn a_blob_that_breaks_off_does_so_for_the_client() {
    let backend = Backend::start().await;
    let bench = bench(&backend).await;
    let (pieces, receiver) = unbounded();
    backend.feed(receiver);
    pieces.unbounded_send(Ok("half".into())).unwrap();
    let mut answer = get(&bench, &blob(SLOW), &[]).await;
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "half");
    pieces.unbounded_send(Err(std::io::ErrorKind::Other.into())).unwrap();
    answer.chunk().await.unwrap_err();
}

#[tokio::test]
async fn who_may_not_read_does_not_get_so_far() {
    let backend = Backend::start().await;
    let bench = bench(&backend).await;
    let paths = [MANIFEST, &blob("sha256:00"), "/v2/samples/nginx/tags/list", "/v2/_catalog"];
    let other = bench.access_token(bench.secret(), "repository:other:pull").await;
    for path in paths {
        for by in [By::Nobody, By::Bearer(&other)] {
            bench.get(path, by).await.expect(401);
        }
    }
    let challenge = bench.get(&blob("sha256:00"), By::Nobody).await;
    let challenge = challenge.header("www-authenticate");
    assert!(challenge.ends_with(&format!(",scope=\"{PULL}\"")), "{challenge}");
    bench.get("/v2/", bench.secret()).await.expect(200);
    assert!(backend.asked().is_empty(), "{:?}", backend.asked());

    bench.update(|it| it.registry_mut("contoso").unwrap().anonymous_pull_enabled = true);
    let token = bench.access_token(By::Nobody, PULL).await;
    bench.get(MANIFEST, By::Bearer(&token)).await.expect(200);
}

#[tokio::test]
async fn a_backend_that_does_not_answer_makes_the_registry_unavailable() {
    let backend = Backend::start().await;
    let bench = bench(&backend).await;
    for url in [&*free_url().await, "https://127.0.0.1:1", "not a url"] {
        set_content(&bench, url);
        let answer = bench.get(MANIFEST, bench.secret()).await;
        let message = refused(answer, 503, "UNAVAILABLE");
        assert!(message.starts_with(&format!("GET {url}{MANIFEST} failed;")), "{message}");
        let entry = bench.world.sim.journal().pop().unwrap();
        assert_eq!((entry.status, entry.code.as_deref()), (Some(503), Some("UNAVAILABLE")));
    }
    set_content(&bench, &format!("{}/", backend.url));
    bench.get(MANIFEST, bench.secret()).await.expect(200);
}

/// Where nobody listens.
async fn free_url() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

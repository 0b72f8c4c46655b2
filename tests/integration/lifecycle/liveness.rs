//! `/livez`: what it sees, and what it does not depend on. And watches that a proxy, a load balancer
//! or the API server spoils.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode};
use http_body::Frame;
use kube::Client;
use kube::client::Body;
use serde_json::json;

use crate::support::secrets::{CLIENT_SECRET, with_puller};
use crate::support::{DEADLINE, World};

/// What a request watches, and from where on; nothing if it watches nothing.
fn watched(request: &Request<Body>) -> Option<(String, String)> {
    let query = request.uri().query().unwrap_or_default();
    let value = |name| query.split('&').find_map(|it| it.strip_prefix(name)).map(str::to_owned);
    let (path, selected) = (request.uri().path(), value("fieldSelector=").unwrap_or_default());
    value("watch=true")
        .map(|_| (format!("{path} {selected}"), value("resourceVersion=").unwrap_or_default()))
}

/// Refuses each watch that would go on from where it wanted to go on first, as a proxy does that has
/// forgotten what the API server still knows.
fn forgetful(client: Client) -> Client {
    let first: Arc<Mutex<HashMap<String, String>>> = Arc::default();
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, first) = (client.clone(), Arc::clone(&first));
        async move {
            if let Some((watch, version)) = watched(&request) {
                let mut first = first.lock().unwrap();
                if *first.entry(watch).or_insert_with(|| version.clone()) == version {
                    let body = Body::from(b"too old resource version".to_vec());
                    return Ok(Response::builder().status(StatusCode::GONE).body(body).unwrap());
                }
            }
            client.send(request).await
        }
    });
    Client::new(service, namespace)
}

/// The restarts of watches for that reason, by resource.
async fn restarts(world: &World, reason: &str) -> HashMap<String, u64> {
    let text = world.page("/metrics").await.1;
    let lines = text.lines().filter_map(|it| it.strip_prefix("acr_attach_watch_restarts_total{"));
    let counts = lines.filter_map(|line| {
        let (labels, count) = line.rsplit_once("} ").unwrap();
        let resource = labels.strip_prefix("resource=\"")?.split('"').next()?.to_owned();
        labels.contains(&format!("reason=\"{reason}\"")).then(|| (resource, count.parse().unwrap()))
    });
    counts.collect()
}

#[tokio::test]
async fn a_watch_that_is_refused_as_too_old_lists_anew() {
    let mut world = World::with(with_puller, |_| {}).await;
    world.stop().await;
    world.put_client_secret(CLIENT_SECRET).await;
    world.through = Some(Box::new(forgetful));
    world.start().await;
    // What each watch shows is needed for one of these.
    let labels = json!({"team": world.id});
    let selector = json!({"selector": {"matchLabels": labels}});
    world.apply("a", world.pull_spec(&selector)).await;
    let namespace = world.namespace_with("apps", labels).await;
    world.until_secret(&namespace, "acr-pull").await;
    world.until_pull_secrets_of(&namespace, "default", &["acr-pull"]).await;
    world.delete_secret(&namespace, "acr-pull").await;
    world.until_secret(&namespace, "acr-pull").await;
    world.until_ready("a").await;
    let gone = restarts(&world, "http_gone").await;
    let watches =
        [("namespaces", 1), ("registryattachments", 1), ("secrets", 2), ("serviceaccounts", 1)];
    for (resource, watches) in watches {
        assert!(gone[resource] >= watches, "{resource}: {gone:?}");
    }
    assert!(restarts(&world, "gone").await.values().all(|it| *it == 0));
    assert_eq!(world.page("/livez").await.0, 200);
}

/// An answer of which nothing comes any more once it is cut off.
struct Cut {
    body: Body,
    off: Arc<AtomicBool>,
}

impl http_body::Body for Cut {
    type Data = <Body as http_body::Body>::Data;
    type Error = <Body as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        loop {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
            if !self.off.load(Ordering::Relaxed) {
                return Poll::Ready(frame);
            }
            if frame.is_none() {
                // Nobody hears the end either.
                return Poll::Pending;
            }
        }
    }
}

/// Lets nothing of watches through while it is off; with `another` until another one is begun, as where a
/// connection is dead, beside which another one can be had.
fn cut(client: &Client, off: &Arc<AtomicBool>, another: bool) -> Client {
    let namespace = client.default_namespace().to_owned();
    let (client, off) = (client.clone(), Arc::clone(off));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, off) = (client.clone(), Arc::clone(&off));
        async move {
            let off = watched(&request).map_or_else(Arc::default, |_| off);
            if another {
                off.store(false, Ordering::Relaxed);
            }
            let answer = client.send(request).await?;
            Ok::<_, kube::Error>(answer.map(|body| Cut { body, off }))
        }
    });
    Client::new(service, namespace)
}

/// A world in which only attachments are watched, and the switch of that watch.
async fn one_watch(limit: Duration, another: bool) -> (World, Arc<AtomicBool>) {
    let off = Arc::new(AtomicBool::new(false));
    let mut world = World::with(
        |_| {},
        |settings| {
            settings.policy.pull_secrets = false;
            settings.limits.watch = limit;
        },
    )
    .await;
    world.stop().await;
    world.through = Some(Box::new({
        let off = Arc::clone(&off);
        move |client| cut(&client, &off, another)
    }));
    world.start().await;
    (world, off)
}

/// Changes an attachment a bit, so that a watch shows something.
async fn touch(world: &World) {
    let value = uuid::Uuid::new_v4().to_string();
    world.patch("a", json!({"metadata": {"annotations": {"example.org/touched": value}}})).await;
}

#[tokio::test]
async fn a_watch_that_goes_silent_is_seen() {
    // What is changed shows sooner, on a busy machine too.
    const LIMIT: Duration = Duration::from_secs(20);
    let (world, off) = one_watch(LIMIT, false).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    // As long as it shows something, it is well.
    let begun = Instant::now();
    world
        .until("more than the limit to pass", || async {
            touch(&world).await;
            assert_eq!(world.page("/livez").await, (200, "ok\n".to_owned()));
            (begun.elapsed() > LIMIT + LIMIT / 2).then_some(())
        })
        .await;
    off.store(true, Ordering::Relaxed);
    let text = world
        .until("the silence to be noticed", || async {
            touch(&world).await;
            let (status, text) = world.page("/livez").await;
            (status == 503).then_some(text)
        })
        .await;
    assert!(
        text.starts_with("a watch of registryattachments has shown and tried nothing"),
        "{text}"
    );
    let age = async || {
        let text = world.page("/metrics").await.1;
        let name =
            "acr_attach_watch_last_event_timestamp_seconds{resource=\"registryattachments\"} ";
        let at: i64 = text.lines().find_map(|it| it.strip_prefix(name)).unwrap().parse().unwrap();
        jiff::Timestamp::now().as_second() - at
    };
    assert!(age().await >= 5);
    // Others go on: the lease is renewed, and what is known is looked at.
    assert_eq!(world.page("/readyz").await.0, 200);
    off.store(false, Ordering::Relaxed);
    world
        .until("it to be well again, and to have seen something just now", || async {
            touch(&world).await;
            (world.page("/livez").await.0 == 200 && age().await <= 2).then_some(())
        })
        .await;
}

/// The API server, or what is between, ends no watch and lets nothing through: it is begun anew after
/// 295 s.
#[tokio::test]
#[ignore = "takes 5 minutes"]
async fn a_watch_that_stays_silent_is_begun_anew() {
    let (world, off) = one_watch(Duration::from_secs(600), true).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    off.store(true, Ordering::Relaxed);
    world.delete("a").await;
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    while restarts(&world, "idle").await["registryattachments"] == 0 {
        assert!(begun.elapsed() < Duration::from_secs(400), "it was not begun anew");
        assert_eq!(world.page("/livez").await.0, 200);
        ticks.tick().await;
    }
    world.until_gone("a").await;
}

/// What a page says, asked by a thread that needs no executor.
fn page(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn an_executor_that_is_stuck_is_seen() {
    let limit = Duration::from_secs(2);
    let world = World::with(|_| {}, |settings| settings.limits.executor = limit).await;
    world
        .until("it to be well", async || (world.page("/livez").await.0 == 200).then_some(()))
        .await;
    let address = world.address();
    let asking = std::thread::spawn(move || {
        let begun = Instant::now();
        loop {
            let text = page(address, "/livez");
            if text.starts_with("HTTP/1.1 503") || begun.elapsed() > DEADLINE {
                return text;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    // This thread is the executor of this test, and nothing runs on it until that is noticed.
    let text = asking.join().unwrap();
    assert!(text.contains("the executor has run nothing for") && text.contains("503"), "{text}");
    world
        .until("it to be well again", async || (world.page("/livez").await.0 == 200).then_some(()))
        .await;
}

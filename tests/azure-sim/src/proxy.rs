//! The forward proxy: CONNECT for hosts of Azure, absolute-form requests for instance metadata.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::body::Body;
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, server::conn::http1,
    service::service_fn, upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::{
    azure::Azure,
    exchange::{Dropped, Endpoint, exchange},
    hosts::{Face, Host, INSTANCE_METADATA},
    journal::Entry,
};

/// A CONNECT that was granted: the bytes to come, and the host they are for.
type Tunnel = Arc<Mutex<Option<(OnUpgrade, Face, String)>>>;

/// Serves connections until it is aborted, which ends all of them.
pub(crate) async fn serve(listener: TcpListener, azure: Arc<Azure>) {
    let mut connections = JoinSet::new();
    loop {
        // A failed accept concerns a connection that is gone already.
        let Ok((stream, client)) = listener.accept().await else { continue };
        connections.spawn(serve_connection(stream, client.ip(), Arc::clone(&azure)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve_connection(stream: TcpStream, client: IpAddr, azure: Arc<Azure>) {
    // Answers are small and clients wait for them.
    let _ = stream.set_nodelay(true);
    let tunnel = Tunnel::default();
    let service = service_fn(|request| proxy(&azure, client, &tunnel, request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // How a connection ends is the client's business.
    let _ = connection.with_upgrades().await;
    let granted = tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((upgrade, face, host)) = granted {
        serve_tunnel(upgrade, &Endpoint { face, host, client }, &azure).await;
    }
}

/// Ends TLS as the endpoint's host and serves what comes through.
async fn serve_tunnel(upgrade: OnUpgrade, endpoint: &Endpoint, azure: &Azure) {
    let (Ok(stream), Ok(tls)) = (upgrade.await, azure.ca.server(&endpoint.host)) else { return };
    let Ok(stream) = TlsAcceptor::from(tls).accept(TokioIo::new(stream)).await else { return };
    let service = service_fn(|request| exchange(azure, endpoint, request));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn proxy(
    azure: &Azure,
    client: IpAddr,
    tunnel: &Tunnel,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Dropped> {
    let host = request.uri().host().unwrap_or_default().to_ascii_lowercase();
    if request.method() == Method::CONNECT {
        let is_tls = request.uri().port_u16() == Some(443);
        let known = if is_tls { azure.model().host(&host) } else { Host::Unknown };
        let face = match known {
            Host::Face(face) => face,
            Host::NoRegistry => return Ok(refuse(azure, &request, &host, &NO_REGISTRY)),
            Host::Unknown => return Ok(refuse(azure, &request, &host, &UNKNOWN)),
        };
        let granted = (hyper::upgrade::on(&mut request), face, host);
        *tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(granted);
        return Ok(Response::new(Body::empty()));
    }
    if host == INSTANCE_METADATA {
        let endpoint = Endpoint { face: Face::InstanceMetadata, host, client };
        return exchange(azure, &endpoint, request).await;
    }
    Ok(refuse(azure, &request, &host, &UNKNOWN))
}

/// Why a host is refused.
struct Refusal {
    status: StatusCode,
    code: &'static str,
    /// Whether such a host can exist.
    known: bool,
    text: &'static str,
}

/// A host that is not Azure, or not the cloud of the model.
const UNKNOWN: Refusal = Refusal {
    status: StatusCode::FORBIDDEN,
    code: "UnknownHost",
    known: false,
    text: "azure-sim is a proxy for Azure alone and does not know",
};

/// A login server that no registry has. A proxy answers so where DNS does not know the name.
const NO_REGISTRY: Refusal = Refusal {
    status: StatusCode::BAD_GATEWAY,
    code: "HostNotFound",
    known: true,
    text: "no registry has this login server:",
};

/// Notes and refuses a host.
fn refuse(
    azure: &Azure,
    request: &Request<Incoming>,
    host: &str,
    refusal: &Refusal,
) -> Response<Body> {
    azure.journal().begin(Entry {
        sequence: 0,
        time: Timestamp::now(),
        host: host.into(),
        method: request.method().to_string(),
        path: request.uri().path().into(),
        query: request.uri().query().unwrap_or_default().into(),
        call: None,
        principal: None,
        status: Some(refusal.status.as_u16()),
        code: Some(refusal.code.into()),
        known: refusal.known,
        fault: None,
    });
    let mut response = Response::new(Body::from(format!("{} `{host}`.\n", refusal.text)));
    *response.status_mut() = refusal.status;
    response
}

//! The forward proxy: CONNECT for hosts of Azure, absolute-form requests for instance metadata.

use std::sync::{Arc, Mutex, PoisonError};

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
    exchange::{Dropped, exchange},
    hosts::{Face, INSTANCE_METADATA},
    journal::Entry,
};

/// A CONNECT that was granted: the bytes to come, and the host they are for.
type Tunnel = Arc<Mutex<Option<(OnUpgrade, Face, String)>>>;

/// Serves connections until it is aborted, which ends all of them.
pub(crate) async fn serve(listener: TcpListener, azure: Arc<Azure>) {
    let mut connections = JoinSet::new();
    loop {
        // A failed accept concerns a connection that is gone already.
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(serve_connection(stream, Arc::clone(&azure)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve_connection(stream: TcpStream, azure: Arc<Azure>) {
    // Answers are small and clients wait for them.
    let _ = stream.set_nodelay(true);
    let tunnel = Tunnel::default();
    let service = service_fn(|request| proxy(&azure, &tunnel, request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // How a connection ends is the client's business.
    let _ = connection.with_upgrades().await;
    let granted = tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((upgrade, face, host)) = granted {
        serve_tunnel(upgrade, face, &host, &azure).await;
    }
}

/// Ends TLS as `host` and serves what comes through.
async fn serve_tunnel(upgrade: OnUpgrade, face: Face, host: &str, azure: &Azure) {
    let (Ok(stream), Ok(tls)) = (upgrade.await, azure.ca.server(host)) else { return };
    let Ok(stream) = TlsAcceptor::from(tls).accept(TokioIo::new(stream)).await else { return };
    let service = service_fn(|request| exchange(azure, face, host, request));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn proxy(
    azure: &Azure,
    tunnel: &Tunnel,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Dropped> {
    let host = request.uri().host().unwrap_or_default().to_ascii_lowercase();
    if request.method() == Method::CONNECT {
        let port = request.uri().port_u16();
        let face = azure.model().settings.cloud.face(&host).filter(|_| port == Some(443));
        let Some(face) = face else { return Ok(refuse(azure, &request, &host)) };
        let granted = (hyper::upgrade::on(&mut request), face, host);
        *tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(granted);
        return Ok(Response::new(Body::empty()));
    }
    if host == INSTANCE_METADATA {
        return exchange(azure, Face::InstanceMetadata, &host, request).await;
    }
    Ok(refuse(azure, &request, &host))
}

/// Notes and refuses a host that is not Azure, or not the cloud of the model.
fn refuse(azure: &Azure, request: &Request<Incoming>, host: &str) -> Response<Body> {
    azure.journal().begin(Entry {
        sequence: 0,
        time: Timestamp::now(),
        host: host.into(),
        method: request.method().to_string(),
        path: request.uri().path().into(),
        query: request.uri().query().unwrap_or_default().into(),
        call: None,
        principal: None,
        status: Some(403),
        code: Some("UnknownHost".into()),
        known: false,
        fault: None,
    });
    let text = format!("azure-sim is a proxy for Azure alone and does not know `{host}`.\n");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

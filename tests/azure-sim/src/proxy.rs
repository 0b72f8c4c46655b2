//! The forward proxy: CONNECT for hosts of Azure, absolute-form requests for instance metadata.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::body::Body;
use hyper::{
    Method, Request, Response, body::Incoming, server::conn::http1, service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::{
    azure::Azure,
    endpoint::{Endpoint, Refusal},
    exchange::{Dropped, exchange, user_agent},
    hosts::INSTANCE_METADATA,
    journal::Entry,
};

/// A CONNECT that was granted: the bytes to come, and what they are for.
type Tunnel = Arc<Mutex<Option<(OnUpgrade, Endpoint)>>>;

/// Serves one connection, and the tunnel that it becomes.
pub(crate) async fn serve(stream: TcpStream, client: IpAddr, azure: Arc<Azure>) {
    let tunnel = Tunnel::default();
    let service = service_fn(|request| proxy(&azure, client, &tunnel, request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // How a connection ends is the client's business.
    let _ = connection.with_upgrades().await;
    let granted = tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((upgrade, endpoint)) = granted {
        serve_tunnel(upgrade, &endpoint, &azure).await;
    }
}

/// Ends TLS as the endpoint's host and serves what comes through.
async fn serve_tunnel(upgrade: OnUpgrade, endpoint: &Endpoint, azure: &Azure) {
    let (Ok(stream), Ok(tls)) = (upgrade.await, azure.ca.server(&endpoint.host)) else { return };
    let Ok(stream) = TlsAcceptor::from(tls).accept(TokioIo::new(stream)).await else { return };
    endpoint.serve(azure, stream).await;
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
        let found =
            if is_tls { Endpoint::find(azure, &host, client) } else { Err(&Refusal::UNKNOWN) };
        return Ok(match found {
            Ok(endpoint) => {
                let granted = (hyper::upgrade::on(&mut request), endpoint);
                *tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(granted);
                Response::new(Body::empty())
            }
            Err(refusal) => refuse(azure, &request, &host, refusal),
        });
    }
    if host == INSTANCE_METADATA {
        return exchange(azure, &Endpoint::instance_metadata(client), request).await;
    }
    Ok(refuse(azure, &request, &host, &Refusal::UNKNOWN))
}

/// Notes and refuses a host.
fn refuse(
    azure: &Azure,
    request: &Request<Incoming>,
    host: &str,
    refusal: &Refusal,
) -> Response<Body> {
    let entry = Entry {
        path: request.uri().path().into(),
        query: request.uri().query().unwrap_or_default().into(),
        user_agent: user_agent(request.headers()),
        status: Some(refusal.status.as_u16()),
        ..Entry::new(host, request.method().as_str())
    };
    refusal.note(azure, entry);
    let mut response = Response::new(Body::from(format!("{} `{host}`.\n", refusal.text)));
    *response.status_mut() = refusal.status;
    response
}

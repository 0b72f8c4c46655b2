//! Connection faults, from real connections on loopback.

use std::sync::Arc;

use reqwest::{Certificate, Client};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;

const HOST: &str = "contoso.azurecr.io";

/// Sends a request for `HOST` to the server at an address. The client trusts only the given certificate, if
/// there is one.
async fn ask(address: std::net::SocketAddr, trusted: Option<&str>) -> Result<Answer, Fault> {
    let mut builder = Client::builder().no_proxy().resolve(HOST, address);
    if let Some(pem) = trusted {
        builder = builder.tls_certs_only([Certificate::from_pem(pem.as_bytes()).unwrap()]);
    }
    let url = format!("https://{HOST}:{}/v2/", address.port());
    send(builder.build().unwrap().get(url), Duration::from_secs(20)).await
}

async fn connection_fault(address: std::net::SocketAddr, trusted: Option<&str>) -> ConnectionFault {
    match ask(address, trusted).await {
        Err(Fault::Connection(fault)) => fault,
        Err(other) => panic!("{other:?}"),
        Ok(answer) => panic!("{}", answer.status),
    }
}

/// Serves one connection.
async fn serve<F: Future<Output = ()> + Send + 'static>(
    serve: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
    address
}

/// Starts a TLS server with a certificate for the host. It sends one response to a client that accepts the
/// certificate.
async fn tls(host: &str, response: &'static str) -> (std::net::SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let address = serve(move |stream| async move {
        // A client that does not accept the certificate disconnects.
        if let Ok(mut stream) = acceptor.accept(stream).await {
            let mut request = [0; 1024];
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut request).await;
            let _ = stream.write_all(response.as_bytes()).await;
        }
    })
    .await;
    (address, made.cert.pem())
}

#[tokio::test]
async fn an_untrusted_issuer_and_another_host_are_told_apart() {
    let (address, _) = tls(HOST, "").await;
    assert_eq!(connection_fault(address, None).await, ConnectionFault::Untrusted);
    let (address, pem) = tls("fabrikam.azurecr.io", "").await;
    assert_eq!(connection_fault(address, Some(&pem)).await, ConnectionFault::OtherHost);
    let (address, pem) = tls(HOST, "HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(ask(address, Some(&pem)).await.unwrap_or_else(|it| panic!("{it:?}")).status, 204);
}

#[tokio::test]
async fn a_server_without_tls_is_reported() {
    let address = serve(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let fault = connection_fault(address, None).await;
    assert!(matches!(fault, ConnectionFault::Tls(_)), "{fault:?}");
}

#[tokio::test]
async fn a_closed_port_is_reported_as_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(connection_fault(address, None).await, ConnectionFault::Refused);
}

#[tokio::test]
async fn a_truncated_answer_is_not_a_connection_fault() {
    let (address, pem) = tls(HOST, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
    let fault = ask(address, Some(&pem)).await.err().unwrap();
    assert!(matches!(fault, Fault::BreaksOff), "{fault:?}");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_rejected() {
    let (address, pem) = tls(HOST, LARGE.as_str()).await;
    let fault = ask(address, Some(&pem)).await.err().unwrap();
    assert!(matches!(fault, Fault::TooLarge), "{fault:?}");
}

static LARGE: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    format!("HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n{}", "x".repeat(300_000))
});

//! Azure without a proxy, for hosts whose names and addresses lead here: TLS for every host that
//! the model knows, told by the name that the client asks for, and instance metadata.

use std::{net::IpAddr, sync::Arc};

use rustls::server::Acceptor;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::LazyConfigAcceptor;

use crate::{azure::Azure, endpoint::Endpoint, journal::Entry};

/// The alert `unrecognized_name`, fatal, as the record that answers a client hello
/// (RFC 6066 section 3, RFC 8446 sections 5.1 and 6). rustls knows no way to ask for it.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Serves the host that the client names in its hello.
pub(crate) async fn serve(stream: TcpStream, client: IpAddr, azure: Arc<Azure>) {
    let Ok(mut start) = LazyConfigAcceptor::new(Acceptor::default(), stream).await else { return };
    let host = start.client_hello().server_name().unwrap_or_default().to_ascii_lowercase();
    match Endpoint::find(&azure, &host, client) {
        Ok(endpoint) => {
            let Ok(tls) = azure.ca.server(&host) else { return };
            let Ok(stream) = start.into_stream(tls).await else { return };
            endpoint.serve(&azure, stream).await;
        }
        Err(refusal) => {
            refusal.note(&azure, Entry::new(&host, "CONNECT"));
            // A client that is gone needs no answer.
            let _ = start.io.write_all(&UNRECOGNIZED_NAME).await;
            let _ = start.io.shutdown().await;
        }
    }
}

/// Serves instance metadata, over plain HTTP as on a host in Azure.
pub(crate) async fn serve_instance_metadata(stream: TcpStream, client: IpAddr, azure: Arc<Azure>) {
    Endpoint::instance_metadata(client).serve(&azure, stream).await;
}

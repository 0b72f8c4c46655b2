//! Listening: every connection is served in a task of its own.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{azure::Azure, sim::StartError};

/// Takes an address; port 0 takes any free port.
///
/// # Errors
/// [`StartError::Listen`].
pub(crate) async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Serves connections until it is aborted, which ends all of them. `serve` is given the stream
/// and the address of the client.
pub(crate) async fn accept<S>(
    listener: TcpListener,
    azure: Arc<Azure>,
    serve: impl Fn(TcpStream, IpAddr, Arc<Azure>) -> S,
) where
    S: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        // A failed accept concerns a connection that is gone already.
        let Ok((stream, client)) = listener.accept().await else { continue };
        // Answers are small and clients wait for them.
        let _ = stream.set_nodelay(true);
        // A socket for both families shows clients of the older one as part of the newer.
        let client = client.ip().to_canonical();
        connections.spawn(serve(stream, client, Arc::clone(&azure)));
        while connections.try_join_next().is_some() {}
    }
}

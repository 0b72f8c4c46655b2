//! A running simulator.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use tokio::{
    net::TcpListener,
    task::{AbortHandle, JoinHandle},
};

use crate::{
    azure::Azure, ca::CaError, control, fault::Fault, journal::Entry, model::Model, proxy,
};

/// Where a simulator listens; port 0 takes any free port.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The proxy.
    pub listen: SocketAddr,
    /// The control port.
    pub control: SocketAddr,
}

impl Default for Options {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { listen: any, control: any }
    }
}

/// A simulator could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken or not ours.
    #[error("cannot listen on {address}: {source}; choose another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The certificate authority could not be made.
    #[error("cannot make a certificate authority: {0}")]
    CertificateAuthority(String),
}

impl From<CaError> for StartError {
    fn from(error: CaError) -> Self {
        Self::CertificateAuthority(error.to_string())
    }
}

/// Azure behind a proxy of its own; ends when dropped.
///
/// A client needs [`AzureSim::proxy_url`] as its proxy for HTTP and HTTPS, and
/// [`AzureSim::ca_pem`] among its trusted certificates.
pub struct AzureSim {
    azure: Arc<Azure>,
    proxy_url: String,
    control_url: String,
    ca_pem: String,
    tasks: [AbortHandle; 2],
}

impl AzureSim {
    /// Starts a simulator on free ports of 127.0.0.1.
    ///
    /// # Errors
    /// [`StartError`], if no port is free.
    pub async fn start(model: Model) -> Result<Self, StartError> {
        Self::start_with(model, Options::default()).await
    }

    /// Starts a simulator on given addresses.
    ///
    /// # Errors
    /// [`StartError`], if an address cannot be used.
    pub async fn start_with(model: Model, options: Options) -> Result<Self, StartError> {
        let azure = Arc::new(Azure::new(model)?);
        let (proxy, proxy_url) = listen(options.listen).await?;
        let (control, control_url) = listen(options.control).await?;
        let serve_proxy = tokio::spawn(proxy::serve(proxy, Arc::clone(&azure)));
        let router = control::router(Arc::clone(&azure));
        let serve_control: JoinHandle<()> = tokio::spawn(async move {
            // Serving ends only with the task.
            let _ = axum::serve(control, router).await;
        });
        Ok(Self {
            ca_pem: azure.ca.pem(),
            azure,
            proxy_url,
            control_url,
            tasks: [serve_proxy.abort_handle(), serve_control.abort_handle()],
        })
    }

    /// `http://127.0.0.1:port`: the value for `HTTPS_PROXY` and `HTTP_PROXY`.
    #[must_use]
    pub fn proxy_url(&self) -> &str {
        &self.proxy_url
    }

    /// `http://127.0.0.1:port` of the control port.
    #[must_use]
    pub fn control_url(&self) -> &str {
        &self.control_url
    }

    /// The certificate to trust, as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Looks at the model.
    pub fn read<T>(&self, look: impl FnOnce(&Model) -> T) -> T {
        look(&self.azure.model())
    }

    /// Changes the model; the next request sees it.
    pub fn update<T>(&self, change: impl FnOnce(&mut Model) -> T) -> T {
        change(&mut self.azure.model())
    }

    /// All requests so far, in the order of arrival.
    #[must_use]
    pub fn journal(&self) -> Vec<Entry> {
        self.azure.journal().entries()
    }

    /// Forgets the requests so far; numbering goes on.
    pub fn clear_journal(&self) {
        self.azure.journal().clear();
    }

    /// Puts a fault in force, after those that are.
    pub fn fault(&self, fault: Fault) {
        self.azure.faults().add(fault);
    }

    /// Ends all faults; requests that already hang stay so.
    pub fn clear_faults(&self) {
        self.azure.faults().clear();
    }

    /// Makes every token issued so far expire, those of registries included.
    pub fn expire_tokens(&self) {
        self.azure.expire_tokens();
    }
}

impl Drop for AzureSim {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, String), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let url = format!("http://{}", listener.local_addr().map_err(failed)?);
    Ok((listener, url))
}

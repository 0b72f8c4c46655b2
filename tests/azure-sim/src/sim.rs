//! A running simulator.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use tokio::{net::TcpStream, task::JoinSet};

use crate::{
    azure::Azure,
    ca::CaError,
    connections::{accept, listen},
    control, direct,
    fault::Fault,
    journal::Entry,
    model::Model,
    proxy,
};

/// Where a simulator listens; port 0 takes any free port.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The proxy.
    pub listen: SocketAddr,
    /// The control port.
    pub control: SocketAddr,
    /// Every host of Azure itself, over TLS, for clients whose names lead here instead of to a
    /// proxy; which host it is, the client says in its hello. Azure has them on port 443.
    pub direct: Option<SocketAddr>,
    /// Instance metadata itself, over plain HTTP. A host in Azure has it on 169.254.169.254:80.
    pub instance_metadata: Option<SocketAddr>,
}

impl Default for Options {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { listen: any, control: any, direct: None, instance_metadata: None }
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
/// [`AzureSim::ca_pem`] among its trusted certificates. With [`Options::direct`] and
/// [`Options::instance_metadata`] it can do without the proxy.
pub struct AzureSim {
    azure: Arc<Azure>,
    proxy_url: String,
    control_url: String,
    direct: Option<SocketAddr>,
    instance_metadata: Option<SocketAddr>,
    ca_pem: String,
    tasks: JoinSet<()>,
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
        let mut listeners = Listeners { azure: Arc::clone(&azure), tasks: JoinSet::new() };
        let proxy = listeners.open(options.listen, proxy::serve).await?;
        let control = listeners.open_control(options.control).await?;
        let direct = listeners.open_if(options.direct, direct::serve).await?;
        let instance_metadata =
            listeners.open_if(options.instance_metadata, direct::serve_instance_metadata).await?;
        Ok(Self {
            ca_pem: azure.ca.pem(),
            azure,
            proxy_url: format!("http://{proxy}"),
            control_url: format!("http://{control}"),
            direct,
            instance_metadata,
            tasks: listeners.tasks,
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

    /// Where every host is answered over TLS, if [`Options::direct`] asks for it.
    #[must_use]
    pub fn direct_address(&self) -> Option<SocketAddr> {
        self.direct
    }

    /// Where instance metadata is answered, if [`Options::instance_metadata`] asks for it.
    #[must_use]
    pub fn instance_metadata_address(&self) -> Option<SocketAddr> {
        self.instance_metadata
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
        self.tasks.abort_all();
    }
}

/// What listens for one simulator.
struct Listeners {
    azure: Arc<Azure>,
    tasks: JoinSet<()>,
}

impl Listeners {
    async fn open<S>(
        &mut self,
        address: SocketAddr,
        serve: fn(TcpStream, IpAddr, Arc<Azure>) -> S,
    ) -> Result<SocketAddr, StartError>
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let (listener, address) = listen(address).await?;
        self.tasks.spawn(accept(listener, Arc::clone(&self.azure), serve));
        Ok(address)
    }

    async fn open_if<S>(
        &mut self,
        address: Option<SocketAddr>,
        serve: fn(TcpStream, IpAddr, Arc<Azure>) -> S,
    ) -> Result<Option<SocketAddr>, StartError>
    where
        S: Future<Output = ()> + Send + 'static,
    {
        match address {
            Some(address) => self.open(address, serve).await.map(Some),
            None => Ok(None),
        }
    }

    async fn open_control(&mut self, address: SocketAddr) -> Result<SocketAddr, StartError> {
        let (listener, address) = listen(address).await?;
        let router = control::router(Arc::clone(&self.azure));
        self.tasks.spawn(async move {
            // Serving ends only with the task.
            let _ = axum::serve(listener, router).await;
        });
        Ok(address)
    }
}

//! Where a connection leads: the part of Azure that its host name stands for, however it came in.

use std::net::IpAddr;

use hyper::{StatusCode, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    azure::Azure,
    exchange::exchange,
    hosts::{Face, Host, INSTANCE_METADATA},
    journal::Entry,
};

/// What a connection leads to, and who is at its other end.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) face: Face,
    pub(crate) host: String,
    pub(crate) client: IpAddr,
}

impl Endpoint {
    /// What a host name that is spoken to over TLS leads to at this moment.
    ///
    /// # Errors
    /// [`Refusal`], if it leads nowhere.
    pub(crate) fn find(
        azure: &Azure,
        host: &str,
        client: IpAddr,
    ) -> Result<Self, &'static Refusal> {
        match azure.model().host(host) {
            Host::Face(face) => Ok(Self { face, host: host.into(), client }),
            Host::NoRegistry => Err(&Refusal::NO_REGISTRY),
            Host::Unknown => Err(&Refusal::UNKNOWN),
        }
    }

    pub(crate) fn instance_metadata(client: IpAddr) -> Self {
        Self { face: Face::InstanceMetadata, host: INSTANCE_METADATA.into(), client }
    }

    /// Answers the requests of a connection, in which TLS has ended, until the client has enough.
    pub(crate) async fn serve(&self, azure: &Azure, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(|request| exchange(azure, self, request));
        // How a connection ends is the client's business.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }
}

/// Why a host leads nowhere.
pub(crate) struct Refusal {
    /// What a proxy answers.
    pub(crate) status: StatusCode,
    pub(crate) text: &'static str,
    code: &'static str,
    /// Whether such a host can exist.
    known: bool,
}

impl Refusal {
    /// A host that is not Azure, or not the cloud of the model.
    pub(crate) const UNKNOWN: Self = Self {
        status: StatusCode::FORBIDDEN,
        text: "azure-sim is a proxy for Azure alone and does not know",
        code: "UnknownHost",
        known: false,
    };

    /// A login server that no registry has. A proxy answers so where DNS does not know the name.
    const NO_REGISTRY: Self = Self {
        status: StatusCode::BAD_GATEWAY,
        text: "no registry has this login server:",
        code: "HostNotFound",
        known: true,
    };

    /// Notes in the journal what was refused.
    pub(crate) fn note(&self, azure: &Azure, entry: Entry) {
        let (code, known) = (Some(self.code.into()), self.known);
        azure.journal().begin(Entry { code, known, ..entry });
    }
}

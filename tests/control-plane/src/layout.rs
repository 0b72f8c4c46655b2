//! Where things lie in the folder of a control plane, and its ports.

use std::{
    fs::DirBuilder,
    io,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crate::Error;

/// Ports are drawn from here: below the ranges from which Linux (32768 up) and
/// macOS (49152 up) take the ports of outgoing connections. A port from those
/// could be lost to a client while the API server is down, even to one of its
/// own clients, which then is connected to itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// The folder of one control plane.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// A folder that does not exist yet and whose name nobody else will think of.
    pub fn unused() -> Self {
        let name = format!("control-plane-{}", uuid::Uuid::new_v4().simple());
        Self { root: std::env::temp_dir().join(name) }
    }

    /// Makes the folders, readable only for their owner: private keys lie in them.
    pub fn create(&self) -> Result<(), Error> {
        for folder in [self.root.clone(), self.pki(""), self.root.join("logs")] {
            DirBuilder::new()
                .mode(0o700)
                .create(&folder)
                .map_err(Error::file("make the folder", folder))?;
        }
        Ok(())
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn pki(&self, name: &str) -> PathBuf {
        self.root.join("pki").join(name)
    }

    pub fn etcd_data(&self) -> PathBuf {
        self.root.join("etcd")
    }

    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.kubeconfig("admin")
    }

    pub fn kubeconfig(&self, program: &str) -> PathBuf {
        self.root.join(format!("{program}.kubeconfig"))
    }

    /// The certificate with which the API server turns to kubelets, and its key.
    pub fn kubelet_client(&self) -> [PathBuf; 2] {
        ["kubelet-client.crt", "kubelet-client.key"].map(|name| self.pki(name))
    }

    pub fn audit_policy(&self) -> PathBuf {
        self.root.join("audit-policy.yaml")
    }

    pub fn audit_log(&self) -> PathBuf {
        self.root.join("audit.log")
    }

    pub fn log(&self, program: &str) -> PathBuf {
        self.root.join("logs").join(format!("{program}.log"))
    }
}

/// The ports of one control plane, all on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub etcd: u16,
    pub etcd_peer: u16,
    pub api_server: u16,
}

impl Ports {
    /// Draws ports that nobody listens on at the moment.
    pub fn draw() -> Result<Self, Error> {
        // All three stay bound until the last one is known, so that they differ.
        let bound = [free()?, free()?, free()?];
        let [etcd, etcd_peer, api_server] = bound.each_ref().map(|(port, _)| *port);
        Ok(Self { etcd, etcd_peer, api_server })
    }
}

fn free() -> Result<(u16, TcpListener), Error> {
    let mut refusal = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..100 {
        let port = fastrand::u16(PORTS);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return Ok((port, listener)),
            Err(error) => refusal = error,
        }
    }
    Err(Error::file("find a free port on", "127.0.0.1")(refusal))
}

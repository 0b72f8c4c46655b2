//! What a node needs that joins a control plane.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use crate::{
    Error,
    certificates::{Authority, write_identity},
    kubeconfig,
    layout::Layout,
};

/// A node that is to join. Whoever starts a control plane with one brings the node's own programs.
///
/// The API server then listens at the node's address instead of 127.0.0.1, which pods could not
/// reach, and a scheduler assigns pods.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name, such as `node-1`.
    pub name: String,
    /// Its address, which must be one of this machine and not a loopback address.
    pub address: IpAddr,
}

/// The files with which a node joins. All are gone with the control plane.
#[derive(Clone, Debug)]
pub struct NodeFiles {
    /// The certificate of the authority that signed all others (PEM).
    pub authority: PathBuf,
    /// The certificate with which the kubelet serves (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
    /// The kubeconfig of the kubelet, user `system:node:NAME`.
    pub kubelet: PathBuf,
    /// The kubeconfig of kube-proxy.
    pub proxy: PathBuf,
}

impl NodeFiles {
    pub(crate) fn of(layout: &Layout) -> Self {
        Self {
            authority: layout.pki("ca.crt"),
            certificate: layout.pki("kubelet.crt"),
            key: layout.pki("kubelet.key"),
            kubelet: layout.kubeconfig("kubelet"),
            proxy: layout.kubeconfig("kube-proxy"),
        }
    }
}

/// Where the API server listens.
pub(crate) fn address(node: Option<&Node>) -> IpAddr {
    node.map_or(Ipv4Addr::LOCALHOST.into(), |it| it.address)
}

/// Writes the files of a node, and what the control plane itself needs to deal with one: the
/// scheduler's kubeconfig, and the certificate with which the API server turns to kubelets.
pub(crate) fn write(
    layout: &Layout,
    server: &str,
    authority: &Authority,
    node: &Node,
) -> Result<(), Error> {
    let files = NodeFiles::of(layout);
    let serving = authority.server(&node.name, &[node.name.clone(), node.address.to_string()])?;
    write_identity(&files.certificate, &files.key, &serving)?;
    let caller = authority.client("apiserver-kubelet-client", Some("system:masters"))?;
    let [certificate, key] = layout.kubelet_client();
    write_identity(&certificate, &key, &caller)?;
    let user = format!("system:node:{}", node.name);
    let kubelet = authority.client(&user, Some("system:nodes"))?;
    // The roles of both are bound from the start
    // (<https://kubernetes.io/docs/reference/access-authn-authz/rbac/#core-component-roles>).
    let proxy = authority.client("system:kube-proxy", None)?;
    let scheduler = authority.client("system:kube-scheduler", None)?;
    let scheduler_kubeconfig = layout.kubeconfig("kube-scheduler");
    for (path, identity) in
        [(files.kubelet, kubelet), (files.proxy, proxy), (scheduler_kubeconfig, scheduler)]
    {
        kubeconfig::write(&path, server, &authority.certificate, &identity)?;
    }
    Ok(())
}

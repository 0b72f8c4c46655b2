//! The command line of each program.

use std::{net::SocketAddr, path::Path};

use crate::{
    layout::{Layout, Ports},
    node::{self, Node},
};

pub(crate) const ETCD: &str = "etcd";
pub(crate) const API_SERVER: &str = "kube-apiserver";
pub(crate) const CONTROLLER_MANAGER: &str = "kube-controller-manager";
pub(crate) const SCHEDULER: &str = "kube-scheduler";

/// Issuer of service account tokens; the value most clusters have.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Every request is noted once it is answered. Writes are noted with what was sent, so that tests
/// can search it; Secrets and tokens are not, as in real clusters.
pub(crate) const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  resources:
  - group: ''
    resources: [secrets, serviceaccounts/token]
  - group: authentication.k8s.io
- level: Request
  verbs: [create, update, patch]
- level: Metadata
";

/// The URL at which etcd serves its clients.
pub(crate) fn etcd_url(ports: Ports) -> String {
    format!("http://127.0.0.1:{}", ports.etcd)
}

/// The URL of the API server.
pub(crate) fn server_url(node: Option<&Node>, ports: Ports) -> String {
    format!("https://{}", SocketAddr::new(node::address(node), ports.api_server))
}

/// etcd without fsync: nothing in it outlives the control plane.
pub(crate) fn etcd(layout: &Layout, ports: Ports) -> Vec<String> {
    let (client, peer) = (etcd_url(ports), format!("http://127.0.0.1:{}", ports.etcd_peer));
    vec![
        flag("data-dir", &layout.etcd_data()),
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
    ]
}

/// The API server with RBAC, the admission plugins that are on by default, and one that `OpenShift` adds.
pub(crate) fn api_server(layout: &Layout, ports: Ports, node: Option<&Node>) -> Vec<String> {
    let address = node::address(node);
    let mut flags = vec![
        format!("--etcd-servers={}", etcd_url(ports)),
        format!("--bind-address={address}"),
        format!("--advertise-address={address}"),
        format!("--secure-port={}", ports.api_server),
        "--service-cluster-ip-range=10.0.0.0/24".into(),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".into(),
        // Whether a Pod may be privileged is left to admission, as in real clusters.
        "--allow-privileged=true".into(),
        flag("tls-cert-file", &layout.pki("apiserver.crt")),
        flag("tls-private-key-file", &layout.pki("apiserver.key")),
        flag("client-ca-file", &layout.pki("ca.crt")),
        format!("--service-account-issuer={ISSUER}"),
        flag("service-account-key-file", &layout.pki("service-account.pub")),
        flag("service-account-signing-key-file", &layout.pki("service-account.key")),
        flag("audit-policy-file", &layout.audit_policy()),
        flag("audit-log-path", &layout.audit_log()),
        // No rotation: whoever counts requests reads one file.
        "--audit-log-maxsize=0".into(),
    ];
    match node {
        Some(_) => flags.extend(kubelets(layout)),
        // A loopback address is not valid in Endpoints.
        None => flags.push("--endpoint-reconciler-type=none".into()),
    }
    flags
}

/// How the API server turns to kubelets, for logs and the like.
fn kubelets(layout: &Layout) -> [String; 4] {
    let [certificate, key] = layout.kubelet_client();
    [
        flag("kubelet-client-certificate", &certificate),
        flag("kubelet-client-key", &key),
        flag("kubelet-certificate-authority", &layout.pki("ca.crt")),
        "--kubelet-preferred-address-types=InternalIP".into(),
    ]
}

/// The scheduler. No other one competes with it.
pub(crate) fn scheduler(layout: &Layout) -> Vec<String> {
    vec![
        flag("kubeconfig", &layout.kubeconfig(SCHEDULER)),
        "--leader-elect=false".into(),
        "--secure-port=0".into(),
    ]
}

/// The controllers, each with a service account of its own. Minting their
/// tokens takes five seconds at the default rate of requests.
pub(crate) fn controller_manager(layout: &Layout) -> Vec<String> {
    vec![
        flag("kubeconfig", &layout.kubeconfig(CONTROLLER_MANAGER)),
        "--leader-elect=false".into(),
        "--secure-port=0".into(),
        "--use-service-account-credentials=true".into(),
        "--kube-api-qps=300".into(),
        "--kube-api-burst=600".into(),
        flag("service-account-private-key-file", &layout.pki("service-account.key")),
        flag("root-ca-file", &layout.pki("ca.crt")),
    ]
}

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

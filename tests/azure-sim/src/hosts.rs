//! Which host is which part of Azure, by cloud (`cloud-provider-azure`, `pkg/azclient/cloud.go`).

use crate::model::{Cloud, Model};

/// The address of instance metadata, the same on every host in Azure.
pub(crate) const INSTANCE_METADATA: &str = "169.254.169.254";

/// A part of Azure with an HTTP interface of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Face {
    /// Entra's token endpoint.
    Entra,
    /// Azure Resource Manager.
    Arm,
    /// Microsoft Graph.
    Graph,
    /// Instance metadata, over plain HTTP.
    InstanceMetadata,
    /// A container registry's own endpoints.
    Registry,
}

/// What a host name is that is spoken to over TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Host {
    /// A part of Azure.
    Face(Face),
    /// A name below the registries' suffix that no registry has. DNS does not know it.
    NoRegistry,
    /// Not Azure, or another cloud.
    Unknown,
}

/// What an access token can be asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Resource {
    Arm,
    ContainerRegistry,
    Graph,
}

struct Hosts {
    authority: &'static str,
    arm: &'static str,
    /// The older name of ARM, still a valid audience.
    arm_classic: &'static str,
    graph: &'static str,
    acr_suffix: &'static str,
}

const PUBLIC: Hosts = Hosts {
    authority: "login.microsoftonline.com",
    arm: "management.azure.com",
    arm_classic: "management.core.windows.net",
    graph: "graph.microsoft.com",
    acr_suffix: "azurecr.io",
};

const US_GOVERNMENT: Hosts = Hosts {
    authority: "login.microsoftonline.us",
    arm: "management.usgovcloudapi.net",
    arm_classic: "management.core.usgovcloudapi.net",
    graph: "graph.microsoft.us",
    acr_suffix: "azurecr.us",
};

const CHINA: Hosts = Hosts {
    authority: "login.chinacloudapi.cn",
    arm: "management.chinacloudapi.cn",
    arm_classic: "management.core.chinacloudapi.cn",
    graph: "microsoftgraph.chinacloudapi.cn",
    acr_suffix: "azurecr.cn",
};

impl Cloud {
    fn hosts(self) -> &'static Hosts {
        match self {
            Self::Public => &PUBLIC,
            Self::UsGovernment => &US_GOVERNMENT,
            Self::China => &CHINA,
        }
    }

    /// The host of the token endpoint.
    #[must_use]
    pub fn authority_host(self) -> &'static str {
        self.hosts().authority
    }

    /// The host of Resource Manager.
    #[must_use]
    pub fn arm_host(self) -> &'static str {
        self.hosts().arm
    }

    /// The host of Microsoft Graph.
    #[must_use]
    pub fn graph_host(self) -> &'static str {
        self.hosts().graph
    }

    /// What login servers of registries end with.
    #[must_use]
    pub fn acr_suffix(self) -> &'static str {
        self.hosts().acr_suffix
    }

    /// The audiences that ARM takes.
    pub(crate) fn arm_audiences(self) -> [String; 4] {
        let Hosts { arm, arm_classic, .. } = self.hosts();
        [
            format!("https://{arm_classic}/"),
            format!("https://{arm_classic}"),
            format!("https://{arm}/"),
            format!("https://{arm}"),
        ]
    }

    /// The resource that a scope or `resource` parameter names.
    pub(crate) fn resource(self, name: &str) -> Option<Resource> {
        let host = name.strip_prefix("https://")?.trim_end_matches('/');
        let is = |name: &str| host.eq_ignore_ascii_case(name);
        match self.hosts() {
            it if is(it.arm) || is(it.arm_classic) => Some(Resource::Arm),
            it if is(it.graph) => Some(Resource::Graph),
            // One audience serves all clouds (azure-sdk-for-net issue 34785).
            _ if is("containerregistry.azure.net") => Some(Resource::ContainerRegistry),
            _ => None,
        }
    }
}

impl Model {
    /// What a host name is in this cloud, at this moment.
    pub(crate) fn host(&self, name: &str) -> Host {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        let hosts = self.settings.cloud.hosts();
        if is(hosts.authority) {
            return Host::Face(Face::Entra);
        }
        if is(hosts.arm) {
            return Host::Face(Face::Arm);
        }
        if is(hosts.graph) {
            return Host::Face(Face::Graph);
        }
        if self.registry_at(name).is_some() {
            return Host::Face(Face::Registry);
        }
        let name = name.to_ascii_lowercase();
        let label = name.strip_suffix(hosts.acr_suffix).and_then(|it| it.strip_suffix('.'));
        if label.is_some() { Host::NoRegistry } else { Host::Unknown }
    }
}

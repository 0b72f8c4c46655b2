//! The hosts for which Microsoft's credential provider gives a kubelet a credential. Measured with its
//! releases: docs/real-node.md, "Which hosts a node gets a credential for".

use crate::ids::LoginServer;
use crate::snapshot::azure::Registry;

/// The first release line of Kubernetes whose providers all know hosts with a dash. A node of AKS has a
/// provider of the kubelet's release line.
const FIRST_WITH_DASHES: (u32, u32) = (1, 33);

/// The version of a kubelet, such as `v1.33.4`. An older release line compares as less.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KubeletVersion {
    line: (u32, u32),
    text: String,
}

impl KubeletVersion {
    /// Parses a version; `None` where the text names no release.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut numbers = text.strip_prefix('v')?.split(['.', '-', '+']);
        let line = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        Some(Self { line, text: text.to_owned() })
    }
}

/// The first month of node images whose kubelets ask the provider about regional hosts: `AgentBaker`, pull
/// request 8994, merged on 22 July 2026.
const FIRST_WITH_REGIONS: u32 = 202_608;

/// The label in which AKS writes the node image (learn.microsoft.com, "Upgrade AKS node images").
pub const NODE_IMAGE: &str = "kubernetes.azure.com/node-image-version";

/// The version of a node image, such as `AKSUbuntu-2204gen2containerd-202607.21.0`. One of an earlier month
/// compares as less.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeImage {
    /// Year and month, such as 202607.
    month: u32,
    text: String,
}

impl NodeImage {
    /// Parses the value of label [`NODE_IMAGE`]; `None` where it names no month.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (_, version) = text.rsplit_once('-')?;
        let month = version.split('.').next().filter(|it| it.len() == 6)?;
        Some(Self { month: month.parse().ok()?, text: text.to_owned() })
    }
}

/// The oldest versions that nodes tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OldestVersions {
    /// Of their kubelets; `None` where they do not tell.
    pub kubelet: Option<KubeletVersion>,
    /// Of their images; `None` where they do not tell, as outside AKS.
    pub image: Option<NodeImage>,
}

/// The kind of a registry's host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// `name.azurecr.io`.
    Plain,
    /// `name-label.azurecr.io`: the registry has a domain name label.
    Labelled,
    /// `name.region.geo.azurecr.io`: a regional endpoint.
    Regional,
}

impl Host {
    /// The kind of a login server.
    #[must_use]
    pub fn of(server: &LoginServer) -> Self {
        let labels: Vec<_> = server.as_str().split('.').collect();
        match labels[..] {
            [_, _, "geo", ..] => Self::Regional,
            [name, ..] if name.contains('-') => Self::Labelled,
            _ => Self::Plain,
        }
    }

    /// What a node needs to get a credential for such a host, and may lack.
    #[must_use]
    pub fn needs(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Labelled => Some(
                "a host with a dash needs v1.30.10, v1.31.4, v1.32.3 or a newer one of Microsoft's credential provider on the node",
            ),
            Self::Regional => Some(
                "a regional host needs *.*.geo.azurecr.* in matchImages of the kubelet's CredentialProviderConfig, which node images of AKS have since August 2026",
            ),
        }
    }
}

/// Whether all nodes get a credential for all hosts of a registry, whatever their versions.
#[must_use]
pub fn suits_all_nodes(registry: &Registry) -> bool {
    Host::of(&registry.login_server) == Host::Plain && regional(registry).next().is_none()
}

/// A warning that nodes may be too old to pull from a host of the registry; `None` if they are not. It says
/// "where", since a node's versions tell only the release line of its provider.
#[must_use]
pub fn old_nodes_warning(registry: &Registry, oldest: &OldestVersions) -> Option<String> {
    let kubelet = oldest.kubelet.as_ref().filter(|it| it.line < FIRST_WITH_DASHES);
    let kubelet = kubelet.filter(|_| Host::of(&registry.login_server) == Host::Labelled);
    let by_kubelet = kubelet.zip(Host::Labelled.needs()).map(|(it, needs)| {
        format!("where pods get 401 Unauthorized, {UPGRADE}: a node runs {}, and {needs}", it.text)
    });
    let image = oldest.image.as_ref().filter(|it| it.month < FIRST_WITH_REGIONS);
    let image = image.filter(|_| regional(registry).next().is_some());
    let by_image = image.zip(Host::Regional.needs()).map(|(it, needs)| {
        format!(
            "where pods get 401 Unauthorized from a regional host, {UPGRADE}: a node has image {}, and {needs}",
            it.text
        )
    });
    by_kubelet.into_iter().chain(by_image).reduce(|a, b| format!("{a}; {b}"))
}

const UPGRADE: &str = "upgrade the node image (az aks nodepool upgrade --node-image-only)";

fn regional(registry: &Registry) -> impl Iterator<Item = &LoginServer> {
    registry.regional.iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> KubeletVersion {
        KubeletVersion::read(text).unwrap()
    }

    #[test]
    fn versions_are_older_by_their_release_line() {
        assert!(version("v1.9.11") < version("v1.32.0"));
        assert!(version("v1.32.9-eks-1") < version("v1.33.0+k3s1"));
        for text in ["", "1.33.1", "v1", "vx.y.z"] {
            assert_eq!(KubeletVersion::read(text), None, "{text}");
        }
    }

    #[rstest::rstest]
    #[case("contoso.azurecr.io", Host::Plain)]
    #[case("contoso-e7ggejfuhzhgedc8.azurecr.io", Host::Labelled)]
    #[case("contoso.westeurope.geo.azurecr.io", Host::Regional)]
    #[case("contoso-e7ggejfuhzhgedc8.westeurope.geo.azurecr.io", Host::Regional)]
    #[case("registry.my-cloud.example", Host::Plain)]
    fn a_host_tells_its_kind(#[case] server: &str, #[case] host: Host) {
        assert_eq!(Host::of(&server.parse().unwrap()), host);
    }

    fn registry(server: &str, regional: &[&str]) -> Registry {
        let id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso";
        Registry {
            id: id.parse().unwrap(),
            login_server: server.parse().unwrap(),
            regional: Some(regional.iter().map(|it| it.parse().unwrap()).collect()),
            mode: None,
            provisioning_state: String::new(),
            accepts_arm_tokens: true,
        }
    }

    const DASH: &str = "contoso-e7ggejfuhzhgedc8.azurecr.io";
    const PLAIN: &str = "contoso.azurecr.io";
    const WEST: &[&str] = &["contoso.westeurope.geo.azurecr.io"];
    const JULY: &str = "AKSUbuntu-2204gen2containerd-202607.21.0";
    const AUGUST: &str = "AKSAzureLinux-V3gen2-202608.12.1";

    #[rstest::rstest]
    #[case::dash(DASH, &[], "v1.32.9", AUGUST, &["v1.32.9"])]
    #[case::new_kubelet(DASH, &[], "v1.33.0", JULY, &[])]
    #[case::plain(PLAIN, &[], "v1.32.9", JULY, &[])]
    #[case::region(PLAIN, WEST, "v1.32.9", JULY, &[JULY])]
    #[case::new_image(PLAIN, WEST, "v1.32.9", AUGUST, &[])]
    #[case::both(DASH, WEST, "v1.32.9", JULY, &["v1.32.9", JULY])]
    #[case::untold(PLAIN, WEST, "", "of-a-fork", &[])]
    fn only_an_old_node_and_an_unusual_host_make_a_warning(
        #[case] server: &str,
        #[case] regional: &[&str],
        #[case] kubelet: &str,
        #[case] image: &str,
        #[case] named: &[&str],
    ) {
        let oldest = OldestVersions {
            kubelet: KubeletVersion::read(kubelet),
            image: NodeImage::read(image),
        };
        let warning = old_nodes_warning(&registry(server, regional), &oldest);
        let text = warning.unwrap_or_default();
        assert_eq!(text.is_empty(), named.is_empty(), "{text}");
        assert!(named.iter().all(|it| text.contains(it)), "{text}");
        assert!(crate::message::is_bounded(&text), "{text}");
    }

    #[test]
    fn images_are_older_by_their_month() {
        assert!(NodeImage::read(JULY) < NodeImage::read(AUGUST));
        for text in ["", "AKSUbuntu", "AKSUbuntu-2204", "AKSUbuntu-2204-latest"] {
            assert_eq!(NodeImage::read(text), None, "{text}");
        }
    }
}

//! The hosts for which Microsoft's credential provider gives a kubelet a credential. Measured with its
//! releases: docs/real-node.md, "Which hosts a node gets a credential for".

use crate::ids::LoginServer;

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

/// A warning that nodes may be too old to pull from the host; `None` if they are not. It says "may", since
/// the kubelet's version tells only the release line of the provider.
#[must_use]
pub fn old_node_warning(server: &LoginServer, oldest: &KubeletVersion) -> Option<String> {
    let host = Host::of(server);
    if host != Host::Labelled || oldest.line >= FIRST_WITH_DASHES {
        return None;
    }
    Some(format!(
        "where pods get 401 Unauthorized, upgrade the node image (az aks nodepool upgrade --node-image-only): a node runs {}, and {}",
        oldest.text,
        host.needs()?
    ))
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

    #[rstest::rstest]
    #[case("contoso-e7ggejfuhzhgedc8.azurecr.io", "v1.32.9", true)]
    #[case("contoso-e7ggejfuhzhgedc8.azurecr.io", "v1.33.0", false)]
    #[case("contoso.azurecr.io", "v1.32.9", false)]
    fn only_an_old_node_and_a_dash_make_a_remark(
        #[case] server: &str,
        #[case] oldest: &str,
        #[case] is_said: bool,
    ) {
        let said = old_node_warning(&server.parse().unwrap(), &version(oldest));
        assert_eq!(said.is_some(), is_said, "{said:?}");
        assert!(said.is_none_or(|it| it.contains(oldest) && it.contains("v1.32.3")));
    }
}

//! The steps about DNS and the connection to the registry.

use std::net::IpAddr;

use super::{Step, StepName, Target, one_line};

/// How the registry's host was resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// The pod resolved the host, to these addresses.
    Here(Vec<IpAddr>),
    /// The proxy at this address resolves the host.
    ByProxy(String),
}

/// The step that resolves the host.
#[must_use]
pub fn name(target: &Target, resolved: Result<Resolved, String>) -> Step {
    let host = &target.registry;
    match resolved {
        Ok(Resolved::ByProxy(proxy)) => {
            Step::skipped(StepName::Name, format!("the proxy {proxy} resolves {host}"))
        }
        Ok(Resolved::Here(addresses)) if !addresses.is_empty() => {
            let list: Vec<_> = addresses.iter().map(|it| address(*it)).collect();
            Step::ok(StepName::Name, format!("{host} is {}", list.join(", ")))
        }
        Ok(Resolved::Here(_)) => unresolved(target, "no address"),
        Err(reason) => unresolved(target, &one_line(&reason)),
    }
}

fn unresolved(target: &Target, reason: &str) -> Step {
    let host = &target.registry;
    Step::failed(
        StepName::Name,
        format!("{host} cannot be resolved: {reason}"),
        vec![
            target.login_server_advice(),
            format!(
                "Where that is it, the cluster's DNS does not know it: for a private endpoint, link the zone privatelink.{} to the cluster's network",
                target.domain()
            ),
        ],
    )
}

/// The text for an address. One in a private network is that of a private endpoint.
fn address(address: IpAddr) -> String {
    let private = match address {
        IpAddr::V4(it) => it.is_private(),
        IpAddr::V6(it) => it.is_unique_local(),
    };
    if private { format!("{address} (private)") } else { address.to_string() }
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionFault {
    /// No trusted issuer has signed the certificate.
    Untrusted,
    /// The certificate is for another host.
    OtherHost,
    /// The certificate is not valid at this time.
    Expired,
    /// Another failure of TLS.
    Tls(String),
    /// The connection was refused: the port is closed.
    Refused,
    /// There was no answer in time.
    TimedOut,
    /// The proxy did not connect.
    Proxy(String),
    /// Another failure.
    Other(String),
}

/// The step that connects to the registry, directly or through a proxy.
#[must_use]
pub fn tls(target: &Target, proxy: Option<&str>, connected: Result<(), &ConnectionFault>) -> Step {
    let host = &target.registry;
    let through = proxy.map_or_else(String::new, |it| format!(" through the proxy {it}"));
    let Err(fault) = connected else {
        let text = format!("connected to {host}{through}, and its certificate is trusted");
        return Step::ok(StepName::Tls, text);
    };
    let detail = format!("connecting to {host}{through}: {}", fault.reason());
    Step::failed(StepName::Tls, detail, fault.advice(target, proxy))
}

impl ConnectionFault {
    fn reason(&self) -> String {
        match self {
            Self::Untrusted => "nobody that is trusted here vouches for the certificate".to_owned(),
            Self::OtherHost => "the certificate is another host's".to_owned(),
            Self::Expired => "the certificate is not valid at this time".to_owned(),
            Self::Tls(text) => format!("TLS fails: {}", one_line(text)),
            Self::Refused => "nobody listens there".to_owned(),
            Self::TimedOut => "no answer".to_owned(),
            Self::Proxy(text) => format!("the proxy does not connect: {}", one_line(text)),
            Self::Other(text) => one_line(text),
        }
    }

    fn advice(&self, target: &Target, proxy: Option<&str>) -> Vec<String> {
        let text = match (self, proxy) {
            (Self::Untrusted, _) => {
                "Where a proxy or firewall of yours opens TLS, give its certificate by --ca-file, and to the nodes too"
            }
            (Self::OtherHost, _) => {
                "Something answers in the registry's place: check the cluster's DNS and the address of its private endpoint"
            }
            (Self::Expired, _) => "Check the clock of the node",
            (Self::Tls(_), _) => {
                "Something on the way does not speak TLS on port 443, or not as a registry does: check proxy and firewall"
            }
            (Self::Proxy(_), _) => {
                let connect =
                    "Where that is it, let the proxy connect there, or add the host to NO_PROXY";
                return vec![target.login_server_advice(), connect.to_owned()];
            }
            (Self::Refused | Self::TimedOut | Self::Other(_), Some(proxy)) => {
                return vec![format!(
                    "Let the pod reach the proxy {proxy}, or correct HTTPS_PROXY"
                )];
            }
            (Self::Refused | Self::TimedOut | Self::Other(_), None) => {
                "Let the pod reach port 443 there: network policies, the cluster's firewall and routes; through a proxy, set HTTPS_PROXY"
            }
        };
        vec![text.to_owned()]
    }
}

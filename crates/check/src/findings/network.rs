//! The way to the registry: its name and a connection.

use std::net::IpAddr;

use super::{Step, StepName, Target, told};

/// Who resolves the registry's name, and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// The pod, to these addresses.
    Here(Vec<IpAddr>),
    /// A proxy at that address does it by itself.
    ByProxy(String),
}

/// The step that resolves the name.
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
        Err(reason) => unresolved(target, &told(&reason)),
    }
}

fn unresolved(target: &Target, reason: &str) -> Step {
    let host = &target.registry;
    Step::failed(
        StepName::Name,
        format!("{host} cannot be resolved: {reason}"),
        vec![
            target.login_server(),
            format!(
                "Where that is it, the cluster's DNS does not know it: for a private endpoint, link the zone privatelink.{} to the cluster's network",
                target.domain()
            ),
        ],
    )
}

/// An address in a private network is that of a private endpoint.
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
    /// Nobody that is trusted vouches for the certificate.
    Untrusted,
    /// The certificate is another host's.
    OtherHost,
    /// The certificate is not valid at this time.
    Expired,
    /// Something else about TLS.
    Tls(String),
    /// Nobody listens.
    Refused,
    /// No answer.
    TimedOut,
    /// The proxy did not connect.
    Proxy(String),
    /// Something else.
    Other(String),
}

/// The step that connects, through a proxy or not.
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
            Self::Tls(text) => format!("TLS fails: {}", told(text)),
            Self::Refused => "nobody listens there".to_owned(),
            Self::TimedOut => "no answer".to_owned(),
            Self::Proxy(text) => format!("the proxy does not connect: {}", told(text)),
            Self::Other(text) => told(text),
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
                return vec![target.login_server(), connect.to_owned()];
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

//! The texts about DNS and the connection.

use super::super::network::{ConnectionFault, Resolved, name, tls};
use super::super::*;
use super::target;

#[rstest::rstest]
#[case(Ok(Resolved::ByProxy("http://proxy:3128".into())), StepResult::Skipped, "the proxy http://proxy:3128 resolves")]
#[case(Ok(Resolved::Here(vec!["20.1.2.3".parse().unwrap(), "fd00::1".parse().unwrap()])), StepResult::Ok, "is 20.1.2.3, fd00::1 (private)")]
#[case(Ok(Resolved::Here(Vec::new())), StepResult::Failed, "no address")]
#[case(Err("no such\nhost".into()), StepResult::Failed, "cannot be resolved: no such host")]
fn the_pod_or_the_proxy_resolves_the_host(
    #[case] resolved: Result<Resolved, String>,
    #[case] result: StepResult,
    #[case] words: &str,
) {
    let step = name(&target(""), resolved);
    assert_eq!(step.result, result);
    assert!(step.detail.contains(words), "{}", step.detail);
}

#[rstest::rstest]
#[case(ConnectionFault::Untrusted, "vouches", "--ca-file")]
#[case(ConnectionFault::OtherHost, "another host's", "DNS")]
#[case(ConnectionFault::Expired, "not valid at this time", "clock")]
#[case(ConnectionFault::Tls("bad record".into()), "TLS fails: bad record", "proxy")]
#[case(ConnectionFault::Refused, "nobody listens", "reach the proxy")]
#[case(ConnectionFault::TimedOut, "no answer", "reach the proxy")]
#[case(ConnectionFault::Proxy("unsuccessful".into()), "the proxy does not connect", "az acr show --name contoso")]
#[case(ConnectionFault::Other("no route".into()), "no route", "reach the proxy")]
fn a_connection_fault_is_reported_with_its_advice(
    #[case] fault: ConnectionFault,
    #[case] words: &str,
    #[case] advice: &str,
) {
    let step = tls(&target(""), Some("http://proxy:3128"), Err(&fault));
    assert!(step.detail.starts_with("connecting to contoso.azurecr.io through the proxy"));
    assert!(step.detail.contains(words), "{}", step.detail);
    assert!(step.advice[0].contains(advice), "{:?}", step.advice);
}

#[test]
fn without_a_proxy_the_advice_names_the_port() {
    let step = tls(&target(""), None, Err(&ConnectionFault::Refused));
    assert_eq!(step.detail, "connecting to contoso.azurecr.io: nobody listens there");
    assert!(step.advice[0].contains("port 443"), "{:?}", step.advice);
}

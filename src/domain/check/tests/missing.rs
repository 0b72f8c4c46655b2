//! What is said of what a pod does not have.

use super::super::credential::{Found, Missing, NodeFault};
use super::{CLIENT, target};

#[rstest::rstest]
#[case(Missing::NoneNamed, "names no pull secret", "RegistryAttachment")]
#[case(Missing::NoSecret("x".into()), "Secret x, which service account default names, does not exist", "Create Secret x")]
#[case(Missing::OtherType { secret: "x".into(), found: "Opaque".into() }, "of type Opaque", "docker-registry")]
#[case(Missing::NoEntry { secret: "x".into(), places: vec!["*.io".into()] }, "only for *.io", "Add an entry")]
#[case(Missing::NoEntry { secret: "x".into(), places: vec![] }, "none at all", "Add an entry")]
#[case(Missing::NoUser("x".into()), "without a user name", "Put the user name")]
#[case(Missing::Node(NodeFault::OtherDomain), "Azure's registries alone", "")]
#[case(Missing::Node(NodeFault::Unknown(None)), "no managed identity", "pull secret")]
#[case(Missing::Node(NodeFault::Unknown(Some(CLIENT.into()))), CLIENT, "--kubelet-identity")]
#[case(Missing::Node(NodeFault::Several), "several identities", "--kubelet-identity")]
#[case(Missing::Node(NodeFault::Answered(500)), "answers 500", "again")]
fn what_is_missing_is_told_with_its_way_out(
    #[case] missing: Missing,
    #[case] words: &str,
    #[case] way_out: &str,
) {
    let found = Found { missing: vec![missing], trials: Vec::new() };
    let step = found.credential(&target("app"));
    let advice = step.advice.join(" ");
    assert!(step.detail.contains(words), "{}", step.detail);
    assert!(advice.contains(way_out) && advice.is_empty() == way_out.is_empty(), "{advice}");
}

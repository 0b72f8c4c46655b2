//! What is said of what a pod does not have.

use super::super::credential::{Found, Missing, NodeFault};
use super::{CLIENT, target};

fn no_entry(places: &[&str], other_case: Option<&str>, helper: Option<&'static str>) -> Missing {
    let places = places.iter().map(|it| (*it).to_owned()).collect();
    let other_case = other_case.map(str::to_owned);
    Missing::NoEntry { secret: "x".into(), places, other_case, helper }
}

#[rstest::rstest]
#[case(Missing::NoneNamed, "names no pull secret", "RegistryAttachment")]
#[case(Missing::NoSecret("x".into()), "Secret x, which service account default names, does not exist", "Create Secret x")]
#[case(Missing::OtherType { secret: "x".into(), found: "Opaque".into() }, "of type Opaque", "docker-registry")]
#[case(no_entry(&["*.io"], None, None), "only for *.io", "Add an entry")]
#[case(no_entry(&[], None, None), "none at all", "Add an entry")]
#[case(no_entry(&["Contoso.azurecr.io", "a"], Some("Contoso.azurecr.io"), None), "only for Contoso.azurecr.io: the kubelet tells capital", "small letters")]
#[case(no_entry(&[], None, Some("credHelpers")), "no program that credHelpers names", "user name and password")]
#[case(Missing::NoUser { secret: "x".into(), unread: None }, "without a user name", "Put the user name")]
#[case(Missing::NoUser { secret: "x".into(), unread: Some("credsStore") }, "does not read credsStore", "user name and password")]
#[case(Missing::Node(NodeFault::OtherCase("c.AzureCR.io".into())), "capital letters", "small letters")]
#[case(Missing::Node(NodeFault::OtherDomain), "Azure's registries alone", "")]
#[case(Missing::Node(NodeFault::Unknown(None)), "no managed identity", "pull secret")]
#[case(Missing::Node(NodeFault::Unknown(Some(CLIENT.into()))), CLIENT, "az aks update")]
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

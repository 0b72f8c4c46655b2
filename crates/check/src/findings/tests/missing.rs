//! The texts about credentials that a pod does not have.

use super::super::credential::{Findings, Missing, NodeFault};
use super::{CLIENT, target};

fn no_entry(patterns: &[&str], other_case: Option<&str>, helper: Option<&'static str>) -> Missing {
    let patterns = patterns.iter().map(|it| (*it).to_owned()).collect();
    let other_case = other_case.map(str::to_owned);
    Missing::NoEntry { secret: "x".into(), patterns, other_case, helper }
}

#[rstest::rstest]
#[case(Missing::NoneNamed, "names no pull secret", "RegistryAttachment")]
#[case(Missing::NoSecret("x".into()), "Secret x, which service account default names, does not exist", "Create Secret x")]
#[case(Missing::OtherType { secret: "x".into(), found: "Opaque".into() }, "of type Opaque", "docker-registry")]
#[case(no_entry(&["*.io"], None, None), "only for *.io", "Add an entry")]
#[case(no_entry(&[], None, None), "none at all", "Add an entry")]
#[case(no_entry(&["Contoso.azurecr.io", "a"], Some("Contoso.azurecr.io"), None), "only for Contoso.azurecr.io: the kubelet tells capital", "small letters")]
#[case(no_entry(&[], None, Some("credHelpers")), "no program that credHelpers names", "user name and password")]
#[case(Missing::NoUser { secret: "x".into(), ignored_key: None }, "without a user name", "Put the user name")]
#[case(Missing::NoUser { secret: "x".into(), ignored_key: Some("credsStore") }, "does not read credsStore", "user name and password")]
#[case(Missing::Node(NodeFault::OtherCase("c.AzureCR.io".into())), "capital letters", "small letters")]
#[case(Missing::Node(NodeFault::OtherDomain), "Azure's registries alone", "")]
#[case(Missing::Node(NodeFault::Unknown(None)), "no managed identity", "pull secret")]
#[case(Missing::Node(NodeFault::Unknown(Some(CLIENT.into()))), CLIENT, "az aks update")]
#[case(Missing::Node(NodeFault::Several), "several identities", "--kubelet-identity")]
#[case(Missing::Node(NodeFault::Answered(500)), "answers 500", "again")]
fn a_missing_credential_is_reported_with_its_advice(
    #[case] missing: Missing,
    #[case] words: &str,
    #[case] advice: &str,
) {
    let found = Findings { missing: vec![missing], trials: Vec::new() };
    let step = found.credential(&target("app"));
    let shown = step.advice.join(" ");
    assert!(step.detail.contains(words), "{}", step.detail);
    assert!(shown.contains(advice) && shown.is_empty() == advice.is_empty(), "{shown}");
}

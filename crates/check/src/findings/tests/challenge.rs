//! The texts about the challenge of a registry, and about its firewall.

use super::super::challenge::{Challenge, Denied, TokenService, challenge};
use super::super::*;
use super::*;

#[rstest::rstest]
#[case(bearer("https://contoso.azurecr.io/oauth2/token"), None)]
#[case(bearer("https://CONTOSO.azurecr.io/oauth2/token"), None)]
#[case(
    bearer("https://contoso.azurecr.io.example.com/token"),
    Some("sends for tokens to https://contoso.azurecr.io.example.com")
)]
#[case(bearer("http://contoso.azurecr.io/oauth2/token"), Some("sends for tokens"))]
#[case(Challenge { status: 401, authenticate: Some("Basic realm=\"x\"".into()), ..Challenge::default() }, Some("without saying where"))]
#[case(Challenge { status: 401, ..Challenge::default() }, Some("without saying where"))]
#[case(denied(Some("203.0.113.7")), Some("does not admit address 203.0.113.7"))]
#[case(denied(None), Some("does not admit this pod's address"))]
#[case(Challenge { status: 403, ..Challenge::default() }, Some("answers 403"))]
#[case(Challenge { status: 503, ..Challenge::default() }, Some("answers 503"))]
#[case(Challenge { status: 302, ..Challenge::default() }, Some("answers 302, which no registry does"))]
#[case(Challenge { status: 200, ..Challenge::default() }, Some("answers 200, which no registry does"))]
fn only_a_registry_that_admits_the_pod_is_accepted(
    #[case] answer: Challenge,
    #[case] words: Option<&str>,
) {
    match (challenge(&target(""), Ok(&answer)), words) {
        (Ok((step, tokens)), None) => {
            assert!(step.advice.is_empty(), "{step:?}");
            assert_eq!(tokens.service, "contoso.azurecr.io");
        }
        (Err(step), Some(words)) => {
            assert!(step.detail.contains(words) && !step.advice.is_empty(), "{step:?}");
        }
        (other, _) => panic!("{other:?}"),
    }
}

#[test]
fn a_regional_endpoint_may_name_the_token_service_without_its_region() {
    let regional = "contoso.westeurope.geo.azurecr.io";
    let target = Target { registry: regional.parse().unwrap(), ..target("") };
    for host in [regional, "contoso.azurecr.io"] {
        let realm = format!("https://{host}/oauth2/token");
        let (_, tokens) = challenge(&target, Ok(&bearer(&realm))).unwrap();
        assert_eq!(tokens, TokenService { realm, service: "contoso.azurecr.io".into() });
    }
    for host in ["fabrikam.azurecr.io", "contoso.geo.azurecr.io", "azurecr.io"] {
        challenge(&target, Ok(&bearer(&format!("https://{host}/oauth2/token")))).unwrap_err();
    }
}

#[test]
fn a_refusal_by_the_firewall_has_one_exit_code_at_every_step() {
    let denied = Denied { address: Some("203.0.113.7".into()) };
    let trial = |source| Trial { source, outcome: Outcome::Denied(denied.clone()) };
    let user = CredentialSource::PullSecret { secret: "acr-pull".into(), user: CLIENT.into() };
    for (trial, step) in
        [(trial(user), StepName::Token), (trial(CredentialSource::Anonymous), StepName::Credential)]
    {
        let found = Findings { missing: Vec::new(), trials: vec![trial] };
        let report = report(&target("app"), &found, &Manifest::Found(None));
        assert_eq!(report.exit_code(), 4, "{}", report.text());
        assert!(report.text().contains(&format!("FAILED   {}", step.as_str())));
        for words in
            ["203.0.113.7", "az acr network-rule add --name contoso", "privatelink.azurecr.io"]
        {
            assert!(report.text().contains(words), "{}", report.text());
        }
    }
}

fn denied(address: Option<&str>) -> Challenge {
    let denied = Denied { address: address.map(str::to_owned) };
    Challenge { status: 403, denied: Some(denied), ..Challenge::default() }
}

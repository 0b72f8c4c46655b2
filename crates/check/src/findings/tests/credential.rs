//! The texts about refused credentials.

use acr_attach_core::pull_secrets::TOKEN_USER;
use expect_test::expect;

use super::super::credential::{Findings, Missing, Outcome};
use super::super::*;
use super::{CLIENT, anonymous, pull_secret, refused, target};
use crate::docker_config::Flaw;

#[test]
fn a_valid_credential_without_the_right_to_pull_is_told_apart() {
    let found =
        Findings { missing: Vec::new(), trials: vec![pull_secret(CLIENT, Outcome::NoRight)] };
    let step = found.token(&target("team-b/app:v1"));
    expect!["pull secret acr-pull (user c0000000-0000-4000-8000-000000000001): accepted, and may not pull team-b/app"].assert_eq(&step.detail);
    assert!(step.advice[0].contains("`repositories`"), "{:?}", step.advice);
}

#[test]
fn an_error_of_the_registry_is_no_refusal_of_anonymous_access() {
    for (outcome, words) in [
        (refused(), "lets nobody pull without a credential"),
        (Outcome::NoRight, "lets nobody pull without a credential"),
        (Outcome::Other(503), "asked without a credential, contoso.azurecr.io answers 503"),
    ] {
        let found =
            Findings { missing: vec![Missing::NoneNamed], trials: vec![anonymous(outcome)] };
        let detail = found.credential(&target("app")).detail;
        assert!(detail.contains(words), "{detail}");
    }
}

#[test]
fn an_unreadable_secret_fails_the_step() {
    let reason = "it is not what it should be at line 1, column 3".to_owned();
    let found = Findings {
        missing: vec![Missing::Unreadable { secret: "acr-pull".into(), reason }],
        trials: Vec::new(),
    };
    let step = found.credential(&target("app:v1"));
    assert_eq!(step.result, StepResult::Failed);
    expect!["none: Secret acr-pull, which service account default names, cannot be read (it is not what it should be at line 1, column 3), so that the kubelet gives up, whatever other credential there is"].assert_eq(&step.detail);
}

#[rstest::rstest]
#[case(CLIENT, "has no role there", "az ad app credential reset --append --id c0000000")]
#[case("contoso", "admin user", "az acr credential show --name contoso")]
#[case("Contoso", "admin user", "az acr credential show --name contoso")]
#[case(
    "ci-pull",
    "no such token",
    "az acr token credential generate --name ci-pull --registry contoso"
)]
#[case(TOKEN_USER, "not valid any more", "CredentialFresh")]
fn the_advice_depends_on_the_kind_of_user(
    #[case] user: &str,
    #[case] words: &str,
    #[case] advice: &str,
) {
    let trials = vec![pull_secret(user, refused())];
    let step = Findings { missing: Vec::new(), trials }.token(&target("app"));
    assert!(step.detail.contains(words), "{step:?}");
    assert!(step.advice[0].contains(advice), "{step:?}");
    assert_eq!(step.advice[0].contains("az ad app"), user == CLIENT, "{step:?}");
}

#[test]
fn a_token_gets_a_repository_by_its_scope_map() {
    let trials = vec![pull_secret("ci-pull", Outcome::NoRight)];
    let step = Findings { missing: Vec::new(), trials }.token(&target("team/app"));
    assert!(step.advice[0].contains("--add-repository team/app content/read"), "{step:?}");
}

#[rstest::rstest]
#[case(Flaw::IgnoredKey("identitytoken"), "does not read identitytoken", "into password")]
#[case(Flaw::LineBreak, "ends with a line break", "printf")]
#[case(Flaw::Utf16, "UTF-16", "[Text.Encoding]::UTF8")]
#[case(Flaw::ByteOrderMark, "byte order mark", "UTF8")]
#[case(Flaw::NotUtf8, "not UTF-8", "UTF8")]
#[case(Flaw::Space, "space", "printf")]
fn flaws_in_the_characters_are_reported(
    #[case] flaw: Flaw,
    #[case] words: &str,
    #[case] advice: &str,
) {
    let outcome = Outcome::Refused { expired: None, wrong_secret: true, flaw: Some(flaw) };
    for user in [CLIENT, TOKEN_USER] {
        let trials = vec![pull_secret(user, outcome.clone())];
        let step = Findings { missing: Vec::new(), trials }.token(&target("app"));
        assert!(step.detail.contains(words), "{step:?}");
        assert!(step.advice[0].contains(advice), "{step:?}");
    }
}

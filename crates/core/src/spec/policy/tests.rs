//! The settings for pull secrets, one by one.

use serde_json::{Value, json};

use super::*;

const GUID: &str = "22222222-2222-2222-2222-222222222222";

fn judge(server: &str, change: &Value, policy: &Policy) -> Result<(), Problem> {
    let mut pull_secret = json!({
        "servicePrincipal": {
            "tenantId": GUID, "clientId": GUID, "clientSecretRef": {"name": "sp", "key": "secret"},
        },
        "namespaces": {"names": ["a"]},
    });
    for (key, value) in change.as_object().unwrap() {
        pull_secret[key] = value.clone();
    }
    let spec = json!({"registry": {"loginServer": server}, "method": "PullSecret", "pullSecret": pull_secret});
    let spec = serde_json::from_value(spec).unwrap();
    let method = crate::spec::method(&spec).unwrap().unwrap();
    policy.permit(&Attachment::of(&spec, method).unwrap())
}

#[rstest::rstest]
#[case("contoso.azurecr.io", true)]
#[case("CONTOSO.azurecr.io", true)]
#[case("contoso.eastus.geo.azurecr.io", true)]
#[case("contoso.azurecr.us", false)]
#[case("contosoazurecr.io", false)]
#[case("azurecr.io", false)]
#[case("azurecr.io.evil.example", false)]
fn a_credential_is_shown_to_registries_of_the_cloud_alone(
    #[case] server: &str,
    #[case] allowed: bool,
) {
    let answer = judge(server, &json!({}), &Policy::default());
    assert_eq!(answer.is_ok(), allowed, "{answer:?}");
    if let Err(problem) = answer {
        assert_eq!(problem.cause, Cause::NotAllowed);
        assert!(problem.message.contains("--login-server-suffixes"));
    }
}

#[rstest::rstest]
#[case(
    json!({"secretName": "other"}),
    ["add other to chart value pullSecrets.names (flag --pull-secret-names", "allows acr-pull now", "writing Secrets named other"],
)]
#[case(
    json!({"serviceAccounts": ["default", "builder"]}),
    ["add builder to chart value pullSecrets.serviceAccounts (flag", "allows default now", "changing service accounts named builder"],
)]
#[case(
    json!({"serviceAccounts": ["*"]}),
    ["add * to chart value pullSecrets.serviceAccounts (flag", "allows default now", "changing all service accounts"],
)]
fn names_outside_the_settings_are_refused_with_the_setting(
    #[case] change: Value,
    #[case] words: [&str; 3],
) {
    let problem = judge("contoso.azurecr.io", &change, &Policy::default()).unwrap_err();
    assert_eq!(problem.cause, Cause::NotAllowed);
    for word in words {
        assert!(problem.message.contains(word), "{}", problem.message);
    }
    let any = Policy {
        secret_names: AllowedNames::Any,
        account_names: AllowedNames::Any,
        ..Policy::default()
    };
    judge("contoso.azurecr.io", &change, &any).unwrap();
}

#[test]
fn the_operators_own_secret_is_not_handed_out() {
    let policy = Policy { own_client: Some(GUID.to_owned()), ..Policy::default() };
    let own = judge("contoso.azurecr.io", &json!({"credential": "ClientSecret"}), &policy);
    assert!(own.unwrap_err().message.contains("operator's own identity"));
    judge("contoso.azurecr.io", &json!({}), &policy).unwrap();
}

#[test]
fn pull_secrets_can_be_switched_off() {
    let policy = Policy { pull_secrets: false, ..Policy::default() };
    let problem = judge("contoso.azurecr.io", &json!({}), &policy).unwrap_err();
    assert!(problem.message.contains("--pull-secrets"));
}

#[rstest::rstest]
#[case("acr-pull, other", "acr-pull,other")]
#[case("*", "*")]
#[case("a,*", "*")]
#[case("", "no name")]
fn names_are_a_list(#[case] text: &str, #[case] shown: &str) {
    let Ok(names) = text.parse::<AllowedNames>();
    assert_eq!(names.to_string(), shown);
}

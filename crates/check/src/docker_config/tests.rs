//! What the check says of pull secrets. tests/integration/kubelet.rs compares the rest with the kubelet's own code.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

const IMAGE: &str = "contoso.azurecr.io/team/app";

fn read(data: &str) -> Result<DockerConfig, String> {
    DockerConfig::read(Form::DockerConfigJson, data.as_bytes())
}

fn config(entries: &[(&str, &str)]) -> DockerConfig {
    let entry = |(pattern, user): &(&str, &str)| {
        ((*pattern).to_owned(), serde_json::json!({"username": user, "password": "marker"}))
    };
    let auths: serde_json::Map<_, _> = entries.iter().map(entry).collect();
    read(&serde_json::json!({ "auths": auths }).to_string()).unwrap()
}

#[test]
fn a_pattern_is_shown_without_a_possible_password() {
    let data = r#"{"auths":{"https://user:marker@contoso.azurecr.io/team?marker":{"auth":"x"}}}"#;
    let error = read(data).unwrap_err();
    assert!(error.starts_with("the entry for contoso.azurecr.io/team has an auth"), "{error}");
    let config = config(&[
        ("https://user:marker@contoso.azurecr.io/team?marker", "u"),
        ("user:marker@[c]ontoso.azurecr.io", "u"),
    ]);
    let patterns: Vec<_> = config.patterns().collect();
    assert_eq!(patterns, ["contoso.azurecr.io/team", "[c]ontoso.azurecr.io"]);
}

#[test]
fn matching_many_stars_is_fast() {
    let label = "a".repeat(63);
    assert!(!pattern::is_label(&"*a".repeat(60), &label[..50]));
    assert!(!pattern::is_label(&format!("{}b", "*a".repeat(30)), &label));
}

#[test]
fn without_a_repository_only_entries_for_the_whole_registry_count() {
    let server = "contoso.azurecr.io";
    assert!(config(&[("contoso.azurecr.io", "u")]).is_for(server));
    assert!(!config(&[("contoso.azurecr.io/team", "u")]).is_for(server));
    let hub = [("one".to_owned(), config(&[("https://index.docker.io/v1/", "u")]))];
    assert!(logins(&hub, server).is_empty());
}

#[test]
fn a_pattern_that_differs_only_in_case_is_found() {
    let config = config(&[("fabrikam.azurecr.io", "u"), ("https://*.AzureCR.io/team", "u")]);
    assert_eq!(config.pattern_in_other_case(IMAGE), Some("*.AzureCR.io/team"));
    assert_eq!(config.pattern_in_other_case("contoso.azurecr.io/other"), None);
    let image = "Fabrikam.azurecr.io/app";
    assert_eq!(config.pattern_in_other_case(image), Some("fabrikam.azurecr.io"));
}

#[test]
fn each_login_comes_with_its_secret() {
    let secrets = [
        ("one".to_owned(), config(&[("contoso.azurecr.io", "one")])),
        ("two".to_owned(), config(&[("contoso.azurecr.io/team", "team")])),
    ];
    let found: Vec<_> = logins(&secrets, IMAGE).into_iter().map(|(it, _)| it).collect();
    assert_eq!(found, ["two", "one"]);
}

#[rstest::rstest]
#[case("marker", "no JSON at line 1, column 1")]
#[case(
    r#"{"auths":{"contoso.azurecr.io":"marker"}}"#,
    "the entry for contoso.azurecr.io is a text"
)]
#[case(r#"{"auths":{"contoso.azurecr.io":{"email":5}}}"#, "has as email a number")]
#[case(r#"{"auths":{"contoso.azurecr.io":{"auth":"marker!"}}}"#, "is not base64")]
#[case(r#"{"auths":{"contoso.azurecr.io":{"auth":"bWFya2Vy"}}}"#, "base64 of user:password")]
#[case(r#"{"auths":{"contoso.azurecr.io":{"auth":"YXBwOnNlY3JldA="}}}"#, "too few =")]
#[case(r#"{"HttpHeaders":{"X-Retry":3}}"#, "HttpHeaders has as X-Retry a number")]
#[case(r#"{"auths":[]}"#, "auths is a list")]
#[case("[]", "it is a list")]
fn errors_of_reading_do_not_repeat_the_content(#[case] data: &str, #[case] words: &str) {
    let error = read(data).unwrap_err();
    assert!(error.contains(words) && !error.contains("marker"), "{error}");
}

#[test]
fn a_credential_helper_is_found() {
    for (data, helper) in [
        (r#"{"auths":{},"credHelpers":{"a":"b"}}"#, Some("credHelpers")),
        (r#"{"credsstore":"desktop"}"#, Some("credsStore")),
        ("{}", None),
    ] {
        assert_eq!(read(data).unwrap().helper(), helper, "{data}");
    }
}

fn flaw(entry: &str) -> Option<Flaw> {
    let data = format!(r#"{{"auths":{{"contoso.azurecr.io":{entry}}}}}"#);
    let secrets = [("one".to_owned(), read(&data).unwrap())];
    logins(&secrets, IMAGE)[0].1.flaw()
}

#[rstest::rstest]
#[case(b"app:secret", None)]
#[case(b"app:secret\n", Some(Flaw::LineBreak))]
#[case(b"app:secret\r\n", Some(Flaw::LineBreak))]
#[case(b"a\0p\0p\0:\0s\0", Some(Flaw::Utf16))]
#[case(b"\xef\xbb\xbfapp:secret", Some(Flaw::ByteOrderMark))]
#[case(b"app:\xe5", Some(Flaw::NotUtf8))]
#[case(b"app: secret", Some(Flaw::Space))]
#[case(b"app\n:secret", Some(Flaw::Space))]
fn flaws_in_the_characters_are_found(#[case] pair: &[u8], #[case] expected: Option<Flaw>) {
    assert_eq!(flaw(&format!(r#"{{"auth":"{}"}}"#, STANDARD.encode(pair))), expected);
}

#[rstest::rstest]
#[case(r#"{"auth":"YXBwOg==","identitytoken":"x"}"#, Some(Flaw::IgnoredKey("identitytoken")))]
#[case(r#"{"username":"app","registrytoken":"x"}"#, Some(Flaw::IgnoredKey("registrytoken")))]
#[case(r#"{"auth":"YXBwOnNlY3JldA==","identitytoken":"x"}"#, None)]
#[case(r#"{"auth":"YXBwOg=="}"#, None)]
fn an_ignored_token_is_a_flaw_if_there_is_no_password(
    #[case] entry: &str,
    #[case] expected: Option<Flaw>,
) {
    assert_eq!(flaw(entry), expected);
}

#[test]
fn a_password_is_not_shown() {
    let shown = format!("{:?}", config(&[("contoso.azurecr.io", "user")]));
    assert!(!shown.contains("marker"), "{shown}");
}

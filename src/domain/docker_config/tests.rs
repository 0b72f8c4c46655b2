//! What the kubelet makes of pull secrets.

use super::*;

fn server() -> LoginServer {
    "contoso.azurecr.io".parse().unwrap()
}

fn config(entries: &[(&str, &str)]) -> DockerConfig {
    let entry = |(place, user): &(&str, &str)| {
        ((*place).to_owned(), serde_json::json!({"username": user, "password": "marker"}))
    };
    let auths: serde_json::Map<_, _> = entries.iter().map(entry).collect();
    let data = serde_json::json!({ "auths": auths }).to_string();
    DockerConfig::read(Form::DockerConfigJson, data.as_bytes()).unwrap()
}

#[rstest::rstest]
#[case("contoso.azurecr.io", true)]
#[case("https://contoso.azurecr.io", true)]
#[case("http://contoso.azurecr.io/", true)]
#[case("https://contoso.azurecr.io/v1/", true)]
#[case("https://contoso.azurecr.io/v2/", true)]
#[case("contoso.azurecr.io/v2/team", true)]
#[case("contoso.azurecr.io/team", true)]
#[case("contoso.azurecr.io/te", true)]
#[case("contoso.azurecr.io/team/app", true)]
#[case("contoso.azurecr.io/team/app/", false)]
#[case("contoso.azurecr.io/other", false)]
#[case("*.azurecr.io", true)]
#[case("*.azurecr.*", true)]
#[case("con*.azurecr.io", true)]
#[case("*.azurecr.io/team", true)]
#[case("**.azurecr.io", true)]
#[case("c*t*o.azurecr.io", true)]
#[case("contoso*.azurecr.io", true)]
#[case("c*x*o.azurecr.io", false)]
#[case("contos*oso.azurecr.io", false)]
#[case("*.io", false)]
#[case("*", false)]
#[case("*.*.azurecr.io", false)]
#[case("contos?.azurecr.io", false)]
#[case("contoso.azurecr.io?x/other", true)]
#[case("contoso.azurecr.io/te?other", true)]
#[case("contoso.azurecr.io#x", true)]
#[case("user:marker@contoso.azurecr.io", true)]
#[case("[c]ontoso.azurecr.io", false)]
#[case("c[a-z]ntoso.azurecr.io", false)]
#[case("c[^a]ntoso.azurecr.io", false)]
#[case("con\\toso.azurecr.io", false)]
#[case("*^.azurecr.io", false)]
#[case("contoso.azurecr.io/te*", false)]
#[case("contoso.azurecr.io:443", false)]
#[case("Contoso.azurecr.io", false)]
#[case("fabrikam.azurecr.io", false)]
#[case("", false)]
fn an_entry_is_for_a_host_label_by_label_and_for_paths_that_begin_so(
    #[case] place: &str,
    #[case] expected: bool,
) {
    assert_eq!(config(&[(place, "u")]).is_for(&server(), Some("team/app")), expected, "{place}");
}

#[test]
fn what_an_entry_is_for_is_told_without_what_may_be_a_password() {
    let data = r#"{"auths":{"https://user:marker@contoso.azurecr.io/team?marker":{"auth":"x"}}}"#;
    let told = DockerConfig::read(Form::DockerConfigJson, data.as_bytes()).unwrap_err();
    assert!(told.starts_with("the entry for contoso.azurecr.io/team has an auth"), "{told}");
    let config = config(&[("https://user:marker@contoso.azurecr.io/team?marker", "u")]);
    assert_eq!(config.places().collect::<Vec<_>>(), ["contoso.azurecr.io/team"]);
}

#[test]
fn many_stars_take_no_time() {
    let label = "a".repeat(63);
    assert!(!is_label(&"*a".repeat(60), &label[..50]));
    assert!(!is_label(&format!("{}b", "*a".repeat(30)), &label));
}

#[test]
fn without_a_repository_only_entries_for_all_of_the_registry_count() {
    assert!(config(&[("contoso.azurecr.io", "u")]).is_for(&server(), None));
    assert!(!config(&[("contoso.azurecr.io/team", "u")]).is_for(&server(), None));
}

#[test]
fn what_is_more_specific_comes_first_and_else_the_order_of_the_secrets() {
    let secrets = [
        (
            "one".to_owned(),
            config(&[
                ("*.azurecr.io", "glob"),
                ("contoso.azurecr.io", "one"),
                ("x.azurecr.io", "other"),
            ]),
        ),
        (
            "two".to_owned(),
            config(&[("https://contoso.azurecr.io", "two"), ("contoso.azurecr.io/team", "team")]),
        ),
    ];
    let found = logins(&secrets, &server(), Some("team/app"));
    let found: Vec<_> = found.into_iter().map(|(name, it)| (name, it.user.as_str())).collect();
    assert_eq!(found, [("two", "team"), ("one", "one"), ("two", "two"), ("one", "glob")]);
}

#[rstest::rstest]
// user:pass:word, padded and not, alone and beside other words.
#[case(r#"{"auth":"dXNlcjpwYXNzOndvcmQ="}"#)]
#[case(r#"{"auth":"dXNlcjpwYXNzOndvcmQ"}"#)]
#[case(r#"{"username":"x","password":"y","auth":"dXNlcjpwYXNzOndvcmQ=","email":"z"}"#)]
#[case(r#"{"username":"user","password":"pass:word"}"#)]
#[case(r#"{"username":"user","password":"pass:word","auth":""}"#)]
fn both_ways_to_write_a_login_are_read(#[case] entry: &str) {
    let both = [
        (Form::DockerConfigJson, format!(r#"{{"auths":{{"contoso.azurecr.io":{entry}}}}}"#)),
        (Form::DockerCfg, format!(r#"{{"contoso.azurecr.io":{entry}}}"#)),
    ];
    for (form, data) in both {
        let secrets = [("one".to_owned(), DockerConfig::read(form, data.as_bytes()).unwrap())];
        let [(_, login)] = logins(&secrets, &server(), None)[..] else { panic!("{data}") };
        assert_eq!((&*login.user, login.password.reveal()), ("user", "pass:word"), "{data}");
    }
}

#[rstest::rstest]
#[case("marker", "line 1, column 1")]
#[case(r#"{"auths":{"contoso.azurecr.io":"marker"}}"#, "line 1, column")]
#[case(r#"{"auths":{"contoso.azurecr.io":{"auth":"marker"}}}"#, "the entry for contoso.azurecr.io")]
#[case(r#"{"auths":{"contoso.azurecr.io":{"auth":"bWFya2Vy"}}}"#, "base64 of user:password")]
fn what_cannot_be_read_is_told_without_its_content(#[case] data: &str, #[case] words: &str) {
    let told = DockerConfig::read(Form::DockerConfigJson, data.as_bytes()).unwrap_err();
    assert!(told.contains(words) && !told.contains("marker"), "{told}");
}

#[test]
fn nothing_is_read_of_what_holds_nothing() {
    for data in ["{}", r#"{"auths":null}"#, r#"{"auths":{},"credHelpers":{"a":"b"}}"#] {
        let read = DockerConfig::read(Form::DockerConfigJson, data.as_bytes()).unwrap();
        assert_eq!(read, DockerConfig::default(), "{data}");
    }
}

#[test]
fn a_password_is_not_shown() {
    let config = config(&[("contoso.azurecr.io", "user")]);
    let shown = format!("{config:?}");
    assert!(shown.contains("user") && !shown.contains("marker"), "{shown}");
}

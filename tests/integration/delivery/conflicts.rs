//! Pull secrets where others write too, where Azure refuses, and where the method changes.

use acr_attach_core::spec::policy::AllowedNames;
use azure_sim::Call;
use azure_sim::model::{FirewallAnswer, NetworkDefaultAction};
use jiff::SignedDuration;
use serde_json::json;

use crate::support::secrets::{CLIENT_SECRET, login, with_puller};
use crate::support::{World, find, message};

#[tokio::test]
async fn a_list_that_git_owns_is_left_alone_until_git_adds_the_line() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply_pull_secrets_of(&one, &["of-git"]).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    let status = world.until_reason("a", "Stalled", "ExternallyManaged").await;
    assert!(message(&status).contains("`- name: acr-pull`"), "{}", message(&status));
    assert_eq!(world.pull_secrets_of(&one, "default").await, ["of-git"]);
    world.until_secret(&one, "acr-pull").await;
    world.apply_pull_secrets_of(&one, &["of-git", "acr-pull"]).await;
    world.until_ready("a").await;
    // What we did not add stays.
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(world.pull_secrets_of(&one, "default").await, ["of-git", "acr-pull"]);
}

#[tokio::test]
async fn first_come_keeps_a_name_and_the_other_recovers_by_itself() {
    // Nothing but the other's going brings it back.
    let hour = SignedDuration::from_hours(1);
    let world = World::with_pull_secrets(|settings| settings.intervals.conflict_retry = hour).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_ready("a").await;
    let before = login(&world.until_secret(&one, "acr-pull").await);
    world.apply("b", world.pull_spec(&json!({"names": [one]}))).await;
    let status = world.until_reason("b", "Stalled", "NotOurs").await;
    let text = format!("belongs to attachment {}", world.name("a"));
    assert!(message(&status).contains(&text), "{}", message(&status));
    let text = format!("or take namespace {one} out of attachment {}", world.name("a"));
    assert!(message(&status).contains(&text), "{}", message(&status));
    assert_eq!(login(&world.until_secret(&one, "acr-pull").await), before);
    world.delete("a").await;
    world.until_ready("b").await;
}

#[rstest::rstest]
#[case(FirewallAnswer::AfterChallenge)]
#[case(FirewallAnswer::Everywhere)]
#[tokio::test]
async fn a_firewall_is_told_with_our_address_and_lets_client_secrets_through(
    #[case] firewall_answer: FirewallAnswer,
) {
    let world = World::with_pull_secrets(|_| {}).await;
    world.azure.update(|azure| {
        azure.settings.firewall_answer = firewall_answer;
        azure.settings.client_address = Some("203.0.113.7".parse().unwrap());
        let id = azure.find_registry("contoso").unwrap().id();
        let registry = azure.registry_mut(&id).unwrap();
        registry.network_rule_set.default_action = NetworkDefaultAction::Deny;
    });
    let one = world.namespace_with("one", json!({})).await;
    let mut spec = world.pull_spec(&json!({"names": [one]}));
    world.apply("a", spec.clone()).await;
    let status = world.until_reason("a", "Ready", "AccessDenied").await;
    for way in [
        "203.0.113.7",
        "allow the operator's address",
        "private endpoint",
        "credential to ClientSecret",
    ] {
        assert!(message(&status).contains(way), "{way}: {}", message(&status));
    }
    spec["pullSecret"]["credential"] = "ClientSecret".into();
    world.apply("a", spec).await;
    let status = world.until_ready("a").await;
    assert!(message(&status).contains("not proven from here"), "{}", message(&status));
}

#[tokio::test]
async fn a_principal_without_a_role_gets_nothing_written() {
    let world = World::with_pull_secrets(|_| {}).await;
    world.azure.update(|azure| azure.role_assignments.clear());
    let one = world.namespace_with("one", json!({})).await;
    for credential in ["RegistryToken", "ClientSecret"] {
        let mut spec = world.pull_spec(&json!({"names": [one]}));
        spec["pullSecret"]["credential"] = credential.into();
        world.apply("a", spec).await;
        let status = world.until_reason("a", "Ready", "AccessDenied").await;
        assert!(
            message(&status).contains("assign the service principal AcrPull"),
            "{}",
            message(&status)
        );
        assert!(world.secrets(&one).get_opt("acr-pull").await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_missing_client_secret_is_told_and_used_when_it_comes() {
    let half_hour = SignedDuration::from_mins(30);
    let world = World::with(with_puller, |settings| settings.intervals.resync = half_hour).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    let status = world.until_reason("a", "Ready", "NotFound").await;
    assert!(message(&status).contains("kubectl create secret generic puller"));
    world.put_client_secret(CLIENT_SECRET).await;
    world.until_ready("a").await;
}

#[tokio::test]
async fn an_unknown_tenant_audience_falls_back_and_is_said() {
    let world = World::with_pull_secrets(|_| {}).await;
    world.azure.update(|azure| {
        azure.tenants[0].unknown_resources.push("https://containerregistry.azure.net".into());
    });
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    let status = world.until_ready("a").await;
    assert!(message(&status).contains("does not know the audience"), "{}", message(&status));
}

#[tokio::test]
async fn a_switch_to_a_role_keeps_the_secrets_until_the_role_counts() {
    let world = World::with(with_puller, |settings| {
        // So that both are seen.
        settings.intervals.removal_delay = SignedDuration::from_secs(15);
    })
    .await;
    world.put_client_secret(CLIENT_SECRET).await;
    let one = world.namespace_with("one", json!({})).await;
    let mut spec = world.pull_spec(&json!({"names": [one]}));
    spec["registry"] = world.spec()["registry"].clone();
    world.apply("a", spec.clone()).await;
    let status = world.until_ready("a").await;
    assert_eq!(find(&status, "AccessGranted"), None);

    let mut by_role = world.spec();
    by_role["pullSecret"] = spec["pullSecret"].clone();
    world.apply("a", by_role).await;
    let status = world.until_ready("a").await;
    assert_eq!(find(&status, "PullSecretsReady"), None);
    world.until_secret(&one, "acr-pull").await;
    world.until_no_secret(&one, "acr-pull").await;
    world.until_pull_secrets_of(&one, "default", &[]).await;
    assert_eq!(world.pull_assignments().len(), 2, "the puller's own, and ours");

    // And back: the role goes once the secret has served for as long.
    world.apply("a", spec).await;
    world.until_ready("a").await;
    world.until_secret(&one, "acr-pull").await;
    world
        .until("the role to be released", || async {
            (world.pull_assignments().len() == 1).then_some(())
        })
        .await;
    world.delete("a").await;
    world.until_gone("a").await;
}

#[tokio::test]
async fn an_outage_of_azure_resource_manager_stops_no_namespace() {
    let world = World::with(with_puller, |_| {}).await;
    world.put_client_secret(CLIENT_SECRET).await;
    let one = world.namespace_with("one", json!({"team": world.id})).await;
    let choice = json!({"selector": {"matchLabels": {"team": world.id}}});
    let mut spec = world.pull_spec(&choice);
    spec["registry"] = world.spec()["registry"].clone();
    world.apply("a", spec).await;
    world.until_ready("a").await;
    world.until_secret(&one, "acr-pull").await;
    world.azure.fault(azure_sim::Fault::error(Call::GetRegistry, 503, "ServiceUnavailable", "x"));
    world.until_calls(Call::GetRegistry, 2).await;
    let two = world.namespace_with("two", json!({"team": world.id})).await;
    world.until_secret(&two, "acr-pull").await;
    assert_eq!(find(&world.status("a").await, "Ready").unwrap().0, "True");
}

#[tokio::test]
async fn what_the_settings_do_not_allow_is_told_with_the_setting() {
    let world = World::with(with_puller, |settings| {
        settings.policy.secret_names = AllowedNames::Listed(["acr-pull".to_owned()].into());
    })
    .await;
    let one = world.namespace_with("one", json!({})).await;
    let mut spec = world.pull_spec(&json!({"names": [one]}));
    spec["pullSecret"]["secretName"] = "other".into();
    world.apply("a", spec).await;
    let status = world.until_reason("a", "Stalled", "NotAllowed").await;
    assert!(message(&status).contains("--pull-secret-names"));
    let mut spec = world.pull_spec(&json!({"names": [one]}));
    spec["registry"] = json!({"loginServer": "contoso.example.org"});
    world.apply("b", spec).await;
    let status = world.until_reason("b", "Stalled", "NotAllowed").await;
    assert!(message(&status).contains("--login-server-suffixes"));
}

#[tokio::test]
async fn a_suspended_attachment_still_renews() {
    let world = World::with_pull_secrets(|_| {}).await;
    world.azure.update(|azure| azure.settings.token_lifetimes.registry_refresh = 6);
    let one = world.namespace_with("one", json!({})).await;
    let mut spec = world.pull_spec(&json!({"names": [one]}));
    world.apply("a", spec.clone()).await;
    world.until_ready("a").await;
    spec["suspend"] = true.into();
    world.apply("a", spec).await;
    let before = login(&world.until_secret(&one, "acr-pull").await);
    world
        .until("a renewed token", || async {
            let found = world.secrets(&one).get("acr-pull").await.unwrap();
            (login(&found) != before).then_some(())
        })
        .await;
}

#[tokio::test]
async fn expired_and_unknown_credentials_are_told_apart() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    let mut spec = world.pull_spec(&json!({"names": [one]}));
    spec["pullSecret"]["servicePrincipal"]["clientId"] =
        "77777777-7777-4777-8777-777777777777".into();
    world.apply("a", spec).await;
    let status = world.until_reason("a", "Ready", "AuthenticationFailed").await;
    assert!(message(&status).contains("AADSTS700016"), "{}", message(&status));
    assert!(message(&status).contains("servicePrincipal.clientId"), "{}", message(&status));

    world.azure.update(|azure| {
        let puller = azure.principals.iter_mut().find(|it| it.display_name == "puller").unwrap();
        puller.secrets[0].expires_on = Some("2026-01-01T00:00:00Z".parse().unwrap());
    });
    world.apply("b", world.pull_spec(&json!({"names": [one]}))).await;
    let status = world.until_reason("b", "Ready", "AuthenticationFailed").await;
    assert!(message(&status).contains("AADSTS7000222"), "{}", message(&status));
    assert!(message(&status).contains("create another client secret"), "{}", message(&status));
}

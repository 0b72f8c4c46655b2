//! Who is not let in at all.

use azure_sim::model::{FirewallAnswer, NetworkDefaultAction};
use reqwest::Method;
use serde_json::json;

use super::{Bench, By, HOST, refused};
use crate::world::{ARM, World};

const PATHS: [&str; 5] = [
    "/v2/",
    "/v2/_catalog",
    "/v2/team/app/manifests/v1",
    "/oauth2/token?service=contoso.azurecr.io",
    "/invented",
];

#[tokio::test]
async fn a_closed_registry_denies_on_every_path() {
    let bench = Bench::pulling().await;
    bench.update(|it| it.registry_mut("contoso").unwrap().public_network_access = false);
    for path in PATHS {
        let message = refused(bench.get(path, bench.secret()).await, 403, "DENIED");
        assert_eq!(
            message,
            "client with IP '127.0.0.1' is not allowed access. Refer https://aka.ms/acr/firewall \
             to grant access."
        );
    }
    let message = refused(bench.exchange().await, 403, "DENIED");
    assert!(message.starts_with("client with IP "), "{message}");
    bench.update(|it| it.registry_mut("contoso").unwrap().public_network_access = true);
    bench.get("/v2/", bench.secret()).await.expect(200);
}

#[tokio::test]
async fn a_closed_registry_sends_for_a_token_first_or_denies_at_once() {
    let bench = Bench::pulling().await;
    bench.update(|it| it.registry_mut("contoso").unwrap().public_network_access = false);
    for (answer, status) in
        [(FirewallAnswer::AfterChallenge, 401), (FirewallAnswer::Everywhere, 403)]
    {
        bench.update(|it| it.settings.firewall_answer = answer);
        for path in ["/v2/", "/v2/team/app/manifests/v1"] {
            let found = bench.get(path, By::Nobody).await.expect(status);
            assert_eq!(found.headers.contains_key("www-authenticate"), status == 401);
        }
        let token = "/oauth2/token?service=contoso.azurecr.io";
        refused(bench.get(token, By::Nobody).await, 403, "DENIED");
        refused(bench.exchange().await, 403, "DENIED");
    }
}

#[tokio::test]
async fn rules_admit_addresses() {
    let bench = Bench::pulling().await;
    bench.update(|it| it.settings.client_address = Some("203.0.113.7".parse().unwrap()));
    for (action, rules, status) in [
        (NetworkDefaultAction::Allow, vec![], 200),
        (NetworkDefaultAction::Deny, vec![], 403),
        (NetworkDefaultAction::Deny, vec!["203.0.113.8"], 403),
        (NetworkDefaultAction::Deny, vec!["203.0.113.8", "203.0.113.0/24"], 200),
    ] {
        bench.update(|it| {
            let rule_set = &mut it.registry_mut("contoso").unwrap().network_rule_set;
            rule_set.default_action = action;
            rule_set.ip_rules = rules.into_iter().map(Into::into).collect();
        });
        let answer = bench.get("/v2/", bench.secret()).await.expect(status);
        assert_eq!(answer.text.contains("client with IP '203.0.113.7' is not"), status == 403);
    }
}

#[tokio::test]
async fn arm_shows_the_rules() {
    let world = World::with(|model| {
        let rule_set = &mut model.registry_mut("contoso").unwrap().network_rule_set;
        rule_set.default_action = NetworkDefaultAction::Deny;
        rule_set.ip_rules = vec!["203.0.113.7".into()];
    })
    .await;
    let url = format!("{ARM}{}?api-version=2025-11-01", world.registry.id());
    let token = world.token().await;
    let answer = world.send(Method::GET, &url, Some(&token), None).await.unwrap().expect(200);
    assert_eq!(
        answer.json()["properties"]["networkRuleSet"],
        json!({"defaultAction": "Deny", "ipRules": [{"action": "Allow", "value": "203.0.113.7"}]})
    );
}

#[tokio::test]
async fn a_login_server_without_a_registry_is_like_an_unknown_name() {
    let bench = Bench::new().await;
    let url = "https://fabrikam.azurecr.io/v2/";
    bench.world.client.get(url).send().await.unwrap_err();
    let entry = bench.world.sim.journal().pop().unwrap();
    assert_eq!((&*entry.method, &*entry.host), ("CONNECT", "fabrikam.azurecr.io"));
    assert_eq!((entry.status, entry.known), (Some(502), true));
    assert_eq!(entry.code.as_deref(), Some("HostNotFound"));
    bench.update(|it| {
        it.registry("fabrikam").add();
    });
    bench.world.client.get(url).send().await.unwrap();
    bench.get("/v2/", By::Nobody).await.expect(401);
    assert_eq!(bench.world.sim.journal().pop().unwrap().host, HOST);
}

//! How far pull secrets reach: which namespaces and service accounts, and what delays nobody.

use acr_attach_core::spec::policy::AllowedNames;
use azure_sim::model::ACR_PULL;
use azure_sim::{Call, Effect, Fault};
use jiff::SignedDuration;
use kube::ResourceExt;
use serde_json::json;

use crate::support::secrets::{CLIENT_SECRET, login, puller, with_puller};
use crate::support::{World, find, message};

#[tokio::test]
async fn the_empty_selector_means_every_namespace_but_the_systems() {
    let mut world = World::alone_with(with_puller, |_| {}).await;
    world.put_client_secret(CLIENT_SECRET).await;
    world.start().await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"selector": {}}))).await;
    world.until_ready("a").await;
    for namespace in ["default", one.as_str()] {
        world.until_secret(namespace, "acr-pull").await;
        world.until_pull_secrets_of(namespace, "default", &["acr-pull"]).await;
    }
    for namespace in ["kube-system", "kube-public", "kube-node-lease"] {
        let found = world.secrets(namespace).get_opt("acr-pull").await.unwrap();
        assert!(found.is_none(), "{namespace}");
    }

    // By name they are meant.
    world.apply("a", world.pull_spec(&json!({"names": ["kube-system"]}))).await;
    world.until_ready("a").await;
    world.until_secret("kube-system", "acr-pull").await;
    world.until_no_secret(&one, "acr-pull").await;
    world.until_pull_secrets_of(&one, "default", &[]).await;
    world.delete("a").await;
    world.until_gone("a").await;
    world.until_no_secret("kube-system", "acr-pull").await;
}

#[tokio::test]
async fn a_star_means_all_service_accounts_and_any_name() {
    let world = World::with_pull_secrets(|settings| {
        settings.policy.account_names = AllowedNames::Any;
        settings.policy.secret_names = AllowedNames::Any;
    })
    .await;
    let one = world.namespace_with("one", json!({})).await;
    let builder = serde_json::from_value(json!({"metadata": {"name": "builder"}})).unwrap();
    world.accounts(&one).create(&kube::api::PostParams::default(), &builder).await.unwrap();
    let mut spec = world.pull_spec(&json!({"names": [one]}));
    spec["pullSecret"]["serviceAccounts"] = json!(["*"]);
    spec["pullSecret"]["secretName"] = json!("any.name");
    world.apply("a", spec).await;
    world.until_ready("a").await;
    world.until_pull_secrets_of(&one, "default", &["any.name"]).await;
    world.until_pull_secrets_of(&one, "builder", &["any.name"]).await;
    let uid = world.delete_secret(&one, "any.name").await;
    world
        .until("another Secret", || async {
            let found = world.secrets(&one).get_opt("any.name").await.unwrap();
            found.is_some_and(|it| it.uid() != Some(uid.clone())).then_some(())
        })
        .await;
    world.delete("a").await;
    world.until_gone("a").await;
    world.until_pull_secrets_of(&one, "builder", &[]).await;
}

#[tokio::test]
async fn a_star_in_the_object_needs_a_star_in_the_setting() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    let mut spec = world.pull_spec(&json!({"names": [one]}));
    spec["pullSecret"]["serviceAccounts"] = json!(["*"]);
    world.apply("a", spec).await;
    let status = world.until_reason("a", "Stalled", "NotAllowed").await;
    assert!(message(&status).contains("--service-account-names"), "{}", message(&status));
}

#[tokio::test]
async fn a_strangers_secret_of_any_name_is_seen_and_left_alone() {
    let world = World::with_pull_secrets(|settings| {
        settings.policy.secret_names = AllowedNames::Any;
    })
    .await;
    let one = world.namespace_with("one", json!({})).await;
    let stranger = world.put_secret(&one, "acr-pull", json!({"mine": "keep"})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    let status = world.until_reason("a", "Stalled", "NotOurs").await;
    assert!(message(&status).contains("acr-pull"), "{}", message(&status));
    let found = world.secrets(&one).get("acr-pull").await.unwrap();
    assert_eq!(found.resource_version(), stranger.resource_version());
}

/// No watch shows when it goes, so it is tried again and again, and never less often.
#[tokio::test]
async fn a_strangers_secret_of_any_name_that_goes_is_noticed_soon() {
    let world = World::with_pull_secrets(|settings| {
        settings.policy.secret_names = AllowedNames::Any;
        settings.intervals.conflict_retry = SignedDuration::from_secs(1);
    })
    .await;
    let one = world.namespace_with("one", json!({})).await;
    world.put_secret(&one, "acr-pull", json!({"mine": "keep"})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_reason("a", "Stalled", "NotOurs").await;
    // Nothing else brings on a pass.
    let passes = async || {
        let metrics = world.page("/metrics").await.1;
        let counts =
            metrics.lines().filter(|it| it.starts_with("controller_runtime_reconcile_total"));
        counts.filter_map(|it| it.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    let before = passes().await;
    let tried = async || (passes().await >= before + 8.0).then_some(());
    world.until("eight tries", tried).await;
    let exchanges = world.calls(Call::RegistryExchange);
    assert_eq!(exchanges, 1, "the credential is made once");
    world.delete_secret(&one, "acr-pull").await;
    world.until_ready("a").await;
    assert_eq!(world.calls(Call::RegistryExchange), exchanges);
}

#[tokio::test]
async fn a_missing_key_is_told_with_the_command_and_used_when_it_comes() {
    let world = World::with(with_puller, |settings| {
        settings.intervals.resync = SignedDuration::from_mins(30);
    })
    .await;
    world.put_secret(&world.namespace(), "puller", json!({"other": "x"})).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    let status = world.until_reason("a", "Ready", "NotFound").await;
    assert!(message(&status).contains("it has no such key"), "{}", message(&status));
    assert!(message(&status).contains("kubectl patch secret puller"), "{}", message(&status));
    world.until_event("a", "Warning", "NotFound").await;
    world.put_client_secret(CLIENT_SECRET).await;
    world.until_ready("a").await;
}

#[tokio::test]
async fn trouble_where_only_labels_chose_is_told_and_ready_stays() {
    let world = World::with_pull_secrets(|_| {}).await;
    let team = json!({"team": world.id});
    let one = world.namespace_with("one", team.clone()).await;
    let two = world.namespace_with("two", team).await;
    world.put_secret(&two, "acr-pull", json!({"mine": "keep"})).await;
    let choice = json!({"selector": {"matchLabels": {"team": world.id}}});
    world.apply("a", world.pull_spec(&choice)).await;
    // A first pass may find that the other namespace cannot be served yet.
    let status = world
        .until("a to be Ready in spite of a namespace", || async {
            let status = world.status("a").await;
            let is = |condition, wanted| find(&status, condition).map(|it| it.1) == Some(wanted);
            (is("PullSecretsReady", "NotOurs") && is("Ready", "Attached")).then_some(status)
        })
        .await;
    assert_eq!(find(&status, "Ready").unwrap().0, "True");
    assert_eq!(find(&status, "Stalled"), None);
    let shown = status.pull_secret.unwrap();
    assert_eq!(shown.served.as_deref(), Some("1/2"));
    assert_eq!(shown.failing.unwrap()[0].namespace, two);
    world.until_secret(&one, "acr-pull").await;
    world.until_event("a", "Warning", "NotOurs").await;
    let line = format!(
        r#"acr_attach_attachment_condition{{name="{}",type="PullSecretsReady",status="False"}} 1"#,
        world.name("a")
    );
    world
        .until("the metric", || async {
            world.page("/metrics").await.1.contains(&line).then_some(())
        })
        .await;
    world.delete_secret(&two, "acr-pull").await;
    world.until_reason("a", "PullSecretsReady", "Attached").await;
    world.until_secret(&two, "acr-pull").await;
}

#[tokio::test]
async fn a_registry_that_hangs_delays_no_other() {
    let world = World::with(
        |azure| {
            with_puller(azure);
            let slow = azure.registry("fabrikam").add();
            let puller = puller(azure);
            azure.assign(&puller, ACR_PULL, &slow.id());
        },
        |settings| settings.policy.secret_names = "acr-pull,other".parse().unwrap(),
    )
    .await;
    world.put_client_secret(CLIENT_SECRET).await;
    let hang = Fault::new(Call::RegistryExchange, Effect::Hang).containing("fabrikam");
    world.azure.fault(hang);
    let one = world.namespace_with("one", json!({})).await;
    // More of them than there are places.
    for n in 0..12 {
        let mut spec = world.pull_spec(&json!({"names": [one]}));
        spec["registry"] = json!({"loginServer": "fabrikam.azurecr.io"});
        spec["pullSecret"]["secretName"] = "other".into();
        world.apply(&format!("slow{n}"), spec).await;
    }
    world
        .until("the hanging calls", || async {
            let journal = world.azure.journal();
            let open = journal.iter().filter(|it| it.call == Some(Call::RegistryExchange));
            (open.count() >= 8).then_some(())
        })
        .await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_ready("a").await;
    assert!(!login(&world.until_secret(&one, "acr-pull").await).1.is_empty());
}

#[tokio::test]
async fn names_may_be_as_long_as_kubernetes_lets_them_be() {
    let secret = "s".repeat(63);
    let allowed = secret.parse().unwrap();
    let world = World::with_pull_secrets(|it| it.policy.secret_names = allowed).await;
    let longest = |most: usize| {
        let rest = most - world.team("").len();
        // An event's name is cut off in the middle of a name of dashes.
        format!("n{}n", "-".repeat(rest - 2))
    };
    let namespace = world.namespace_with(&longest(63), json!({})).await;
    assert_eq!(namespace.len(), 63);
    let name = longest(253);
    assert_eq!(world.name(&name).len(), 253);
    let mut spec = world.pull_spec(&json!({"names": [namespace]}));
    spec["pullSecret"]["secretName"] = secret.clone().into();
    world.apply(&name, spec).await;
    world.until_ready(&name).await;
    world.until_pull_secrets_of(&namespace, "default", &[&secret]).await;
    world.until_event(&name, "Normal", "PullSecretCreated").await;
    world.delete(&name).await;
    world.until_gone(&name).await;
    assert_eq!(world.pull_secrets_of(&namespace, "default").await, Vec::<String>::new());
    world.until_no_secret(&namespace, &secret).await;
}

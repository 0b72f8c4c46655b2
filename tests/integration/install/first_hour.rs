//! What somebody sees who has just installed it and made a mistake: the default view, the
//! conditions, and what kubectl says.

use std::process::Stdio;

use azure_sim::model::{READER, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR};
use azure_sim::{Call, Fault};
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::support::programs::{command, output, path, root, said};
use crate::support::secrets::CLIENT_SECRET;
use crate::support::{World, find, message, operator};

/// What `kubectl get registryattachment` shows of one: each column with its cell, which may be empty.
async fn view(world: &World, name: &str, wide: bool) -> Vec<(String, String)> {
    let mut kubectl = kubectl(world);
    kubectl.args(["get", "registryattachment", &world.name(name)]);
    let text = said(if wide { kubectl.args(["-o", "wide"]) } else { &mut kubectl }, "").await;
    let (head, row) = text.split_once('\n').unwrap();
    let starts: Vec<_> = head.split_whitespace().map(|it| head.find(it).unwrap()).collect();
    let ends = starts[1..].iter().copied().chain([usize::MAX]);
    let cut = |text: &str, from: usize, to: usize| {
        text.get(from..to.min(text.len())).unwrap_or_default().trim().to_owned()
    };
    let columns = starts.iter().zip(ends);
    columns.map(|(from, to)| (cut(head, *from, to), cut(row, *from, to))).collect()
}

fn kubectl(world: &World) -> tokio::process::Command {
    let mut kubectl = command("kubectl");
    kubectl.env("KUBECONFIG", world.cluster.admin_kubeconfig());
    kubectl
}

/// What a user types, with kubectl at hand.
pub(super) fn shell(world: &World, text: &str) -> tokio::process::Command {
    let programs = path("kubectl").parent().unwrap().display().to_string();
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", text]).current_dir(root()).env_clear().kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("KUBECONFIG", world.cluster.admin_kubeconfig());
    command.env("HOME", root().join("target/tools/home"));
    command.env("PATH", format!("{programs}:/usr/bin:/bin"));
    command
}

/// Waits until the default view shows that in the columns Namespaces, Ready and Reason.
async fn until_view(world: &World, name: &str, expected: [&str; 3]) {
    world
        .until(&format!("the view to show {expected:?}"), || async {
            let shown = view(world, name, false).await;
            let cell = |column: &str| {
                shown.iter().find(|(head, _)| head == column).map_or("", |(_, cell)| cell)
            };
            (["NAMESPACES", "READY", "REASON"].map(cell) == expected).then_some(())
        })
        .await;
}

/// Waits until a condition has that status and that reason, whatever the generation.
async fn until_is(world: &World, name: &str, condition: &str, is: (&str, &str)) -> String {
    world
        .until(&format!("{condition} to be {is:?}"), || async {
            let status = world.status(name).await;
            let (status, reason, text) = find(&status, condition)?;
            ((status, reason) == is).then(|| text.to_owned())
        })
        .await
}

fn nowhere(world: &World) -> Value {
    json!({"selector": {"matchLabels": {"team": format!("none-{}", world.id)}}})
}

#[tokio::test]
async fn a_selector_that_matches_nothing_is_told_and_the_credential_is_proven() {
    let world = World::with_pull_secrets(|_| {}).await;
    world.apply("a", world.pull_spec(&nowhere(&world))).await;
    let status = world.until_ready("a").await;
    assert_eq!(find(&status, "Ready").unwrap().0, "True");
    let told = message(&status);
    assert!(told.starts_with("label the namespaces"), "{told}");
    assert!(told.contains(&format!("\"team=none-{}\"", world.id)), "{told}");
    assert!(told.contains("nothing is served yet"), "{told}");
    let (is, reason, text) = find(&status, "PullSecretsReady").unwrap();
    assert_eq!((is, reason), ("False", "NoNamespaces"));
    assert!(text.contains("label"), "{text}");
    assert_eq!(find(&status, "CredentialFresh"), None);
    assert!(world.calls(Call::RegistryExchange) > 0, "nothing was proven");
    until_view(&world, "a", ["0/0", "True", "Attached"]).await;
    let team = format!("none-{}", world.id);
    let served = world.namespace_with("one", json!({"team": team})).await;
    world.until_secret(&served, "acr-pull").await;
    until_view(&world, "a", ["1/1", "True", "Attached"]).await;
}

#[tokio::test]
async fn a_wrong_client_secret_is_told_before_there_is_a_namespace() {
    let world = World::with_pull_secrets(|_| {}).await;
    world.put_client_secret("wrong").await;
    world.apply("a", world.pull_spec(&nowhere(&world))).await;
    let status = world.until_reason("a", "Ready", "AuthenticationFailed").await;
    assert!(message(&status).contains("AADSTS7000215"), "{}", message(&status));
    assert_eq!(find(&status, "PullSecretsReady").unwrap().1, "NoNamespaces");
    until_view(&world, "a", ["0/0", "False", "AuthenticationFailed"]).await;
    // What happens in the cluster asks nobody again, and does not make it look well.
    let calls = world.azure.journal().len();
    let team = json!({"team": format!("other-{}", world.id)});
    world.namespace_with("one", team).await;
    world.apply("b", world.spec()).await;
    world.until_ready("b").await;
    let asked = |it: &&azure_sim::Entry| it.path.contains("/oauth2/exchange");
    assert_eq!(world.azure.journal()[calls..].iter().filter(asked).count(), 0);
    assert_eq!(find(&world.status("a").await, "Ready").unwrap().1, "AuthenticationFailed");
    world.put_client_secret(CLIENT_SECRET).await;
    world.until_ready("a").await;
}

#[tokio::test]
async fn an_outage_takes_nothing_from_one_that_has_no_namespace() {
    let world = World::with_pull_secrets(|it| {
        it.intervals.resync = jiff::SignedDuration::from_secs(2);
    })
    .await;
    world.apply("a", world.pull_spec(&nowhere(&world))).await;
    world.until_ready("a").await;
    world.azure.fault(Fault::error(Call::RegistryExchange, 503, "UNAVAILABLE", "x").times(1));
    // Another client secret is proven anew, and the first attempt finds the outage.
    world.rotate_client_secret("another-client-secret").await;
    world.until_calls(Call::RegistryExchange, 2).await;
    assert_eq!(find(&world.status("a").await, "Ready").unwrap().0, "True");
}

#[tokio::test]
async fn a_namespace_that_does_not_exist_is_named() {
    let world = World::with_pull_secrets(|_| {}).await;
    let missing = world.team("typo");
    world.apply("a", world.pull_spec(&json!({"names": [missing]}))).await;
    let status = world.until_ready("a").await;
    assert_eq!(find(&status, "Ready").unwrap().0, "True");
    let (is, reason, text) = find(&status, "PullSecretsReady").unwrap();
    assert_eq!((is, reason), ("False", "NamespaceMissing"));
    assert!(text.contains(&format!("kubectl create namespace {missing}")), "{text}");
    until_view(&world, "a", ["0/1", "True", "Attached"]).await;
    world.until_event("a", "Warning", "NamespaceMissing").await;
    world.namespace_with("typo", json!({})).await;
    world.until_secret(&missing, "acr-pull").await;
    until_view(&world, "a", ["1/1", "True", "Attached"]).await;
    until_is(&world, "a", "PullSecretsReady", ("True", "Attached")).await;
}

#[tokio::test]
async fn a_suspended_attachment_tells_what_is_there_now() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    let two = world.namespace_with("two", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one, two]}))).await;
    world.until_ready("a").await;
    world.patch("a", json!({"spec": {"suspend": true}})).await;
    let text = until_is(&world, "a", "Ready", ("True", "Suspended")).await;
    assert!(text.starts_with("suspended: ") && text.contains("2 of 2"), "{text}");
    until_view(&world, "a", ["2/2", "True", "Suspended"]).await;
    world.delete_secret(&two, "acr-pull").await;
    let text = until_is(&world, "a", "Ready", ("False", "Suspended")).await;
    assert!(text.contains("1 of 2") && text.contains("spec.suspend"), "{text}");
    until_is(&world, "a", "PullSecretsReady", ("False", "Suspended")).await;
    until_view(&world, "a", ["1/2", "False", "Suspended"]).await;
    world.patch("a", json!({"spec": {"suspend": false}})).await;
    world.until_ready("a").await;
    until_view(&world, "a", ["2/2", "True", "Attached"]).await;
}

#[tokio::test]
async fn a_suspended_role_says_that_it_was_not_checked_since() {
    let world = World::new().await;
    let mut spec = world.spec();
    spec["suspend"] = true.into();
    world.apply("a", spec).await;
    let text = until_is(&world, "a", "Ready", ("False", "Suspended")).await;
    assert!(text.contains("never attached"), "{text}");
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.patch("a", json!({"spec": {"suspend": true}})).await;
    let text = until_is(&world, "a", "Ready", ("True", "Suspended")).await;
    assert!(
        text.contains("not checked since")
            && text.contains("AcrPull on contoso.azurecr.io is assigned"),
        "{text}"
    );
}

#[tokio::test]
async fn a_client_secret_that_is_deleted_while_it_is_in_use_is_told() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    let status = world.until_ready("a").await;
    let ends = status.pull_secret.unwrap().expires_at.unwrap();
    let operators = world.secrets(&world.namespace());
    operators.delete("puller", &DeleteParams::default()).await.unwrap();
    let text = until_is(&world, "a", "CredentialFresh", ("False", "NotFound")).await;
    for word in [&*ends, "kubectl create secret generic puller", "there is no such Secret"] {
        assert!(text.contains(word), "{text}");
    }
    let status = world.status("a").await;
    assert_eq!(find(&status, "Ready").unwrap().0, "True");
    assert!(message(&status).ends_with(&text), "{}", message(&status));
    world.until_event("a", "Warning", "NotFound").await;
    world.put_client_secret(CLIENT_SECRET).await;
    until_is(&world, "a", "CredentialFresh", ("True", "Attached")).await;
}

#[tokio::test]
async fn a_rotation_to_a_wrong_value_is_seen_at_a_glance() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    let status = world.until_ready("a").await;
    let ends = status.pull_secret.unwrap().expires_at.unwrap();
    world.put_client_secret("wrong").await;
    let text = until_is(&world, "a", "CredentialFresh", ("False", "AuthenticationFailed")).await;
    assert!(text.contains(&format!("good until {ends}")), "{text}");
    let shown = view(&world, "a", true).await;
    let (column, message) = shown.last().unwrap();
    assert_eq!(column, "MESSAGE");
    assert!(message.contains("AADSTS7000215"), "{shown:?}");
    until_view(&world, "a", ["1/1", "True", "Attached"]).await;
}

#[tokio::test]
async fn a_misspelt_key_is_answered_with_those_that_are_there() {
    let world = World::with_pull_secrets(|_| {}).await;
    world.delete_secret(&world.namespace(), "puller").await;
    let values = json!({"client-secret": CLIENT_SECRET, "tenant": "x"});
    world.put_secret(&world.namespace(), "puller", values).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    let status = world.until_reason("a", "Ready", "NotFound").await;
    let text = message(&status);
    assert!(text.contains("it has no such key, and these: client-secret, tenant"), "{text}");
    assert!(!text.contains("kubectl create") && !text.contains(CLIENT_SECRET), "{text}");
    // The command in the message does it.
    let patch = text.split("kubectl patch ").nth(1).unwrap().split("')").next().unwrap();
    let patch = format!("kubectl patch {patch}'").replace("<client secret>", CLIENT_SECRET);
    said(&mut shell(&world, &patch), "").await;
    world.until_ready("a").await;
}

#[tokio::test]
async fn all_service_accounts_are_called_that() {
    let world = World::with_pull_secrets(|_| {}).await;
    let mut spec = world.pull_spec(&json!({"names": ["default"]}));
    spec["pullSecret"]["serviceAccounts"] = json!(["*"]);
    world.apply("a", spec).await;
    let status = world.until_reason("a", "Stalled", "NotAllowed").await;
    let text = message(&status);
    assert!(text.starts_with("add * to chart value pullSecrets.serviceAccounts"), "{text}");
    assert!(text.contains("allows default now"), "{text}");
    assert!(text.contains("changing all service accounts"), "{text}");
}

#[tokio::test]
async fn a_strangers_secret_in_one_of_several_namespaces_shows_in_the_default_view() {
    let world = World::with_pull_secrets(|_| {}).await;
    let team = json!({"team": world.id});
    for name in ["one", "two", "three"] {
        let namespace = world.namespace_with(name, team.clone()).await;
        if name == "two" {
            world.put_secret(&namespace, "acr-pull", json!({"mine": "keep"})).await;
        }
    }
    let choice = json!({"selector": {"matchLabels": {"team": world.id}}});
    world.apply("a", world.pull_spec(&choice)).await;
    until_view(&world, "a", ["2/3", "True", "Attached"]).await;
}

#[tokio::test]
async fn a_name_that_is_misspelt_is_answered_with_the_near_ones() {
    let world = World::with(
        |azure| {
            let operator = operator(azure);
            azure.registry("fabrikam").add();
            azure.assign(&operator, READER, "/subscriptions/50000000-0000-4000-8000-000000000001");
        },
        |_| {},
    )
    .await;
    let mut spec = world.spec();
    spec["registry"] = json!({"name": "contosso"});
    world.apply("a", spec).await;
    let status = world.until_reason("a", "Ready", "NotFound").await;
    let text = message(&status);
    assert!(text.starts_with("check the spelling of registry.name (there is contoso)"), "{text}");
    assert!(!text.contains("fabrikam"), "{text}");
}

#[tokio::test]
async fn the_wide_view_shows_the_message_last() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let columns = async |wide| {
        let shown = view(&world, "a", wide).await;
        shown.into_iter().map(|(column, _)| column).collect::<Vec<_>>().join(" ")
    };
    let default = "NAME METHOD REGISTRY NAMESPACES READY REASON AGE";
    assert_eq!(columns(false).await, default);
    assert_eq!(columns(true).await, format!("{default} EXPIRES MESSAGE"));
}

/// Deleting under a refusal: kubectl waits without a word, and the object says what is the matter.
#[tokio::test]
async fn deleting_under_a_refusal_says_why_it_waits_and_how_to_let_go() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let denied = "The client 'x' with object id '0b000000-0000-4000-8000-000000000009' does not have authorization to perform action.";
    world.azure.fault(Fault::error(Call::DeleteRoleAssignment, 403, "AuthorizationFailed", denied));
    let mut delete = kubectl(&world);
    delete.args(["delete", "registryattachment", &world.name("a"), "--timeout=3s"]);
    let waited = output(&mut delete, "").await;
    assert!(!waited.status.success());
    let text = until_is(&world, "a", "Ready", ("False", "AccessDenied")).await;
    for word in ["docs/azure-permissions.md#to-one-identity", "spec.deletionPolicy to Orphan"] {
        assert!(text.contains(word), "{text}");
    }
    until_is(&world, "a", "Stalled", ("True", "AccessDenied")).await;
    let orphan = json!({"spec": {"deletionPolicy": "Orphan"}});
    world.patch("a", orphan).await;
    world.until_gone("a").await;
}

/// What README, the samples and the reference wait with ends where the attachment is stuck, too.
#[tokio::test]
async fn the_wait_of_the_reference_ends_at_ready_and_at_stalled() {
    let world = World::with(|azure| azure.role_assignments.clear(), |_| {}).await;
    let page = crate::repository::documents::read("docs/reference.md");
    let (_, wait) = page.split_once("### Waiting").unwrap();
    let wait = wait.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(wait.contains("registryattachment/contoso"), "{wait}");
    let wait = wait.replace("contoso", &world.name("a"));
    world.apply("a", world.spec()).await;
    let text = said(&mut shell(&world, &wait), "").await;
    assert!(text.contains("AccessDenied"), "{text}");
    assert_eq!(find(&world.status("a").await, "Stalled").unwrap().0, "True");
    world.delete("a").await;
    let all = world.azure.read(|azure| {
        let registry = azure.find_registry("contoso").unwrap().id();
        (operator(azure), registry, azure.find_cluster("prod").unwrap().id())
    });
    world.azure.update(|azure| {
        azure.assign(&all.0, READER, &all.2);
        azure.assign(&all.0, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, &all.1);
    });
    world.until_gone("a").await;
    world.apply("a", world.spec()).await;
    let text = said(&mut shell(&world, &wait), "").await;
    assert!(text.contains("Attached"), "{text}");
}

/// `kubectl explain` tells of each field of the spec what it is without the reference.
#[tokio::test]
async fn explain_tells_defaults_and_an_example() {
    let world = World::new().await;
    let fields = [
        ("pullSecret.secretName", ["Default: `acr-pull`", "pullSecrets.names", "Example"]),
        ("pullSecret.serviceAccounts", ["Default: `[default]`", "must allow", "Example"]),
        ("registry.name", ["azure.subscriptionId", "must be allowed", "Example"]),
    ];
    for (field, words) in fields {
        let mut kubectl = kubectl(&world);
        let text = said(kubectl.args(["explain", &format!("regatt.spec.{field}")]), "").await;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(text.contains(word), "{text}");
        }
    }
}

/// README and the samples wait for two minutes, since most mistakes turn Stalled only after the patience,
/// and show then what is the matter.
#[tokio::test]
async fn the_waits_of_readme_and_samples_end_with_what_is_the_matter() {
    let world = World::with(|azure| azure.role_assignments.clear(), |_| {}).await;
    world.apply("a", world.spec()).await;
    world.until_reason("a", "Ready", "AccessDenied").await;
    let samples = std::fs::read_dir(root().join("deploy/samples")).unwrap();
    let samples = samples.map(|it| std::fs::read_to_string(it.unwrap().path()).unwrap());
    let readme = crate::repository::documents::read("README.md");
    let pages: Vec<_> = samples.chain([readme]).collect();
    let lines = pages.iter().flat_map(|it| it.lines());
    let waits: Vec<_> =
        lines.filter(|it| it.contains("--timeout=2m registryattachment/")).collect();
    assert!(waits.len() > 8, "{waits:?}");
    for wait in waits.into_iter().filter(|it| it.contains("||")) {
        let typed = wait.trim_start_matches("# ").trim();
        let (before, rest) = typed.split_once("registryattachment/").unwrap();
        let (_, after) = rest.split_once(' ').unwrap();
        let typed = format!("{before}registryattachment/{} {after}", world.name("a"));
        let text = said(&mut shell(&world, &typed.replace("=2m", "=1s")), "").await;
        let shown = text.lines().find(|it| it.starts_with(&world.name("a"))).unwrap();
        assert!(
            shown.contains("AccessDenied") && shown.contains("az role assignment create"),
            "{shown}"
        );
    }
}

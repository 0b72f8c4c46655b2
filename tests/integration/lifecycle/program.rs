//! The unchanged program: environment, flags, proxy, signals and exit codes.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use azure_sim::{Call, Effect, Fault};
use kube::api::{Api, PostParams};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::support::replica::{address, end, program};
use crate::support::secrets::{CLIENT_SECRET, login, with_puller};
use crate::support::{SECRET, World, in_time};

/// Whether there is a JSON web token: each begins so. So does what the API server gives out to go on
/// with a list, which is `{"v":"meta.k8s.io/v1",…}`.
fn holds_a_token(text: &str) -> bool {
    const BEGIN: &str = "eyJ";
    const GO_ON: &str = "eyJ2IjoibWV0YS5rOHMuaW8vdjEi";
    text.match_indices(BEGIN).any(|(at, _)| !text[at..].starts_with(GO_ON))
}

#[tokio::test]
async fn told_to_stop_it_does_not_wait_for_an_azure_that_hangs() {
    let mut world = World::new().await;
    world.stop().await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = world.program(&folder, &["--resync", "2s"]).await;
    world.azure.fault(Fault::new(Call::GetRegistry, Effect::Hang));
    let mut child = command.env("AZURE_CLIENT_SECRET", SECRET).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    world.apply("a", world.spec()).await;
    world
        .until("the hanging call", || async {
            let journal = world.azure.journal();
            journal.iter().any(|it| it.call == Some(Call::GetRegistry)).then_some(())
        })
        .await;
    assert_eq!(end(child).await.code(), Some(0));
    let mut log = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stderr, &mut log).await.unwrap();
    // It would say so of no call that it has waited for.
    assert!(log.contains("cut short"), "{log}");
}

#[tokio::test]
async fn through_a_proxy_with_a_client_secret() {
    let mut world = World::new().await;
    world.stop().await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = world.program(&folder, &["--resync", "2s"]).await;
    let mut child = command.env("AZURE_CLIENT_SECRET", SECRET).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.delete("a").await;
    world.until_gone("a").await;
    let status = end(child).await;
    assert_eq!(status.code(), Some(0), "{status:?} {:?}", status.signal());
    let mut log = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        assert!(!line.contains(SECRET), "{line}");
        log.push(serde_json::from_str::<serde_json::Value>(&line).unwrap());
    }
    let messages: Vec<_> = log.iter().filter_map(|it| it["message"].as_str()).collect();
    assert_eq!((messages[0], *messages.last().unwrap()), ("started", "stopped"));
    assert!(messages.contains(&"reconciled"), "{messages:?}");
}

#[tokio::test]
async fn through_a_proxy_with_a_federated_token_and_without_a_word_about_secrets() {
    let mut world = World::new().await;
    world.stop().await;
    let namespace = world.namespace();
    let issuer = world.cluster.service_account_issuer().to_owned();
    let subject = format!("system:serviceaccount:{namespace}:acr-attach");
    let key = std::fs::read_to_string(world.cluster.service_account_public_key()).unwrap();
    world.azure.update(|azure| {
        azure.add_token_issuer(&issuer, &key);
        azure.principals.retain(|it| it.display_name != "acr-attach");
        azure.application("acr-attach").federated(&issuer, &subject).add();
    });
    let audience = "api://AzureADTokenExchange";
    let lifetime = Duration::from_secs(600);
    let token = world.cluster.service_account_token(&namespace, "acr-attach", audience, lifetime);
    let token = token.await.unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{token}").unwrap();

    let folder = tempfile::tempdir().unwrap();
    let mut command = world.program(&folder, &["--resync", "2s"]).await;
    command.env("AZURE_FEDERATED_TOKEN_FILE", file.path()).args(["--log-level", "trace"]);
    let mut child = command.spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let log = tokio::spawn(async move {
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stderr, &mut text).await.unwrap();
        text
    });
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    assert_eq!(end(child).await.code(), Some(0));
    let log = log.await.unwrap();
    assert!(!log.contains(&token), "the federated token is in the log");
    assert!(!holds_a_token(&log), "a token is in the log");
}

#[tokio::test]
async fn a_client_secret_is_nowhere_but_in_secrets() {
    let mut world = World::with(with_puller, |_| {}).await;
    world.stop().await;
    world.put_client_secret(CLIENT_SECRET).await;
    let namespace = world.namespace_with("apps", serde_json::json!({})).await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = world.program(&folder, &["--resync", "2s"]).await;
    let address = address();
    command.env("ACR_ATTACH_LISTEN", address.to_string()).env_remove("AZURE_CLIENT_ID");
    let mut child = command.args(["--log-level", "trace"]).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let log = tokio::spawn(async move {
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stderr, &mut text).await.unwrap();
        text
    });
    let mut told = String::new();
    let mut tokens = vec![CLIENT_SECRET.to_owned()];
    for credential in ["RegistryToken", "ClientSecret"] {
        let mut spec = world.pull_spec(&serde_json::json!({"names": [namespace]}));
        spec["pullSecret"]["credential"] = credential.into();
        world.apply("a", spec).await;
        let status = world.until_ready("a").await;
        told += &serde_json::to_string(&status).unwrap();
        let mut secret = world.until_secret(&namespace, "acr-pull").await;
        tokens.push(login(&secret).1);
        secret.data = None;
        told += &serde_json::to_string(&secret).unwrap();
    }
    // One that is refused, so that failures are told too.
    world.put_client_secret("marker-of-a-wrong-secret").await;
    let status = world.until_reason("a", "CredentialFresh", "AuthenticationFailed").await;
    tokens.push("marker-of-a-wrong-secret".to_owned());
    told += &serde_json::to_string(&status).unwrap();
    let events: Api<k8s_openapi::api::events::v1::Event> =
        Api::namespaced(world.client.clone(), "default");
    for event in events.list(&kube::api::ListParams::default()).await.unwrap() {
        told += &serde_json::to_string(&event).unwrap();
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let metrics = client.get(format!("http://{address}/metrics")).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("credential_rotations_total"), "{metrics}");
    told += &metrics;
    let audit = std::fs::read_to_string(world.cluster.audit_log()).unwrap();
    assert!(!tokens.iter().any(|it| audit.contains(it)), "the audit log holds a secret");
    assert_eq!(end(child).await.code(), Some(0));
    told += &log.await.unwrap();
    for token in tokens {
        assert!(!told.contains(&token), "{} is told", &token[..20.min(token.len())]);
    }
    assert!(!holds_a_token(&told), "a token is told");
}

/// The sentence with which the program refuses to start.
async fn refusal(mut command: Command) -> String {
    let output = in_time("the program to refuse", command.output()).await.unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("acr-attach: ") && text.trim().lines().count() == 1, "{text}");
    text
}

#[tokio::test]
async fn what_cannot_work_ends_the_start_with_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("kubeconfig");
    std::fs::write(&broken, "clusters: {").unwrap();

    let mut command = program(&["run"]);
    command.env("AZURE_CLIENT_SECRET", "x").env("AZURE_FEDERATED_TOKEN_FILE", "/x");
    let text = refusal(command).await;
    assert!(text.contains("keep one"), "{text}");

    let mut command = program(&["run", "--listen", "127.0.0.1:0"]);
    command.env("KUBECONFIG", &broken);
    let text = refusal(command).await;
    assert!(text.starts_with("acr-attach: reading the kubeconfig"), "{text}");

    let mut command = program(&["run", "--listen", "127.0.0.1:0"]);
    command.env("KUBECONFIG", folder.path().join("missing"));
    let text = refusal(command).await;
    assert!(text.starts_with("acr-attach: reading the kubeconfig"), "{text}");

    let text = refusal(program(&["run", "--listen", "127.0.0.1:0"])).await;
    assert!(text.starts_with("acr-attach: finding the cluster"), "{text}");

    let command = program(&["run", "--ca-file", "/does/not/exist"]);
    let text = refusal(command).await;
    assert!(text.contains("/does/not/exist (--ca-file)"), "{text}");

    let command = program(&["run", "--resync", "soon"]);
    let text = refusal(command).await;
    assert!(text.contains("such as 30m"), "{text}");

    let mut command = program(&["run"]);
    command.env("ACR_ATTACH_ALLOWED_REGISTRIES", "contoso");
    let text = refusal(command).await;
    assert!(text.contains("--allowed-registries"), "{text}");
}

#[tokio::test]
async fn the_definition_is_printed_and_can_be_installed() {
    let output = program(&["crd"]).output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, acr_attach_core::api::crd_yaml().unwrap());
    let world = World::new().await;
    let crds: Api<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition> =
        Api::all(world.client.clone());
    let mut crd = serde_saphyr::from_str::<serde_json::Value>(&text).unwrap();
    // The server of this world has it already; the same under another group is judged alike.
    let id = &world.id;
    crd["spec"]["group"] = format!("x{id}.dev").into();
    crd["metadata"]["name"] = format!("registryattachments.x{id}.dev").into();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    crds.create(&dry, &serde_json::from_value(crd).unwrap()).await.unwrap();
}

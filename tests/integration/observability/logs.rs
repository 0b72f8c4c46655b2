//! The log, and what users are told beside it: events.

use std::collections::BTreeMap;

use azure_sim::{Call, Fault};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::support::replica::end;
use crate::support::secrets::{CLIENT_SECRET, with_puller};
use crate::support::{SECRET, World};

/// The lines of a run at that level in which an attachment by each method is made and detached, and
/// the names of these attachments.
async fn log_of_a_run(level: &str) -> (Vec<Value>, [String; 2]) {
    let mut world = World::with(with_puller, |_| {}).await;
    world.stop().await;
    world.put_client_secret(CLIENT_SECRET).await;
    let namespace = world.namespace_with("apps", json!({})).await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = world.program(&folder, &["--resync", "2s"]).await;
    command.env("AZURE_CLIENT_SECRET", SECRET).args(["--log-level", level]);
    let mut child = command.spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let log = tokio::spawn(async move {
        let mut text = String::new();
        stderr.read_to_string(&mut text).await.unwrap();
        text
    });
    world.azure.fault(Fault::error(Call::GetRegistry, 503, "ServiceUnavailable", "Later.").once());
    world.apply("role", world.spec()).await;
    world.apply("secret", world.pull_spec(&json!({"names": [namespace]}))).await;
    for name in ["role", "secret"] {
        world.until_ready(name).await;
        world.delete(name).await;
        world.until_gone(name).await;
    }
    assert_eq!(end(child).await.code(), Some(0));
    (log.await.unwrap().lines().map(parsed).collect(), ["role", "secret"].map(|it| world.name(it)))
}

/// A line, in which nothing stands twice.
fn parsed(line: &str) -> Value {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(value.to_string().len(), line.len(), "something stands twice in {line}");
    value
}

/// The lines by the pass that they are part of.
fn by_pass(log: &[Value]) -> BTreeMap<&str, Vec<&Value>> {
    let mut passes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in log {
        if let Some(id) = line["reconcile_id"].as_str() {
            passes.entry(id).or_default().push(line);
        }
    }
    passes
}

const ENDS: [&str; 2] = ["reconciled", "reconcile failed"];

#[tokio::test]
async fn each_line_is_an_object_and_those_of_a_pass_share_an_id() {
    let (log, attachments) = log_of_a_run("debug").await;
    let passes = by_pass(&log);
    for (id, lines) in &passes {
        let of = |field: &str| lines.iter().map(|it| it[field].clone()).collect::<Vec<_>>();
        let (names, generations) = (of("attachment"), of("generation"));
        assert!(attachments.iter().any(|it| names[0] == *it), "{id}: {names:?}");
        assert!(names.iter().all(|it| *it == names[0]), "{id}: {names:?}");
        assert!(generations.iter().all(Value::is_i64), "{id}: {generations:?}");
        let ends = lines.iter().filter(|it| ENDS.contains(&it["message"].as_str().unwrap_or("")));
        assert!(ends.count() <= 1, "{id} has ended twice: {lines:#?}");
    }
    let told = |message: &'static str| log.iter().filter(move |it| it["message"] == message);
    assert!(told("reconciled").count() >= 4 && told("reconcile failed").count() >= 1, "{log:#?}");
    assert!(ENDS.iter().all(|it| told(it).all(|it| it["reconcile_id"].is_string())));
    // One pass can be followed through Azure.
    let asked: Vec<_> = told("asked Azure").collect();
    assert!(asked.iter().all(|it| it["reconcile_id"].is_string()), "{asked:#?}");
    let arm: Vec<_> = asked.iter().filter(|it| it["service"] == "arm").collect();
    for field in ["azure_request_id", "azure_correlation_id", "operation", "code"] {
        assert!(arm.iter().all(|it| it[field].is_string()), "{field} is missing in {arm:#?}");
    }
    let puts = asked.iter().filter(|it| it["operation"] == "put_role_assignment");
    for put in puts {
        let pass = &passes[put["reconcile_id"].as_str().unwrap()];
        assert!(pass.iter().any(|it| it["operation"] == "list_role_assignments"), "{pass:#?}");
    }
}

#[tokio::test]
async fn by_default_each_pass_that_is_told_has_ended_once() {
    let (log, _) = log_of_a_run("info").await;
    for line in log.iter().filter(|it| ENDS.contains(&it["message"].as_str().unwrap())) {
        assert!(line["reconcile_id"].is_string() && line["attachment"].is_string(), "{line}");
    }
    let passes = by_pass(&log);
    assert!(passes.len() >= 4, "{log:#?}");
    for (id, lines) in passes {
        let ends = lines.iter().filter(|it| ENDS.contains(&it["message"].as_str().unwrap()));
        assert_eq!(ends.count(), 1, "{id}: {lines:#?}");
    }
}

#[tokio::test]
async fn events_tell_what_turned_and_not_each_try() {
    let world = World::new().await;
    world.azure.fault(Fault::error(Call::GetRegistry, 503, "ServiceUnavailable", "Later."));
    world.apply("a", world.spec()).await;
    world.until_reason("a", "Ready", "Unavailable").await;
    world
        .patch("a", json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "1"}}}))
        .await;
    world.until_calls(Call::GetRegistry, 1).await;
    let told = async |reason: &str| {
        let events = world.events("a").await;
        events.iter().filter(|(_, it)| it == reason).count()
    };
    world
        .until("the trouble to be told", async || (told("Unavailable").await > 0).then_some(()))
        .await;
    for _ in 0..3 {
        let value = uuid::Uuid::new_v4().to_string();
        let patch =
            json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": value}}});
        world.patch("a", patch).await;
        world
            .until("that request to be handled", || async {
                let status = world.status("a").await;
                (status.last_handled_reconcile_at.as_deref() == Some(&*value)).then_some(())
            })
            .await;
    }
    assert_eq!(told("Unavailable").await, 1);
    world.azure.clear_faults();
    world.until_ready("a").await;
    world.until("that to be told", async || (told("Attached").await > 0).then_some(())).await;
    world.until_calls(Call::GetRegistry, 3).await;
    assert_eq!((told("Unavailable").await, told("Attached").await), (1, 1));
}

//! When nothing changes, nothing is written; and a restart changes nothing.

use std::time::Instant;

use azure_sim::model::ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR;
use azure_sim::{Call, Model};
use jiff::SignedDuration;
use serde_json::json;

use crate::support::secrets::{CLIENT_SECRET, with_puller};
use crate::support::{World, operator};

/// What was written: to Azure, to the API server, and as events about `a`.
async fn written(world: &World) -> (usize, usize, Vec<(String, String)>) {
    (world.azure_writes(), world.api_writes(), world.events("a").await)
}

#[tokio::test]
async fn resyncs_write_nothing_anywhere() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    // The look that follows our own write.
    world.until_calls(Call::ListRoleAssignments, 1).await;
    let before = written(&world).await;
    world.until_calls(Call::ListRoleAssignments, 3).await;
    assert_eq!(written(&world).await, before);
}

#[tokio::test]
async fn a_failure_that_lasts_is_written_once() {
    let world = World::new().await;
    world.azure.update(|azure| {
        let id = azure.find_registry("contoso").unwrap().id();
        azure.registry_mut(&id).unwrap().name = "moved".into();
    });
    let mut spec = json!({"method": "KubeletIdentity"});
    spec["registry"] = json!({"resourceId": "/subscriptions/50000000-0000-4000-8000-000000000001/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso"});
    spec["kubeletIdentity"] = json!({"principalId": world.kubelet()});
    world.apply("a", spec).await;
    world.until_reason("a", "Stalled", "NotFound").await;
    // The audit line of that write may come a moment later.
    world.until_calls(Call::GetRegistry, 1).await;
    let writes = world.api_writes();
    world.until_calls(Call::GetRegistry, 3).await;
    assert_eq!(world.api_writes(), writes);
    let events = world.events("a").await;
    assert_eq!(events, [("Warning".to_owned(), "NotFound".to_owned())]);
}

#[tokio::test]
async fn between_resyncs_azure_is_not_even_read() {
    let half_hour = SignedDuration::from_mins(30);
    let fabrikam = |azure: &mut Model| {
        let registry = azure.registry("fabrikam").add();
        azure.assign(&operator(azure), ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, &registry.id());
    };
    let world = World::with(fabrikam, |settings| settings.intervals.resync = half_hour).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let calls = world.azure.journal().len();
    // These events pass the watch, and the last one is the proof that the others have passed.
    world.patch("a", json!({"metadata": {"labels": {"x": "y"}}})).await;
    world.patch("a", json!({"metadata": {"annotations": {"x": "y"}}})).await;
    let mut spec = world.spec();
    let contoso = spec["registry"]["resourceId"].as_str().unwrap().to_owned();
    spec["registry"]["resourceId"] = contoso.replace("contoso", "fabrikam").into();
    world.apply("last", spec).await;
    world.until_ready("last").await;
    let since = world.azure.journal().split_off(calls);
    assert!(since.iter().any(|it| it.path.contains("/fabrikam")), "{since:#?}");
    assert!(since.iter().all(|it| !it.path.contains("/contoso")), "{since:#?}");
}

#[tokio::test]
async fn a_restart_writes_nothing() {
    let mut world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.until_event("a", "Normal", "Attached").await;
    world.stop().await;
    let before = written(&world).await;
    world.start().await;
    world.until_calls(Call::ListRoleAssignments, 2).await;
    assert_eq!(written(&world).await, before);
}

#[tokio::test]
async fn status_that_somebody_wiped_is_rebuilt_with_nothing_done_twice() {
    let mut world = World::new().await;
    world.apply("a", world.spec()).await;
    let before = world.until_ready("a").await;
    let writes = world.azure_writes();
    let wiped = kube::api::Patch::Merge(
        json!({"status": {"claim": null, "registry": null, "roleAssignments": null, "conditions": null}}),
    );
    world.stop_recording();
    let params = kube::api::PatchParams::default();
    world.attachments().patch_status(&world.name("a"), &params, &wiped).await.unwrap();
    let after = world.until_ready("a").await;
    assert_eq!(
        (after.claim, after.registry, after.role_assignments),
        (before.claim, before.registry, before.role_assignments)
    );
    assert_eq!(world.azure_writes(), writes);
}

#[tokio::test]
async fn a_request_to_look_again_is_answered_at_once() {
    let half_hour = SignedDuration::from_mins(30);
    let world = World::with(|_| {}, |settings| settings.intervals.resync = half_hour).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let made = world.pull_assignments();
    world.azure.update(|azure| azure.role_assignments.retain(|it| it.name != made[0].name));
    world
        .patch(
            "a",
            json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "now"}}}),
        )
        .await;
    world
        .until("the request to be echoed", || async {
            let status = world.status("a").await;
            (status.last_handled_reconcile_at.as_deref() == Some("now")).then_some(())
        })
        .await;
    assert_eq!(world.pull_assignments().len(), 1);
}

#[tokio::test]
async fn a_fresh_object_counts_as_not_observed_until_it_is() {
    let mut world = World::new().await;
    world.stop().await;
    let object = world.apply("a", world.spec()).await;
    assert_eq!(object.status.unwrap().observed_generation, Some(-1));
    world.start().await;
    assert_eq!(world.until_ready("a").await.observed_generation, Some(1));
}

#[tokio::test]
async fn the_operator_is_not_ready_before_it_has_read_the_attachments() {
    let nonsense = "a=b=c".to_owned();
    let world = World::with(|_| {}, |settings| settings.attachment_selector = nonsense).await;
    let waits = (503, "attachments have not been read yet\n".to_owned());
    world
        .until("it to lead", || async { (world.page("/readyz").await == waits).then_some(()) })
        .await;
    assert_eq!(world.page("/livez").await.0, 200);
}

#[tokio::test]
async fn the_pages_tell_how_the_operator_is() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    assert_eq!(world.page("/livez").await.0, 200);
    assert_eq!(world.page("/readyz").await.0, 200);
    let metrics = world
        .until("the attachment to be counted", || async {
            let text = world.page("/metrics").await.1;
            text.contains(r#"acr_attach_attachments{method="KubeletIdentity",ready="True"} 1"#)
                .then_some(text)
        })
        .await;
    for line in [
        r#"controller_runtime_reconcile_total{controller="registryattachment",result="success"}"#,
        r#"controller_runtime_reconcile_time_seconds_bucket{le="0.1",controller="registryattachment"}"#,
        r#"acr_attach_azure_requests_total{service="arm",operation="put_role_assignment",code="201"} 1"#,
        r#"acr_attach_azure_requests_total{service="entra",operation="token",code="200"} 1"#,
        "acr_attach_build_info",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

/// The reconciles of attachments so far, with any result. Those of namespaces depend on other tests, which
/// create namespaces in the same cluster.
async fn reconciles(world: &World) -> u64 {
    const OF_ATTACHMENTS: &str =
        r#"controller_runtime_reconcile_total{controller="registryattachment""#;
    let text = world.page("/metrics").await.1;
    let lines = text.lines().filter(|it| it.starts_with(OF_ATTACHMENTS));
    lines.filter_map(|it| it.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[tokio::test]
async fn what_waits_for_others_is_not_looked_at_all_the_time() {
    let world = World::with(with_puller, |_| {}).await;
    world.put_client_secret(CLIENT_SECRET).await;
    let one = world.namespace_with("one", json!({})).await;
    let mut unserved = world.pull_spec(&json!({"names": [one]}));
    unserved["suspend"] = true.into();
    world.apply("unserved", unserved).await;
    let mut suspended = world.spec();
    suspended["suspend"] = true.into();
    world.apply("suspended", suspended.clone()).await;
    suspended["method"] = "Auto".into();
    world.apply("unreadable", suspended).await;
    world.apply("kept", world.spec()).await;
    world.until_ready("kept").await;
    world.patch("kept", json!({"metadata": {"finalizers": ["example.org/keep", "acr-attach.dev/role-assignments"]}})).await;
    world.delete("kept").await;
    world.until_reason("kept", "Ready", "Detaching").await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let (before, begun) = (reconciles(&world).await, Instant::now());
    // Some 6 s, in which each of them has its time 3 or 4 times.
    world.until_calls(Call::ListRoleAssignments, 3).await;
    let made = reconciles(&world).await - before;
    // Each of the five has its time every 1.8 s at the soonest, and one more pass at either end.
    let most = 5 * (begun.elapsed().as_millis() / 1_800 + 3);
    assert!(u128::from(made) <= most, "{made} reconciles in {:?}", begun.elapsed());
    world.patch("kept", json!({"metadata": {"finalizers": null}})).await;
    world.until_gone("kept").await;
}

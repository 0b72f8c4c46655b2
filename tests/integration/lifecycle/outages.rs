//! Azure or the API server away and back; objects that do not parse. Nothing is lost.

use azure_sim::{Call, Effect, Fault};
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::{World, find, message};

#[tokio::test]
async fn azure_unreachable_at_the_start_is_told_and_overcome() {
    let world = World::new().await;
    world.azure.fault(Fault::new(Call::Any, Effect::Drop));
    world.apply("a", world.spec()).await;
    let status = world.until_reason("a", "Reconciling", "Unavailable").await;
    assert_eq!(find(&status, "Ready").unwrap().0, "False");
    assert_eq!(find(&status, "Stalled"), None);
    assert_eq!(world.page("/readyz").await.0, 200);
    world.azure.clear_faults();
    world.until_ready("a").await;
}

#[tokio::test]
async fn an_outage_of_azure_is_no_news_until_it_lasts() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    let before = world.until_ready("a").await;
    let fault = || Fault::error(Call::GetRegistry, 503, "ServiceUnavailable", "Try later.");
    world.azure.fault(fault().times(2));
    world
        .until("two failed checks of Azure and one that succeeds", || async {
            let journal = world.azure.journal();
            let looks = journal.iter().filter(|it| it.call == Some(Call::GetRegistry));
            let missed = looks.clone().filter(|it| it.status == Some(503)).count();
            let last = looks.filter_map(|it| it.status).next_back();
            (missed == 2 && last == Some(200)).then_some(())
        })
        .await;
    assert_eq!(world.status("a").await, before);

    world.azure.fault(fault());
    world.until_ready_is("a", "Unknown").await;
    assert_eq!(world.pull_assignments().len(), 1);
    world.azure.clear_faults();
    world.until_ready("a").await;
    assert_eq!(world.calls(Call::DeleteRoleAssignment), 0);
}

#[tokio::test]
async fn revoked_tokens_are_replaced() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    let before = world.until_ready("a").await;
    let tokens = world.calls(Call::Token);
    world.azure.expire_tokens();
    world
        .until("another token", || async { (world.calls(Call::Token) > tokens).then_some(()) })
        .await;
    world.until_calls(Call::ListRoleAssignments, 2).await;
    assert_eq!(world.status("a").await, before);
}

#[tokio::test]
async fn an_answer_that_is_no_answer_is_an_outage() {
    let world = World::new().await;
    world.azure.fault(Fault::new(Call::GetRegistry, Effect::Garbage));
    world.apply("a", world.spec()).await;
    world.until_reason("a", "Reconciling", "Unavailable").await;
    world.azure.clear_faults();
    world.until_ready("a").await;
    world.azure.fault(Fault::new(Call::ListRoleAssignments, Effect::Huge { bytes: 20 << 20 }));
    world.until_ready_is("a", "Unknown").await;
    assert_eq!(world.pull_assignments().len(), 1);
}

#[tokio::test]
async fn what_touches_the_whole_control_plane() {
    let mut world = World::alone().await;
    missing_rights_in_the_cluster_are_named(&mut world).await;
    world.stop_recording();
    an_object_that_does_not_parse_disturbs_no_other(&mut world).await;
    the_api_server_may_restart(&mut world).await;
    world.expect_refusals().await;
}

async fn missing_rights_in_the_cluster_are_named(world: &mut World) {
    let roles: Api<ClusterRole> = Api::all(world.client.clone());
    let full = roles.get("acr-attach").await.unwrap();
    let mut poor = full.clone();
    poor.rules.as_mut().unwrap().retain(|it| it.resources != Some(vec!["namespaces".to_owned()]));
    let params = PostParams::default();
    roles.replace("acr-attach", &params, &poor).await.unwrap();
    world.until_may("get", "", "namespaces", false).await;
    world.start().await;
    world.apply("early", world.spec()).await;
    let status = world.until_reason("early", "Ready", "AccessDenied").await;
    assert!(message(&status).contains("deploy/base/acr-attach.yaml"), "{}", message(&status));
    assert_eq!(world.azure.journal().len(), 0);
    let mut full = full;
    full.metadata.resource_version = None;
    roles.replace("acr-attach", &params, &full).await.unwrap();
    world.until_ready("early").await;
    world.stop().await;
}

/// Older or newer definitions let objects in that this version cannot read. One that the newer
/// definition still accepts has its status told; one that breaks the definition of now is refused
/// by the API server on every write, and so only an event tells of it.
async fn an_object_that_does_not_parse_disturbs_no_other(world: &mut World) {
    let strict = crd_with(None);
    let loose = crd_with(Some(json!({"x-kubernetes-preserve-unknown-fields": true})));
    install(world, &loose, true).await;
    let mut odd = world.spec();
    odd["suspend"] = json!({"until": "tomorrow"});
    // The client of this world cannot read the answer either.
    world.try_apply("odd", odd).await.unwrap_err();
    world.start().await;
    world.apply("good", world.spec()).await;
    world.until_ready("good").await;
    world.until_event("odd", "Warning", "InvalidSpec").await;
    let shown = world
        .until("the odd object to say so", || async {
            let object = world.stored().get(&world.name("odd")).await.unwrap();
            let reason = object.data["status"]["conditions"][0]["reason"].as_str()?;
            (reason == "InvalidSpec").then_some(object.data.clone())
        })
        .await;
    assert_eq!(shown["spec"]["suspend"]["until"], "tomorrow");

    let claim = world.until_ready("good").await.claim;
    let odd = Patch::Merge(json!({"status": {"roleAssignments": "none"}}));
    let params = PatchParams::default();
    world.stored().patch_status(&world.name("good"), &params, &odd).await.unwrap();
    world.until_event("good", "Warning", "InvalidSpec").await;
    let stored = world.stored().get(&world.name("good")).await.unwrap();
    assert_eq!(stored.data["status"]["claim"].as_str(), claim.as_deref(), "status was wiped");
    let mended = Patch::Merge(json!({"status": {"roleAssignments": null}}));
    world.stored().patch_status(&world.name("good"), &params, &mended).await.unwrap();
    world.until_ready("good").await;
    world.stop().await;

    let mut odder = world.spec();
    odder["suspend"] = json!({"until": "tomorrow"});
    world.try_apply("odder", odder).await.unwrap_err();
    install(world, &strict, false).await;
    world.start().await;
    world.apply("better", world.spec()).await;
    world.until_ready("better").await;
    world.until_event("odder", "Warning", "InvalidSpec").await;
    let stored = world.stored().get(&world.name("odder")).await.unwrap();
    assert_eq!(stored.data["status"]["conditions"], Value::Null);
    world
        .until("the restarted operator to look at the odd object", || async {
            let calls = world.cluster.calls_by(&world.user()).unwrap();
            let looks = calls.iter().filter(|it| it.verb == "get" && it.name == world.name("odd"));
            (looks.count() > 1).then_some(())
        })
        .await;
    assert_eq!(world.events("odd").await.len(), 1, "told again after a restart");
    for name in ["odd", "odder"] {
        world.delete(name).await;
        world.until_gone(name).await;
    }
}

/// The definition, or a newer one with another type of `spec.suspend` and any status.
fn crd_with(suspend: Option<Value>) -> Value {
    let mut crd = serde_json::to_value(acr_attach_core::api::crd()).unwrap();
    if let Some(suspend) = suspend {
        let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        schema["spec"]["properties"]["suspend"] = suspend;
        schema["status"] = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    }
    crd
}

/// Installs a definition and waits until it is served, which shows in what it lets in.
async fn install(world: &World, crd: &Value, lets_odd_in: bool) {
    let api: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    let name = crd["metadata"]["name"].as_str().unwrap();
    let params = PatchParams::apply("version").force();
    api.patch(name, &params, &Patch::Apply(crd)).await.unwrap();
    let mut spec = world.spec();
    spec["suspend"] = json!({"until": "tomorrow"});
    let manifest = json!({
        "apiVersion": "acr-attach.dev/v1alpha1", "kind": "RegistryAttachment",
        "metadata": {"name": "probe"}, "spec": spec,
    });
    let dry = PatchParams { dry_run: true, ..PatchParams::apply("probe").force() };
    world
        .until("the other definition to be served", || async {
            let answer = world.stored().patch("probe", &dry, &Patch::Apply(&manifest)).await;
            (answer.is_ok() == lets_odd_in).then_some(())
        })
        .await;
}

async fn the_api_server_may_restart(world: &mut World) {
    let plane = world.plane.as_mut().unwrap();
    plane.stop_api_server().await.unwrap();
    world.azure.update(|azure| azure.role_assignments.retain(|it| it.description.is_none()));
    world.until_calls(Call::ListRoleAssignments, 1).await;
    assert_eq!(world.page("/livez").await.0, 200);
    world.plane.as_mut().unwrap().start_api_server().await.unwrap();
    world.apply("later", world.spec()).await;
    world.until_ready("later").await;
    world.delete("good").await;
    world.until_gone("good").await;
    assert_eq!(world.pull_assignments().len(), 1);
}

//! An object that this version cannot read is detached by what it can read of it.
//!
//! A newer definition lets such objects in. They are made from attachments that were readable and
//! attached, as an older operator finds them after a newer one.

use acr_attach_core::api::FINALIZERS;
use azure_sim::model::RoleAssignment;
use azure_sim::{Call, Fault};
use jiff::SignedDuration;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::World;
use crate::support::secrets::{login, with_puller};

#[tokio::test]
async fn what_cannot_be_read_is_detached_all_the_same() {
    let mut world = World::alone_with(with_puller, |settings| {
        settings.intervals.removal_delay = SignedDuration::from_hours(1);
    })
    .await;
    define(&world, true).await;
    world.start().await;
    world.stop_recording();
    world.put_client_secret(crate::support::secrets::CLIENT_SECRET).await;
    by_its_registry(&world).await;
    by_its_role_assignments(&world).await;
    by_the_registry_that_was_found(&world).await;
    together_with_others(&world).await;
    orphaned(&world).await;
    by_hand_alone(&world).await;
    its_entries_alone(&world).await;
    nothing_new_is_served(&world).await;
    what_breaks_the_definition(&world).await;
}

/// Attaches one, and makes of it what this version cannot read.
async fn attached(world: &World, name: &str, spec: Value, odd: Value) {
    world.apply(name, spec).await;
    world.until_ready(name).await;
    spoil(world, name, odd).await;
}

/// Makes of an attachment what this version cannot read, and waits until it says so: what it
/// writes then is not to come later.
async fn spoil(world: &World, name: &str, odd: Value) {
    patch(world, name, odd).await;
    world.until_event(name, "Warning", "InvalidSpec").await;
    world
        .until("the odd object to say so", || async {
            let conditions = &stored(world, name).await["status"]["conditions"];
            (conditions[0]["reason"] == "InvalidSpec").then_some(())
        })
        .await;
}

/// The rest of an object can be read: the status, where spec cannot.
async fn by_its_registry(world: &World) {
    attached(world, "a", world.spec(), json!({"spec": {"suspend": {"until": "tomorrow"}}})).await;
    let [note] = &world.notes("a", "InvalidSpec").await[..] else { panic!("told twice") };
    assert!(note.contains("or delete it, which detaches it"), "{note}");
    world.delete("a").await;
    world.until_gone("a").await;
    world.until_event("a", "Normal", "RoleAssignmentDeleted").await;
    assert_eq!(held(world).len(), 0);

    attached(world, "b", world.spec(), json!({"spec": {"method": ["Both"]}})).await;
    patch(world, "b", json!({"status": {"conditions": "none", "roleAssignments": "none"}})).await;
    world.delete("b").await;
    world.until_gone("b").await;
    assert_eq!(held(world).len(), 0);
}

async fn by_its_role_assignments(world: &World) {
    let registry = json!({"spec": {"registry": {"resourceId": {"id": "contoso"}}}});
    attached(world, "c", world.spec(), registry).await;
    world.delete("c").await;
    world.until_gone("c").await;
    assert_eq!(held(world).len(), 0);
}

async fn by_the_registry_that_was_found(world: &World) {
    attached(world, "found", world.spec(), json!({"spec": {"registry": "contoso"}})).await;
    patch(world, "found", json!({"status": {"roleAssignments": "none"}})).await;
    world.delete("found").await;
    world.until_gone("found").await;
    assert_eq!(held(world).len(), 0);
}

async fn together_with_others(world: &World) {
    world.apply("other", world.spec()).await;
    let other = world.until_ready("other").await.claim.unwrap();
    attached(world, "d", world.spec(), json!({"spec": {"suspend": {"until": "tomorrow"}}})).await;
    world.delete("d").await;
    world.until_gone("d").await;
    world.until_event("d", "Normal", "RoleAssignmentReleased").await;
    let left = held(world)[0].description.clone();
    assert_eq!(left, Some(format!("acr-attach claims: {other}")));
    world.until_ready("other").await;
    world.delete("other").await;
    world.until_gone("other").await;
}

async fn orphaned(world: &World) {
    let mut spec = world.spec();
    spec["deletionPolicy"] = "Orphan".into();
    attached(world, "e", spec, json!({"spec": {"registry": "contoso"}})).await;
    let deleted = world.calls(Call::DeleteRoleAssignment);
    world.delete("e").await;
    world.until_gone("e").await;
    assert_eq!(held(world).len(), 1);
    assert_eq!(world.calls(Call::DeleteRoleAssignment), deleted);
    world.azure.update(|azure| azure.role_assignments.retain(|it| it.description.is_none()));
}

/// Nothing tells where its role assignments are: an event does, and status keeps the claim.
async fn by_hand_alone(world: &World) {
    attached(world, "f", world.spec(), json!({"spec": {"registry": "contoso"}})).await;
    let claim = stored(world, "f").await["status"]["claim"].as_str().unwrap().to_owned();
    let untold = json!({"status": {"roleAssignments": "none", "registry": "none"}});
    patch(world, "f", untold).await;
    world.delete("f").await;
    let note = world
        .until("the manual way", || async {
            let notes = world.notes("f", "InvalidSpec").await;
            notes.into_iter().find(|it| it.contains("detaching attachment"))
        })
        .await;
    for part in [&*claim, "az role assignment list", FINALIZERS[0], "deletionPolicy to Orphan"] {
        assert!(note.contains(part), "{part} is not in {note}");
    }
    let looks = || world.cluster.calls_by(&world.user()).unwrap();
    let looks =
        || looks().iter().filter(|it| it.verb == "get" && it.name == world.name("f")).count();
    let before = looks();
    world.until("two more tries", || async { (looks() >= before + 2).then_some(()) }).await;
    let manual = world.notes("f", "InvalidSpec").await;
    let manual = manual.iter().filter(|it| it.contains("detaching attachment")).count();
    assert_eq!(manual, 1, "told at each try");
    let kept = stored(world, "f").await;
    assert_eq!(kept["status"]["claim"].as_str(), Some(&*claim));
    assert_eq!(kept["status"]["roleAssignments"], "none");
    assert_eq!(held(world).len(), 1);

    patch(world, "f", json!({"spec": {"deletionPolicy": "Orphan"}})).await;
    world.until_gone("f").await;
    assert_eq!(held(world).len(), 1);
    world.azure.update(|azure| azure.role_assignments.retain(|it| it.description.is_none()));
}

/// What was switched to pull secrets a moment ago holds both: entries go, though nobody knows where
/// the role assignment is.
async fn its_entries_alone(world: &World) {
    let team = world.namespace_with("team", json!({})).await;
    until_account(world, &team).await;
    let mut spec = world.spec();
    spec["pullSecret"] = world.pull_spec(&json!({"names": [team]}))["pullSecret"].clone();
    world.apply("g", spec.clone()).await;
    world.until_ready("g").await;
    spec["method"] = "PullSecret".into();
    world.apply("g", spec).await;
    world.until_ready("g").await;
    world.until_pull_secrets_of(&team, "default", &["acr-pull"]).await;
    spoil(world, "g", json!({"spec": {"registry": "contoso"}})).await;
    let untold = json!({"status": {"roleAssignments": "none", "registry": "none"}});
    patch(world, "g", untold).await;
    world.delete("g").await;
    world.until_pull_secrets_of(&team, "default", &[]).await;
    world
        .until("one finalizer to go", || async {
            let finalizers = world.stored().get(&world.name("g")).await.unwrap();
            (finalizers.finalizers() == [FINALIZERS[0]]).then_some(())
        })
        .await;
    assert_eq!(held(world).len(), 1);
    patch(world, "g", json!({"metadata": {"finalizers": null}})).await;
    world.until_gone("g").await;
    world.azure.update(|azure| azure.role_assignments.retain(|it| it.description.is_none()));
}

/// What it serves stays as it is, whatever else changes: nothing tells what it asks for.
async fn nothing_new_is_served(world: &World) {
    let (one, team) = (world.namespace_with("first", json!({})).await, world.team("x"));
    let chosen = json!({"names": [one], "selector": {"matchLabels": {"team": team}}});
    let mut spec = world.pull_spec(&chosen);
    spec["pullSecret"]["secretName"] = "acr-pull".into();
    attached(world, "i", spec, json!({"spec": {"suspend": {"until": "tomorrow"}}})).await;
    let two = world.namespace_with("second", json!({"team": team})).await;
    until_account(world, &two).await;
    let readable = world.namespace_with("third", json!({})).await;
    world.apply("j", world.pull_spec(&json!({"names": [readable]}))).await;
    world.until_ready("j").await;
    let before = login(&world.until_secret(&readable, "acr-pull").await);
    // Another value of the client secret makes the operator decide anew for all attachments.
    world.rotate_client_secret("marker-second-client-secret-of-the-puller").await;
    world
        .until("the readable one to have another credential", || async {
            let found = world.secrets(&readable).get("acr-pull").await.unwrap();
            (login(&found) != before).then_some(())
        })
        .await;
    assert!(world.secrets(&two).get_opt("acr-pull").await.unwrap().is_none());
    assert!(world.pull_secrets_of(&two, "default").await.is_empty());
    assert_eq!(world.pull_secrets_of(&one, "default").await, ["acr-pull"]);
    for name in ["i", "j"] {
        world.delete(name).await;
        world.until_gone(name).await;
    }
}

/// What breaks the definition takes no status: the API server refuses to apply anything to it. An
/// event tells instead. It lets finalizers go, and so the object.
async fn what_breaks_the_definition(world: &World) {
    attached(world, "h", world.spec(), json!({"spec": {"suspend": {"until": "tomorrow"}}})).await;
    define(world, false).await;
    let locked = || Fault::error(Call::DeleteRoleAssignment, 409, "ScopeLocked", "It is locked.");
    world.azure.fault(locked());
    world.delete("h").await;
    world.until_event("h", "Warning", "Locked").await;
    world.until_calls(Call::DeleteRoleAssignment, 2).await;
    assert_eq!(world.notes("h", "Locked").await.len(), 1, "told at each try");
    let kept = stored(world, "h").await;
    assert_eq!(kept["status"]["conditions"][0]["reason"], "InvalidSpec", "status was taken");
    world.azure.clear_faults();
    world.until_gone("h").await;
    assert_eq!(held(world).len(), 0);
    world.apply("i", world.spec()).await;
    world.until_ready("i").await;
    world.delete("i").await;
    world.until_gone("i").await;
}

/// The role assignments that bear claims.
fn held(world: &World) -> Vec<RoleAssignment> {
    world.pull_assignments().into_iter().filter(|it| it.description.is_some()).collect()
}

async fn stored(world: &World, name: &str) -> Value {
    world.stored().get(&world.name(name)).await.unwrap().data
}

/// Changes an object as somebody else, status too.
async fn patch(world: &World, name: &str, patch: Value) {
    let (name, params) = (world.name(name), PatchParams::default());
    let api = world.stored();
    let is_status = patch.get("status").is_some();
    let patch = Patch::Merge(patch);
    if is_status {
        api.patch_status(&name, &params, &patch).await.unwrap();
    } else {
        api.patch(&name, &params, &patch).await.unwrap();
    }
}

async fn until_account(world: &World, namespace: &str) {
    let api = world.accounts(namespace);
    world.until("the service account", || async { api.get_opt("default").await.unwrap() }).await;
}

/// Installs the definition of a newer version that takes anything, or the one of this version, and
/// waits until it is served, which shows in what it lets in.
async fn define(world: &World, takes_anything: bool) {
    let mut crd = serde_json::to_value(acr_attach_core::api::crd()).unwrap();
    if takes_anything {
        let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        (schema["spec"], schema["status"]) = (any.clone(), any);
    }
    let api: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    let name = crd["metadata"]["name"].as_str().unwrap();
    let params = PatchParams::apply("version").force();
    api.patch(name, &params, &Patch::Apply(&crd)).await.unwrap();
    let manifest = json!({
        "apiVersion": "acr-attach.dev/v1alpha1", "kind": "RegistryAttachment",
        "metadata": {"name": "probe"}, "spec": {"registry": "any"},
    });
    let dry = PatchParams { dry_run: true, ..PatchParams::apply("probe").force() };
    world
        .until("the other definition to be served", || async {
            let answer = world.stored().patch("probe", &dry, &Patch::Apply(&manifest)).await;
            (answer.is_ok() == takes_anything).then_some(())
        })
        .await;
}

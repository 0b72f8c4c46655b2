//! What the operator does in whole scenarios is what the recorded files say: each call to Azure, each
//! write to the API server, status and events.

use acr_attach::settings::Settings;
use azure_sim::model::{ACR_PULL, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, RoleAssignmentMode};
use azure_sim::{Call, Fault, Model};
use jiff::SignedDuration;
use serde_json::json;

use crate::support::secrets::{CLIENT_SECRET, with_puller};
use crate::support::transcript::{FIRST, Transcript};
use crate::support::{World, find};

/// Nothing comes by time but what is due to be removed.
fn calm(settings: &mut Settings) {
    let hour = SignedDuration::from_hours(1);
    let intervals = &mut settings.intervals;
    (intervals.resync, intervals.patience) = (hour, hour);
    (intervals.conflict_retry, intervals.reread) = (hour, hour);
}

async fn world(model: impl FnOnce(&mut Model), settings: impl FnOnce(&mut Settings)) -> World {
    let change = |it: &mut Settings| {
        calm(it);
        settings(it);
    };
    World::with(model, change).await
}

/// Waits until the operator has seen the cluster, and knows the service that the registry names: how often
/// it reads either before that depends on the pace.
async fn until_the_cluster_is_seen(world: &World) {
    world.apply(FIRST, world.pull_spec(&json!({"names": ["nowhere"]}))).await;
    world
        .until("the cluster to be seen", || async {
            let status = world.status(FIRST).await;
            let (_, reason, _) = find(&status, "PullSecretsReady")?;
            (reason != "Progressing").then_some(())
        })
        .await;
    let is_known = || async { (world.calls(Call::RegistryPing) > 0).then_some(()) };
    world.until("the registry to name its service", is_known).await;
    world.delete(FIRST).await;
    world.until_gone(FIRST).await;
}

async fn with_puller_and_secret(settings: impl FnOnce(&mut Settings)) -> World {
    let world = world(with_puller, settings).await;
    world.put_client_secret(CLIENT_SECRET).await;
    if world.settings.policy.pull_secrets {
        until_the_cluster_is_seen(&world).await;
    }
    world
}

/// Asks for a new look at everything.
async fn request(world: &World, value: &str) {
    let annotations = json!({"reconcile.fluxcd.io/requestedAt": value});
    world.patch("a", json!({"metadata": {"annotations": annotations}})).await;
}

async fn delete(world: &World, mut transcript: Transcript<'_>) {
    world.delete("a").await;
    world.until_gone("a").await;
    transcript.step("delete", &[]).await;
    transcript.end();
}

#[tokio::test]
async fn the_role_of_a_kubelet_identity() {
    let world = world(|_| {}, |_| {}).await;
    let mut transcript = Transcript::of(&world, "kubelet-identity").await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    transcript.step("attach", &["a"]).await;

    world.azure.update(|azure| azure.role_assignments.retain(|it| it.role != ACR_PULL));
    request(&world, "the role is gone").await;
    transcript.step("somebody deletes the role", &["a"]).await;

    world.azure.update(|azure| {
        azure.registry_mut("contoso").unwrap().role_assignment_mode =
            RoleAssignmentMode::AbacRepositoryPermissions;
    });
    request(&world, "the mode is another one").await;
    transcript.step("the registry switches to repository permissions", &["a"]).await;
    request(&world, "what replaces the role holds").await;
    transcript.step("the former role goes", &["a"]).await;

    let mut spec = world.spec();
    spec["repositories"] = json!(["team-a/*"]);
    world.apply("a", spec).await;
    transcript.step("the spec names repositories", &["a"]).await;
    delete(&world, transcript).await;
}

#[tokio::test]
async fn a_role_that_azure_refuses() {
    let refused = |azure: &mut Model| {
        azure.role_assignments.retain(|it| it.role != ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR);
    };
    let world = world(refused, |_| {}).await;
    let mut transcript = Transcript::of(&world, "refused").await;
    world.apply("a", world.spec()).await;
    transcript.step("attach", &["a"]).await;

    world.azure.update(|azure| {
        let operator = crate::support::operator(azure).clone();
        let scope = azure.find_registry("contoso").unwrap().id();
        azure.assign(&operator, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, &scope);
    });
    request(&world, "the right is there").await;
    transcript.step("the operator gets the right", &["a"]).await;

    world.azure.fault(Fault::error(
        Call::DeleteRoleAssignment,
        409,
        "ScopeLocked",
        "It is locked.",
    ));
    world.delete("a").await;
    transcript.step("a lock keeps the role from being deleted", &["a"]).await;
    world.azure.clear_faults();
    request(&world, "the lock is gone").await;
    world.until_gone("a").await;
    transcript.step("the lock goes", &[]).await;
    transcript.end();
}

#[tokio::test]
async fn pull_secrets_of_two_namespaces() {
    let world = with_puller_and_secret(|_| {}).await;
    let (one, two) = two_namespaces(&world).await;
    let mut transcript = Transcript::of(&world, "pull-secret").await;
    world.apply("a", world.pull_spec(&json!({"names": [one, two]}))).await;
    world.until_ready("a").await;
    transcript.step("attach", &["a"]).await;

    world.rotate_client_secret("marker-the-next-client-secret").await;
    transcript.step("the client secret is another one", &["a"]).await;

    world.delete_secret(&one, "acr-pull").await;
    transcript.step("somebody deletes a pull secret", &["a"]).await;

    world.set_pull_secrets_of(&two, "default", &[]).await;
    transcript.step("somebody takes an entry out", &["a"]).await;

    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    transcript.step("the spec leaves a namespace out", &["a"]).await;

    world.patch("a", json!({"spec": {"suspend": true}})).await;
    transcript.step("suspend", &["a"]).await;
    delete(&world, transcript).await;
}

#[tokio::test]
async fn an_assigned_role_and_a_switch_of_the_method() {
    let puller = |azure: &mut Model| drop(azure.application("puller").secret(CLIENT_SECRET).add());
    // The replaced Secret stays for long enough to see what the switch alone has done.
    let stays = |it: &mut Settings| it.intervals.removal_delay = SignedDuration::from_secs(15);
    let world = world(puller, stays).await;
    world.put_client_secret(CLIENT_SECRET).await;
    until_the_cluster_is_seen(&world).await;
    let one = world.namespace_with("one", json!({})).await;
    world.until_account(&one).await;
    let mut transcript = Transcript::of(&world, "assigned-role").await;
    let mut spec = world.pull_spec(&json!({"names": [one]}));
    spec["registry"] = world.spec()["registry"].clone();
    spec["pullSecret"]["assignRole"] = true.into();
    world.apply("a", spec.clone()).await;
    world.until_ready("a").await;
    transcript.step("attach", &["a"]).await;

    spec["method"] = "KubeletIdentity".into();
    spec["kubeletIdentity"] = world.spec()["kubeletIdentity"].clone();
    world.apply("a", spec).await;
    transcript.step("the method is KubeletIdentity", &["a"]).await;
    request(&world, "what replaces the pull secret holds").await;
    world.until_no_secret(&one, "acr-pull").await;
    transcript.step("what it replaces goes", &["a"]).await;
    delete(&world, transcript).await;
}

#[tokio::test]
async fn what_others_keep() {
    let world = with_puller_and_secret(|_| {}).await;
    let (one, two) = two_namespaces(&world).await;
    world.put_secret(&one, "acr-pull", json!({"theirs": "is here"})).await;
    let mut transcript = Transcript::of(&world, "of-others").await;
    world.apply("a", world.pull_spec(&json!({"names": [one, two]}))).await;
    transcript.step("attach beside a Secret of others", &["a"]).await;

    world.delete_secret(&one, "acr-pull").await;
    transcript.step("they delete it", &["a"]).await;

    world.apply_pull_secrets_of(&two, &["theirs"]).await;
    transcript.step("a tool applies the list of a service account", &["a"]).await;

    let mut spec = world.pull_spec(&json!({"names": [one, two]}));
    spec["deletionPolicy"] = "Orphan".into();
    world.apply("a", spec).await;
    transcript.step("the policy is Orphan", &["a"]).await;
    delete(&world, transcript).await;
}

#[tokio::test]
async fn what_the_settings_forbid() {
    let world = with_puller_and_secret(|it| it.policy.pull_secrets = false).await;
    let mut transcript = Transcript::of(&world, "not-allowed").await;
    world.apply("a", world.pull_spec(&json!({"names": ["team"]}))).await;
    transcript.step("attach", &["a"]).await;
    delete(&world, transcript).await;
}

async fn two_namespaces(world: &World) -> (String, String) {
    let one = world.namespace_with("one", json!({})).await;
    let two = world.namespace_with("two", json!({})).await;
    world.until_account(&one).await;
    world.until_account(&two).await;
    (one, two)
}

//! Former identities of nodes: a role goes by itself only where AKS has replaced the identity.

use acr_attach_core::api::{RELEASE, RegistryAttachmentStatus, RoleUser};
use azure_sim::Model;
use azure_sim::model::{APPLICATION_READ_ALL, KubeletIdentity, READER};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::support::secrets::puller;
use crate::support::{World, find, message, operator};

const FIRST: &str = "44444444-4444-4444-8444-444444444444";
const SECOND: &str = "55555555-5555-4555-8555-555555555555";
const THIRD: &str = "66666666-6666-4666-8666-666666666666";

/// A world that looks often, and removes at once what may be removed.
async fn world(model: impl FnOnce(&mut Model)) -> World {
    World::with(model, |settings| {
        settings.intervals.resync = SignedDuration::from_secs(2);
        settings.intervals.removal_delay = SignedDuration::ZERO;
    })
    .await
}

fn holders(world: &World) -> Vec<String> {
    let mut all: Vec<_> = world.pull_assignments().into_iter().map(|it| it.principal_id).collect();
    all.sort();
    all
}

async fn until_holders(world: &World, expected: &[&str]) {
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    world
        .until(&format!("roles of {expected:?}"), || async {
            (holders(world) == expected).then_some(())
        })
        .await;
}

/// Waits until status says that a former identity awaits its release. Returns the message.
async fn until_kept(world: &World, identity: &str) -> String {
    world
        .until(&format!("{identity} to await its release"), || async {
            let status = world.status("a").await;
            let (is, reason, text) = find(&status, "Obsolete")?;
            (reason == "AwaitingRelease" && text.contains(identity)).then(|| {
                assert_eq!(is, "True");
                assert_eq!(find(&status, "Ready").unwrap().0, "True", "{}", message(&status));
                text.to_owned()
            })
        })
        .await
}

async fn release(world: &World, value: &str) {
    world.patch("a", json!({"metadata": {"annotations": {RELEASE: value}}})).await;
}

fn given(world: &World, identity: &str) -> Value {
    let mut spec = world.spec();
    spec["kubeletIdentity"] = json!({"principalId": identity});
    spec
}

#[tokio::test]
async fn an_identity_that_the_spec_gave_keeps_its_role_until_a_user_releases_it() {
    let world = world(|_| {}).await;
    world.apply("a", given(&world, FIRST)).await;
    world.until_ready("a").await;
    world.apply("a", given(&world, SECOND)).await;
    until_holders(&world, &[FIRST, SECOND]).await;
    let text = until_kept(&world, FIRST).await;
    let command = format!("kubectl annotate --overwrite registryattachment {} ", world.name("a"));
    assert!(text.contains(&format!("{command}{RELEASE}={FIRST})")), "{text}");
    world.until_event("a", "Warning", "AwaitingRelease").await;

    // Another identity's release says nothing of this one.
    release(&world, SECOND).await;
    world.request("a", "after the wrong release").await;
    until_kept(&world, FIRST).await;
    assert_eq!(holders(&world), [FIRST, SECOND]);

    release(&world, FIRST).await;
    until_holders(&world, &[SECOND]).await;
    world
        .until("nothing to be obsolete", || async {
            find(&world.status("a").await, "Obsolete").is_none().then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_service_principal_that_a_cluster_has_left_keeps_its_role_until_it_is_released() {
    let mut client = String::new();
    let world = world(|azure| {
        let principal = azure.application("aks-sp").secret("x").add();
        client = principal.client_id.clone().unwrap();
        let cluster = azure.cluster("legacy").service_principal(&client).add();
        let id = operator(azure).object_id;
        azure.principal_mut(&id).unwrap().app_roles.push(APPLICATION_READ_ALL.to_owned());
        let operator = operator(azure);
        azure.assign(&operator, READER, &cluster.id());
    })
    .await;
    let (cluster, principal) = world.azure.read(|azure| {
        let principal = azure.principals.iter().find(|it| it.display_name == "aks-sp").unwrap();
        (azure.find_cluster("legacy").unwrap().id(), principal.object_id.clone())
    });
    let mut spec = world.spec();
    spec["kubeletIdentity"] = json!({"clusterResourceId": cluster});
    world.apply("a", spec).await;
    let status = world.until_ready("a").await;
    assert_eq!(serde_json::to_value(status.kubelet_identity).unwrap()["type"], "ServicePrincipal");
    // az aks update --enable-managed-identity: the cluster is Succeeded, and its nodes are as they were.
    world.azure.update(|azure| {
        let cluster = azure.cluster_mut("legacy").unwrap();
        let group = cluster.node_resource_group.clone();
        let identity = KubeletIdentity::named(&cluster.subscription_id, &group, "next", FIRST);
        cluster.kubelet_identity = Some(identity);
        cluster.service_principal_client_id = "msi".into();
    });
    until_kept(&world, &principal).await;
    until_holders(&world, &[FIRST, &principal]).await;
    release(&world, &principal).await;
    until_holders(&world, &[FIRST]).await;
}

#[tokio::test]
async fn a_managed_identity_that_aks_has_replaced_goes_by_itself_also_after_a_start() {
    let mut world = world(|_| {}).await;
    world.apply("a", world.spec()).await;
    let status = world.until_ready("a").await;
    let before = status.kubelet_identity.unwrap().principal_id.unwrap();
    world.azure.update(|azure| {
        let cluster = azure.cluster_mut("prod").unwrap();
        let group = cluster.node_resource_group.clone();
        let identity = KubeletIdentity::named(&cluster.subscription_id, &group, "next", FIRST);
        cluster.kubelet_identity = Some(identity);
        cluster.agent_pools[0].provisioning_state = "Upgrading".into();
    });
    until_holders(&world, &[FIRST, &before]).await;
    world
        .until("the replaced identity in status", || async {
            let identity = world.status("a").await.kubelet_identity?;
            (identity.replaced_principal_ids? == [before.clone()]).then_some(())
        })
        .await;
    world.stop().await;
    world.azure.update(|azure| {
        azure.cluster_mut("prod").unwrap().agent_pools[0].provisioning_state = "Succeeded".into();
    });
    world.start().await;
    until_holders(&world, &[FIRST]).await;
    world
        .until("status to forget the replaced identity", || async {
            let identity = world.status("a").await.kubelet_identity?;
            identity.replaced_principal_ids.is_none().then_some(())
        })
        .await;
}

#[tokio::test]
async fn detaching_takes_the_roles_of_former_identities_too() {
    let world = world(|_| {}).await;
    world.apply("a", given(&world, FIRST)).await;
    world.until_ready("a").await;
    world.apply("a", given(&world, SECOND)).await;
    until_kept(&world, FIRST).await;
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(holders(&world), [""; 0]);
}

/// The command replaces the annotation, and so names what was released before too.
#[tokio::test]
async fn what_was_released_before_is_in_the_command_and_a_typing_error_is_named() {
    let world = world(|_| {}).await;
    for identity in [FIRST, SECOND, THIRD] {
        world.apply("a", given(&world, identity)).await;
        world.until_ready("a").await;
    }
    // The one whose assignment comes first by its id.
    until_kept(&world, SECOND).await;
    release(&world, &format!("{SECOND}, 5555")).await;
    until_holders(&world, &[FIRST, THIRD]).await;
    let text = until_kept(&world, FIRST).await;
    assert!(text.contains(&format!("{RELEASE}={SECOND},{FIRST})")), "{text}");
    assert!(text.contains("\"5555\", which is no object id"), "{text}");
}

#[tokio::test]
async fn a_suspended_attachment_still_tells_what_awaits_its_release() {
    let world = world(|_| {}).await;
    world.apply("a", given(&world, FIRST)).await;
    world.until_ready("a").await;
    let mut spec = given(&world, SECOND);
    world.apply("a", spec.clone()).await;
    until_kept(&world, FIRST).await;
    spec["suspend"] = true.into();
    world.apply("a", spec).await;
    let status = world.until_reason("a", "Ready", "Suspended").await;
    assert_eq!(find(&status, "Obsolete").unwrap().1, "AwaitingRelease");
}

/// Nodes may go on with the first identity, although pull secrets served in between.
#[tokio::test]
async fn a_switch_there_and_back_forgets_no_identity_of_nodes() {
    let world = World::with_pull_secrets(|settings| {
        settings.intervals.resync = SignedDuration::from_secs(2);
        settings.intervals.removal_delay = SignedDuration::from_hours(1);
    })
    .await;
    let puller = world.azure.read(|azure| puller(azure).object_id);
    world.azure.update(|azure| azure.role_assignments.retain(|it| it.principal_id != puller));
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", given(&world, FIRST)).await;
    world.until_ready("a").await;
    let mut by_secret = world.pull_spec(&json!({"names": [one]}));
    by_secret["registry"] = world.spec()["registry"].clone();
    by_secret["pullSecret"]["assignRole"] = true.into();
    world.apply("a", by_secret).await;
    world.until_ready("a").await;
    until_holders(&world, &[FIRST, &puller]).await;
    world.apply("a", given(&world, SECOND)).await;
    until_kept(&world, FIRST).await;
    let users = |status: RegistryAttachmentStatus| {
        let list = status.role_assignments.unwrap();
        list.into_iter().map(|it| (it.principal_id, it.used_by.unwrap())).collect::<Vec<_>>()
    };
    let status = world.until_ready("a").await;
    let (_, _, text) = find(&status, "Obsolete").unwrap();
    assert!(!text.contains(&puller), "the identity of pull secrets needs no release: {text}");
    let users = users(status);
    let is_used = |identity: &str, by| users.contains(&(identity.to_owned(), by));
    assert!(is_used(FIRST, RoleUser::Nodes) && is_used(SECOND, RoleUser::Nodes), "{users:?}");
    assert!(is_used(&puller, RoleUser::PullSecrets), "{users:?}");
}

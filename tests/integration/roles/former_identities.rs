//! Former identities of nodes: a role goes by itself only where AKS has replaced the identity.

use acr_attach_core::api::RELEASE;
use azure_sim::Model;
use azure_sim::model::{APPLICATION_READ_ALL, KubeletIdentity, READER};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::support::{World, find, message, operator};

const FIRST: &str = "44444444-4444-4444-8444-444444444444";
const SECOND: &str = "55555555-5555-4555-8555-555555555555";

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
    let mut both = [FIRST, principal.as_str()];
    both.sort_unstable();
    until_holders(&world, &both).await;
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
    let mut both = [FIRST, before.as_str()];
    both.sort_unstable();
    until_holders(&world, &both).await;
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

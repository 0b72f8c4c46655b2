//! What was found once, and what has to be found again: nobody looks in the wrong place because
//! something did not answer, and nothing is given up because it was not found.

use azure_sim::model::{
    DEFAULT_SUBSCRIPTION, DEFAULT_TENANT, READER, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR,
};
use azure_sim::{Call, Fault, Model};
use jiff::SignedDuration;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::roles::finding::{aks_node, group_of_prod, reader_of_all, with_nodes};
use crate::support::{World, message, operator};

/// A subscription that holds nothing.
const EMPTY: &str = "50000000-0000-4000-8000-0000000000ee";

/// The operator's own subscription, in which it may read and nothing is.
fn with_an_empty_subscription(azure: &mut Model) {
    azure.add_subscription(EMPTY, DEFAULT_TENANT);
    reader_of_all(azure);
    let operator = operator(azure);
    azure.assign(&operator, READER, &format!("/subscriptions/{EMPTY}"));
}

/// By name, where nodes tell the cluster.
fn by_name(registry: &str) -> Value {
    json!({"registry": {"name": registry}, "method": "KubeletIdentity"})
}

/// Twenty registries beside `contoso`.
fn with_registries(azure: &mut Model) {
    let operator = operator(azure);
    for role in [READER, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR] {
        azure.assign(&operator, role, &format!("/subscriptions/{DEFAULT_SUBSCRIPTION}"));
    }
    for n in 0..20 {
        azure.registry(&format!("registry{n}")).add();
    }
}

#[tokio::test]
async fn many_that_come_at_once_are_told_one_answer_and_read_nothing_twice() {
    let nodes = [aks_node(&group_of_prod())];
    let half_an_hour = SignedDuration::from_mins(30);
    let world = with_nodes(&nodes, with_registries, |it| it.intervals.resync = half_an_hour).await;
    let names: Vec<String> = (0..20).map(|n| format!("registry{n}")).collect();
    for name in &names {
        world.apply(name, by_name(name)).await;
    }
    for name in &names {
        world.until_ready(name).await;
        let events = world.events(name).await;
        assert!(events.iter().all(|(kind, _)| kind == "Normal"), "{events:?}");
    }
    assert_eq!(world.calls(Call::GetResourceGroup), 1);
    assert_eq!(world.calls(Call::GetRegistry), names.len());
}

#[tokio::test]
async fn while_the_cluster_is_not_known_no_other_subscription_is_searched() {
    let nodes = [aks_node(&group_of_prod())];
    let world = with_nodes(&nodes, with_an_empty_subscription, |settings| {
        settings.subscription = Some(EMPTY.parse().unwrap());
    })
    .await;
    let down = Fault::error(Call::GetResourceGroup, 503, "ServiceUnavailable", "later");
    world.azure.fault(down);
    world.apply("a", by_name("contoso")).await;
    world.until_reason("a", "Ready", "Unavailable").await;
    assert_eq!(world.calls(Call::ListRegistries), 0);
    world.azure.clear_faults();
    world.until_ready("a").await;
}

/// An attachment by name that is Ready, and of which status does not tell any more what was
/// found; the operator is stopped.
async fn forgotten(settings: impl FnOnce(&mut acr_attach::settings::Settings)) -> World {
    let mut world = World::with(with_an_empty_subscription, settings).await;
    let mut spec = world.spec();
    spec["registry"] = json!({"name": "contoso"});
    world.apply("a", spec).await;
    world.until_ready("a").await;
    world.stop().await;
    world.stop_recording();
    let status = json!({"status": {"registry": null, "roleAssignments": null, "claim": null}});
    let (name, params) = (world.name("a"), PatchParams::default());
    world.attachments().patch_status(&name, &params, &Patch::Merge(&status)).await.unwrap();
    world
}

#[tokio::test]
async fn a_name_is_looked_up_again_where_it_was_found() {
    let mut world = forgotten(|settings| {
        settings.subscription = Some(EMPTY.parse().unwrap());
    })
    .await;
    world.delete("a").await;
    world.start().await;
    world.until_gone("a").await;
    assert!(world.pull_assignments().is_empty());
}

#[tokio::test]
async fn an_answer_that_is_not_azures_does_not_say_that_the_registry_is_gone() {
    let mut world = forgotten(|_| {}).await;
    world.azure.fault(Fault::error(Call::ListRegistries, 404, "", "no such page"));
    world.delete("a").await;
    world.start().await;
    let status = world.until_reason("a", "Ready", "NotFound").await;
    assert!(message(&status).contains("deletionPolicy to Orphan"), "{}", message(&status));
    assert_eq!(world.pull_assignments().len(), 1);
    world.azure.clear_faults();
    world.until_gone("a").await;
    assert!(world.pull_assignments().is_empty());
}

#[tokio::test]
async fn a_list_that_lags_behind_costs_nobody_else_a_claim() {
    let mut world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.stop().await;
    world.azure.update(|azure| {
        // Another cluster has joined, and no list shows the assignment yet.
        let name = azure.role_assignments.last().unwrap().name.clone();
        let joined = azure.assignment_mut(&name).unwrap();
        let claims = joined.description.take().unwrap();
        joined.description = Some(format!("{claims}, 0123456789ab"));
        azure.settings.list_lag_ms = 600_000;
    });
    world.azure.clear_journal();
    world.start().await;
    world.until_calls(Call::GetRoleAssignment, 1).await;
    world.until_ready("a").await;
    assert_eq!(world.azure_writes(), 0);
    let description = world.pull_assignments()[0].description.clone().unwrap();
    assert!(description.contains("0123456789ab"), "{description}");
}

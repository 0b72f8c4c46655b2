//! Finding a registry by its name, and the cluster by its nodes.

use acr_attach::settings::Settings;
use acr_attach_core::api::{Ownership, RegistryAttachmentStatus};
use azure_sim::model::{ACR_PULL, APPLICATION_READ_ALL, READER};
use azure_sim::{Call, Fault, Model};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::secrets::{CLIENT_SECRET, with_puller};
use crate::support::{World, find, message, operator};

const SUBSCRIPTION: &str = "50000000-0000-4000-8000-000000000001";

/// Lets the operator read everything in the subscription.
pub fn reader_of_all(azure: &mut Model) {
    let operator = operator(azure);
    azure.assign(&operator, READER, &format!("/subscriptions/{SUBSCRIPTION}"));
}

fn by_name(world: &World, name: &str) -> Value {
    let mut spec = world.spec();
    spec["registry"] = json!({"name": name});
    spec
}

#[tokio::test]
async fn a_name_is_found_in_any_case_through_all_pages_and_read_by_id_from_then_on() {
    let world = World::with(
        |azure| {
            reader_of_all(azure);
            azure.settings.page_size = 2;
            for name in ["aaaaa", "bbbbb", "ccccc", "zzzzz"] {
                azure.registry(name).add();
            }
        },
        |_| {},
    )
    .await;
    world.apply("a", by_name(&world, "CONTOSO")).await;
    let status = world.until_ready("a").await;
    let registry = status.registry.unwrap();
    assert!(registry.resource_id.unwrap().ends_with("/registries/contoso"));
    let lists = world.calls(Call::ListRegistries);
    assert!(lists >= 2, "all pages: {lists}");
    world.until_calls(Call::GetRegistry, 2).await;
    assert_eq!(world.calls(Call::ListRegistries), lists);
    world.delete("a").await;
    world.until_gone("a").await;
    assert!(world.pull_assignments().is_empty());
}

#[tokio::test]
async fn a_name_that_is_nowhere_says_where_it_was_looked_for_and_is_found_when_it_comes() {
    let world = World::with(reader_of_all, |settings| {
        settings.intervals.patience = jiff::SignedDuration::from_mins(10);
    })
    .await;
    world.apply("a", by_name(&world, "fabrikam")).await;
    let status = world.until_reason("a", "Ready", "NotFound").await;
    let text = format!("none of that name in subscription {SUBSCRIPTION}");
    assert!(message(&status).contains(&text), "{}", message(&status));
    world.azure.update(|azure| {
        let registry = azure.registry("fabrikam").domain_name_label("E7ggejfuhzhgedc8").add();
        let operator = operator(azure);
        azure.assign(
            &operator,
            azure_sim::model::ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR,
            &registry.id(),
        );
    });
    let status = world.until_ready("a").await;
    // Never put together from the name, and in lower case.
    let server = status.registry.unwrap().login_server;
    assert_eq!(server.as_deref(), Some("fabrikam-e7ggejfuhzhgedc8.azurecr.io"));
}

#[tokio::test]
async fn a_name_is_searched_in_the_first_subscription_that_is_known() {
    const OTHER: &str = "50000000-0000-4000-8000-0000000000ff";
    let world = World::with(reader_of_all, |settings| {
        settings.subscription = Some(SUBSCRIPTION.parse().unwrap());
    })
    .await;
    let mut spec = by_name(&world, "contoso");
    // The cluster is in no subscription that is told: the operator's.
    spec["kubeletIdentity"] = json!({"principalId": world.kubelet()});
    world.apply("a", spec.clone()).await;
    world.until_ready("a").await;
    // What the attachment says comes first.
    spec["registry"]["subscriptionId"] = OTHER.into();
    world.apply("b", spec).await;
    world.until_reason("b", "Ready", "NotFound").await;
}

/// Another subscription of the tenant, which the operator is told to search.
const OPERATORS: &str = "50000000-0000-4000-8000-0000000000fe";

fn search_there(settings: &mut Settings) {
    settings.subscription = Some(OPERATORS.parse().unwrap());
}

fn asked_there(world: &World) -> bool {
    world.azure.journal().iter().any(|it| it.path.contains(OPERATORS))
}

#[tokio::test]
async fn a_name_is_searched_where_the_cluster_is_before_where_the_operator_is() {
    let world = World::with(reader_of_all, search_there).await;
    world.apply("a", by_name(&world, "contoso")).await;
    world.until_ready("a").await;
    assert!(!asked_there(&world));
}

#[tokio::test]
async fn a_name_is_searched_where_a_detected_cluster_is_even_with_older_apis() {
    let older = |azure: &mut Model| {
        reader_of_all(azure);
        azure.settings.newest_api_version("Microsoft.Resources/resourceGroups", "2020-06-01");
    };
    let world = with_nodes(&[aks_node(&group_of_prod())], older, search_there).await;
    let spec = json!({"registry": {"name": "contoso"}, "method": "KubeletIdentity"});
    world.apply("a", spec).await;
    world.until_ready("a").await;
    assert!(!asked_there(&world));
    let journal = world.azure.journal();
    let group = journal.iter().filter(|it| it.call == Some(Call::GetResourceGroup));
    assert_eq!(group.map(|it| it.status).collect::<Vec<_>>(), [Some(400), Some(200)]);
}

#[tokio::test]
async fn a_name_without_any_subscription_says_what_to_set() {
    let world = World::new().await;
    let mut spec = by_name(&world, "contoso");
    spec["kubeletIdentity"] = json!({"principalId": world.kubelet()});
    world.apply("a", spec).await;
    let status = world.until_reason("a", "Stalled", "InvalidSpec").await;
    assert!(message(&status).contains("--subscription-id"), "{}", message(&status));
    assert_eq!(world.calls(Call::ListRegistries), 0);
}

#[tokio::test]
async fn a_registry_that_is_found_by_name_must_be_allowed_and_is_only_looked_up() {
    let world = World::with(reader_of_all, |settings| {
        settings.policy.registries =
            format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/other").parse().unwrap();
    })
    .await;
    world.apply("a", by_name(&world, "contoso")).await;
    let status = world.until_reason("a", "Stalled", "NotAllowed").await;
    assert!(message(&status).contains("--allowed-registries"), "{}", message(&status));
    assert_eq!(world.calls(Call::GetRegistry), 0);
    assert_eq!(world.azure_writes(), 0);
}

#[tokio::test]
async fn a_registry_that_is_being_made_is_waited_for() {
    let world = World::with(
        |azure| azure.registry_mut("contoso").unwrap().provisioning_state = "Creating".into(),
        |_| {},
    )
    .await;
    world.apply("a", world.spec()).await;
    let status = world.until_reason("a", "Ready", "Propagating").await;
    assert!(message(&status).contains("provisioningState is Creating"), "{}", message(&status));
    assert_eq!(world.azure_writes(), 0);
    world.azure.update(|azure| {
        azure.registry_mut("contoso").unwrap().provisioning_state = "Succeeded".into();
    });
    world.until_ready("a").await;
}

#[tokio::test]
async fn a_cluster_with_a_service_principal_is_asked_of_graph_and_a_refusal_names_the_field() {
    let mut client = String::new();
    let world = World::with(
        |azure| {
            let principal = azure.application("aks-sp").secret("x").add();
            client = principal.client_id.clone().unwrap();
            let cluster = azure.cluster("legacy").service_principal(&client).add();
            let operator = operator(azure);
            azure.assign(&operator, READER, &cluster.id());
        },
        |_| {},
    )
    .await;
    let mut spec = world.spec();
    let (cluster, principal) = world.azure.read(|azure| {
        let principal = azure.principals.iter().find(|it| it.display_name == "aks-sp").unwrap();
        (azure.find_cluster("legacy").unwrap().id(), principal.object_id.clone())
    });
    spec["kubeletIdentity"] = json!({"clusterResourceId": cluster});
    world.apply("a", spec).await;
    let status = world.until_reason("a", "Ready", "AccessDenied").await;
    assert!(message(&status).contains("Application.Read.All"), "{}", message(&status));
    let text = format!("az ad sp show --id {client}");
    assert!(message(&status).contains("kubeletIdentity.principalId"), "{}", message(&status));
    assert!(message(&status).contains(&text), "{}", message(&status));
    world.azure.update(|azure| {
        let id = operator(azure).object_id;
        let roles = &mut azure.principal_mut(&id).unwrap().app_roles;
        roles.push(APPLICATION_READ_ALL.to_owned());
    });
    let status = world.until_ready("a").await;
    assert_eq!(status.kubelet_identity.unwrap().principal_id, Some(principal));
}

/// A world of its own with these nodes; the operator is started.
pub async fn with_nodes(
    nodes: &[Value],
    model: impl FnOnce(&mut Model),
    settings: impl FnOnce(&mut Settings),
) -> World {
    let mut world = World::alone_with(
        |azure| {
            with_puller(azure);
            model(azure);
        },
        settings,
    )
    .await;
    for (n, node) in nodes.iter().enumerate() {
        put_node(&world, &format!("n{n}"), node).await;
    }
    world.put_client_secret(CLIENT_SECRET).await;
    world.start().await;
    world
}

pub async fn put_node(world: &World, name: &str, node: &Value) {
    let mut manifest = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    manifest["metadata"]["labels"] = node["labels"].clone();
    manifest["spec"]["providerID"] = node["providerID"].clone();
    let nodes: Api<Node> = Api::all(world.client.clone());
    let params = PatchParams::apply("user").force();
    nodes.patch(name, &params, &Patch::Apply(&manifest)).await.unwrap();
    let status = json!({"status": {"nodeInfo": {"kubeletVersion": node["kubelet"]}}});
    if node["kubelet"].is_string() {
        nodes.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    }
}

/// A node as AKS makes them, in that resource group.
pub fn aks_node(group: &str) -> Value {
    json!({
        "labels": {"kubernetes.azure.com/cluster": group, "kubernetes.azure.com/agentpool": "pool"},
        "providerID": format!("azure:///subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets/pool/virtualMachines/0"),
    })
}

/// The node group of `prod`, before there is a world.
pub fn group_of_prod() -> String {
    let mut azure = Model::default_tenant();
    azure.cluster("prod").add();
    node_group(&azure)
}

fn node_group(azure: &Model) -> String {
    azure.find_cluster("prod").unwrap().node_resource_group.clone()
}

/// Only the registry, and what Auto needs elsewhere.
fn auto(world: &World, namespaces: &Value) -> Value {
    json!({
        "registry": world.spec()["registry"],
        "pullSecret": world.pull_spec(namespaces)["pullSecret"],
    })
}

#[tokio::test]
async fn on_aks_auto_assigns_a_role_and_asks_once_for_all() {
    let group = group_of_prod();
    let nodes = [aks_node(&group), aks_node(&group.to_uppercase())];
    let half_hour = |settings: &mut Settings| {
        settings.intervals.resync = SignedDuration::from_mins(30);
    };
    let mut world = with_nodes(&nodes, reader_of_all, half_hour).await;
    let names: Vec<_> = (0..20).map(|n| format!("a{n}")).collect();
    for name in &names {
        world.apply(name, json!({"registry": world.spec()["registry"]})).await;
    }
    for name in &names {
        let status = world.until_ready(name).await;
        let kubelet = status.kubelet_identity.unwrap();
        assert_eq!(kubelet.principal_id, Some(world.kubelet()));
        assert!(kubelet.cluster_resource_id.unwrap().ends_with("/managedClusters/prod"));
    }
    assert_eq!(world.calls(Call::GetResourceGroup), 1);

    // It is decided: what the nodes look like later changes nothing, and is said. What they looked
    // like is known until the resync, or the next start.
    world.stop().await;
    let nodes: Api<Node> = Api::all(world.client.clone());
    for node in nodes.list(&ListParams::default()).await.unwrap() {
        let name = node.metadata.name.unwrap();
        nodes.delete(&name, &DeleteParams::default()).await.unwrap();
    }
    put_node(&world, "other", &json!({"labels": {}, "providerID": "kind://docker/a/b"})).await;
    world.start().await;
    // A look while another pass asks the nodes tells nothing of them.
    world
        .until("a look that sees the nodes", async || {
            look_again(&world, "a0", &uuid::Uuid::new_v4().to_string()).await;
            let status = world.status("a0").await;
            message(&status).contains("set method to PullSecret").then_some(())
        })
        .await;
    assert_eq!(find(&world.status("a0").await, "Ready").unwrap().0, "True");
    assert_eq!(world.calls(Call::GetResourceGroup), 1);
    assert_eq!(world.pull_assignments().len(), 2, "the puller's own, and ours");
    world.delete("a0").await;
    world.until_gone("a0").await;
}

/// Nodes that say nothing, in the middle of things and after a start.
#[tokio::test]
async fn a_role_of_others_that_auto_decided_for_stays_decided() {
    let group = group_of_prod();
    let with_role = |azure: &mut Model| {
        reader_of_all(azure);
        let registry = azure.find_registry("contoso").unwrap().id();
        let kubelet = azure.find_cluster("prod").unwrap().kubelet_identity.clone().unwrap();
        azure.assign_id(&kubelet.object_id, ACR_PULL, &registry);
    };
    let mut world = with_nodes(&[aks_node(&group)], with_role, |_| {}).await;
    world.apply("a", json!({"registry": world.spec()["registry"]})).await;
    let first = world.until_ready("a").await;
    let held = first.role_assignments.as_ref().unwrap();
    assert!(matches!(&held[..], [it] if it.ownership == Ownership::Existing), "{held:?}");
    let silent = json!({"labels": {"kubernetes.azure.com/agentpool": "pool"}});
    let still_holds = async |world: &World| {
        look_again(world, "a", &uuid::Uuid::new_v4().to_string()).await;
        let object = world.attachments().get(&world.name("a")).await.unwrap();
        assert_eq!(object.metadata.finalizers.unwrap_or_default(), Vec::<String>::new());
        let status = object.status.unwrap();
        assert_eq!(
            (status.method, &status.role_assignments),
            (first.method, &first.role_assignments)
        );
        let ready = |it: &RegistryAttachmentStatus| it.conditions.as_ref().unwrap()[0].clone();
        assert_eq!(ready(&status).status, "True", "{status:?}");
        assert_eq!(ready(&status).last_transition_time, ready(&first).last_transition_time);
    };
    put_node(&world, "n1", &silent).await;
    still_holds(&world).await;
    let nodes: Api<Node> = Api::all(world.client.clone());
    nodes.delete("n0", &DeleteParams::default()).await.unwrap();
    still_holds(&world).await;
    world.stop().await;
    world.start().await;
    still_holds(&world).await;
    let turns = world.events("a").await;
    let attached = turns.iter().filter(|(_, reason)| reason == "Attached");
    assert_eq!(attached.count(), 1, "{turns:?}");
    assert!(turns.iter().all(|(kind, _)| kind == "Normal"), "{turns:?}");
    assert_eq!(world.azure_writes(), 0);
}

/// Asks for a look, and waits until it was made.
async fn look_again(world: &World, name: &str, when: &str) {
    let annotations = json!({"reconcile.fluxcd.io/requestedAt": when});
    world.patch(name, json!({"metadata": {"annotations": annotations}})).await;
    world
        .until("the look", || async {
            let status = world.status(name).await;
            (status.last_handled_reconcile_at.as_deref() == Some(when)).then_some(())
        })
        .await;
}

#[tokio::test]
async fn elsewhere_auto_writes_a_pull_secret_and_stays_with_it() {
    let kind = json!({"labels": {"x": "y"}, "providerID": "kind://docker/a/b"});
    let world = with_nodes(&[kind], reader_of_all, |_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", auto(&world, &json!({"names": [one]}))).await;
    let status = world.until_ready("a").await;
    assert_eq!(status.method, Some(acr_attach_core::api::MethodInUse::PullSecret));
    world.until_secret(&one, "acr-pull").await;
    assert_eq!(world.calls(Call::GetResourceGroup), 0, "nodes alone tell");

    world.apply("b", json!({"registry": world.spec()["registry"]})).await;
    let status = world.until_reason("b", "Stalled", "InvalidSpec").await;
    assert!(message(&status).contains("the cluster is not AKS"), "{}", message(&status));

    let by_role = json!({"registry": world.spec()["registry"], "method": "KubeletIdentity"});
    world.apply("c", by_role).await;
    let status = world.until_reason("c", "Stalled", "Unsupported").await;
    assert!(message(&status).contains("set method to PullSecret"), "{}", message(&status));

    let nodes: Api<Node> = Api::all(world.client.clone());
    nodes.delete("n0", &DeleteParams::default()).await.unwrap();
    let group = world.azure.read(node_group);
    put_node(&world, "n1", &aks_node(&group)).await;
    world
        .until("the remark", || async {
            message(&world.status("a").await)
                .contains("set method to KubeletIdentity")
                .then_some(())
        })
        .await;
    let status = world.status("a").await;
    assert_eq!(status.method, Some(acr_attach_core::api::MethodInUse::PullSecret));
    assert_eq!(find(&status, "Ready").unwrap().0, "True");
}

#[tokio::test]
async fn where_nobody_can_tell_nothing_is_touched_and_it_says_what_is_missing() {
    let machine = format!(
        "azure:///subscriptions/{SUBSCRIPTION}/resourceGroups/self/providers/Microsoft.Compute/virtualMachines/a"
    );
    let self_managed = json!({"labels": {"x": "y"}, "providerID": machine});
    let world = with_nodes(&[self_managed], reader_of_all, |_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", auto(&world, &json!({"names": [one]}))).await;
    let status = world.until_reason("a", "Reconciling", "Undetermined").await;
    assert_eq!(find(&status, "Ready").unwrap().0, "Unknown");
    assert!(message(&status).contains("bears no label of AKS"), "{}", message(&status));
    assert!(message(&status).contains("clusterResourceId"), "{}", message(&status));
    assert!(world.secrets(&one).get_opt("acr-pull").await.unwrap().is_none());
    assert_eq!(world.azure_writes(), 0);
    let status = world.until_reason("a", "Stalled", "Undetermined").await;
    assert_eq!(find(&status, "Ready").unwrap().0, "False");
}

#[tokio::test]
async fn where_the_node_group_may_not_be_read_the_clusters_are_listed() {
    let group = group_of_prod();
    let world = with_nodes(&[aks_node(&group)], reader_of_all, |_| {}).await;
    world.azure.fault(Fault::error(Call::GetResourceGroup, 403, "AuthorizationFailed", "x"));
    world.apply("a", json!({"registry": world.spec()["registry"]})).await;
    world.until_ready("a").await;
    assert!(world.calls(Call::ListClusters) >= 1);
}

#[tokio::test]
async fn a_group_whose_manager_keeps_its_nodes_elsewhere_is_not_believed() {
    let group = group_of_prod();
    let world = with_nodes(
        &[aks_node(&group)],
        |azure| {
            reader_of_all(azure);
            azure.cluster_mut("prod").unwrap().node_resource_group = "MC_elsewhere".into();
        },
        |_| {},
    )
    .await;
    world.apply("a", json!({"registry": world.spec()["registry"]})).await;
    let status = world.until_reason("a", "Ready", "Undetermined").await;
    assert!(message(&status).contains("keeps its nodes in MC_elsewhere"), "{}", message(&status));
    assert_eq!(world.azure_writes(), 0);
}

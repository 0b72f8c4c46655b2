//! From an applied object to a role assignment in Azure, and back when somebody takes it away.

use acr_attach_core::api::{Ownership, RoleAssignmentMode};
use acr_attach_core::roles::role::{Role, assignment_name};
use azure_sim::model::{ACR_PULL, REPOSITORY_READER};
use azure_sim::{Call, Model};
use jiff::SignedDuration;
use serde_json::json;

use crate::support::{World, find, message};

/// Somebody switches `contoso` to repository permissions.
fn switch_to_abac(azure: &mut Model) {
    azure.registry_mut("contoso").unwrap().role_assignment_mode =
        azure_sim::model::RoleAssignmentMode::AbacRepositoryPermissions;
}

#[tokio::test]
async fn an_applied_attachment_assigns_the_pull_role_to_the_kubelet_identity() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    let status = world.until_ready("a").await;

    let [made] = &world.pull_assignments()[..] else { panic!("{:?}", world.pull_assignments()) };
    assert_eq!(made.role, ACR_PULL);
    assert_eq!(made.principal_id, world.kubelet());
    let id = world.spec()["registry"]["resourceId"].as_str().unwrap().parse().unwrap();
    let name = assignment_name(&id, world.kubelet().parse().unwrap(), Role::AcrPull);
    assert_eq!(made.name, name.to_string());
    let claim = status.claim.unwrap();
    assert_eq!(made.description.as_deref(), Some(&*format!("acr-attach claims: {claim}")));

    let registry = status.registry.unwrap();
    assert_eq!(registry.login_server.as_deref(), Some("contoso.azurecr.io"));
    let legacy = RoleAssignmentMode::LegacyRegistryPermissions;
    assert_eq!(registry.role_assignment_mode, Some(legacy));
    let kubelet = status.kubelet_identity.unwrap();
    assert_eq!(kubelet.principal_id, Some(world.kubelet()));
    assert!(kubelet.cluster_resource_id.unwrap().ends_with("/managedClusters/prod"));
    let held = status.role_assignments.unwrap();
    assert_eq!((held[0].role.as_str(), held[0].ownership), ("AcrPull", Ownership::Managed));
    world.until_event("a", "Normal", "RoleAssignmentCreated").await;
    world.until_event("a", "Normal", "Attached").await;
}

#[tokio::test]
async fn ready_says_what_is_granted_since_when_and_that_azure_may_lag() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    let status = world.until_ready("a").await;
    let text = message(&status);
    assert!(text.starts_with("AcrPull on contoso.azurecr.io is assigned to"), "{text}");
    assert!(text.contains(" since 20") && text.contains("10 minutes"), "{text}");
    assert_eq!(find(&status, "AccessGranted").unwrap().0, "True");
    assert_eq!((find(&status, "Reconciling"), find(&status, "Stalled")), (None, None));
}

#[tokio::test]
async fn a_registry_in_abac_mode_gets_the_role_that_it_honours() {
    let world = World::with(switch_to_abac, |_| {}).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let roles: Vec<_> = world.pull_assignments().into_iter().map(|it| it.role).collect();
    assert_eq!(roles, [REPOSITORY_READER]);
}

#[tokio::test]
async fn a_switch_of_the_mode_is_followed_and_the_old_role_goes_when_the_new_one_counts() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.azure.update(switch_to_abac);
    world
        .until("both roles", || async { (world.pull_assignments().len() == 2).then_some(()) })
        .await;
    world
        .until("the new role alone", || async {
            let all = world.pull_assignments();
            (all.len() == 1 && all[0].role == REPOSITORY_READER).then_some(())
        })
        .await;
    world.until_event("a", "Normal", "RoleAssignmentDeleted").await;
    let journal = world.azure.journal();
    let time = |call| journal.iter().rfind(|it| it.call == Some(call)).unwrap().time;
    let kept = time(Call::DeleteRoleAssignment).duration_since(time(Call::PutRoleAssignment));
    assert!(kept >= world.settings.intervals.removal_delay, "the old role went after {kept:?}");
}

#[tokio::test]
async fn a_removal_that_waits_is_announced_in_status() {
    let hour = SignedDuration::from_hours(1);
    let world = World::with(|_| {}, |settings| settings.intervals.removal_delay = hour).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.azure.update(switch_to_abac);
    let due = world
        .until("the removal to be announced", || async {
            let list = world.status("a").await.role_assignments?;
            list.into_iter().find(|it| it.role == "AcrPull")?.remove_after
        })
        .await;
    let due: jiff::Timestamp = due.parse().unwrap();
    let wait = due.duration_since(jiff::Timestamp::now());
    assert!(wait > SignedDuration::from_mins(50) && wait <= hour, "{wait:?}");
}

#[tokio::test]
async fn a_condition_that_somebody_put_on_our_assignment_is_taken_off() {
    let world = World::with(switch_to_abac, |_| {}).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let name = world.pull_assignments()[0].name.clone();
    world.azure.update(|azure| {
        let made = azure.assignment_mut(&name).unwrap();
        made.condition = Some("(@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringEqualsIgnoreCase 'x')".into());
        made.condition_version = Some("2.0".into());
    });
    world
        .until("the condition to go", || async {
            world.pull_assignments()[0].condition.is_none().then_some(())
        })
        .await;
    world.until_event("a", "Warning", "RoleAssignmentRestored").await;
}

#[tokio::test]
async fn a_given_principal_needs_no_right_on_the_cluster() {
    let world = World::with(
        |azure| {
            let prod = azure.find_cluster("prod").unwrap().id();
            azure.role_assignments.retain(|it| it.scope != prod);
        },
        |_| {},
    )
    .await;
    let mut spec = world.spec();
    spec["kubeletIdentity"] = json!({"principalId": world.kubelet()});
    world.apply("a", spec).await;
    world.until_ready("a").await;
    assert_eq!(world.pull_assignments()[0].principal_id, world.kubelet());
    assert_eq!(world.calls(Call::GetCluster), 0);
}

#[tokio::test]
async fn an_assignment_that_somebody_deleted_comes_back_with_a_warning() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let first = world.pull_assignments();
    world.azure.update(|azure| azure.role_assignments.retain(|it| it.name != first[0].name));
    world.until("the assignment", || async { world.pull_assignments().first().cloned() }).await;
    world.until_event("a", "Warning", "RoleAssignmentRestored").await;
    world.until_ready("a").await;
    let metrics = world.page("/metrics").await.1;
    assert!(
        metrics.contains(r#"acr_attach_drift_corrections_total{kind="role_assignment"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_strangers_assignment_is_used_and_survives() {
    let world = World::with(
        |azure| {
            let registry = azure.find_registry("contoso").unwrap().id();
            let kubelet = azure.find_cluster("prod").unwrap().kubelet_identity.clone().unwrap();
            azure.assign_id(&kubelet.object_id, ACR_PULL, &registry);
        },
        |_| {},
    )
    .await;
    world.apply("a", world.spec()).await;
    let status = world.until_ready("a").await;
    assert_eq!(status.role_assignments.unwrap()[0].ownership, Ownership::Existing);
    assert_eq!(world.azure_writes(), 0);
    let object = world.attachments().get(&world.name("a")).await.unwrap();
    assert_eq!(object.metadata.finalizers, None);
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(world.pull_assignments().len(), 1);
}

#[tokio::test]
async fn attachments_share_an_assignment_and_the_last_one_deletes_it() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.apply("b", world.spec()).await;
    world.until_ready("a").await;
    world.until_ready("b").await;
    let claims = |n: usize| {
        let all = world.pull_assignments();
        let text = all.first().and_then(|it| it.description.clone()).unwrap_or_default();
        (all.len() == 1 && text.matches(',').count() + 1 == n).then_some(())
    };
    claims(2).unwrap();
    world.delete("a").await;
    world.until_gone("a").await;
    claims(1).unwrap();
    world.delete("b").await;
    world.until_gone("b").await;
    assert_eq!(world.pull_assignments().len(), 0);
}

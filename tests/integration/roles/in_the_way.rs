//! Assignments that somebody makes in the same moment, names that Azure cannot take, limits and
//! locks.

use acr_attach_core::api::Ownership;
use acr_attach_core::roles::role::{Role, alternative_name, assignment_name};
use azure_sim::model::{
    ACR_PULL, AgentPool, ExistsMessage, LockLevel, READER, REPOSITORY_READER, RepeatedPut,
    RoleAssignmentMode,
};
use azure_sim::{Call, Effect, Fault, Model};
use jiff::SignedDuration;
use serde_json::json;
use uuid::Uuid;

use crate::support::{World, find, message};

/// The name that the first assignment on `contoso` gets.
fn first_name(world: &World) -> Uuid {
    let registry = world.spec()["registry"]["resourceId"].as_str().unwrap().parse().unwrap();
    assignment_name(&registry, world.kubelet().parse().unwrap(), Role::AcrPull)
}

/// Changes Azure between a list of role assignments and the PUT that follows it.
async fn meanwhile(world: &World, change: impl FnOnce(&mut Model)) {
    let delay = Effect::Delay { milliseconds: 1_500 };
    world.azure.fault(Fault::new(Call::PutRoleAssignment, delay).once());
    world.apply("a", world.spec()).await;
    world
        .until("the request to make it", || async {
            let journal = world.azure.journal();
            journal.iter().any(|it| it.call == Some(Call::PutRoleAssignment)).then_some(())
        })
        .await;
    world.azure.update(change);
}

/// Somebody assigns the role to the kubelet identity under another name.
fn assign(azure: &mut Model, role: &str, condition: Option<&str>) {
    let registry = azure.find_registry("contoso").unwrap().id();
    let kubelet = azure.find_cluster("prod").unwrap().kubelet_identity.clone().unwrap();
    let name = azure.assign_id(&kubelet.object_id, role, &registry);
    let made = azure.assignment_mut(&name).unwrap();
    made.condition = condition.map(str::to_owned);
    made.condition_version = condition.map(|_| "2.0".to_owned());
}

#[rstest::rstest]
#[case(ExistsMessage::Plain)]
#[case(ExistsMessage::WithId)]
#[tokio::test]
async fn a_role_that_somebody_assigns_in_the_same_moment_is_used(#[case] wording: ExistsMessage) {
    let world = World::with(
        |azure| azure.settings.exists_message = wording,
        // The conflict is told for longer than a resync of 2 s would let it.
        |settings| settings.intervals.resync = SignedDuration::from_secs(30),
    )
    .await;
    meanwhile(&world, |azure| assign(azure, ACR_PULL, None)).await;
    let status = world.until_reason("a", "Reconciling", "Propagating").await;
    assert!(message(&status).contains("409 RoleAssignmentExists"), "{}", message(&status));
    let status = world.until_ready("a").await;
    assert_eq!(status.role_assignments.unwrap()[0].ownership, Ownership::Existing);
    let made = world.pull_assignments();
    assert!(made.len() == 1 && made[0].description.is_none(), "{made:?}");
}

#[tokio::test]
async fn a_narrower_role_that_somebody_assigns_in_the_same_moment_is_named() {
    const NARROW: &str = "(@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringEqualsIgnoreCase 'x')";
    let abac = |azure: &mut Model| {
        azure.registry_mut("contoso").unwrap().role_assignment_mode =
            RoleAssignmentMode::AbacRepositoryPermissions;
    };
    let world = World::with(abac, |_| {}).await;
    meanwhile(&world, |azure| assign(azure, REPOSITORY_READER, Some(NARROW))).await;
    world.until_reason("a", "Stalled", "NotOurs").await;
    let puts = world.calls(Call::PutRoleAssignment);
    world.until_calls(Call::ListRoleAssignments, 2).await;
    assert_eq!(world.calls(Call::PutRoleAssignment), puts, "tried again and again");
}

/// Whatever Azure answers to a PUT on what is there.
#[rstest::rstest]
#[case(RepeatedPut::Ok)]
#[case(RepeatedPut::Created)]
#[tokio::test]
async fn an_assignment_that_another_cluster_makes_in_the_same_moment_is_shared(
    #[case] answer: RepeatedPut,
) {
    let resync = SignedDuration::from_mins(30);
    let world = World::with(
        |azure| azure.settings.repeated_put = answer,
        |settings| settings.intervals.resync = resync,
    )
    .await;
    let (name, kubelet) = (first_name(&world).to_string(), world.kubelet());
    meanwhile(&world, |azure| {
        let registry = azure.find_registry("contoso").unwrap().id();
        let random = azure.assign_id(&kubelet, ACR_PULL, &registry);
        let made = azure.assignment_mut(&random).unwrap();
        made.name = name;
        made.description = Some("acr-attach claims: 0123456789ab".into());
    })
    .await;
    world.until_ready("a").await;
    // The other cluster's next look puts its claim back.
    world.until_event("a", "Normal", "RoleAssignmentShared").await;
    assert_eq!(world.pull_assignments().len(), 1);
}

#[tokio::test]
async fn our_own_assignment_that_azure_refuses_to_make_twice_is_held() {
    let mut world = World::with(
        |azure| azure.settings.repeated_put = RepeatedPut::Conflict,
        |settings| settings.intervals.resync = SignedDuration::from_mins(30),
    )
    .await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.stop().await;
    // Somebody took the finalizer, and the list has not shown the assignment yet when the operator
    // starts again: to it the object is a new one.
    world.patch("a", json!({"metadata": {"finalizers": null}})).await;
    world.azure.update(|azure| azure.settings.list_lag_ms = 600_000);
    world.azure.clear_journal();
    world.start().await;
    world.until_calls(Call::GetRoleAssignment, 1).await;
    world.until_ready("a").await;
    let journal = world.azure.journal();
    let puts: Vec<_> = journal
        .iter()
        .filter(|it| it.call == Some(Call::PutRoleAssignment))
        .map(|it| it.status)
        .collect();
    assert_eq!(puts, [Some(409)]);
    assert_eq!(world.pull_assignments().len(), 1);
}

#[tokio::test]
async fn a_name_that_azure_cannot_take_once_is_tried_once_more() {
    let world = World::new().await;
    let code = "HashConflictOnDifferentRoleAssignmentIds";
    let text = "A hash conflict was encountered for the role Assignment ID. Please use a new Guid.";
    world.azure.fault(Fault::error(Call::PutRoleAssignment, 400, code, text).once());
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    assert_eq!(world.pull_assignments()[0].name, first_name(&world).to_string());
    assert_eq!(world.calls(Call::PutRoleAssignment), 2);
}

#[tokio::test]
async fn a_name_that_azure_never_takes_is_replaced_in_the_same_pass() {
    let world = World::with(|azure| azure.settings.new_hash_conflicts = 2, |_| {}).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let made = world.pull_assignments();
    assert_eq!(made[0].name, alternative_name(first_name(&world), 2).to_string());
    assert_eq!(world.calls(Call::PutRoleAssignment), 5);
    assert_eq!(world.calls(Call::GetRegistry), 1, "it took another pass");

    world.until_calls(Call::ListRoleAssignments, 2).await;
    assert_eq!(world.calls(Call::PutRoleAssignment), 5);
    world.delete("a").await;
    world.until_gone("a").await;
    assert!(world.pull_assignments().is_empty());
}

#[tokio::test]
async fn a_name_that_somebody_uses_for_another_identity_is_named_and_left_alone() {
    let world = World::new().await;
    let name = first_name(&world).to_string();
    let other = "44444444-4444-4444-8444-444444444444";
    world.azure.update(|azure| {
        let registry = azure.find_registry("contoso").unwrap().id();
        let random = azure.assign_id(other, ACR_PULL, &registry);
        azure.assignment_mut(&random).unwrap().name.clone_from(&name);
    });
    world.apply("a", world.spec()).await;
    let status = world.until_reason("a", "Stalled", "NotOurs").await;
    let text = message(&status);
    assert!(text.contains("400 RoleAssignmentUpdateNotPermitted"), "{text}");
    assert!(text.contains(&format!("[?name=='{name}']")), "{text}");
    assert!(text.contains("az role assignment delete --ids"), "{text}");
    assert!(text.contains("kubectl annotate --overwrite registryattachment"), "{text}");
    let [theirs] = &world.pull_assignments()[..] else { panic!("{:?}", world.pull_assignments()) };
    assert_eq!(theirs.principal_id, other);
    world.azure.update(|azure| azure.role_assignments.retain(|it| it.principal_id != other));
    world.until_ready("a").await;
}

#[tokio::test]
async fn a_full_subscription_says_what_to_do_and_is_used_when_there_is_room() {
    let nobody = "44444444-4444-4444-8444-444444444444";
    let world = World::with(
        |azure| {
            let prod = azure.find_cluster("prod").unwrap().id();
            azure.assign_id(nobody, READER, &prod);
            azure.settings.role_assignment_limit = azure.role_assignments.len();
        },
        |_| {},
    )
    .await;
    world.apply("a", world.spec()).await;
    let status = world.until_reason("a", "Stalled", "QuotaExceeded").await;
    let text = message(&status);
    assert!(text.contains("400 RoleAssignmentLimitExceeded"), "{text}");
    assert!(text.starts_with("remove some role assignments"), "{text}");
    world.until_event("a", "Warning", "QuotaExceeded").await;
    world.azure.update(|azure| azure.role_assignments.retain(|it| it.principal_id != nobody));
    world.until_ready("a").await;
}

#[tokio::test]
async fn a_former_role_that_a_lock_keeps_takes_nothing_from_ready() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let next = "33333333-3333-3333-3333-333333333333";
    world.azure.update(|azure| {
        let registry = azure.find_registry("contoso").unwrap().id();
        azure.lock(&registry, LockLevel::CanNotDelete);
        drop(azure.replace_kubelet_identity("prod", next));
        azure.reimage_agent_pool("prod", &AgentPool::default().name);
    });
    let status = world.until_reason("a", "Obsolete", "Locked").await;
    assert_eq!(find(&status, "Ready").unwrap().0, "True");
    assert_eq!(find(&status, "Stalled"), None);
    let (is, _, text) = find(&status, "Obsolete").unwrap();
    assert!(is == "True" && text.contains("ScopeLocked"), "{text}");
    world.until_event("a", "Warning", "Locked").await;
    let metrics = world.page("/metrics").await.1;
    assert!(metrics.contains(r#"type="Obsolete",status="True"} 1"#), "{metrics}");
    assert_eq!(world.pull_assignments().len(), 2);
    world.azure.update(|azure| azure.locks.clear());
    world
        .until("nothing obsolete", || async {
            find(&world.status("a").await, "Obsolete").is_none().then_some(())
        })
        .await;
    assert_eq!(world.pull_assignments().len(), 1);
    // When the attachment goes, the lock keeps it.
    world.azure.update(|azure| {
        let registry = azure.find_registry("contoso").unwrap().id();
        azure.lock(&registry, LockLevel::CanNotDelete);
    });
    world.delete("a").await;
    world.until_reason("a", "Stalled", "Locked").await;
    world.azure.update(|azure| azure.locks.clear());
    world.until_gone("a").await;
}

#[tokio::test]
async fn a_lock_is_named_and_the_role_assigned_when_it_is_gone() {
    let world = World::with(
        |azure| {
            let registry = azure.find_registry("contoso").unwrap().id();
            azure.lock(&registry, LockLevel::ReadOnly);
        },
        |_| {},
    )
    .await;
    world.apply("a", world.spec()).await;
    let status = world.until_reason("a", "Stalled", "Locked").await;
    let text = message(&status);
    assert!(
        text.starts_with("remove the lock from the registry") && text.contains("409 ScopeLocked"),
        "{text}"
    );
    world.until_event("a", "Warning", "Locked").await;
    assert!(world.pull_assignments().is_empty());
    world.azure.update(|azure| azure.locks.clear());
    world.until_ready("a").await;
}

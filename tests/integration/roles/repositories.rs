//! Single repositories of a registry with repository permissions.

use acr_attach_core::api::Ownership;
use acr_attach_core::spec::repositories::Repositories;
use azure_sim::model::{DEFAULT_SUBSCRIPTION, REPOSITORY_READER};
use azure_sim::{Call, Model};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::{World, message};

fn abac(azure: &mut Model) {
    azure.registry_mut("contoso").unwrap().role_assignment_mode =
        azure_sim::model::RoleAssignmentMode::AbacRepositoryPermissions;
}

fn only(world: &World, repositories: &[&str]) -> Value {
    let mut spec = world.spec();
    spec["repositories"] = json!(repositories);
    spec
}

/// The condition of the one assignment that lets pull.
fn condition(world: &World) -> Option<String> {
    let [made] = &world.pull_assignments()[..] else { panic!("{:?}", world.pull_assignments()) };
    assert_eq!(made.role, REPOSITORY_READER);
    made.condition.clone()
}

#[tokio::test]
async fn repositories_are_a_condition_that_is_changed_in_place() {
    let world = World::with(abac, |_| {}).await;
    world.apply("a", only(&world, &["team-a/*", "team-b/app"])).await;
    world.until_ready("a").await;
    let first = condition(&world).unwrap();
    assert!(first.contains("StringStartsWithIgnoreCase 'team-a/'"), "{first}");
    assert!(first.contains("StringEqualsIgnoreCase 'team-b/app'"), "{first}");
    let name = world.pull_assignments()[0].name.clone();

    world.apply("a", only(&world, &["team-c/*"])).await;
    world.until_ready("a").await;
    let second = condition(&world).unwrap();
    assert!(second.contains("'team-c/'") && !second.contains("team-a"), "{second}");
    assert_eq!(world.pull_assignments()[0].name, name, "changed in place");

    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    assert_eq!(condition(&world), None);
    let events = world.events("a").await;
    assert!(
        events.iter().all(|(kind, _)| kind == "Normal"),
        "what was asked for is no drift: {events:?}"
    );
    assert!(events.iter().any(|(_, reason)| reason == "RoleAssignmentUpdated"), "{events:?}");
}

#[tokio::test]
async fn a_condition_that_somebody_takes_away_comes_back_with_a_warning() {
    let world = World::with(abac, |_| {}).await;
    world.apply("a", only(&world, &["team-a/*"])).await;
    world.until_ready("a").await;
    let before = condition(&world);
    let name = world.pull_assignments()[0].name.clone();
    world.azure.update(|azure| {
        let it = azure.role_assignments.iter_mut().find(|it| it.name == name).unwrap();
        (it.condition, it.condition_version) = (None, None);
    });
    world.until("the condition", || async { (condition(&world) == before).then_some(()) }).await;
    world.until_event("a", "Warning", "RoleAssignmentRestored").await;
}

#[tokio::test]
async fn two_attachments_that_disagree_are_told_and_the_first_keeps_its_condition() {
    let world = World::with(abac, |_| {}).await;
    world.apply("a", only(&world, &["team-a/*"])).await;
    world.until_ready("a").await;
    let before = condition(&world);
    world.apply("b", only(&world, &["team-b/*"])).await;
    let status = world.until_reason("b", "Stalled", "NotOurs").await;
    assert!(message(&status).contains("the same repositories"), "{}", message(&status));
    assert_eq!(condition(&world), before);
    // They agree.
    world.apply("b", only(&world, &["team-a/*"])).await;
    world.until_ready("b").await;
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(condition(&world), before);
}

#[rstest::rstest]
#[tokio::test]
async fn what_another_attachment_lets_go_is_taken_at_once(
    #[values("deleted", "agreed")] way: &str,
    #[values(false, true)] lists_lag: bool,
) {
    // Nothing but the other attachment brings this one back in time.
    let world = World::with(abac, |settings| {
        settings.intervals.resync = SignedDuration::from_mins(30);
        settings.intervals.conflict_retry = SignedDuration::from_mins(30);
    })
    .await;
    world.apply("a", only(&world, &["team-a/*"])).await;
    world.until_ready("a").await;
    world.apply("b", only(&world, &["team-b/*"])).await;
    world.until_reason("b", "Stalled", "NotOurs").await;
    if lists_lag {
        let lag = SignedDuration::from_secs(5);
        let made = world.pull_assignments()[0].created_on;
        let shown = async || (Timestamp::now() >= made + lag).then_some(());
        world.until("lists that lag behind to show it", shown).await;
        world.azure.update(|azure| azure.settings.list_lag_ms = 5_000);
    }
    if way == "agreed" {
        world.apply("a", only(&world, &["team-b/*"])).await;
    } else {
        world.delete("a").await;
        world.until_gone("a").await;
    }
    world.until_ready("b").await;
    let made = condition(&world).unwrap();
    assert!(made.contains("'team-b/'") && !made.contains("team-a"), "{made}");
}

#[tokio::test]
async fn a_strangers_role_in_the_way_is_told_with_all_that_is_to_be_done() {
    let world = World::with(abac, |settings| {
        settings.intervals.resync = SignedDuration::from_mins(30);
        settings.intervals.conflict_retry = SignedDuration::from_mins(30);
    })
    .await;
    let kubelet = world.kubelet();
    world.azure.update(|azure| {
        let registry = azure.find_registry("contoso").unwrap().id();
        let name = azure.assign_id(&kubelet, REPOSITORY_READER, &registry);
        let made = azure.assignment_mut(&name).unwrap();
        made.condition = Some("(@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringEqualsIgnoreCase 'x')".into());
        made.condition_version = Some("2.0".into());
    });
    let theirs = world.pull_assignments()[0].name.clone();
    world.apply("a", world.spec()).await;
    let status = world.until_reason("a", "Stalled", "NotOurs").await;
    let (text, name) = (message(&status), world.name("a"));
    let delete = text.find("az role assignment delete --ids ").unwrap();
    let annotate = format!(
        "(kubectl annotate --overwrite registryattachment {name} reconcile.fluxcd.io/requestedAt=\"$(date)\"); assigning"
    );
    assert!(text.contains(&theirs), "{text}");
    assert!(text.find(&annotate).is_some_and(|it| it > delete), "{text}");
    assert!(text.chars().count() <= 600, "{text}");
    let ask = async |when: &str| {
        let request = json!({"reconcile.fluxcd.io/requestedAt": when});
        world.patch("a", json!({"metadata": {"annotations": request}})).await;
        world
            .until("the look", || async {
                let status = world.status("a").await;
                (status.last_handled_reconcile_at.as_deref() == Some(when)).then_some(())
            })
            .await;
    };
    // What is still in the way costs four reads.
    world.azure.clear_journal();
    ask("early").await;
    let journal = world.azure.journal();
    let calls: Vec<_> = journal.iter().filter_map(|it| it.call).collect();
    let reads =
        [Call::GetRegistry, Call::GetCluster, Call::ListRoleAssignments, Call::GetRoleAssignment];
    assert_eq!(calls, reads);
    assert_eq!(message(&world.status("a").await), text);
    world.azure.update(|azure| azure.role_assignments.retain(|it| it.name != theirs));
    ask("in time").await;
    world.until_ready("a").await;
}

#[tokio::test]
async fn a_strangers_role_that_goes_is_noticed_without_a_request() {
    let world = World::with(abac, |settings| {
        settings.intervals.resync = SignedDuration::from_mins(30);
        settings.intervals.conflict_retry = SignedDuration::from_secs(1);
    })
    .await;
    let kubelet = world.kubelet();
    world.azure.update(|azure| {
        let registry = azure.find_registry("contoso").unwrap().id();
        let name = azure.assign_id(&kubelet, REPOSITORY_READER, &registry);
        let made = azure.assignment_mut(&name).unwrap();
        made.condition = Some("(@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringEqualsIgnoreCase 'x')".into());
        made.condition_version = Some("2.0".into());
    });
    world.apply("a", world.spec()).await;
    world.until_reason("a", "Stalled", "NotOurs").await;
    // What is in the way is read by its id at each try.
    world.until_calls(Call::GetRoleAssignment, 2).await;
    world.azure.update(|azure| azure.role_assignments.retain(|it| it.role != REPOSITORY_READER));
    world.until_ready("a").await;
}

#[tokio::test]
async fn a_registry_in_legacy_mode_knows_no_repositories() {
    let world = World::new().await;
    world.apply("a", only(&world, &["team-a/*"])).await;
    let status = world.until_reason("a", "Stalled", "InvalidSpec").await;
    let text = message(&status);
    // Whoever pulls and pushes by AcrPull and AcrPush comes before the switch.
    let order = ["remove spec.repositories", "Writer", "az role assignment list", "az acr update"];
    let places: Vec<_> = order.map(|it| text.find(it)).into();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{text}");
    assert_eq!(world.azure_writes(), 0);
    world.azure.update(abac);
    world.until_ready("a").await;
}

/// As many as the schema takes, all of that length.
fn many(length: usize) -> Vec<String> {
    (0..32).map(|n| format!("{n:02}{}", "a".repeat(length - 2))).collect()
}

#[tokio::test]
async fn what_azure_would_refuse_for_its_length_is_never_sent_and_the_longest_is_taken() {
    let world = World::with(abac, |_| {}).await;
    let fits =
        |length: &usize| Repositories::new(many(*length)).unwrap().check_condition_length().is_ok();
    let longest = (3..=256).rev().find(fits).unwrap();
    let only = |length: usize| {
        let mut spec = world.spec();
        spec["repositories"] = json!(many(length));
        spec
    };
    world.apply("a", only(longest + 1)).await;
    let status = world.until_reason("a", "Stalled", "InvalidSpec").await;
    let text = message(&status);
    assert!(text.contains("shorten the list") && text.contains("at most 8192"), "{text}");
    assert_eq!(world.azure.journal().len(), 0);
    world.apply("a", only(longest)).await;
    world.until_ready("a").await;
    assert!(condition(&world).unwrap().len() > 8192 - 32);
}

#[tokio::test]
async fn a_narrower_role_of_a_stranger_is_no_obstacle_where_one_from_above_suffices() {
    let world = World::with(
        |azure| {
            abac(azure);
            let registry = azure.find_registry("contoso").unwrap().id();
            let kubelet = azure.find_cluster("prod").unwrap().kubelet_identity.clone().unwrap();
            let narrow = azure.assign_id(&kubelet.object_id, REPOSITORY_READER, &registry);
            let narrow = azure.assignment_mut(&narrow).unwrap();
            narrow.condition = Repositories::new(["team-x/app".to_owned()]).unwrap().condition();
            narrow.condition_version = Some("2.0".into());
            let above = format!("/subscriptions/{DEFAULT_SUBSCRIPTION}");
            azure.assign_id(&kubelet.object_id, REPOSITORY_READER, &above);
        },
        |_| {},
    )
    .await;
    world.apply("a", world.spec()).await;
    let status = world.until_ready("a").await;
    let [used] = &status.role_assignments.unwrap()[..] else { panic!("not one") };
    assert_eq!(used.ownership, Ownership::Existing);
    assert!(!used.id.contains("/registries/"), "{}", used.id);
    assert_eq!(world.azure_writes(), 0);
    // Without it, the stranger's is in the way.
    world.azure.update(|azure| {
        azure
            .role_assignments
            .retain(|it| it.role != REPOSITORY_READER || it.scope.contains("/registries/"));
    });
    world.until_reason("a", "Stalled", "NotOurs").await;
    assert_eq!(world.azure_writes(), 0);
}

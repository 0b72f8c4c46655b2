//! Azure refuses for lack of a right, and the message holds the one command that gives it, or the
//! section of the page that has the command and the ids to set first.

use std::process::Command;

use acr_attach_core::api::RegistryAttachmentStatus;
use azure_sim::Call;
use azure_sim::model::{DEFAULT_SUBSCRIPTION, READER, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR};
use jiff::SignedDuration;
use serde_json::json;

use crate::support::{World, find, message, operator};

/// A role assignment, as the command in a message makes it.
#[derive(Debug, PartialEq)]
struct Granted {
    object_id: String,
    role: &'static str,
    scope: String,
    condition: Option<String>,
}

impl Granted {
    /// What a message gives to a shell.
    fn by(text: &str) -> Self {
        let words = words(&by_page(text).unwrap_or_else(|| by_command(text)));
        let option = |name: &str| {
            let at = words.iter().position(|it| it == name)?;
            Some(words[at + 1].clone())
        };
        assert_eq!(words[..3], ["role", "assignment", "create"]);
        assert_eq!(option("--assignee-principal-type").as_deref(), Some("ServicePrincipal"));
        let condition = option("--condition");
        assert_eq!(option("--condition-version"), condition.as_ref().map(|_| "2.0".to_owned()));
        Self {
            object_id: option("--assignee-object-id").unwrap(),
            role: match option("--role").as_deref() {
                Some("Reader") => READER,
                Some("Role Based Access Control Administrator") => {
                    ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR
                }
                role => panic!("another role: {role:?}"),
            },
            scope: option("--scope").unwrap(),
            condition,
        }
    }

    /// Makes that assignment, in place of one of the same role there: Azure keeps one.
    fn make(&self, world: &World) {
        let Self { object_id, role, scope, condition } = self;
        world.azure.update(|azure| {
            azure.role_assignments.retain(|it| {
                (&*it.principal_id, &*it.role, &it.scope) != (&**object_id, *role, scope)
            });
            let name = azure.assign_id(object_id, role, scope);
            let made = azure.assignment_mut(&name).unwrap();
            made.condition.clone_from(condition);
            made.condition_version = condition.as_ref().map(|_| "2.0".to_owned());
        });
    }
}

/// The command in a message.
fn by_command(text: &str) -> String {
    let start = text.find("az role assignment create").unwrap_or_else(|| panic!("{text}"));
    let command = text[start..].split("; ").next().unwrap();
    assert!(!command.contains(['!', '$', '`', '<', '>', '\\']), "{command}");
    command.to_owned()
}

/// The command in the section of the page that a message names, after the ids that it sets.
fn by_page(text: &str) -> Option<String> {
    let (_, named) = text.split_once("docs/azure-permissions.md#")?;
    let (anchor, rest) = named.split_once(" has the command; ")?;
    let (ids, _) = rest.split_once("; ")?;
    let page = crate::repository::documents::read("docs/azure-permissions.md");
    let is_section = |it: &&str| it.to_lowercase().replace(' ', "-") == anchor;
    let mut sections = page.split("\n### ").map(|it| it.split_once('\n').unwrap_or((it, "")));
    let (_, section) = sections.find(|(heading, _)| is_section(heading)).unwrap();
    let command = section.lines().find(|it| it.starts_with("az role assignment create")).unwrap();
    Some(format!("{ids}; {command}"))
}

/// What a shell hands to `az`.
fn words(command: &str) -> Vec<String> {
    let script = format!("az() {{ printf '%s\\n' \"$@\"; }}; {command}");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Waits for a refusal that the last grant does not cure.
async fn until_refused(world: &World, last: Option<&Granted>) -> Granted {
    until_refused_in(world, "Ready", last).await
}

/// The same, told in that condition.
async fn until_refused_in(world: &World, condition: &str, last: Option<&Granted>) -> Granted {
    world
        .until("another refusal", || async {
            let status = world.status("a").await;
            let (_, reason, text) = find(&status, condition)?;
            let granted = (reason == "AccessDenied").then(|| Granted::by(text))?;
            (last != Some(&granted)).then_some(granted)
        })
        .await
}

fn ids(world: &World) -> (String, String, String) {
    world.azure.read(|azure| {
        let registry = azure.find_registry("contoso").unwrap().id();
        let cluster = azure.find_cluster("prod").unwrap().id();
        (operator(azure).object_id, registry, cluster)
    })
}

#[tokio::test]
async fn an_operator_without_any_right_is_led_to_ready_by_the_messages_alone() {
    let world = World::with(|azure| azure.role_assignments.clear(), |_| {}).await;
    world.apply("a", world.spec()).await;
    let mut given = Vec::new();
    for _ in 0..3 {
        let granted = until_refused(&world, given.last()).await;
        granted.make(&world);
        given.push(granted);
    }
    world.until_ready("a").await;
    let (object_id, registry, cluster) = ids(&world);
    let roles: Vec<_> = given.iter().map(|it| (it.role, it.scope.as_str())).collect();
    assert_eq!(
        roles,
        [
            (READER, registry.as_str()),
            (READER, cluster.as_str()),
            (ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, registry.as_str()),
        ]
    );
    assert!(given.iter().all(|it| it.object_id == object_id), "{given:?}");
    assert!(given[2].condition.as_ref().unwrap().contains(&world.kubelet()), "{given:?}");
}

#[tokio::test]
async fn looking_for_a_registry_by_its_name_needs_a_right_on_the_subscription() {
    let world = World::with(|azure| azure.role_assignments.clear(), |_| {}).await;
    let mut spec = world.spec();
    spec["registry"] = json!({"name": "contoso", "subscriptionId": DEFAULT_SUBSCRIPTION});
    world.apply("a", spec).await;
    let first = until_refused(&world, None).await;
    let subscription = format!("/subscriptions/{DEFAULT_SUBSCRIPTION}");
    assert_eq!((first.role, &first.scope), (READER, &subscription));
    first.make(&world);
    let second = until_refused(&world, Some(&first)).await;
    assert_eq!(second.role, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR);
    second.make(&world);
    world.until_ready("a").await;
}

#[tokio::test]
async fn a_right_for_one_identity_is_widened_as_the_message_says_when_that_is_replaced() {
    let world = World::new().await;
    take_administration(&world);
    world.apply("a", world.spec()).await;
    let first = until_refused(&world, None).await;
    first.make(&world);
    world.until_ready("a").await;
    let next = "33333333-3333-3333-3333-333333333333";
    world.azure.update(|azure| {
        let prod = azure.cluster_mut("prod").unwrap();
        prod.kubelet_identity.as_mut().unwrap().object_id = next.into();
    });
    let second = until_refused(&world, Some(&first)).await;
    assert!(second.condition.as_ref().unwrap().contains(next), "{second:?}");
    second.make(&world);
    // The former identity's role is not covered any more, and is to go. That takes nothing from Ready.
    let third = until_refused_in(&world, "Obsolete", Some(&second)).await;
    world.until_ready("a").await;
    third.make(&world);
    world
        .until("the new one alone", || async {
            let all = world.pull_assignments();
            (all.len() == 1 && all[0].principal_id == next).then_some(())
        })
        .await;
    world.until_ready("a").await;
}

/// Takes from the operator the right to assign roles, and keeps the right to read.
fn take_administration(world: &World) {
    let (object_id, registry, _) = ids(world);
    world.azure.update(|azure| {
        azure.role_assignments.retain(|it| it.role != ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR);
        azure.assign_id(&object_id, READER, &registry);
    });
}

#[tokio::test]
async fn a_refused_deletion_names_the_command_too() {
    let world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    take_administration(&world);
    world.delete("a").await;
    let granted = until_refused(&world, None).await;
    let status = world.status("a").await;
    let text = message(&status);
    assert!(text.contains("deleting role assignment"), "{text}");
    assert!(text.contains("deletionPolicy to Orphan"), "{text}");
    // No more than that deletion needs: whose role it is is known.
    let condition = granted.condition.as_ref().unwrap();
    let only = format!("PrincipalId] ForAnyOfAnyValues:GuidEquals {{{}}}", world.kubelet());
    assert_eq!(condition.matches(&only).count(), 2, "{condition}");
    assert!(!condition.contains("PrincipalType"), "{condition}");
    granted.make(&world);
    world.until_gone("a").await;
    assert_eq!(world.pull_assignments().len(), 0);
}

#[tokio::test]
async fn what_the_message_gives_is_not_enough_for_other_roles() {
    let world = World::new().await;
    let (object_id, registry, _) = ids(&world);
    world.azure.update(|azure| {
        azure.role_assignments.retain(|it| it.scope != registry);
    });
    let status = lists_refused(&world).await;
    let granted = Granted::by(message(&status));
    assert_eq!((&granted.object_id, &granted.scope), (&object_id, &registry));
    let condition = granted.condition.clone().unwrap();
    assert!(condition.contains("{'ServicePrincipal'}"), "{condition}");
    // Somebody has narrowed it to AcrPull. The registry asks for the other role.
    let narrowed = condition.replace(", b93aa761-3e63-49ed-ac28-beffa264f7ac", "");
    Granted { condition: Some(narrowed), ..granted }.make(&world);
    world.azure.update(|azure| {
        azure.registry_mut("contoso").unwrap().role_assignment_mode =
            azure_sim::model::RoleAssignmentMode::AbacRepositoryPermissions;
    });
    world
        .until("the other role to be refused", || async {
            let status = world.status("a").await;
            message(&status).contains("making role assignment").then_some(())
        })
        .await;
    Granted::by(message(&world.status("a").await)).make(&world);
    world.until_ready("a").await;
}

/// An attachment whose operator may read the registry, and not what is assigned on it.
async fn lists_refused(world: &World) -> RegistryAttachmentStatus {
    let (object_id, registry, _) = ids(world);
    world.azure.fault(azure_sim::Fault::error(
        Call::ListRoleAssignments,
        403,
        "AuthorizationFailed",
        &format!("The client 'x' with object id '{object_id}' does not have authorization."),
    ));
    world.azure.update(|azure| drop(azure.assign_id(&object_id, READER, &registry)));
    world.apply("a", world.spec()).await;
    let status = world.until_reason("a", "Ready", "AccessDenied").await;
    world.azure.clear_faults();
    status
}

#[tokio::test]
async fn an_event_is_whole_and_what_to_do_comes_first() {
    let world = World::with(
        |_| {},
        |settings| {
            settings.intervals.resync = SignedDuration::from_mins(30);
        },
    )
    .await;
    take_administration(&world);
    world.apply("a", world.spec()).await;
    world.until_event("a", "Warning", "AccessDenied").await;
    let (object_id, registry, _) = ids(&world);
    let notes = world.notes("a", "AccessDenied").await;
    let [note] = &notes[..] else { panic!("{notes:?}") };
    for part in [&*registry, &object_id, "403 AuthorizationFailed"] {
        assert!(note.contains(part), "{part} is not in {note}");
    }
    assert!(note.starts_with("let the operator's identity assign pull roles: docs/"), "{note}");
    let status = world.status("a").await;
    let whole = find(&status, "Ready").unwrap().2;
    assert!(whole.starts_with(note.split(" (correlation id").next().unwrap()), "{note}");
    for (_, _, text) in ["Ready", "AccessGranted"].iter().filter_map(|it| find(&status, it)) {
        assert!(text.chars().count() <= 600, "{text}");
    }
}

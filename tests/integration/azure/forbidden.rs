//! Refusals of Azure that last until somebody acts, and that no role helps against.

use acr_attach_core::api::RegistryAttachmentStatus;
use azure_sim::model::{DEFAULT_SUBSCRIPTION, DenyAssignment, READER};
use azure_sim::{Call, Fault, Model};
use serde_json::json;

use crate::support::{World, find, message, operator};

fn set_disabled(world: &World, disabled: bool) {
    world.azure.update(|azure| {
        azure.subscription_mut(DEFAULT_SUBSCRIPTION).unwrap().disabled = disabled;
    });
}

/// Waits until Ready and Stalled say that.
async fn until_stalled(world: &World, reason: &str) -> RegistryAttachmentStatus {
    let status = world.until_reason("a", "Stalled", reason).await;
    assert_eq!(find(&status, "Ready").unwrap().1, reason);
    status
}

#[tokio::test]
async fn a_disabled_subscription_is_named_and_used_when_it_is_enabled() {
    let world = World::new().await;
    set_disabled(&world, true);
    world.apply("a", world.spec()).await;
    let status = until_stalled(&world, "Locked").await;
    let text = message(&status);
    assert!(text.contains("409 ReadOnlyDisabledSubscription"), "{text}");
    assert!(text.contains(&format!("enable subscription {DEFAULT_SUBSCRIPTION} again")), "{text}");
    set_disabled(&world, false);
    world.until_ready("a").await;
}

#[tokio::test]
async fn an_unregistered_subscription_names_the_command() {
    const OTHER: &str = "50000000-0000-4000-8000-0000000000ff";
    let world = World::with(
        |azure| {
            let tenant = azure.tenants[0].tenant_id.clone();
            azure.add_subscription(OTHER, &tenant);
            let operator = operator(azure);
            azure.assign(&operator, READER, &format!("/subscriptions/{OTHER}"));
            let known = azure.subscription_mut(OTHER).unwrap();
            known.unregistered.push("Microsoft.ContainerRegistry".into());
        },
        |_| {},
    )
    .await;
    let mut spec = world.spec();
    spec["registry"] = json!({"name": "fabrikam", "subscriptionId": OTHER});
    world.apply("a", spec).await;
    let status = until_stalled(&world, "Unsupported").await;
    let text = message(&status);
    let command = format!(
        "az provider register --namespace Microsoft.ContainerRegistry --subscription {OTHER}"
    );
    assert!(text.contains("409 MissingSubscriptionRegistration"), "{text}");
    assert!(text.contains(&command) && text.contains("correct the subscription"), "{text}");
    world.azure.update(|azure| azure.subscription_mut(OTHER).unwrap().unregistered.clear());
    world.until_reason("a", "Ready", "NotFound").await;
}

/// A conflict may pass, and it may not: then somebody has to look at it.
#[tokio::test]
async fn a_conflict_that_is_not_known_is_quoted_and_stalls() {
    let world = World::new().await;
    let conflict = Fault::error(Call::PutRoleAssignment, 409, "SomethingNew", "It is so.");
    world.azure.fault(conflict);
    world.apply("a", world.spec()).await;
    let status = world.until_reason("a", "Reconciling", "Undetermined").await;
    assert!(message(&status).contains("409 SomethingNew; Azure says: It is so"), "{status:?}");
    until_stalled(&world, "Undetermined").await;
    world.azure.clear_faults();
    world.until_ready("a").await;
}

#[tokio::test]
async fn a_role_that_exists_and_is_never_listed_stalls_with_the_way_to_find_it() {
    let world = World::new().await;
    let text = "The role assignment already exists.";
    let exists = Fault::error(Call::PutRoleAssignment, 409, "RoleAssignmentExists", text);
    world.azure.fault(exists);
    world.apply("a", world.spec()).await;
    let status = until_stalled(&world, "Propagating").await;
    assert!(message(&status).contains("az role assignment list --scope"), "{}", message(&status));
    world.azure.clear_faults();
    world.until_ready("a").await;
}

/// As a deployment stack makes one.
fn deny(azure: &mut Model) {
    azure.deny_assignments.push(DenyAssignment {
        id: "6e1f0ce95642acaf15775e7f2b8011aa".into(),
        name: format!(
            "Deny assignment '6e1f0ce9-5642-acaf-1577-5e7f2b8011aa' created by Deployment Stack '/subscriptions/{DEFAULT_SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Resources/deploymentStacks/registries'"
        ),
        scope: azure.find_registry("contoso").unwrap().id(),
        actions: vec!["*/write".into(), "*/delete".into()],
        excluded_principals: Vec::new(),
    });
}

#[tokio::test]
async fn a_deny_assignment_is_named_to_its_end_and_no_role_is_given_as_the_cure() {
    let world = World::with(deny, |_| {}).await;
    world.apply("a", world.spec()).await;
    let status = until_stalled(&world, "AccessDenied").await;
    let text = message(&status);
    let object_id = world.azure.read(|azure| operator(azure).object_id);
    for part in [
        "403 DenyAssignmentAuthorizationFailed",
        "deploymentStacks/registries'",
        "(id 6e1f0ce95642acaf15775e7f2b8011aa)",
        &format!("exclude object id {object_id}"),
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    for part in ["has permission", "proxy", "az role assignment create"] {
        assert!(!text.contains(part), "{part} is in {text}");
    }
    world.azure.update(|azure| {
        azure.deny_assignments[0].excluded_principals.push(object_id.to_uppercase());
    });
    world.until_ready("a").await;
}

/// Azure tells what does not exist only to those with rights around it.
#[tokio::test]
async fn a_refusal_says_that_the_id_may_be_wrong_before_it_gives_a_role_there() {
    let world = World::new().await;
    let mut spec = world.spec();
    let contoso = spec["registry"]["resourceId"].as_str().unwrap().to_owned();
    let missing = contoso.replace("contoso", "fabrikam");
    spec["registry"]["resourceId"] = missing.clone().into();
    world.apply("a", spec).await;
    let status = until_stalled(&world, "AccessDenied").await;
    let text = message(&status);
    let (exists, role) = (text.find("az resource show"), text.find("az role assignment create"));
    assert!(text.starts_with("check that the id exists"), "{text}");
    assert!(exists.is_some() && exists < role && text.contains(&missing), "{text}");
}

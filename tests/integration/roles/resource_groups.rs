//! Resource groups whose names have letters beyond ASCII.

use azure_sim::model::{
    DEFAULT_SUBSCRIPTION, IdCase, READER, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, RoleAssignment,
};
use azure_sim::{Call, Model};
use serde_json::{Value, json};

use crate::support::{World, operator};

const GROUP: &str = "Instruktører_(prøve)";

/// A registry and a cluster in such a group, and the right to read both and to assign roles.
fn beyond_ascii(azure: &mut Model) {
    azure.registry("fabrikam").within(DEFAULT_SUBSCRIPTION, GROUP).add();
    azure.cluster("next").within(DEFAULT_SUBSCRIPTION, GROUP).add();
    for role in [READER, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR] {
        let operator = operator(azure);
        azure.assign(&operator, role, &format!("/subscriptions/{DEFAULT_SUBSCRIPTION}"));
    }
}

fn ids(world: &World) -> (String, String) {
    world.azure.read(|azure| {
        (azure.find_registry("fabrikam").unwrap().id(), azure.find_cluster("next").unwrap().id())
    })
}

/// How many roles there are on it.
fn roles(world: &World, registry: &str) -> usize {
    world.azure.read(|azure| {
        let on_it = |it: &&RoleAssignment| it.scope.to_lowercase() == registry.to_lowercase();
        azure.role_assignments.iter().filter(on_it).count()
    })
}

/// By id and by name, in the case that somebody wrote and in another one that Azure answers with.
#[rstest::rstest]
#[case::by_id(false, IdCase::AsWritten)]
#[case::by_id_in_another_case(false, IdCase::Upper)]
#[case::by_name(true, IdCase::AsWritten)]
#[case::by_name_in_another_case(true, IdCase::Lower)]
#[tokio::test]
async fn it_is_attached_and_detached_like_any_other(#[case] by_name: bool, #[case] case: IdCase) {
    let world = World::with(beyond_ascii, |_| {}).await;
    let (registry, cluster) = ids(&world);
    world.azure.update(|azure| azure.settings.id_case = case);
    let named = if by_name { json!({"name": "fabrikam"}) } else { json!({"resourceId": registry}) };
    let spec = json!({
        "registry": named,
        "method": "KubeletIdentity",
        "kubeletIdentity": {"clusterResourceId": cluster},
    });
    world.apply("a", spec).await;
    let status = world.until_ready("a").await;
    let told = status.registry.unwrap().resource_id.unwrap();
    assert_eq!(told.to_lowercase(), registry.to_lowercase());
    assert_eq!(roles(&world, &registry), 1);
    // Looking again changes nothing.
    let writes = world.azure_writes();
    world.until_calls(Call::ListRoleAssignments, 2).await;
    assert_eq!(world.azure_writes(), writes);
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(roles(&world, &registry), 0);
}

#[tokio::test]
async fn letters_of_other_scripts_are_taken_and_signs_are_not() {
    let world = World::new().await;
    let spec = |group: &str| -> Value {
        let contoso = world.spec()["registry"]["resourceId"].as_str().unwrap().to_owned();
        let id = contoso.replace("/resourceGroups/rg/", &format!("/resourceGroups/{group}/"));
        json!({"registry": {"resourceId": id}, "suspend": true, "method": "KubeletIdentity"})
    };
    for (n, group) in ["資源", "ПРОД", "Πόρος", "rg-٣", &"ø".repeat(90)].into_iter().enumerate()
    {
        world.try_apply(&format!("a{n}"), spec(group)).await.unwrap();
    }
    for group in ["①", "🍦", "a b", "a%20b", &"ø".repeat(91)] {
        let refused = world.try_apply("b", spec(group)).await.unwrap_err().to_string();
        assert!(refused.contains("resourceId has the form"), "{group}: {refused}");
    }
}

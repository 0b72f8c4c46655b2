//! Pull secrets with `assignRole`: the role of the service principal comes, stays and goes with
//! the attachment, by the same claims as that of a kubelet identity.

use acr_attach::settings::Settings;
use azure_sim::model::{
    ACR_PULL, APPLICATION_READ_ALL, REPOSITORY_READER, RoleAssignment, RoleAssignmentMode,
};
use azure_sim::{Call, Model};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::support::secrets::{CLIENT_SECRET, login, puller};
use crate::support::{World, find, message, operator};

/// A service principal that may do nothing yet.
fn with_principal(azure: &mut Model) {
    azure.application("puller").secret(CLIENT_SECRET).add();
}

async fn world(model: impl FnOnce(&mut Model), settings: impl FnOnce(&mut Settings)) -> World {
    let change = |azure: &mut Model| {
        with_principal(azure);
        model(azure);
    };
    let world = World::with(change, settings).await;
    world.put_client_secret(CLIENT_SECRET).await;
    world
}

fn spec(world: &World, namespaces: &Value) -> Value {
    let mut spec = world.pull_spec(namespaces);
    spec["registry"] = world.spec()["registry"].clone();
    spec["pullSecret"]["assignRole"] = true.into();
    spec
}

/// The pull roles that the service principal has.
fn roles(world: &World) -> Vec<RoleAssignment> {
    let principal = world.azure.read(|azure| puller(azure).object_id);
    let mut all = world.pull_assignments();
    all.retain(|it| it.principal_id == principal);
    all
}

async fn until_roles(world: &World, expected: &[&str]) {
    let held = || roles(world).iter().map(|it| it.role.clone()).collect::<Vec<_>>();
    let what = format!("the service principal to have {expected:?}");
    world.until(&what, || async { (held() == expected).then_some(()) }).await;
}

fn flip(world: &World, mode: RoleAssignmentMode) {
    world.azure.update(|azure| {
        let id = azure.find_registry("contoso").unwrap().id();
        azure.registry_mut(&id).unwrap().role_assignment_mode = mode;
    });
}

#[tokio::test]
async fn the_role_comes_before_the_secret_and_goes_with_the_attachment() {
    let mut world = world(|_| {}, |_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", spec(&world, &json!({"names": [one]}))).await;
    let status = world.until_ready("a").await;
    assert_eq!(find(&status, "AccessGranted").unwrap().0, "True");
    assert_eq!(roles(&world).len(), 1);
    assert!(status.role_assignments.unwrap()[0].id.ends_with(&roles(&world)[0].name));
    assert_eq!(status.kubelet_identity, None);
    world.until_pull_secrets_of(&one, "default", &["acr-pull"]).await;
    world.until_ready("a").await;
    // Its own token tells the object id, and the credential was never refused before.
    assert_eq!(world.calls(Call::GetServicePrincipal), 0);
    assert_eq!(world.calls(Call::RegistryExchange), 1);

    // Looking again changes nothing, nor does a restart.
    let (in_azure, in_cluster) = (world.azure_writes(), world.api_writes());
    world.until_calls(Call::ListRoleAssignments, 2).await;
    world.stop().await;
    world.start().await;
    world.until_calls(Call::ListRoleAssignments, 2).await;
    assert_eq!((world.azure_writes(), world.api_writes()), (in_azure, in_cluster));

    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(roles(&world), vec![]);
    world.until_no_secret(&one, "acr-pull").await;
}

#[tokio::test]
async fn a_role_that_azure_does_not_honour_yet_is_waited_for() {
    let slow = |azure: &mut Model| azure.settings.grant_delay_ms = 15_000;
    let world = world(slow, |_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", spec(&world, &json!({"names": [one]}))).await;
    let status = world.until_reason("a", "Reconciling", "Propagating").await;
    assert!(message(&status).contains("takes up to 10 minutes"), "{}", message(&status));
    assert_eq!(find(&status, "AccessGranted").unwrap().0, "True");
    assert!(world.secrets(&one).get_opt("acr-pull").await.unwrap().is_none());
    world.until_ready("a").await;
    world.until_secret(&one, "acr-pull").await;
}

#[tokio::test]
async fn a_role_that_somebody_took_is_restored() {
    let world = world(|_| {}, |_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", spec(&world, &json!({"names": [one]}))).await;
    world.until_ready("a").await;
    let taken = roles(&world).remove(0).name;
    world.azure.update(|azure| azure.role_assignments.retain(|it| it.name != taken));
    until_roles(&world, &[ACR_PULL]).await;
    world.until_event("a", "Warning", "RoleAssignmentRestored").await;
    world.until_ready("a").await;
}

#[tokio::test]
async fn without_its_own_token_the_object_id_is_given_or_asked_of_graph() {
    let world = World::with(with_principal, |_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    let mut spec = spec(&world, &json!({"names": [one]}));
    world.apply("a", spec.clone()).await;
    // There is no client secret yet.
    let status = world.until_reason("a", "Ready", "NotFound").await;
    for word in ["kubectl create secret generic puller", "servicePrincipal.objectId"] {
        assert!(message(&status).contains(word), "{word}: {}", message(&status));
    }
    assert_eq!(roles(&world), vec![]);

    let object = world.azure.read(|azure| puller(azure).object_id);
    spec["pullSecret"]["servicePrincipal"]["objectId"] = object.into();
    world.apply("a", spec).await;
    until_roles(&world, &[ACR_PULL]).await;
    world.put_client_secret(CLIENT_SECRET).await;
    world.until_ready("a").await;
}

#[tokio::test]
async fn graph_tells_the_object_id_where_the_operator_may_ask() {
    let world = World::with(
        |azure| {
            with_principal(azure);
            let client = operator(azure).client_id;
            let it = azure.principals.iter_mut().find(|it| it.client_id == client).unwrap();
            it.app_roles.push(APPLICATION_READ_ALL.to_owned());
        },
        |_| {},
    )
    .await;
    world.put_client_secret("a wrong one").await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", spec(&world, &json!({"names": [one]}))).await;
    until_roles(&world, &[ACR_PULL]).await;
    let status = world.until_reason("a", "Ready", "AuthenticationFailed").await;
    assert!(message(&status).contains("AADSTS7000215"), "{}", message(&status));
    assert_eq!(find(&status, "AccessGranted").unwrap().0, "True");
}

#[tokio::test]
async fn a_mode_that_somebody_switched_brings_the_other_role_and_another_credential() {
    let world = world(|_| {}, |_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    let mut spec = spec(&world, &json!({"names": [one]}));
    world.apply("a", spec.clone()).await;
    world.until_ready("a").await;
    let before = login(&world.until_secret(&one, "acr-pull").await);
    flip(&world, RoleAssignmentMode::AbacRepositoryPermissions);
    world
        .until("another credential", || async {
            (login(&world.until_secret(&one, "acr-pull").await) != before).then_some(())
        })
        .await;
    until_roles(&world, &[REPOSITORY_READER]).await;
    world.until_ready("a").await;

    spec["repositories"] = json!(["team-a/*"]);
    world.apply("a", spec).await;
    world
        .until("a condition", || async {
            let condition = roles(&world).remove(0).condition;
            condition.is_some_and(|it| it.contains("team-a/")).then_some(())
        })
        .await;
}

#[tokio::test]
async fn the_role_goes_when_it_is_not_wanted_any_more_and_never_somebody_elses() {
    let world = world(|_| {}, |_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    let mut spec = spec(&world, &json!({"names": [one]}));
    world.apply("a", spec.clone()).await;
    world
        .apply("b", {
            let two = world.namespace_with("two", json!({})).await;
            let mut other = spec.clone();
            other["pullSecret"]["namespaces"] = json!({"names": [two]});
            other
        })
        .await;
    world.until_ready("a").await;
    world.until_ready("b").await;
    assert_eq!(roles(&world).len(), 1, "they share it");

    spec["pullSecret"]["assignRole"] = false.into();
    world.apply("a", spec).await;
    world
        .until("one claim", || async {
            let held = world.status("a").await.role_assignments.is_none();
            (held && roles(&world).len() == 1).then_some(())
        })
        .await;
    world.until_ready("a").await;
    world.delete("b").await;
    world.until_gone("b").await;
    assert_eq!(roles(&world), vec![]);
}

#[tokio::test]
async fn another_service_principal_takes_over_without_a_gap() {
    let next = |azure: &mut Model| drop(azure.application("next").secret(CLIENT_SECRET).add());
    let delay = SignedDuration::from_secs(3);
    let world = world(next, |settings| settings.intervals.removal_delay = delay).await;
    let one = world.namespace_with("one", json!({})).await;
    let mut spec = spec(&world, &json!({"names": [one]}));
    world.apply("a", spec.clone()).await;
    world.until_ready("a").await;
    let client = world.azure.read(|azure| {
        let next = azure.principals.iter().find(|it| it.display_name == "next");
        next.and_then(|it| it.client_id.clone()).unwrap()
    });
    spec["pullSecret"]["servicePrincipal"]["clientId"] = client.into();
    world.apply("a", spec).await;
    world.until("both", || async { (world.pull_assignments().len() == 2).then_some(()) }).await;
    until_roles(&world, &[]).await;
    world.until_ready("a").await;
    assert_eq!(world.pull_assignments().len(), 1);
}

#[tokio::test]
async fn the_method_can_be_switched_there_and_back() {
    let delay = SignedDuration::from_secs(2);
    let world = world(|_| {}, |settings| settings.intervals.removal_delay = delay).await;
    let one = world.namespace_with("one", json!({})).await;
    let mut spec = spec(&world, &json!({"names": [one]}));
    world.apply("a", spec.clone()).await;
    world.until_ready("a").await;
    spec["method"] = "KubeletIdentity".into();
    spec["kubeletIdentity"] = world.spec()["kubeletIdentity"].clone();
    world.apply("a", spec.clone()).await;
    world.until_no_secret(&one, "acr-pull").await;
    until_roles(&world, &[]).await;
    let holders: Vec<_> = world.pull_assignments().into_iter().map(|it| it.principal_id).collect();
    assert_eq!(holders, [world.kubelet()]);

    spec["method"] = "PullSecret".into();
    world.apply("a", spec).await;
    world.until_secret(&one, "acr-pull").await;
    until_roles(&world, &[ACR_PULL]).await;
    world
        .until("the role of the nodes to go", || async {
            world
                .pull_assignments()
                .iter()
                .all(|it| it.principal_id != world.kubelet())
                .then_some(())
        })
        .await;
    world.until_ready("a").await;
}

#[tokio::test]
async fn a_namespace_that_left_loses_its_secret_at_once() {
    let hour = SignedDuration::from_hours(1);
    let world = world(|_| {}, |settings| settings.intervals.removal_delay = hour).await;
    let one = world.namespace_with("one", json!({"team": world.id})).await;
    let namespaces = json!({"selector": {"matchLabels": {"team": world.id}}});
    world.apply("a", spec(&world, &namespaces)).await;
    world.until_ready("a").await;
    world.until_secret(&one, "acr-pull").await;
    world.namespace_with("one", json!({})).await;
    world.until_no_secret(&one, "acr-pull").await;
    assert_eq!(roles(&world).len(), 1, "it is kept for namespaces to come");
}

//! What can go wrong is told: a reason, an event, what to do; and it heals when the cause goes.

use std::time::Duration;

use acr_attach_azure::Identity;
use azure_core::credentials::Secret;
use azure_sim::model::{
    APPLICATION_READ_ALL, AgentPool, DEFAULT_SUBSCRIPTION, DEFAULT_TENANT, Principal,
    PrincipalType, READER, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR,
};
use azure_sim::{Call, Effect, Fault, Model};
use jiff::SignedDuration;

use crate::support::{World, find, message, operator};

/// Takes the operator's roles of that kind on things whose id contains that text.
fn take_role(azure: &mut Model, role: &str, scope: &str) {
    azure.role_assignments.retain(|it| it.role != role || !it.scope.contains(scope));
}

/// Gives the operator its rights on the whole subscription, where things are yet to appear.
fn grant_everywhere(azure: &mut Model) {
    let subscription = format!("/subscriptions/{DEFAULT_SUBSCRIPTION}");
    for role in [READER, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR] {
        azure.assign(&operator(azure), role, &subscription);
    }
}

#[tokio::test]
async fn a_missing_registry_is_said_and_found_when_it_appears() {
    let world = World::new().await;
    let mut spec = world.spec();
    let contoso = spec["registry"]["resourceId"].as_str().unwrap().to_owned();
    spec["registry"]["resourceId"] = contoso.replace("contoso", "fabrikam").into();
    world.azure.update(grant_everywhere);
    world.apply("a", spec).await;
    let status = world.until_reason("a", "Ready", "NotFound").await;
    let text = message(&status);
    assert!(text.starts_with("check the spelling of the registry's id"), "{text}");
    assert!(text.contains("reading registry /subscriptions/"), "{text}");
    assert!(text.contains("404 ResourceNotFound") && text.contains("correlation id"), "{text}");
    world.until_event("a", "Warning", "NotFound").await;
    world.until_reason("a", "Stalled", "NotFound").await;
    world.azure.update(|azure| drop(azure.registry("fabrikam").add()));
    world.until_ready("a").await;
}

#[tokio::test]
async fn a_missing_cluster_is_said_and_found_when_it_appears() {
    let world = World::new().await;
    let mut spec = world.spec();
    let prod = spec["kubeletIdentity"]["clusterResourceId"].as_str().unwrap().to_owned();
    spec["kubeletIdentity"]["clusterResourceId"] = prod.replace("prod", "next").into();
    world.azure.update(grant_everywhere);
    world.apply("a", spec).await;
    let status = world.until_reason("a", "Ready", "NotFound").await;
    assert!(message(&status).starts_with("check the spelling of kubeletIdentity."));
    assert_eq!(status.registry.unwrap().login_server.as_deref(), Some("contoso.azurecr.io"));
    world.azure.update(|azure| drop(azure.cluster("next").add()));
    world.until_ready("a").await;
}

#[rstest::rstest]
#[case::registry(READER, "registries/contoso", "Microsoft.ContainerRegistry/registries/read")]
#[case::cluster(READER, "managedClusters/prod", "Microsoft.ContainerService/managedClusters/read")]
#[case::assignment(
    ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR,
    "registries/contoso",
    "Microsoft.Authorization/roleAssignments/write"
)]
#[tokio::test]
async fn a_missing_right_is_named_and_used_when_it_is_granted(
    #[case] role: &str,
    #[case] scope: &str,
    #[case] action: &str,
) {
    let world = World::new().await;
    let all = world.azure.read(|azure| azure.role_assignments.clone());
    world.azure.update(|azure| take_role(azure, role, scope));
    if action.ends_with("registries/read") {
        // The administrator role reads everything at its scope, and would hide what is missing.
        let other = ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR;
        world.azure.update(|azure| take_role(azure, other, scope));
    }
    world.apply("a", world.spec()).await;
    let status = world.until_reason("a", "Ready", "AccessDenied").await;
    let text = message(&status);
    assert!(text.contains("403 AuthorizationFailed for object id"), "{text}");
    assert!(text.contains(action), "{text}");
    world.until_event("a", "Warning", "AccessDenied").await;
    world.until_reason("a", "Stalled", "AccessDenied").await;
    world.azure.update(|azure| azure.role_assignments = all);
    world.until_ready("a").await;
}

#[tokio::test]
async fn without_an_identity_the_operator_runs_and_says_what_to_set() {
    let world = World::with(|_| {}, |settings| settings.identity = Identity::None).await;
    world.apply("a", world.spec()).await;
    let status = world.until_reason("a", "Ready", "AuthenticationFailed").await;
    assert!(message(&status).contains("AZURE_FEDERATED_TOKEN_FILE"), "{}", message(&status));
    assert_eq!(world.page("/readyz").await.0, 200);
    assert_eq!(world.azure.journal().len(), 0);
}

#[tokio::test]
async fn a_wrong_secret_is_told_apart_and_never_shown() {
    let wrong = "a-wrong-secret-marker";
    let world = World::with(
        |_| {},
        |settings| {
            if let Identity::ClientSecret { secret, .. } = &mut settings.identity {
                *secret = Secret::new(wrong);
            }
        },
    )
    .await;
    world.apply("a", world.spec()).await;
    let status = world.until_reason("a", "Ready", "AuthenticationFailed").await;
    let text = message(&status);
    assert!(text.contains("AADSTS7000215") && text.contains("AZURE_CLIENT_SECRET"), "{text}");
    assert!(!serde_json::to_string(&status).unwrap().contains(wrong));
    world.until_reason("a", "Stalled", "AuthenticationFailed").await;
}

#[tokio::test]
async fn a_federation_that_does_not_match_shows_what_to_enter() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_owned();
    let world = World::with(
        |azure| {
            let federated = azure.application("federated").federated("https://issuer", "other");
            federated.add();
        },
        |settings| {
            settings.identity = Identity::Workload {
                tenant: DEFAULT_TENANT.to_owned(),
                client: Model::default_tenant().application("federated").add().client_id.unwrap(),
                token_file: path,
            };
        },
    )
    .await;
    let issuer = world.cluster.service_account_issuer().to_owned();
    let key = std::fs::read_to_string(world.cluster.service_account_public_key()).unwrap();
    world.azure.update(|azure| azure.add_token_issuer(&issuer, &key));
    let lifetime = Duration::from_secs(600);
    let audience = "api://AzureADTokenExchange";
    let namespace = world.namespace();
    let token = world.cluster.service_account_token(&namespace, "acr-attach", audience, lifetime);
    std::fs::write(file.path(), token.await.unwrap()).unwrap();

    world.apply("a", world.spec()).await;
    let status = world.until_reason("a", "Ready", "AuthenticationFailed").await;
    let text = message(&status);
    let subject = format!(r#""subject":"system:serviceaccount:{namespace}:acr-attach""#);
    let issuer_is = format!(r#""issuer":"{issuer}""#);
    for part in [issuer_is, subject, format!(r#""audiences":["{audience}"]"#)] {
        assert!(text.contains(&part), "{part} is not in {text}");
    }
    world.azure.update(|azure| {
        let subject = format!("system:serviceaccount:{namespace}:acr-attach");
        azure.principals.retain(|it| it.display_name != "federated");
        let operator = azure.application("federated").federated(&issuer, &subject).add();
        let registry = azure.find_registry("contoso").unwrap().id();
        let prod = azure.find_cluster("prod").unwrap().id();
        azure.assign(&operator, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, &registry);
        azure.assign(&operator, READER, &prod);
    });
    world.until_ready("a").await;
}

#[tokio::test]
async fn what_the_settings_do_not_allow_reaches_azure_never() {
    let world = World::with(
        |_| {},
        |settings| settings.policy.registries = "other.azurecr.io".parse().unwrap(),
    )
    .await;
    world.apply("a", world.spec()).await;
    let status = world.until_reason("a", "Stalled", "NotAllowed").await;
    assert!(message(&status).contains("--allowed-registries"), "{}", message(&status));
    assert_eq!(world.azure.journal().len(), 0);
}

#[tokio::test]
async fn a_cluster_without_a_kubelet_identity_names_the_way_out() {
    let world = World::with(
        |azure| {
            azure.cluster_mut("prod").unwrap().kubelet_identity = None;
        },
        |_| {},
    )
    .await;
    world.apply("a", world.spec()).await;
    let status = world.until_reason("a", "Stalled", "Unsupported").await;
    let text = message(&status);
    assert!(text.contains("kubeletIdentity.principalId"), "{text}");
    assert_eq!(world.azure_writes(), 0);
}

/// An id of the same name in a subscription of another tenant.
fn in_another_tenant(world: &World, id: &serde_json::Value) -> serde_json::Value {
    const ELSEWHERE: &str = "50000000-0000-4000-8000-0000000000ff";
    world.azure.update(|azure| {
        azure.add_tenant(OTHER_TENANT);
        azure.add_subscription(ELSEWHERE, OTHER_TENANT);
    });
    id.as_str().unwrap().replace(DEFAULT_SUBSCRIPTION, ELSEWHERE).into()
}

const OTHER_TENANT: &str = "7e000000-0000-4000-8000-0000000000ff";

#[tokio::test]
async fn a_registry_of_another_tenant_is_unsupported_and_a_pull_secret_the_way_out() {
    let world = World::new().await;
    let mut spec = world.spec();
    spec["registry"]["resourceId"] = in_another_tenant(&world, &spec["registry"]["resourceId"]);
    world.apply("a", spec).await;
    let status = world.until_reason("a", "Stalled", "Unsupported").await;
    let text = message(&status);
    assert!(text.contains("the registry is in another tenant"), "{text}");
    assert!(text.contains("method PullSecret with registry.loginServer"), "{text}");
    assert_eq!(world.azure_writes(), 0);
}

#[tokio::test]
async fn a_cluster_of_another_tenant_is_told_apart_from_a_registry_there() {
    let world = World::new().await;
    let mut spec = world.spec();
    let prod = &mut spec["kubeletIdentity"]["clusterResourceId"];
    *prod = in_another_tenant(&world, prod);
    world.apply("a", spec).await;
    let status = world.until_reason("a", "Stalled", "Unsupported").await;
    let text = message(&status);
    assert!(text.contains("reading cluster "), "{text}");
    assert!(text.contains("the cluster is in another tenant"), "{text}");
    assert!(text.contains("set method to PullSecret"), "{text}");
    assert_eq!(world.azure_writes(), 0);
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
}

#[tokio::test]
async fn what_azure_refuses_for_an_unknown_reason_is_quoted_and_stalls() {
    let world = World::with(|azure| azure.settings.description_limit = 10, |_| {}).await;
    world.apply("a", world.spec()).await;
    let status = world.until_reason("a", "Reconciling", "Undetermined").await;
    let text = message(&status);
    assert!(text.contains("400 BadRequestFormat; Azure says: The request was"), "{text}");
    world.until_reason("a", "Stalled", "Undetermined").await;
    world.azure.update(|azure| azure.settings.description_limit = 512);
    world.until_ready("a").await;
}

/// Where the object id is none of a service principal of the registry's tenant.
#[rstest::rstest]
#[case::of_a_person("InvalidSpec", |it: &mut Principal| it.principal_type = PrincipalType::User)]
#[case::elsewhere("Propagating", |it: &mut Principal| it.tenant_id = OTHER_TENANT.into())]
#[tokio::test]
async fn a_principal_that_can_have_no_role_names_the_field(
    #[case] reason: &str,
    #[case] change: fn(&mut Principal),
) {
    let world = World::new().await;
    let kubelet = world.kubelet();
    let before = world.azure.read(|azure| azure.principal(&kubelet).unwrap().clone());
    world.azure.update(|azure| change(azure.principal_mut(&kubelet).unwrap()));
    let mut spec = world.spec();
    spec["kubeletIdentity"] = serde_json::json!({"principalId": kubelet});
    world.apply("a", spec).await;
    let status = world.until_reason("a", "Stalled", reason).await;
    let text = message(&status);
    assert!(text.contains("check that kubeletIdentity.principalId"), "{text}");
    assert!(text.contains("not the client id"), "{text}");
    world.azure.update(|azure| *azure.principal_mut(&kubelet).unwrap() = before);
    world.until_ready("a").await;
}

#[tokio::test]
async fn a_service_principal_that_graph_does_not_know_is_not_taken_for_a_registry() {
    let client = "c0000000-0000-4000-8000-0000000000ff";
    let world = World::with(
        |azure| {
            let cluster = azure.cluster("legacy").service_principal(client).add();
            let operator = operator(azure);
            azure.assign(&operator, READER, &cluster.id());
            let operator = azure.principal_mut(&operator.object_id).unwrap();
            operator.app_roles.push(APPLICATION_READ_ALL.to_owned());
        },
        |_| {},
    )
    .await;
    let mut spec = world.spec();
    let cluster = world.azure.read(|azure| azure.find_cluster("legacy").unwrap().id());
    spec["kubeletIdentity"] = serde_json::json!({"clusterResourceId": cluster});
    world.apply("a", spec).await;
    let status = world.until_reason("a", "Ready", "NotFound").await;
    let text = message(&status);
    assert!(text.contains(&format!("az ad sp create --id {client}")), "{text}");
    assert!(text.starts_with("set kubeletIdentity.principalId"), "{text}");
    assert!(!text.contains("a registry's id"), "{text}");
}

#[tokio::test]
async fn azure_is_left_alone_for_as_long_as_it_asks() {
    let world = World::new().await;
    // Long enough to be seen on a busy machine.
    world.azure.fault(Fault::throttled(Call::PutRoleAssignment, 20).once());
    world.apply("a", world.spec()).await;
    let status = world.until_reason("a", "Reconciling", "Throttled").await;
    assert_eq!(find(&status, "Stalled"), None);
    world.until_ready("a").await;
    let journal = world.azure.journal();
    let puts: Vec<_> =
        journal.iter().filter(|it| it.call == Some(Call::PutRoleAssignment)).collect();
    let [refused, made] = &puts[..] else { panic!("{puts:?}") };
    let waited = made.time.duration_since(refused.time);
    assert!(waited >= SignedDuration::from_secs(20), "{waited:?}");
}

/// Makes registry `hanging`, of which Azure never answers, and the spec of an attachment to it.
fn hanging_registry(world: &World) -> serde_json::Value {
    world.azure.update(|azure| drop(azure.registry("hanging").add()));
    let hang = Fault::new(Call::GetRegistry, Effect::Hang);
    world.azure.fault(hang.containing("/registries/hanging"));
    let mut spec = world.spec();
    let contoso = spec["registry"]["resourceId"].as_str().unwrap().to_owned();
    spec["registry"]["resourceId"] = contoso.replace("contoso", "hanging").into();
    spec
}

/// The calls that Azure has not answered: those that hang, and those that the operator gave up.
fn unanswered(world: &World) -> usize {
    let journal = world.azure.journal();
    journal.iter().filter(|it| it.path.ends_with("/registries/hanging")).count()
}

#[tokio::test]
async fn a_hanging_registry_delays_no_other_attachment() {
    let world = World::new().await;
    world.apply("slow", hanging_registry(&world)).await;
    world.until("the hanging call", || async { (unanswered(&world) == 1).then_some(()) }).await;
    world.apply("fast", world.spec()).await;
    world.until_ready("fast").await;
    let slow = world.status("slow").await;
    assert_eq!(find(&slow, "Ready"), None, "the other one waited until the hanging one gave up");
    assert_eq!(unanswered(&world), 1);
}

#[tokio::test]
async fn eight_passes_speak_to_azure_at_once_and_the_others_come_back() {
    let world = World::new().await;
    let spec = hanging_registry(&world);
    for n in 0..9 {
        world.apply(&format!("slow{n}"), spec.clone()).await;
    }
    world.until("eight calls", || async { (unanswered(&world) >= 8).then_some(()) }).await;
    world.apply("late", world.spec()).await;
    let status = world.until_reason("late", "Ready", "Progressing").await;
    assert!(message(&status).contains("waiting for one of 8 places"), "{}", message(&status));
    world.azure.clear_faults();
    world.until_ready("late").await;
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_not_made_twice() {
    let world = World::new().await;
    world.azure.fault(Fault::new(Call::PutRoleAssignment, Effect::ApplyThenDrop).once());
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    assert_eq!(world.pull_assignments().len(), 1);
    let puts = world.azure.journal();
    let puts = puts.iter().filter(|it| it.call == Some(Call::PutRoleAssignment)).count();
    assert_eq!(puts, 1);
}

/// The object ids that hold a pull role on `contoso`, in order.
fn holders(world: &World) -> Vec<String> {
    let mut all: Vec<_> = world.pull_assignments().into_iter().map(|it| it.principal_id).collect();
    all.sort();
    all
}

/// Looks again and again whether every identity that nodes pull with has its role. Never ends.
async fn nodes_can_always_pull(world: &World) {
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    loop {
        tick.tick().await;
        let holders = holders(world);
        world.azure.read(|azure| {
            let in_use = azure.find_cluster("prod").unwrap().kubelet_identities_in_use();
            for identity in in_use {
                assert!(holders.iter().any(|it| it == identity), "{identity} cannot pull");
            }
        });
    }
}

#[tokio::test]
async fn a_replaced_identity_is_granted_at_once_and_the_former_keeps_its_role_until_nodes_follow() {
    let world = World::new().await;
    world.azure.update(|azure| {
        let second = AgentPool { name: "second".into(), ..AgentPool::default() };
        azure.cluster_mut("prod").unwrap().agent_pools.push(second);
    });
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let next = "33333333-3333-3333-3333-333333333333";
    let reimage = |pool: &str| world.azure.update(|azure| azure.reimage_agent_pool("prod", pool));
    let story = async {
        let former = world.kubelet();
        world.azure.update(|azure| drop(azure.replace_kubelet_identity("prod", next)));
        let mut both = [former, next.to_owned()];
        both.sort();
        world.until("both", || async { (holders(&world) == both).then_some(()) }).await;
        reimage(&AgentPool::default().name);
        // Longer than the removal delay: only the cluster's state keeps the former one.
        world.until_calls(Call::ListRoleAssignments, 3).await;
        assert_eq!(holders(&world), both);
        reimage("second");
        world.until("the new one", || async { (holders(&world) == [next]).then_some(()) }).await;
    };
    tokio::select! {
        () = story => {}
        () = nodes_can_always_pull(&world) => {}
    }
}

#[tokio::test]
async fn a_managed_identity_of_the_node_signs_in() {
    let world = World::with(
        |azure| {
            let node = azure.managed_identity("node").on_host().add();
            let registry = azure.find_registry("contoso").unwrap().id();
            let prod = azure.find_cluster("prod").unwrap().id();
            azure.assign(&node, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, &registry);
            azure.assign(&node, READER, &prod);
        },
        |settings| {
            let node = Model::default_tenant().managed_identity("node").add();
            settings.identity = Identity::Managed { client: node.client_id };
        },
    )
    .await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    assert!(world.calls(Call::InstanceMetadata) > 0);
    assert_eq!(world.calls(Call::Token), 0);
}

#[tokio::test]
async fn a_principal_that_azure_does_not_know_yet_is_waited_for() {
    let world = World::new().await;
    let fault = Fault::error(
        Call::PutRoleAssignment,
        400,
        "PrincipalNotFound",
        "Principal 22222222222222222222222222222222 does not exist in the directory.",
    );
    world.azure.fault(fault);
    world.apply("a", world.spec()).await;
    world.until_reason("a", "Reconciling", "Propagating").await;
    world.azure.clear_faults();
    world.until_ready("a").await;
}

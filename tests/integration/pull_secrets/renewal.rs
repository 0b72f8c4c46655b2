//! Credentials in use: what ends them, what renews them, and what a failure leaves in place.

use acr_attach::settings::Settings;
use azure_sim::{Call, Fault};
use jiff::SignedDuration;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::secrets::login;
use crate::support::{World, find, message};

/// Looks often at what holds.
pub(super) fn often(settings: &mut Settings) {
    settings.intervals.resync = SignedDuration::from_secs(2);
}

/// The spec with the registry by its id.
pub(super) fn by_id(world: &World, namespaces: &Value) -> Value {
    let mut spec = world.pull_spec(namespaces);
    spec["registry"] = world.spec()["registry"].clone();
    spec
}

/// Waits until a namespace has another credential than that.
pub(super) async fn until_renewed(world: &World, namespace: &str, before: &(String, String)) {
    world
        .until(&format!("another credential in {namespace}"), || async {
            let found = world.secrets(namespace).get("acr-pull").await.unwrap();
            (login(&found) != *before).then_some(())
        })
        .await;
}

#[tokio::test]
async fn resyncs_of_good_pull_secrets_write_nothing() {
    let world = World::with_pull_secrets(often).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", by_id(&world, &json!({"names": [one]}))).await;
    world.until_ready("a").await;
    world.until_calls(Call::RegistryToken, 1).await;
    let (writes, exchanges) = (world.api_writes(), world.calls(Call::RegistryExchange));
    world.until_calls(Call::RegistryToken, 3).await;
    assert_eq!(world.api_writes(), writes);
    assert_eq!(world.calls(Call::RegistryExchange), exchanges);
}

#[tokio::test]
async fn a_credential_that_is_refused_for_good_is_told_and_spread_no_further() {
    let world = World::with_pull_secrets(often).await;
    let team = json!({"team": world.id});
    let one = world.namespace_with("one", team.clone()).await;
    let choice = json!({"names": [one], "selector": {"matchLabels": {"team": world.id}}});
    let mut spec = world.pull_spec(&choice);
    spec["pullSecret"]["credential"] = "ClientSecret".into();
    world.apply("a", spec).await;
    world.until_ready("a").await;
    let held = world.azure.read(|azure| azure.role_assignments.clone());
    world.azure.update(|azure| azure.role_assignments.clear());
    let status = world.until_reason("a", "Ready", "AccessDenied").await;
    assert!(
        message(&status).contains("assign the service principal AcrPull"),
        "{}",
        message(&status)
    );
    // What was good may become good again, so it stays; a new namespace does not get it.
    world.until_secret(&one, "acr-pull").await;
    let two = world.namespace_with("two", team).await;
    world.until_pull_secrets_of(&two, "default", &["acr-pull"]).await;
    world.until_calls(Call::RegistryToken, 2).await;
    assert!(world.secrets(&two).get_opt("acr-pull").await.unwrap().is_none());
    assert_eq!(find(&world.status("a").await, "Ready").unwrap().0, "False");
    world.azure.update(|azure| azure.role_assignments = held);
    world.until_ready("a").await;
    world.until_secret(&two, "acr-pull").await;
}

#[tokio::test]
async fn a_client_secret_that_expires_while_it_is_in_use_is_told() {
    let world = World::with_pull_secrets(often).await;
    let one = world.namespace_with("one", json!({})).await;
    let mut spec = world.pull_spec(&json!({"names": [one]}));
    spec["pullSecret"]["credential"] = "ClientSecret".into();
    world.apply("a", spec).await;
    world.until_ready("a").await;
    world.azure.update(|azure| {
        let puller = azure.principals.iter_mut().find(|it| it.display_name == "puller").unwrap();
        puller.secrets[0].expires_on = Some("2026-01-01T00:00:00Z".parse().unwrap());
    });
    let status = world.until_reason("a", "Ready", "AuthenticationFailed").await;
    assert!(message(&status).contains("AADSTS7000222"), "{}", message(&status));
}

#[tokio::test]
async fn an_outage_of_azure_resource_manager_stops_no_renewal() {
    let world = World::with_pull_secrets(often).await;
    // Half of it leaves a busy machine time to renew one before it ends.
    world.azure.update(|azure| azure.settings.token_lifetimes.registry_refresh = 20);
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", by_id(&world, &json!({"names": [one]}))).await;
    world.until_ready("a").await;
    world.azure.fault(Fault::error(Call::GetRegistry, 503, "ServiceUnavailable", "x"));
    world.until_calls(Call::GetRegistry, 2).await;
    for _ in 0..2 {
        let before = login(&world.until_secret(&one, "acr-pull").await);
        until_renewed(&world, &one, &before).await;
    }
    assert_eq!(find(&world.status("a").await, "Ready").unwrap().0, "True");
}

#[tokio::test]
async fn what_a_look_has_found_wrong_stays_so_until_the_next_whatever_happens_in_the_cluster() {
    let world = World::with_pull_secrets(|settings| {
        settings.intervals.patience = SignedDuration::from_mins(10);
    })
    .await;
    let team = json!({"team": world.id});
    world.namespace_with("one", team.clone()).await;
    let choice = json!({"selector": {"matchLabels": {"team": world.id}}});
    world.apply("a", by_id(&world, &choice)).await;
    world.until_ready("a").await;
    let denied = Fault::error(Call::GetRegistry, 403, "AuthorizationFailed", "x");
    world.azure.fault(denied);
    let again = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "now"}}});
    world.patch("a", again).await;
    world.until_reason("a", "Ready", "AccessDenied").await;
    let calls = world.calls(Call::GetRegistry);
    for name in ["two", "three", "four"] {
        let namespace = world.namespace_with(name, team.clone()).await;
        world.until_secret(&namespace, "acr-pull").await;
        assert_eq!(find(&world.status("a").await, "Ready").unwrap().1, "AccessDenied");
    }
    assert!(world.calls(Call::GetRegistry) <= calls + 1, "events hasten no question to Azure");
}

#[tokio::test]
async fn a_namespace_that_refuses_a_renewal_serves_on_and_costs_no_further_token() {
    let mut world = World::with_pull_secrets(|_| {}).await;
    world.expect_refusals().await;
    // Half of it passes before the renewal, and half between the renewal and the end.
    world.azure.update(|azure| azure.settings.token_lifetimes.registry_refresh = 60);
    let one = world.namespace_with("one", json!({})).await;
    let two = world.namespace_with("two", json!({"frozen": world.id})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one, two]}))).await;
    world.until_ready("a").await;
    let before = login(&world.until_secret(&two, "acr-pull").await);
    let policy = freeze(&world, &two).await;
    until_renewed(&world, &one, &before).await;
    let status = world
        .until("the credential to be overdue", || async {
            let status = world.status("a").await;
            (find(&status, "CredentialFresh")?.0 == "False").then_some(status)
        })
        .await;
    assert_eq!(find(&status, "Ready").unwrap().0, "True", "the old token is still good");
    assert!(find(&status, "CredentialFresh").unwrap().2.contains(&two));
    assert_eq!(login(&world.until_secret(&two, "acr-pull").await), before);
    assert_eq!(world.calls(Call::RegistryExchange), 2);
    thaw(&world, &policy).await;
    until_renewed(&world, &two, &before).await;
    world.until_reason("a", "CredentialFresh", "Attached").await;
}

/// Lets nobody change Secrets in namespaces with this world's label `frozen`, of which that is one,
/// and waits until that is in force.
async fn freeze(world: &World, namespace: &str) -> String {
    let name = format!("frozen-{}", world.id);
    let params = PatchParams::apply("user").force();
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"],
                "resources": ["secrets"],
            }]},
            "validations": [{"expression": "false", "message": "frozen"}],
        },
    });
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(world.client.clone());
    policies.patch(&name, &params, &Patch::Apply(&policy)).await.unwrap();
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {
            "policyName": name, "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": {"frozen": world.id}}},
        },
    });
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(world.client.clone());
    bindings.patch(&name, &params, &Patch::Apply(&binding)).await.unwrap();
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let change = Patch::Merge(json!({"metadata": {"annotations": {"try": "it"}}}));
    world
        .until("the namespace to be frozen", || async {
            world.secrets(namespace).patch("acr-pull", &dry, &change).await.err().map(drop)
        })
        .await;
    name
}

async fn thaw(world: &World, name: &str) {
    let params = DeleteParams::default();
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(world.client.clone());
    bindings.delete(name, &params).await.unwrap();
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(world.client.clone());
    policies.delete(name, &params).await.unwrap();
}

#[tokio::test]
async fn a_client_secret_that_is_gone_leaves_good_pull_secrets_as_they_are() {
    let world = World::with_pull_secrets(often).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_ready("a").await;
    let before = world.until_secret(&one, "acr-pull").await;
    world.delete_secret(&world.namespace(), "puller").await;
    world.until_calls(Call::RegistryToken, 4).await;
    let after = world.until_secret(&one, "acr-pull").await;
    assert_eq!(before.resource_version(), after.resource_version());
    assert_eq!(find(&world.status("a").await, "Ready").unwrap().0, "True");
}

#[tokio::test]
async fn suspended_it_is_still_detached() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    let mut spec = world.pull_spec(&json!({"names": [one]}));
    world.apply("a", spec.clone()).await;
    world.until_ready("a").await;
    spec["suspend"] = true.into();
    world.apply("a", spec).await;
    world.delete("a").await;
    world.until_gone("a").await;
    world.until_pull_secrets_of(&one, "default", &[]).await;
    world.until_no_secret(&one, "acr-pull").await;
}

#[tokio::test]
async fn deleted_and_made_again_at_once_it_serves_and_makes_no_token_after_another() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    let spec = world.pull_spec(&json!({"names": [one]}));
    for _ in 0..3 {
        world.apply("a", spec.clone()).await;
        world.until_ready("a").await;
        world.delete("a").await;
        world.until_gone("a").await;
    }
    world.apply("a", spec).await;
    world.until_ready("a").await;
    world.until_pull_secrets_of(&one, "default", &["acr-pull"]).await;
    let uid = world.attachments().get(&world.name("a")).await.unwrap().uid();
    world
        .until("the Secret to have one owner", || async {
            let found = world.secrets(&one).get_opt("acr-pull").await.unwrap()?;
            let owners = found.owner_references();
            (owners.len() == 1 && Some(&owners[0].uid) == uid.as_ref()).then_some(())
        })
        .await;
    let exchanges = world.calls(Call::RegistryExchange);
    assert!(exchanges <= 8, "{exchanges}");
}

#[tokio::test]
async fn a_pinned_audience_is_the_only_one_that_is_asked_for() {
    let world = World::with_pull_secrets(|settings| {
        settings.acr_audience = Some("https://management.azure.com".to_owned());
    })
    .await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_ready("a").await;
    // A registry may take no tokens for Azure Resource Manager.
    world.azure.update(|azure| {
        let id = azure.find_registry("contoso").unwrap().id();
        azure.registry_mut(&id).unwrap().arm_audience_allowed = false;
    });
    let two = world.namespace_with("two", json!({})).await;
    world.apply("b", world.pull_spec(&json!({"names": [two]}))).await;
    let status = world.until_reason("b", "Ready", "AccessDenied").await;
    assert!(message(&status).contains("Azure Resource Manager"), "{}", message(&status));
}

#[tokio::test]
async fn a_mode_switch_is_healed_even_where_the_first_namespace_was_quicker() {
    let mut world = World::with_pull_secrets(often).await;
    world.expect_refusals().await;
    let one = world.namespace_with("one", json!({})).await;
    let two = world.namespace_with("two", json!({"frozen": world.id})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one, two]}))).await;
    world.until_ready("a").await;
    let before = login(&world.until_secret(&two, "acr-pull").await);
    let policy = freeze(&world, &two).await;
    world.azure.expire_tokens();
    until_renewed(&world, &one, &before).await;
    let status = world.until_ready_is("a", "False").await;
    assert!(message(&status).contains(&two), "{}", message(&status));
    world.until_calls(Call::RegistryToken, 4).await;
    assert_eq!(find(&world.status("a").await, "Ready").unwrap().0, "False", "it cannot pull there");
    thaw(&world, &policy).await;
    until_renewed(&world, &two, &before).await;
    world.until_ready("a").await;
}

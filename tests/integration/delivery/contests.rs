//! Secrets and service accounts that others refuse, change or take back: what acr-attach tells, and
//! how few calls it makes.

use azure_sim::Call;
use control_plane::audit::AuditEvent;
use k8s_openapi::api::core::v1::{ResourceQuota, Secret, ServiceAccount};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::secrets::login;
use crate::support::{World, find, message};

/// A world with an attachment that is Ready, and the namespace that it serves.
async fn attached() -> (World, String) {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_ready("a").await;
    world.until_pull_secrets_of(&one, "default", &["acr-pull"]).await;
    (world, one)
}

async fn change(world: &World, namespace: &str, patch: &Value) -> Secret {
    let params = PatchParams::default();
    world.secrets(namespace).patch("acr-pull", &params, &Patch::Merge(patch)).await.unwrap()
}

/// The verbs of the operator's writes to that resource in that namespace.
fn writes(world: &World, namespace: &str, resource: &str) -> usize {
    let calls = world.cluster.calls_by(&world.user()).unwrap();
    let here = |it: &&AuditEvent| it.namespace == namespace && it.resource == resource;
    calls.iter().filter(here).filter(|it| it.is_write()).count()
}

#[tokio::test]
async fn an_entry_without_a_name_keeps_neither_attaching_nor_detaching() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    world.until_account(&one).await;
    let list = |list: Value| {
        let (world, one) = (&world, &one);
        async move {
            let patch = json!({"imagePullSecrets": list});
            let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
            world.accounts(one).patch("default", &params, &patch).await.unwrap();
        }
    };
    list(json!([{}])).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_ready("a").await;
    world.until_pull_secrets_of(&one, "default", &["", "acr-pull"]).await;
    list(json!([{}, {"name": "x"}, {}, {"name": "acr-pull"}, {}])).await;
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(world.pull_secrets_of(&one, "default").await, ["", "x", "", ""]);
}

/// What a namespace's owner may write beside acr-attach's entry, or in place of it.
#[rstest::rstest]
#[case::its_name_twice(json!({"imagePullSecrets": [{"name": "acr-pull"}, {}, {"name": "acr-pull"}]}), &["", "acr-pull"])]
#[case::another_mark(mark("acr-pull", "mine"), &[])]
#[case::a_mark_alone(json!({"imagePullSecrets": null}), &[])]
#[case::a_mark_of_another_name(mark("other", ""), &[])]
#[tokio::test]
async fn whatever_a_namespace_holds_an_attachment_can_be_deleted(
    #[case] patch: Value,
    #[case] left: &[&str],
) {
    let (world, one) = attached().await;
    let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
    world.accounts(&one).patch("default", &params, &patch).await.unwrap();
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(world.pull_secrets_of(&one, "default").await, left);
}

const MARK: &str = "pull-secrets.acr-attach.dev/";

fn mark(secret: &str, value: &str) -> Value {
    json!({"metadata": {"annotations": {format!("{MARK}{secret}"): value}}})
}

/// A tool that applies a copy of the live object, mark included.
#[tokio::test]
async fn an_entry_that_comes_back_with_its_mark_keeps_no_attachment_from_being_deleted() {
    let (world, one) = attached().await;
    let copy = world.accounts(&one).get("default").await.unwrap();
    let copy = json!({
        "metadata": {"annotations": copy.annotations()},
        "imagePullSecrets": copy.image_pull_secrets,
    });
    let put_back = async {
        loop {
            let (params, patch) = (PatchParams::default(), Patch::Merge(&copy));
            world.accounts(&one).patch("default", &params, &patch).await.unwrap();
        }
    };
    let detached = async {
        world.delete("a").await;
        world.until_gone("a").await;
    };
    tokio::select! {
        () = put_back => {}
        () = detached => {}
    }
}

#[tokio::test]
async fn a_platform_that_applies_its_own_entry_keeps_acr_attach_from_nothing() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    world.until_account(&one).await;
    // As OpenShift's controller does: the list as it is, with its own entry, by force.
    let platform = |names: Vec<&'static str>| {
        let list: Vec<_> = names.into_iter().map(|it| json!({"name": it})).collect();
        let manifest = json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"},
            "imagePullSecrets": list,
        });
        let manager = "openshift.io/image-registry-pull-secrets_service-account-controller";
        let (api, params) = (world.accounts(&one), PatchParams::apply(manager).force());
        async move { api.patch("default", &params, &Patch::Apply(&manifest)).await.unwrap() }
    };
    platform(vec!["default-dockercfg-x"]).await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    world.until_ready("a").await;
    world.until_pull_secrets_of(&one, "default", &["default-dockercfg-x", "acr-pull"]).await;
    platform(vec!["default-dockercfg-x", "acr-pull"]).await;
    world.delete("a").await;
    world.until_gone("a").await;
    assert_eq!(world.pull_secrets_of(&one, "default").await, ["default-dockercfg-x"]);
}

#[tokio::test]
async fn a_secret_that_is_edited_all_the_time_costs_few_writes_and_no_credential() {
    let (world, one) = attached().await;
    let exchanges = world.calls(Call::RegistryExchange);
    let edit = |n: usize| {
        let data = json!({".dockerconfigjson": format!("{{\"auths\":{{}},\"n\":{n}}}")});
        json!({"stringData": data})
    };
    let mut edits = 0;
    let status = world
        .until("the contest to be told", || {
            edits += 1;
            let edit = edit(edits);
            let (world, one) = (&world, &one);
            async move {
                change(world, one, &edit).await;
                let status = world.status("a").await;
                let told = find(&status, "Stalled")?.1 == "ExternallyManaged";
                told.then_some(status)
            }
        })
        .await;
    let text = message(&status);
    assert!(text.contains(&format!("Secret acr-pull in namespace {one}")), "{text}");
    let before = writes(&world, &one, "secrets");
    for n in 0..20 {
        change(&world, &one, &edit(1_000 + n)).await;
    }
    // What happens elsewhere meanwhile is served, and shows that all edits have been seen.
    let two = world.namespace_with("two", json!({})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one, two]}))).await;
    world.until_secret(&two, "acr-pull").await;
    let after = writes(&world, &one, "secrets");
    assert!(after <= before + 4, "{before} writes became {after}");
    assert_eq!(world.calls(Call::RegistryExchange), exchanges, "no new credential");
    // A change of the spec asks to try again at once.
    world
        .until("the Secret to be right again", || async {
            let found = world.secrets(&one).get("acr-pull").await.unwrap();
            found.data.as_ref()?[".dockerconfigjson"].0.len().gt(&100).then_some(())
        })
        .await;
}

#[tokio::test]
async fn an_immutable_secret_is_made_anew_when_its_credential_changes() {
    let (world, one) = attached().await;
    let before = change(&world, &one, &json!({"immutable": true})).await;
    world.rotate_client_secret("another-client-secret").await;
    let after = world
        .until("another Secret", || async {
            let found = world.secrets(&one).get_opt("acr-pull").await.unwrap()?;
            (found.uid() != before.uid()).then_some(found)
        })
        .await;
    assert_eq!(after.immutable, None);
    assert_ne!(login(&after), login(&before));
    world.until_ready("a").await;
}

#[tokio::test]
async fn a_secret_of_another_type_is_somebody_elses_and_is_left_alone() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({})).await;
    let two = world.namespace_with("two", json!({})).await;
    world.put_secret(&one, "acr-pull", json!({"a": "b"})).await;
    world.apply("a", world.pull_spec(&json!({"names": [one, two]}))).await;
    let status = world.until_reason("a", "Stalled", "NotOurs").await;
    assert!(message(&status).contains("acr-attach did not make"), "{}", message(&status));
    world.until_secret(&two, "acr-pull").await;
    let object = world.attachments().get(&world.name("a")).await.unwrap();
    // Somebody copies the owner reference of another namespace's Secret.
    let owner = json!([{
        "apiVersion": "acr-attach.dev/v1alpha1", "kind": "RegistryAttachment",
        "name": object.name_any(), "uid": object.uid(),
    }]);
    change(&world, &one, &json!({"metadata": {"ownerReferences": owner}})).await;
    let before = world.secrets(&one).get("acr-pull").await.unwrap();
    world.request("a", "after the copy").await;
    let failing = world.status("a").await.pull_secret.unwrap().failing.unwrap();
    assert_eq!(failing[0].reason, "NotOurs", "{failing:?}");
    let theirs = world.secrets(&one).get("acr-pull").await.unwrap();
    assert_eq!(theirs.type_.as_deref(), Some("Opaque"));
    assert_eq!(theirs.resource_version(), before.resource_version(), "nothing was written");
}

#[tokio::test]
async fn a_quota_is_told_with_its_name_and_fails_its_namespace_alone() {
    let mut world = World::with_pull_secrets(|_| {}).await;
    world.expect_refusals().await;
    let one = world.namespace_with("one", json!({})).await;
    let two = world.namespace_with("two", json!({})).await;
    let quota: ResourceQuota = serde_json::from_value(json!({
        "metadata": {"name": "few-secrets"}, "spec": {"hard": {"secrets": "0"}},
    }))
    .unwrap();
    let quotas: Api<ResourceQuota> = Api::namespaced(world.client.clone(), &one);
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    world
        .until("the quota to count", || async {
            quotas.get("few-secrets").await.unwrap().status?.hard.map(drop)
        })
        .await;
    world.apply("a", world.pull_spec(&json!({"names": [one, two]}))).await;
    let status = world.until_reason("a", "Stalled", "AdmissionDenied").await;
    let text = message(&status);
    assert!(text.starts_with("let ResourceQuota few-secrets admit this"), "{text}");
    assert!(text.contains("exceeded quota"), "{text}");
    world.until_secret(&two, "acr-pull").await;
    assert_eq!(status.pull_secret.unwrap().served.unwrap(), "1/2");
    // Events in the cluster are no reason to try again.
    let before = writes(&world, &one, "secrets");
    for n in 0..20 {
        world.set_pull_secrets_of(&two, "default", &["acr-pull", &format!("x{n}")]).await;
    }
    let three = world.namespace_with("three", json!({})).await;
    world.apply("b", world.pull_spec(&json!({"names": [three]}))).await;
    world.until_ready("b").await;
    let after = writes(&world, &one, "secrets");
    assert!(after <= before + 3, "{before} tries became {after}");
    // A request tries again at once.
    quotas.delete("few-secrets", &DeleteParams::default()).await.unwrap();
    world
        .patch("a", json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "1"}}}))
        .await;
    world.until_secret(&one, "acr-pull").await;
    world.until_ready("a").await;
}

#[tokio::test]
async fn a_policy_that_refuses_the_service_account_is_told_with_its_name() {
    let mut world = World::with_pull_secrets(|_| {}).await;
    world.expect_refusals().await;
    let one = world.namespace_with("one", json!({"guarded": world.id})).await;
    let name = format!("no-pull-secrets-{}", world.id);
    let policies = [
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"],
                    "resources": ["serviceaccounts"],
                }]},
                "validations": [{"expression": "!has(object.imagePullSecrets)", "message": "none here"}],
            },
        }),
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {
                "policyName": name, "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": {"matchLabels": {"guarded": world.id}}},
            },
        }),
    ];
    for policy in &policies {
        world.apply_object(policy, &PatchParams::apply("user").force()).await.unwrap();
    }
    world.until_account(&one).await;
    let probe = json!({"imagePullSecrets": [{"name": "probe"}]});
    world
        .until("the policy to be in force", || async {
            let (params, patch) = (PatchParams::default().dry_run(), Patch::Merge(&probe));
            let api: Api<ServiceAccount> = world.accounts(&one);
            api.patch("default", &params, &patch).await.is_err().then_some(())
        })
        .await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    let status = world.until_reason("a", "Stalled", "AdmissionDenied").await;
    let text = message(&status);
    assert!(
        text.starts_with(&format!("let ValidatingAdmissionPolicy {name} admit this")),
        "{text}"
    );
    assert!(text.contains("none here"), "{text}");
    world.until_secret(&one, "acr-pull").await;
    for policy in &policies {
        world.delete_object(policy).await;
    }
    world
        .patch("a", json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "1"}}}))
        .await;
    world.until_pull_secrets_of(&one, "default", &["acr-pull"]).await;
    world.until_ready("a").await;
}

#[tokio::test]
async fn a_write_that_comes_back_changed_is_told_with_what_differs_and_not_repeated() {
    let world = World::with_pull_secrets(|_| {}).await;
    let one = world.namespace_with("one", json!({"mutated": world.id})).await;
    let name = format!("relabel-{}", world.id);
    let policies = [
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                    "resources": ["secrets"],
                }]},
                "reinvocationPolicy": "Never",
                "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {
                    "expression": "Object{metadata: Object.metadata{annotations: {\"acr-attach.dev/proof\": \"platform\"}}}",
                }}],
            },
        }),
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {
                "policyName": name,
                "matchResources": {"namespaceSelector": {"matchLabels": {"mutated": world.id}}},
            },
        }),
    ];
    for policy in &policies {
        world.apply_object(policy, &PatchParams::apply("user").force()).await.unwrap();
    }
    world
        .until("the policy to be in force", || async {
            let probe = world.put_secret(&one, "probe", json!({"a": "b"})).await;
            probe.annotations().contains_key("acr-attach.dev/proof").then_some(())
        })
        .await;
    world.apply("a", world.pull_spec(&json!({"names": [one]}))).await;
    let status = world.until_reason("a", "Stalled", "ExternallyManaged").await;
    let text = message(&status);
    assert!(text.contains("another annotation acr-attach.dev/proof"), "{text}");
    let before = writes(&world, &one, "secrets");
    for n in 0..20 {
        change(&world, &one, &json!({"metadata": {"annotations": {"n": n.to_string()}}})).await;
    }
    let two = world.namespace_with("two", json!({})).await;
    world.apply("b", world.pull_spec(&json!({"names": [two]}))).await;
    world.until_ready("b").await;
    let after = writes(&world, &one, "secrets");
    assert!(after <= before + 1, "{before} writes became {after}");
    for policy in &policies {
        world.delete_object(policy).await;
    }
}

#[tokio::test]
async fn two_attachments_have_their_entries_in_one_list_at_once() {
    let world = World::with_pull_secrets(|settings| {
        settings.policy.secret_names = "acr-pull,acr-other".parse().unwrap();
    })
    .await;
    let one = world.namespace_with("one", json!({"team": world.id})).await;
    let choice = json!({"selector": {"matchLabels": {"team": world.id}}});
    let mut other = world.pull_spec(&choice);
    other["pullSecret"]["secretName"] = "acr-other".into();
    world.apply("a", world.pull_spec(&choice)).await;
    world.apply("b", other).await;
    world.until_ready("a").await;
    world.until_ready("b").await;
    for n in 0..5 {
        let late = world.namespace_with(&format!("late-{n}"), json!({"team": world.id})).await;
        world
            .until("both entries", || async {
                (world.pull_secrets_of(&late, "default").await.len() == 2).then_some(())
            })
            .await;
    }
    world.until_ready("a").await;
    world.until_ready("b").await;
    let told: Vec<_> = [world.events("a").await, world.events("b").await].concat();
    assert!(told.iter().all(|(_, reason)| reason != "Unavailable"), "{told:?}");
    // Both take their entry out of the same list at once.
    tokio::join!(world.delete("a"), world.delete("b"));
    world.until_gone("a").await;
    world.until_gone("b").await;
    assert!(world.pull_secrets_of(&one, "default").await.is_empty());
}

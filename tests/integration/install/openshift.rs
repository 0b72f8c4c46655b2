//! `OpenShift` gives pods their ids, from a range of each namespace, and under its constraint restricted-v2 refuses
//! those that name others.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use crate::install::objects::pod_of;
use crate::install::rendering::{chart_objects, find, image, merged, objects, ways};
use crate::support::World;
use crate::support::programs::{command, rendered, said};

const GROUP: &str = "admissionregistration.k8s.io";
const ON_OPENSHIFT: [&str; 2] = ["--api-versions", "security.openshift.io/v1"];

/// What runs pods, and the fields of it that name an id.
fn ids(objects: &[Value]) -> Vec<(String, Vec<String>)> {
    let owners = objects.iter().filter(|it| it["kind"] == "Deployment" || it["kind"] == "Job");
    let found = |context: &Value| {
        let ids = ["runAsUser", "runAsGroup", "fsGroup", "supplementalGroups"];
        ids.into_iter().filter(|it| context.get(it).is_some()).map(str::to_owned).collect()
    };
    let all = owners.map(|it| {
        let pod = &it["spec"]["template"]["spec"];
        let mut named: Vec<String> = found(&pod["securityContext"]);
        named.extend(found(&pod["containers"][0]["securityContext"]));
        (it["kind"].as_str().unwrap().to_owned(), named)
    });
    all.collect()
}

#[rstest::rstest]
#[case(json!({}), &[], false)]
#[case(json!({}), &ON_OPENSHIFT, true)]
#[case(json!({"openshift": "auto"}), &ON_OPENSHIFT, true)]
#[case(json!({"openshift": null}), &ON_OPENSHIFT, true)]
#[case(json!({"openshift": true}), &[], true)]
#[case(json!({"openshift": "true"}), &[], true)]
#[case(json!({"openshift": "off"}), &ON_OPENSHIFT, false)]
#[case(json!({"openshift": false}), &ON_OPENSHIFT, false)]
#[tokio::test]
async fn ids_are_left_to_openshift(
    #[case] values: Value,
    #[case] flags: &[&str],
    #[case] left: bool,
) {
    let objects = objects(&rendered("a", "x", &merged(image(), &values), flags).await);
    let all = ids(&objects);
    assert_eq!(all.len(), 2, "Deployment and guard: {all:?}");
    for (kind, named) in all {
        let expected: &[&str] = if left { &[] } else { &["runAsUser", "runAsGroup", "fsGroup"] };
        assert_eq!(named, expected, "{kind}");
    }
}

/// An id that an administrator has allowed is the user's own.
#[tokio::test]
async fn an_id_that_the_user_has_set_stays() {
    let own = json!({"openshift": true, "podSecurityContext": {"runAsUser": 1_000_700_001}});
    let objects = chart_objects(&own).await;
    let pod = &find(&objects, "Deployment", "acr-attach")["spec"]["template"]["spec"];
    let context = &pod["securityContext"];
    assert_eq!((&context["runAsUser"], context.get("fsGroup")), (&1_000_700_001.into(), None));
    assert_eq!(context["runAsNonRoot"], true);
}

/// What restricted-v2 asks of ids (`MustRunAsRange` for users, `MustRunAs` for fsGroup), for a namespace whose
/// annotation openshift.io/sa.scc.uid-range is 1000700000/10000. Pod Security restricted asks the rest.
fn restricted(name: &str, namespace: &str) -> [Value; 2] {
    let api = format!("{GROUP}/v1");
    let within = |id: &str| {
        format!(
            "object.spec.?securityContext.?{id}.orValue(1000700000) >= 1000700000 && object.spec.?securityContext.?{id}.orValue(1000700000) < 1000710000"
        )
    };
    let container = "object.spec.containers.all(it, it.?securityContext.?runAsUser.orValue(1000700000) >= 1000700000)";
    let validation = |expression: &str| json!({"expression": expression, "message": "unable to validate against any security context constraint"});
    let policy = json!({
        "apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            },
            "validations": [validation(&within("runAsUser")), validation(&within("fsGroup")), validation(container)],
        },
    });
    let binding = json!({
        "apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    });
    [policy, binding]
}

/// What the API server says of the pods in these objects.
async fn judged(world: &World, namespace: &str, objects: &[Value]) -> Vec<Result<(), String>> {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), namespace);
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let mut all = Vec::new();
    for it in objects.iter().filter(|it| it["kind"] == "Deployment" || it["kind"] == "Job") {
        let mut pod = pod_of(it);
        pod["spec"]["serviceAccountName"] = "default".into();
        let created = pods.create(&params, &serde_json::from_value(pod).unwrap()).await;
        all.push(created.map(drop).map_err(|error| error.to_string()));
    }
    all
}

#[tokio::test]
async fn restricted_v2_admits_the_pods_of_the_chart_and_of_the_component() {
    let world = World::new().await;
    let label = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let namespace = world.namespace_with("openshift", label).await;
    let name = format!("restricted-{}", world.id);
    for it in restricted(&name, &namespace) {
        world.apply_object(&it, &PatchParams::apply("user")).await.unwrap();
    }
    let fixed = chart_objects(&json!({})).await;
    // The API server hears of a policy a moment later.
    world
        .until("pods with fixed ids to be refused", || async {
            let all = judged(&world, &namespace, &fixed).await;
            all.iter().all(Result::is_err).then_some(())
        })
        .await;
    for way in ways() {
        let flags = ["--values", &way, ON_OPENSHIFT[0], ON_OPENSHIFT[1]];
        let objects = objects(&rendered("a", &namespace, &json!({}), &flags).await);
        for it in judged(&world, &namespace, &objects).await {
            it.unwrap_or_else(|error| panic!("{way}: {error}"));
        }
    }
    let overlay =
        said(command("kubectl").args(["kustomize", "deploy/overlays/openshift"]), "").await;
    let all = judged(&world, &namespace, &objects(&overlay)).await;
    assert_eq!(all, [Ok(())]);
    for kind in ["ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"] {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1", kind));
        let api: Api<DynamicObject> = Api::all_with(world.client.clone(), &resource);
        api.delete(&name, &DeleteParams::default()).await.unwrap();
    }
}

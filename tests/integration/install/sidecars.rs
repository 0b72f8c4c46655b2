//! The guard before uninstalling in a namespace with a service mesh. A sidecar does not end, so a Job whose pod has
//! one does not either.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use crate::install::objects::pod_of;
use crate::install::rendering::{chart_objects, find};
use crate::support::World;

/// What takes a pod out of the injection, as each mesh documents it: Istio (sidecar injection), Linkerd
/// (automatic proxy injection), Consul (annotations and labels), Kuma (data plane on Kubernetes).
#[tokio::test]
async fn the_guard_asks_for_no_sidecar() {
    let guard = json!({"podLabels": {"team": "a"}, "podAnnotations": {"linkerd.io/inject": null, "own": "b"}});
    let objects = chart_objects(&json!({"uninstallGuard": guard})).await;
    let job = find(&objects, "Job", "acr-attach-uninstall-guard");
    let pod = &job["spec"]["template"]["metadata"];
    assert_eq!(pod["labels"]["sidecar.istio.io/inject"], "false");
    assert_eq!(pod["labels"]["kuma.io/sidecar-injection"], "disabled");
    assert_eq!(pod["labels"]["team"], "a");
    let annotations = json!({"consul.hashicorp.com/connect-inject": "false", "own": "b"});
    assert_eq!(pod["annotations"], annotations, "a null takes one away");
    let default = chart_objects(&json!({})).await;
    let job = find(&default, "Job", "acr-attach-uninstall-guard");
    let annotations = &job["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["linkerd.io/inject"], "disabled");
    let pod = &find(&default, "Deployment", "acr-attach")["spec"]["template"]["metadata"];
    assert_eq!(pod["labels"].get("sidecar.istio.io/inject"), None, "the operator's is the user's");
}

const GROUP: &str = "admissionregistration.k8s.io";

/// Adds a container to the pods of a namespace, but to those with the label by which Istio's webhook knows that
/// it must not.
fn injection(name: &str, namespace: &str) -> [Value; 2] {
    let api = format!("{GROUP}/v1");
    let proxy = "Object{spec: Object.spec{containers: [Object.spec.containers{name: 'istio-proxy', image: 'proxy'}]}}";
    let policy = json!({
        "apiVersion": api, "kind": "MutatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "objectSelector": {"matchExpressions": [
                    {"key": "sidecar.istio.io/inject", "operator": "NotIn", "values": ["false"]},
                ]},
                "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            },
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": proxy}}],
        },
    });
    let binding = json!({
        "apiVersion": api, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name},
    });
    [policy, binding]
}

#[tokio::test]
async fn the_guards_pod_has_one_container_where_a_mesh_injects_more() {
    let world = World::new().await;
    let namespace = world.namespace_with("mesh", json!({})).await;
    let name = format!("mesh-{}", world.id);
    for it in injection(&name, &namespace) {
        world.apply_object(&it, &PatchParams::apply("user")).await.unwrap();
    }
    let objects = chart_objects(&json!({})).await;
    let containers = async |kind: &str, name: &str| {
        let mut pod = pod_of(find(&objects, kind, name));
        pod["spec"].as_object_mut().unwrap().remove("serviceAccountName");
        pod["spec"]["serviceAccountName"] = "default".into();
        let pods: Api<Pod> = Api::namespaced(world.client.clone(), &namespace);
        let params = PostParams { dry_run: true, ..PostParams::default() };
        let created = pods.create(&params, &serde_json::from_value(pod).unwrap()).await.unwrap();
        created.spec.unwrap().containers.len()
    };
    // The API server hears of a policy a moment later.
    world
        .until("the mesh to inject into the operator's pod", || async {
            (containers("Deployment", "acr-attach").await == 2).then_some(())
        })
        .await;
    assert_eq!(containers("Job", "acr-attach-uninstall-guard").await, 1);
    for kind in ["MutatingAdmissionPolicyBinding", "MutatingAdmissionPolicy"] {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1", kind));
        let api: Api<DynamicObject> = Api::all_with(world.client.clone(), &resource);
        let it = api.get(&name).await.unwrap();
        api.delete(&it.name_any(), &DeleteParams::default()).await.unwrap();
    }
}

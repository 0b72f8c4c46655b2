//! What the chart and kustomize render, as a real API server judges it.

use acr_attach_core::api::RegistryAttachment;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Resource;
use kube::api::{Api, Patch, PatchParams, PostParams, ValidationDirective};
use kube::runtime::wait::Condition;
use kube::runtime::wait::conditions::is_crd_established;
use serde_json::{Value, json};

use crate::install::rendering::{find, image, objects, objects_of, read, ways};
use crate::support::World;
use crate::support::programs::{command, output, root, said};

/// Nothing is stored, and no unknown field is overlooked.
fn dry_run() -> PatchParams {
    let mut params = PatchParams::apply("helm").force().dry_run();
    params.field_validation = Some(ValidationDirective::Strict);
    params
}

pub async fn accept(world: &World, what: &str, objects: &[Value]) {
    let params = dry_run();
    for it in objects {
        let name = &it["metadata"]["name"];
        let answer = world.apply_object(it, &params).await;
        if let Err(error) = answer {
            panic!("{what}: {} {name}: {error}", it["kind"]);
        }
    }
}

/// Installs the Prometheus Operator's definitions, and waits until they are served.
async fn define_monitoring(world: &World) {
    let path = root().join("target/tools/crds/monitoring.yaml");
    let text = std::fs::read_to_string(path).expect("`make tools` writes it");
    let params = PatchParams::apply("user");
    let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    for it in objects(&text) {
        let applied = world.apply_object(&it, &params).await.unwrap();
        let name = applied.metadata.name.unwrap();
        world
            .until(&format!("{name} to be served"), || async {
                let it = definitions.get(&name).await.unwrap();
                is_crd_established().matches_object(Some(&it)).then_some(())
            })
            .await;
    }
}

#[tokio::test]
async fn the_api_server_takes_all_that_is_rendered() {
    let world = World::alone().await;
    define_monitoring(&world).await;
    let namespace = world.namespace();
    for way in ways() {
        accept(&world, &way, &objects_of(&way, &namespace, &json!({})).await).await;
    }
}

#[tokio::test]
async fn the_api_server_takes_every_overlay() {
    let world = World::new().await;
    let namespace = world.namespace();
    for overlay in ["aks", "elsewhere", "openshift"] {
        let mut kubectl = command("kubectl");
        let text =
            said(kubectl.args(["kustomize", &format!("deploy/overlays/{overlay}")]), "").await;
        let rendered = objects(&text);
        find(&rendered, "Namespace", "acr-attach-system");
        let deployment = find(&rendered, "Deployment", "acr-attach");
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "registry.example/acr-attach:0.1.0");
        let env = container["env"].as_array().unwrap();
        assert_eq!(env.iter().any(|it| it["name"] == "AZURE_CLIENT_ID"), overlay == "aks");
        assert!(env.iter().any(|it| it["name"] == "AZURE_FEDERATED_TOKEN_FILE"), "{env:?}");
        // The namespace of the overlay is not there in this cluster.
        let here: Vec<Value> = objects(&text.replace("acr-attach-system", &namespace));
        accept(&world, overlay, &here).await;
    }
}

#[tokio::test]
async fn pods_are_admitted_where_pod_security_is_restricted() {
    let world = World::new().await;
    let label = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let namespace = world.namespace_with("restricted", label).await;
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &namespace);
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let mut judged = 0;
    for way in ways() {
        for it in objects_of(&way, &namespace, &json!({})).await {
            if it["kind"] != "Deployment" && it["kind"] != "Job" {
                continue;
            }
            let mut pod = pod_of(&it);
            let account = pod["spec"]["serviceAccountName"].as_str().unwrap();
            put_account(&world, &namespace, account).await;
            let created = pods.create(&params, &serde_json::from_value(pod.clone()).unwrap()).await;
            let created = created.unwrap_or_else(|error| panic!("{way}: {error}"));
            // Nothing is mounted that is not asked for.
            let volumes = created.spec.unwrap().volumes.unwrap_or_default();
            assert!(!volumes.iter().any(|it| it.name.starts_with("kube-api-access-")));
            pod["spec"]["containers"][0]["securityContext"]["capabilities"] = json!({});
            let error = pods.create(&params, &serde_json::from_value(pod).unwrap()).await;
            let error = error.unwrap_err().to_string();
            assert!(error.contains("violates PodSecurity \"restricted"), "{error}");
            judged += 1;
        }
    }
    assert!(judged > ways().len(), "{judged} pods were judged");
}

/// A Deployment that violates Pod Security only draws a warning; its pods are refused.
pub fn pod_of(owner: &Value) -> Value {
    let template = owner["spec"]["template"].clone();
    let mut spec = template["spec"].clone();
    // Not part of the cluster here.
    spec.as_object_mut().unwrap().remove("priorityClassName");
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "judged", "labels": template["metadata"]["labels"]},
        "spec": spec,
    })
}

async fn put_account(world: &World, namespace: &str, name: &str) {
    let api: Api<ServiceAccount> = Api::namespaced(world.client.clone(), namespace);
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
    api.patch(name, &PatchParams::apply("user"), &Patch::Apply(&account)).await.unwrap();
}

/// The attachments in a text that are between the lines which feed them to kubectl.
fn fed(notes: &str) -> Vec<Value> {
    let parts = notes.split("<<EOF\n").skip(1);
    let text = parts.map(|it| it.split("\n  EOF").next().unwrap().replace("\n  ", "\n"));
    text.map(|it| serde_saphyr::from_str(it.trim()).unwrap()).collect()
}

/// What `helm install` prints, with ids in place of what the user has to fill in.
async fn notes(values: &Value) -> String {
    let mut helm = command("helm");
    helm.args(["install", "acr-attach", "charts/acr-attach", "--dry-run=client", "--values", "-"]);
    let text = said(&mut helm, &values.to_string()).await;
    let (_, notes) = text.split_once("\nNOTES:\n").unwrap();
    let id = "50000000-0000-4000-8000-000000000001";
    let notes =
        notes.replace("/subscriptions/…/", &format!("/subscriptions/{id}/resourceGroups/rg/"));
    notes.replace("Id: …", &format!("Id: {id}"))
}

#[tokio::test]
async fn the_notes_print_attachments_that_can_be_applied() {
    let world = World::new().await;
    let identity = json!({"auth": "managedIdentity"});
    let mut with = image();
    with["azure"] = identity;
    let mut named = image();
    named["pullSecrets"] = json!({"names": ["team"], "serviceAccounts": ["builder"]});
    let mut off = with.clone();
    off["pullSecrets"] = json!({"enabled": false});
    for (values, methods) in [
        (image(), &["PullSecret"][..]),
        (with, &["KubeletIdentity", "PullSecret"]),
        (named, &["PullSecret"]),
        (off, &["KubeletIdentity"]),
    ] {
        let notes = notes(&values).await;
        assert!(notes.contains("kubectl describe registryattachment contoso"), "{notes}");
        let attachments = fed(&notes);
        let told: Vec<_> = attachments.iter().map(|it| it["spec"]["method"].clone()).collect();
        assert_eq!(told, methods, "{notes}");
        for it in &attachments {
            world
                .apply_object(it, &dry_run())
                .await
                .unwrap_or_else(|error| panic!("{it}: {error}"));
        }
        if let Some(names) = values["pullSecrets"]["names"].as_array() {
            let secret = &attachments[0]["spec"]["pullSecret"];
            assert_eq!(
                (&secret["secretName"], &secret["serviceAccounts"][0]),
                (&names[0], &"builder".into())
            );
        }
    }
}

#[tokio::test]
async fn the_api_server_takes_every_sample_and_every_example() {
    let world = World::new().await;
    let folder = std::fs::read_dir(root().join("deploy/samples")).unwrap();
    let mut texts: Vec<_> =
        folder.map(|it| std::fs::read_to_string(it.unwrap().path()).unwrap()).collect();
    let chart: Value = serde_saphyr::from_str(&read("charts/acr-attach/Chart.yaml")).unwrap();
    let annotation = |name: &str| chart["annotations"][name].as_str().unwrap();
    let examples: Vec<Value> =
        serde_saphyr::from_str(annotation("artifacthub.io/crdsExamples")).unwrap();
    texts.extend(examples.iter().map(Value::to_string));
    let crds: Value = serde_saphyr::from_str(annotation("artifacthub.io/crds")).unwrap();
    let kind = RegistryAttachment::kind(&());
    assert_eq!(
        (&crds[0]["kind"], &crds[0]["version"]),
        (&kind.into(), &RegistryAttachment::version(&()).into())
    );
    let changes: Value = serde_saphyr::from_str(annotation("artifacthub.io/changes")).unwrap();
    assert!(changes[0]["description"].is_string());
    assert!(texts.len() > 5);
    for text in texts {
        for it in objects(&text) {
            world
                .apply_object(&it, &dry_run())
                .await
                .unwrap_or_else(|error| panic!("{it}: {error}"));
        }
    }
}

#[tokio::test]
async fn an_old_cluster_is_told_so() {
    let mut helm = command("helm");
    helm.args([
        "template",
        "charts/acr-attach",
        "--set",
        "image.repository=x",
        "--kube-version",
        "1.29",
    ]);
    let error = String::from_utf8(output(&mut helm, "").await.stderr).unwrap();
    assert!(error.contains("kubeVersion: >=1.30"), "{error}");
}

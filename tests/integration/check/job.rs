//! `deploy/check`: the check as a Job.

use super::*;
use crate::install::objects::{accept, pod_of};
use crate::install::rendering::{find, read};

#[tokio::test]
async fn the_job_is_accepted_where_pod_security_is_restricted() {
    let world = World::new().await;
    let label = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let namespace = world.namespace_with("restricted", label).await;
    let rendered = rendered(&namespace).await;
    accept(&world, "deploy/check", &rendered).await;
    let account = find(&rendered, "ServiceAccount", ACCOUNT);
    world.apply_object(account, &PatchParams::apply("user")).await.unwrap();
    let pod = pod_of(find(&rendered, "Job", ACCOUNT));
    assert_eq!(pod["spec"]["containers"][0]["image"], "registry.example/acr-attach:0.1.0");
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &namespace);
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let created = pods.create(&params, &serde_json::from_value(pod.clone()).unwrap()).await;
    let volumes = created.unwrap().spec.unwrap().volumes.unwrap_or_default();
    assert!(volumes.iter().any(|it| it.name.starts_with("kube-api-access-")), "no token");
    // It starts, as far as it can outside of a cluster.
    let arguments = pod["spec"]["containers"][0]["args"].as_array().unwrap();
    let arguments: Vec<_> = arguments.iter().map(|it| it.as_str().unwrap()).collect();
    let output = program(&arguments).output().await.unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("acr-attach: finding the cluster"), "{text}");
}

#[tokio::test]
async fn what_the_kustomization_offers_as_comments_fits_in() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["job.yaml", "rights.yaml", "kustomization.yaml"] {
        let text = read(&format!("deploy/check/{file}"));
        let offered = |it: &str| it.starts_with("  # - ") || it.starts_with("  #   ");
        let line = |it: &str| if offered(it) { it.replacen("# ", "", 1) } else { it.to_owned() };
        let text: Vec<_> = text.lines().map(line).collect();
        std::fs::write(folder.path().join(file), text.join("\n")).unwrap();
    }
    let text = said(command("kubectl").arg("kustomize").arg(folder.path()), "").await;
    let objects = objects(&text);
    let spec = &find(&objects, "Job", ACCOUNT)["spec"]["template"]["spec"];
    assert_eq!(spec["volumes"][0]["configMap"]["name"], "my-ca");
    let container = &spec["containers"][0];
    assert_eq!(container["volumeMounts"][0]["mountPath"], "/etc/acr-attach");
    assert_eq!(container["env"][0]["name"], "HTTPS_PROXY");
    assert_eq!(container["args"][1], "--registry=myregistry.azurecr.io");
}

#[tokio::test]
async fn the_job_is_accepted_where_a_quota_wants_limits() {
    let world = World::new().await;
    let namespace = world.namespace_with("limited", json!({})).await;
    let rendered = rendered(&namespace).await;
    let account = find(&rendered, "ServiceAccount", ACCOUNT);
    world.apply_object(account, &PatchParams::apply("user")).await.unwrap();
    let hard = json!({"limits.cpu": "1", "limits.memory": "1Gi", "requests.cpu": "1", "requests.memory": "1Gi"});
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "limits", "namespace": namespace}, "spec": {"hard": hard},
    });
    world.apply_object(&quota, &PatchParams::apply("user")).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &namespace);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let create = |pod: Value| {
        let (pods, dry_run) = (pods.clone(), dry_run.clone());
        async move { pods.create(&dry_run, &serde_json::from_value(pod).unwrap()).await }
    };
    let pod = pod_of(find(&rendered, "Job", ACCOUNT));
    let mut without = pod.clone();
    without["spec"]["containers"][0]["resources"]["limits"].as_object_mut().unwrap().remove("cpu");
    world
        .until("the quota", || async {
            let refused = create(without.clone()).await.err()?;
            refused.to_string().contains("must specify limits.cpu").then_some(())
        })
        .await;
    create(pod).await.unwrap();
}

#[tokio::test]
async fn the_job_runs_on_linux_under_whatever_user_id_the_namespace_has() {
    let rendered = rendered("apps").await;
    let spec = &find(&rendered, "Job", ACCOUNT)["spec"]["template"]["spec"];
    assert_eq!(spec["nodeSelector"], json!({"kubernetes.io/os": "linux"}));
    // OpenShift's restricted-v2 gives an id of the namespace's range, and refuses one that is set.
    for context in [&spec["securityContext"], &spec["containers"][0]["securityContext"]] {
        for id in ["runAsUser", "runAsGroup", "fsGroup", "supplementalGroups"] {
            assert_eq!(context[id], Value::Null, "{id}");
        }
    }
    assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
}

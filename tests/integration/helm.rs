//! The real helm installs, upgrades, rolls back and uninstalls the chart on a real API server. There is
//! no kubelet: the tests play it.

use std::time::Duration;

use acr_attach::api::REQUESTED_AT;
use control_plane::Cluster;
use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::world::World;
use crate::world::programs::{command, output, said};
use crate::world::secrets::{CLIENT_SECRET, with_puller};

const NAMESPACE: &str = "acr-attach-system";
const GUARD: &str = "acr-attach-uninstall-guard";

/// A kubelet that runs nothing: pods of Deployments turn ready as soon as they are there, and those
/// of the guard end as the program does under their service account.
struct Kubelet {
    cluster: Cluster,
    pods: Api<Pod>,
    folder: tempfile::TempDir,
}

impl Kubelet {
    async fn run(&self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        loop {
            ticks.tick().await;
            for pod in self.pods.list(&ListParams::default()).await.unwrap() {
                if pod.metadata.deletion_timestamp.is_some() {
                    let now = DeleteParams::default().grace_period(0);
                    // Somebody else may have been faster.
                    let _ = self.pods.delete(&pod.name_any(), &now).await;
                } else if pod
                    .status
                    .as_ref()
                    .is_some_and(|it| it.phase.as_deref() == Some("Pending"))
                {
                    self.start(&pod).await;
                }
            }
        }
    }

    async fn start(&self, pod: &Pod) {
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let arguments = container.args.clone().unwrap();
        let now = jiff::Timestamp::now().to_string();
        let mut status = json!({"name": container.name, "image": container.image, "imageID": "x", "restartCount": 0});
        let phase = if arguments[0] == "run" {
            status["ready"] = true.into();
            status["state"] = json!({"running": {"startedAt": now}});
            "Running"
        } else {
            let ended = self.guard(pod, &arguments).await;
            let code = ended.status.code().unwrap();
            let message = String::from_utf8_lossy(&ended.stderr);
            status["ready"] = false.into();
            status["state"] = json!({"terminated": {"exitCode": code, "message": message, "startedAt": now, "finishedAt": now}});
            if code == 0 { "Succeeded" } else { "Failed" }
        };
        let is = if phase == "Running" { "True" } else { "False" };
        let conditions: Vec<_> = ["Ready", "ContainersReady"]
            .map(|it| json!({"type": it, "status": is, "lastTransitionTime": now}))
            .into();
        let patch = json!({"status": {"phase": phase, "conditions": conditions, "containerStatuses": [status]}});
        // A pod may be gone by now.
        let _ = self
            .pods
            .patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
            .await;
    }

    /// The program with the arguments of the pod and the rights of its service account.
    async fn guard(&self, pod: &Pod, arguments: &[String]) -> std::process::Output {
        let account = pod.spec.as_ref().unwrap().service_account_name.clone().unwrap();
        let kubeconfig = self.cluster.service_account(NAMESPACE, &account).await.unwrap();
        let path = self.folder.path().join("guard.kubeconfig");
        std::fs::write(&path, serde_json::to_string(&kubeconfig).unwrap()).unwrap();
        let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_acr-attach"));
        program.args(arguments).env_clear().env("HOME", "/dev/null").env("KUBECONFIG", path);
        program.output().await.unwrap()
    }

    /// helm, for this cluster.
    fn helm(&self, arguments: &[&str]) -> Command {
        let mut helm = command("helm");
        helm.args(arguments).args(["--namespace", NAMESPACE, "--timeout", "60s"]);
        helm.env("KUBECONFIG", self.cluster.admin_kubeconfig());
        helm
    }

    async fn deployment(&self) -> Option<Deployment> {
        let api: Api<Deployment> = Api::namespaced(self.cluster.admin().await.unwrap(), NAMESPACE);
        api.get_opt("acr-attach").await.unwrap()
    }

    async fn runs_with(&self, flag: &str) -> bool {
        let spec = self.deployment().await.unwrap().spec.unwrap();
        let args = spec.template.spec.unwrap().containers.remove(0).args.unwrap();
        args.iter().any(|it| it == flag)
    }
}

const IMAGE: [&str; 2] = ["--set", "image.repository=registry.example/acr-attach"];
const INSTALL: [&str; 5] =
    ["install", "acr-attach", "charts/acr-attach", "--create-namespace", "--wait"];
const UPGRADE: [&str; 4] = ["upgrade", "acr-attach", "charts/acr-attach", "--wait"];

#[tokio::test]
async fn a_fresh_cluster_from_install_to_uninstall() {
    let mut world = World::fresh(|it| it.intervals.resync = SignedDuration::from_mins(30)).await;
    let pods = Api::namespaced(world.client.clone(), NAMESPACE);
    let folder = tempfile::tempdir().unwrap();
    let kubelet = Kubelet { cluster: world.cluster.clone(), pods, folder };
    tokio::select! {
        () = kubelet.run() => {}
        () = life(&mut world, &kubelet) => {}
    }
}

async fn life(world: &mut World, kubelet: &Kubelet) {
    let notes = said(kubelet.helm(&INSTALL).args(IMAGE), "").await;
    assert!(notes.contains("kubectl get registryattachments"), "{notes}");
    let ready = kubelet.deployment().await.unwrap().status.unwrap().ready_replicas;
    assert_eq!(ready, Some(2), "helm waited for both");
    people_may(world, false).await;
    let apps = both_methods_work(world).await;

    let changed =
        "controller.resync=15m,rbac.aggregateToEdit=true,pullSecrets.names={acr-pull,team}";
    said(kubelet.helm(&UPGRADE).args(IMAGE).args(["--set", changed]), "").await;
    assert!(kubelet.runs_with("--resync=15m").await);
    people_may(world, true).await;
    said(&mut kubelet.helm(&["rollback", "acr-attach", "1", "--wait"]), "").await;
    assert!(kubelet.runs_with("--resync=30m").await);
    people_may(world, false).await;

    the_guard_keeps_the_operator_while_something_is_held(world, kubelet).await;
    world.delete("a").await;
    world.until_gone("a").await;
    world.stop().await;
    said(&mut kubelet.helm(&["uninstall", "acr-attach", "--wait"]), "").await;
    assert!(kubelet.deployment().await.is_none());
    let jobs: Api<Job> = Api::namespaced(world.client.clone(), NAMESPACE);
    assert!(jobs.list(&ListParams::default()).await.unwrap().items.is_empty());
    // What holds nothing in Azure stays with its definition, and who comes back finds it.
    let before = world.secrets(&apps).get("acr-pull").await.unwrap();
    said(kubelet.helm(&INSTALL).args(IMAGE), "").await;
    world.start().await;
    world.patch("b", json!({"metadata": {"annotations": {REQUESTED_AT: "1"}}})).await;
    world
        .until("b to be looked at", || async {
            world.status("b").await.last_handled_reconcile_at.map(drop)
        })
        .await;
    world.until_ready("b").await;
    let after = world.secrets(&apps).get("acr-pull").await.unwrap();
    assert_eq!(before.metadata.resource_version, after.metadata.resource_version);
}

/// Attaches by both, under the service account and the rights that helm has made. The second holds
/// nothing but a Secret.
async fn both_methods_work(world: &mut World) -> String {
    world.azure.update(with_puller);
    world.put_client_secret(CLIENT_SECRET).await;
    let apps = world.namespace_with("apps", json!({})).await;
    let mut pulls = world.pull_spec(&json!({"names": [apps]}));
    pulls["pullSecret"]["serviceAccounts"] = json!([]);
    world.start().await;
    world.apply("a", world.spec()).await;
    world.apply("b", pulls).await;
    world.until_ready("a").await;
    world.until_ready("b").await;
    apps
}

async fn the_guard_keeps_the_operator_while_something_is_held(world: &World, kubelet: &Kubelet) {
    let refused = output(&mut kubelet.helm(&["uninstall", "acr-attach", "--wait"]), "").await;
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && error.contains(GUARD), "{error}");
    assert!(kubelet.deployment().await.is_some());
    let of_guard = ListParams::default().labels(&format!("job-name={GUARD}"));
    let [pod] = &kubelet.pods.list(&of_guard).await.unwrap().items[..] else { panic!("no pod") };
    let status = serde_json::to_value(&pod.status).unwrap();
    let message = status.pointer("/containerStatuses/0/state/terminated/message").unwrap();
    let message = message.as_str().unwrap();
    let [a, b] = ["a", "b"].map(|it| world.name(it));
    assert!(message.contains(&format!("{a} (role assignments in Azure)")), "{message}");
    assert!(!message.contains(&b), "{message}");
}

/// What people may do who are bound to the roles that every cluster has.
async fn people_may(world: &World, may_edit: bool) {
    for role in ["view", "edit", "admin"] {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("people-{role}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": role}],
        });
        world.apply_object(&binding, &PatchParams::apply("user")).await.unwrap();
    }
    let edits = ["create", "update", "patch", "delete", "deletecollection"];
    for (user, edits_too) in
        [("view", false), ("edit", may_edit), ("admin", may_edit), ("nobody", false)]
    {
        for verb in ["get", "list", "watch"] {
            until_may(world, user, verb, user != "nobody").await;
        }
        for verb in edits {
            until_may(world, user, verb, edits_too).await;
        }
    }
}

/// Waits, since roles are put together a moment later.
async fn until_may(world: &World, user: &str, verb: &str, allowed: bool) {
    let attributes =
        json!({"verb": verb, "group": "acr-attach.dev", "resource": "registryattachments"});
    let review: Value = json!({"spec": {"user": user, "resourceAttributes": attributes}});
    let review: SubjectAccessReview = serde_json::from_value(review).unwrap();
    let reviews: Api<SubjectAccessReview> = Api::all(world.client.clone());
    world
        .until(&format!("{user} may {verb} attachments: {allowed}"), || async {
            let answer = reviews.create(&PostParams::default(), &review).await.unwrap();
            (answer.status.unwrap().allowed == allowed).then_some(())
        })
        .await;
}

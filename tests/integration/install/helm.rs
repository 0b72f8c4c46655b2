//! The real helm installs, upgrades, rolls back and uninstalls the chart on a real API server, as README
//! tells. What its pods run are processes under the pods' own service accounts.

use acr_attach_core::api::REQUESTED_AT;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{Api, ListParams, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::World;
use crate::support::programs::{output, said};
use crate::support::release::{NAMESPACE, Release};

const GUARD: &str = "acr-attach-uninstall-guard";
const CHART: &str = "charts/acr-attach";
/// As in README.
const FIRST: &[&str] = &["--create-namespace"];

async fn runs_with(release: &Release, flag: &str) -> bool {
    let spec = release.deployment().await.unwrap().spec.unwrap();
    let args = spec.template.spec.unwrap().containers.remove(0).args.unwrap();
    args.iter().any(|it| it == flag)
}

#[tokio::test]
async fn a_fresh_cluster_from_install_to_uninstall() {
    let mut world = World::fresh(|_| {}).await;
    let release = Release::new(&world).await;
    // Pods start before the API server has heard of their rights.
    world.expect_refusals().await;
    release.kubelet.during(life(&world, &release)).await;
}

async fn life(world: &World, release: &Release) {
    let notes = said(&mut release.apply("install", CHART, FIRST), "").await;
    assert!(notes.contains("kubectl get registryattachments"), "{notes}");
    let ready = release.deployment().await.unwrap().status.unwrap().ready_replicas;
    assert_eq!(ready, Some(2), "helm waited for both");
    release.quick_starts().await;
    people_may(world, false).await;

    let changed =
        "controller.resync=15m,rbac.aggregateToEdit=true,pullSecrets.names={acr-pull,team}";
    said(&mut release.apply("upgrade", CHART, &["--set", changed]), "").await;
    assert!(runs_with(release, "--resync=15m").await);
    people_may(world, true).await;
    said(&mut release.helm("rollback acr-attach 1 --wait"), "").await;
    assert!(runs_with(release, "--resync=30m").await);
    people_may(world, false).await;

    the_guard_keeps_the_operator_while_something_is_held(world, release).await;
    what_holds_nothing_stays(world, release).await;
}

async fn the_guard_keeps_the_operator_while_something_is_held(world: &World, release: &Release) {
    let refused = output(&mut release.helm("uninstall acr-attach --wait"), "").await;
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && error.contains(GUARD), "{error}");
    assert!(release.deployment().await.is_some());
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), NAMESPACE);
    let of_guard = ListParams::default().labels(&format!("job-name={GUARD}"));
    let [pod] = &pods.list(&of_guard).await.unwrap().items[..] else { panic!("no pod") };
    let status = serde_json::to_value(&pod.status).unwrap();
    let message = status.pointer("/containerStatuses/0/state/terminated/message").unwrap();
    let message = message.as_str().unwrap();
    assert!(message.contains("contoso (role assignments in Azure)"), "{message}");
    assert!(message.contains("contoso-pull (entries in service accounts)"), "{message}");
    // Helm takes a release whose uninstall failed for one that is going; rolling back keeps it.
    said(&mut release.helm("rollback acr-attach 3 --wait"), "").await;
    said(&mut release.apply("upgrade", CHART, &[]), "").await;
}

/// An attachment that holds Secrets alone, and so hinders nobody.
async fn what_holds_nothing_stays(world: &World, release: &Release) {
    let keep = r#"{"spec":{"pullSecret":{"serviceAccounts":[]}}}"#;
    let patch = "patch registryattachment contoso-pull --type merge --patch";
    release.say(&format!("{patch} {keep}")).await;
    release.say("delete registryattachment contoso --timeout=60s").await;
    let attachments = world.attachments();
    world
        .until("contoso-pull to hold nothing", || async {
            let it = attachments.get("contoso-pull").await.unwrap();
            it.metadata.finalizers.unwrap_or_default().is_empty().then_some(())
        })
        .await;
    said(&mut release.helm("uninstall acr-attach --wait"), "").await;
    assert!(release.deployment().await.is_none());
    let jobs: Api<Job> = Api::namespaced(world.client.clone(), NAMESPACE);
    assert!(jobs.list(&ListParams::default()).await.unwrap().items.is_empty());
    assert_eq!(world.pull_assignments().len(), 1, "only the samples' service principal is left");

    // It stays with its definition, and who comes back finds it.
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), "awesomeapps");
    let before = secrets.get("acr-pull").await.unwrap();
    said(&mut release.apply("install", CHART, FIRST), "").await;
    release.say(&format!("annotate registryattachment contoso-pull {REQUESTED_AT}=1")).await;
    world
        .until("contoso-pull to be looked at", || async {
            let it = attachments.get("contoso-pull").await.unwrap();
            it.status?.last_handled_reconcile_at.map(drop)
        })
        .await;
    release.say("wait --for=condition=Ready registryattachment/contoso-pull --timeout=60s").await;
    let after = secrets.get("acr-pull").await.unwrap();
    assert_eq!(before.metadata.resource_version, after.metadata.resource_version);
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

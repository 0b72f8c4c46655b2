//! From the version before this one to this one and back, with live attachments of both methods: nothing
//! that they hold is touched.

use acr_attach_core::api::{REQUESTED_AT, RegistryAttachment};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};

use crate::support::programs::said;
use crate::support::release::Release;
use crate::support::{World, find};

/// The chart of the version before.
const BEFORE: &str = "tests/upgrade/acr-attach-0.1.0.tgz";
const NOW: &str = "charts/acr-attach";

/// What attachments hold in the cluster and in Azure.
#[derive(Debug, PartialEq)]
struct Held {
    secret: Option<String>,
    account: Option<String>,
    azure_writes: usize,
}

async fn held(world: &World) -> Held {
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), "awesomeapps");
    let accounts: Api<ServiceAccount> = Api::namespaced(world.client.clone(), "awesomeapps");
    Held {
        secret: secrets.get("acr-pull").await.unwrap().metadata.resource_version,
        account: accounts.get("default").await.unwrap().metadata.resource_version,
        azure_writes: world.azure_writes(),
    }
}

/// Waits until the operator that runs now has looked at both.
async fn look_again(world: &World, release: &Release, token: &str) {
    let asked = format!("annotate registryattachment --all --overwrite {REQUESTED_AT}={token}");
    release.say(&asked).await;
    for name in ["contoso", "contoso-pull"] {
        world
            .until(&format!("{name} to be looked at for {token}"), || async {
                let it = world.attachments().get(name).await.unwrap();
                (it.status?.last_handled_reconcile_at? == token).then_some(())
            })
            .await;
    }
}

/// What the pods run. Helm has waited until there are no others.
async fn image(release: &Release) -> String {
    let spec = release.deployment().await.unwrap().spec.unwrap().template.spec.unwrap();
    spec.containers[0].image.clone().unwrap()
}

/// Watches for ever; panics when Ready is anything but True. Where the definition changes, the API
/// server refuses the watch for a moment (429), and it begins anew.
async fn always_ready(world: &World) {
    let attachments: Api<RegistryAttachment> = world.attachments();
    let watch = watcher(attachments, watcher::Config::default()).default_backoff();
    let mut seen = watch.applied_objects().boxed();
    while let Some(it) = seen.next().await {
        let Ok(it) = it else { continue };
        let status = it.status.unwrap_or_default();
        let ready = find(&status, "Ready").map(|it| it.0);
        assert_eq!(ready, Some("True"), "{:?}: {:?}", it.metadata.name, status.conditions);
    }
}

#[tokio::test]
async fn to_this_version_and_back_nothing_changes() {
    let mut world = World::fresh(|_| {}).await;
    let release = Release::new(&world).await;
    // Pods start before the API server has heard of their rights.
    world.expect_refusals().await;
    let story = async {
        said(&mut release.apply("install", BEFORE, &["--set", "image.tag=before"]), "").await;
        release.quick_starts().await;
        look_again(&world, &release, "installed").await;
        let before = held(&world).await;
        let there_and_back = async {
            said(&mut release.apply("upgrade", NOW, &[]), "").await;
            look_again(&world, &release, "upgraded").await;
            assert_eq!(held(&world).await, before);
            // Other pods did that: these have the image of the version after.
            assert!(!image(&release).await.ends_with(":before"));
            said(&mut release.helm("rollback acr-attach 1 --wait"), "").await;
            look_again(&world, &release, "rolled-back").await;
            assert_eq!(held(&world).await, before);
            assert!(image(&release).await.ends_with(":before"));
        };
        tokio::select! {
            () = there_and_back => {}
            () = always_ready(&world) => panic!("the watch has ended"),
        }
        release.say("delete registryattachments --all --timeout=120s").await;
        said(&mut release.helm("uninstall acr-attach --wait"), "").await;
    };
    release.kubelet.during(story).await;
}

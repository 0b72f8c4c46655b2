//! Argo CD, by its own code: what it syncs, what it finds to sync, and its actions.

use std::path::{Path, PathBuf};

use kube::ResourceExt;
use serde_json::Value;

use crate::gitops::both::{Git, SCRIPTS, argocd};
use crate::support::World;
use crate::support::secrets::with_puller;

#[tokio::test]
async fn argocd_finds_nothing_to_sync_and_its_actions_work() {
    // The samples choose namespaces by labels that other tests may use.
    let mut world = World::alone_with(with_puller, |_| {}).await;
    world.start().await;
    let git = Git::of(&world).await;
    for side in ["client", "server"] {
        let samples = samples(side);
        let names: Vec<_> = samples.iter().map(|(name, _)| name.as_str()).collect();
        let all: Vec<_> = samples.iter().map(|(name, spec)| (&**name, spec.clone())).collect();
        let file = git.commit(&world, &format!("{side}.yaml"), &all);
        argocd(&world, &["apply", &file, side]).await;
        world.until_ready(&format!("kubelet-identity-0-{side}")).await;
        for name in names {
            world
                .until(&format!("{name} to be looked at"), || async {
                    (world.status(name).await.observed_generation == Some(1)).then_some(())
                })
                .await;
        }
        argocd(&world, &["diff", &file, side]).await;
    }
    let name = world.name("kubelet-identity-0-server");
    argocd(&world, &["act", &name, "reconcile", SCRIPTS]).await;
    world
        .until("the request to be handled", || async {
            let object = world.attachments().get(&name).await.unwrap();
            let asked = object.annotations().get(acr_attach_core::api::REQUESTED_AT).cloned();
            let handled = object.status.and_then(|it| it.last_handled_reconcile_at);
            (asked.is_some() && asked == handled).then_some(())
        })
        .await;
    for (action, suspended) in [("suspend", true), ("resume", false)] {
        argocd(&world, &["act", &name, action, SCRIPTS]).await;
        let object = world.stored().get(&name).await.unwrap();
        assert_eq!(object.data["spec"]["suspend"], suspended, "{action}");
    }
    git.judged(&world, &[]).await;
}

/// The specs of all samples, with names of their own.
fn samples(side: &str) -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/samples");
    let mut samples = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let documents = serde_saphyr::from_multiple::<Value>(&text).unwrap();
        let attachments = documents.into_iter().filter(|it| it["kind"] == "RegistryAttachment");
        for (number, mut it) in attachments.enumerate() {
            samples.push((format!("{stem}-{number}-{side}"), it["spec"].take()));
        }
    }
    samples
}

#[test]
fn the_settings_for_argocd_hold_the_scripts() {
    let read = |path: &str| std::fs::read_to_string(PathBuf::from(SCRIPTS).join(path)).unwrap();
    let indented = |text: &str, by: usize| {
        let pad = " ".repeat(by);
        let lines =
            text.lines().map(|it| if it.is_empty() { String::new() } else { format!("{pad}{it}") });
        lines.collect::<Vec<_>>().join("\n")
    };
    let actions = ["reconcile", "suspend", "resume"].map(|name| {
        let script = indented(&read(&format!("actions/{name}/action.lua")), 8);
        format!("    - name: {name}\n      action.lua: |\n{script}\n")
    });
    let settings = format!(
        "# What Argo CD needs to know of RegistryAttachment. Written by `UPDATE_EXPECT=1 make test` from the
# scripts beside it. It adds to what argocd-cm holds:
#   kubectl apply --server-side --namespace argocd --filename deploy/argocd/argocd-cm.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  labels:
    app.kubernetes.io/name: argocd-cm
    app.kubernetes.io/part-of: argocd
data:
  resource.customizations.health.acr-attach.dev_RegistryAttachment: |
{}
  resource.customizations.actions.acr-attach.dev_RegistryAttachment: |
    discovery.lua: |
{}
    definitions:
{}",
        indented(&read("health.lua"), 4),
        indented(&read("actions/discovery.lua"), 6),
        actions.concat(),
    );
    expect_test::expect_file!["../../../deploy/argocd/argocd-cm.yaml"].assert_eq(&settings);
}

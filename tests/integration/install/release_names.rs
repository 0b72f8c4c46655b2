//! The definition stays when a release is uninstalled, and bears that release's name: who installs under
//! another name or namespace finds the way out in docs/operations.md.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, PatchParams, PostParams};
use serde_json::json;
use tokio::process::Command;

use crate::support::World;
use crate::support::programs::{command, output, said};

const PAGE: &str = "docs/operations.md";
const HEADING: &str = "### Another release name or namespace";
const DEFINITION: &str = "registryattachments.acr-attach.dev";

struct Helm<'a>(&'a World);

impl Helm<'_> {
    fn run(&self, words: &str) -> Command {
        let mut helm = command("helm");
        helm.args(words.split_whitespace()).env("KUBECONFIG", self.0.cluster.admin_kubeconfig());
        helm
    }

    /// `helm install` of the chart. Nothing waits for pods: there is no node.
    fn install(&self, release: &str, namespace: &str, flags: &str) -> Command {
        self.run(&format!(
            "install {release} charts/acr-attach --namespace {namespace} --create-namespace --set image.repository=registry.example/acr-attach {flags}"
        ))
    }

    /// Without the guard, whose pod would not run either.
    async fn uninstall(&self, release: &str, namespace: &str) {
        let words = format!("uninstall {release} --namespace {namespace} --no-hooks");
        said(&mut self.run(&words), "").await;
    }

    /// What Helm says of a definition that is another's.
    async fn is_refused(&self, release: &str, namespace: &str) {
        let output = output(&mut self.install(release, namespace, ""), "").await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && error.contains("invalid ownership metadata"),
            "{error}"
        );
        assert!(error.contains(DEFINITION), "{error}");
    }

    /// The commands of the page, for that release.
    async fn hand_over(&self, release: &str, namespace: &str) {
        let page = crate::repository::documents::read(PAGE);
        let (_, text) = page.split_once(&format!("{HEADING}\n")).unwrap();
        let blocks = text.split("```sh\n").skip(1).map(|it| it.split("```").next().unwrap());
        let block = blocks.into_iter().find(|it| it.starts_with("kubectl label")).unwrap();
        let block = block.replace("\\\n", " ");
        let block = block.replace("<release>", release).replace("<namespace>", namespace);
        for line in block.lines() {
            let words = line.strip_prefix("kubectl ").unwrap();
            let mut kubectl = command("kubectl");
            kubectl.args(words.split_whitespace());
            said(kubectl.env("KUBECONFIG", self.0.cluster.admin_kubeconfig()), "").await;
        }
    }
}

#[tokio::test]
async fn the_definition_is_handed_over_to_another_release() {
    let world = World::fresh(|_| {}).await;
    let helm = Helm(&world);
    said(&mut helm.install("first", "one", ""), "").await;
    let attachment = json!({
        "apiVersion": "acr-attach.dev/v1alpha1", "kind": "RegistryAttachment",
        "metadata": {"name": "contoso"}, "spec": world.spec(),
    });
    // The API server serves a definition a moment after it is there.
    let applied = async || {
        let params = PatchParams::apply("user");
        let what = "the attachment to be stored";
        world
            .until(what, || async {
                world.apply_object(&attachment, &params).await.ok()?.metadata.uid
            })
            .await
    };
    let uid = applied().await;
    helm.uninstall("first", "one").await;

    // Another name, in one step.
    helm.is_refused("second", "two").await;
    said(&mut helm.install("second", "two", "--take-ownership"), "").await;
    helm.uninstall("second", "two").await;

    // The same name in another namespace, for Helm before 3.17.
    helm.is_refused("second", "three").await;
    helm.hand_over("second", "three").await;
    said(&mut helm.install("second", "three", ""), "").await;
    helm.uninstall("second", "three").await;

    // One that kustomize or kubectl has applied bears nothing of Helm's.
    let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    let mut definition = definitions.get(DEFINITION).await.unwrap();
    definition.metadata.annotations = None;
    definition.metadata.labels = None;
    definitions.replace(DEFINITION, &PostParams::default(), &definition).await.unwrap();
    helm.is_refused("third", "one").await;
    helm.hand_over("third", "one").await;
    said(&mut helm.install("third", "one", ""), "").await;

    assert_eq!(applied().await, uid, "the attachment has been there all the time");
}

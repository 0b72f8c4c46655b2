//! `acr-attach check`, run in a namespace as docs/check.md tells: `deploy/check` with its values edited.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::ListParams};

use crate::{
    azure::Image,
    bed::{Bed, OPERATOR_IMAGE, OPERATOR_TAG},
    terminal::{say_lines, say_seen},
};

/// Where the files are that a user edits.
const FILES: &str = "deploy/check";
/// The lines of the files that are edited.
const EDITED: [&str; 5] = [
    "namespace: apps",
    "newName: registry.example/acr-attach",
    "newTag: 0.1.0",
    "- --registry=myregistry.azurecr.io",
    "- --image=team/app:v1",
];

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    /// The namespace of the pods in question.
    pub namespace: &'a str,
    /// The image.
    pub image: Image,
}

impl Check<'_> {
    /// Runs it, says what it says, and takes it away.
    ///
    /// # Errors
    /// When it ends with another code, or does not say that.
    pub async fn expect(self, bed: &Bed, code: i32, text: &str) -> Result<()> {
        let Self { namespace, image } = self;
        say_seen(format_args!("check of {image} in namespace {namespace}:"));
        let folder = self.edit(&bed.folder)?;
        let (report, ended) = self.run(bed, &folder).await?;
        say_lines(&format!("{}\nexit code {ended}", told(&report, ended == 0)));
        let is_so = ended == code && report.contains(text);
        ensure!(is_so, "not exit code {code} with `{text}`, but {ended}:\n{report}");
        Ok(())
    }

    async fn run(self, bed: &Bed, folder: &Path) -> Result<(String, i32)> {
        let (namespace, folder) = (self.namespace, folder.display());
        let ca = bed.folder.join("azure-ca.crt");
        let ca = format!(
            "kubectl create configmap my-ca --namespace {namespace} --from-file=ca.pem={}",
            ca.display()
        );
        bed.commands.quietly(&ca).await?;
        bed.commands.quietly(&format!("kubectl apply -k {folder}")).await?;
        let ended = "--for=jsonpath={.status.conditions[0].type} --timeout=120s";
        let job = format!("--namespace {namespace} job/acr-attach-check");
        bed.commands.quietly(&format!("kubectl wait {ended} {job}")).await?;
        let report = bed.commands.quietly(&format!("kubectl logs {job}")).await?;
        let code = exit_code(&bed.client, namespace).await?;
        // The next one's pod is not to be taken for this one's.
        let delete = format!("kubectl delete -k {folder} --cascade=foreground");
        bed.commands.quietly(&delete).await?;
        let ca = format!("kubectl delete configmap my-ca --namespace {namespace}");
        bed.commands.quietly(&ca).await?;
        Ok((report, code))
    }

    /// Edits a copy of the files as docs/check.md tells.
    fn edit(self, within: &Path) -> Result<PathBuf> {
        let Self { namespace, image } = self;
        let Image { registry, repository, tag } = image;
        let folder = within.join("check");
        fs::create_dir_all(&folder)?;
        let edits = [
            format!("namespace: {namespace}"),
            format!("newName: {OPERATOR_IMAGE}"),
            format!("newTag: {OPERATOR_TAG}"),
            format!("- --registry={registry}"),
            format!(
                "- --image={repository}:{tag}\n                  - --ca-file=/etc/acr-attach/ca.pem"
            ),
        ];
        let mut left: Vec<_> = EDITED.into_iter().zip(edits).collect();
        for name in ["kustomization.yaml", "job.yaml", "rights.yaml"] {
            let mut text = fs::read_to_string(Path::new(FILES).join(name))?;
            if name == "kustomization.yaml" {
                text = with_certificate(&text).context("it shows no patch for a certificate")?;
            }
            left.retain(|(line, edited)| {
                let is_here = text.contains(line);
                text = text.replace(line, edited);
                !is_here
            });
            fs::write(folder.join(name), text)?;
        }
        ensure!(left.is_empty(), "{FILES} has no line {}", left[0].0);
        Ok(folder)
    }
}

/// What one looks for in a report: the credential that works, or the step that failed with its way out.
fn told(report: &str, is_well: bool) -> String {
    let is_told = |line: &&str| match line.split_whitespace().next() {
        Some("ok") => is_well && line.contains(" credential "),
        Some("skipped") | None => false,
        Some(_) => !is_well,
    };
    // Without its columns, which need more room.
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    report.lines().skip(1).filter(is_told).map(words).collect::<Vec<_>>().join("\n")
}

/// Takes the comment marks from the patch that mounts a certificate, the first of two.
fn with_certificate(text: &str) -> Option<String> {
    let (begin, end) = ("  # - patch: |", "  # Where the registry is behind a proxy");
    let (before, rest) = text.split_once(begin)?;
    let (patch, after) = rest.split_once(end)?;
    Some([before, "  - patch: |", &patch.replace("  # ", "  "), end, after].concat())
}

async fn exit_code(client: &Client, namespace: &str) -> Result<i32> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let label = ListParams::default().labels("app.kubernetes.io/component=check");
    let pods = pods.list(&label).await?.items;
    let status = pods.first().and_then(|it| it.status.as_ref()?.container_statuses.as_ref());
    let ended = status.and_then(|it| it.first()?.state.as_ref()?.terminated.as_ref());
    Ok(ended.context("the check has not ended")?.exit_code)
}

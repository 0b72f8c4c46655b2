//! What the operator works with: a real control plane and a simulated Azure that know of it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use control_plane::{ControlPlane, Options};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind},
};
use tokio::process::Command;

use crate::{
    Flags,
    azure::Azure,
    kubectl::Kubectl,
    rights::{FILES, rights},
    terminal::say_done,
};

/// What `kubectl get` takes for an attachment's own words.
const MESSAGE: &str = r#"{.status.conditions[?(@.type=="Ready")].message}"#;

/// A control plane and an Azure.
pub struct World {
    /// The control plane. Its folder holds the demo's files too, so that they go with it.
    pub plane: ControlPlane,
    /// Azure.
    pub azure: Azure,
    /// kubectl for that control plane.
    pub kubectl: Kubectl,
    /// A client with the administrator's rights.
    pub client: Client,
}

impl World {
    /// Starts both, and gives the operator's service account its rights.
    ///
    /// # Errors
    /// When something is missing or does not start.
    pub async fn start(flags: &Flags) -> Result<Self> {
        if let Some(missing) = FILES.iter().find(|it| !Path::new(it).is_file()) {
            bail!("there is no {missing} here; start the demo in the root of the repository");
        }
        let options = Options::from_env()?;
        let program = options.program("kubectl")?;
        let start = Instant::now();
        let definition = definition(&flags.operator).await?;
        say_done("RegistryAttachment defined by `acr-attach crd`", start);

        let start = Instant::now();
        let options = Options { crds: vec![definition], ..options };
        let plane = ControlPlane::start(&options).await.context("no control plane")?;
        let version = plane.cluster().version().await?;
        let client = plane.cluster().admin().await?;
        say_done(&format!("control plane {version} ready"), start);

        let start = Instant::now();
        let folder = plane.cluster().dir();
        let azure = Azure::start(plane.cluster(), flags.azure_latency);
        let azure = azure.await.context("no simulated Azure")?;
        say_done("simulated Azure ready", start);

        let start = Instant::now();
        let cache = folder.join("kubectl-cache");
        let kubectl = Kubectl::new(program, plane.admin_kubeconfig(), cache);
        let world = Self { plane, azure, kubectl, client };
        world.grant_rights().await.context("the operator was not given its rights")?;
        say_done("rights of deploy/base given to the operator", start);
        Ok(world)
    }

    /// Writes a file that goes when the control plane goes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.plane.cluster().dir().join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// The attachments, as the API server stores them.
    pub fn attachments(&self) -> Api<DynamicObject> {
        attachments(self.client.clone())
    }

    /// Applies a sample and waits until its attachment is Ready.
    ///
    /// # Errors
    /// When it does not turn Ready.
    pub async fn apply(&self, sample: &str, name: &str) -> Result<()> {
        self.kubectl.show(&format!("apply -f {sample}")).await?;
        let wait = format!("wait regatt/{name} --for=condition=Ready --timeout=60s");
        let outcome = self.kubectl.show(&wait).await;
        if outcome.is_err() {
            // It says why; when it cannot be had, the first error says enough.
            let _ = self.show_message(name).await;
        }
        outcome.with_context(|| format!("attachment {name} did not turn Ready"))
    }

    /// Shows what an attachment says of itself.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn show_message(&self, name: &str) -> Result<()> {
        self.kubectl.show(&format!("get regatt {name} -o jsonpath='{MESSAGE}'")).await
    }

    async fn grant_rights(&self) -> Result<()> {
        let texts = FILES
            .iter()
            .map(|file| fs::read_to_string(file).with_context(|| format!("cannot read {file}")));
        let rights = rights(&texts.collect::<Result<Vec<_>>>()?)?;
        let rights = self.write("rights.json", &rights.to_string())?;
        self.kubectl.run(&format!("apply -f {}", rights.display())).await?;
        Ok(())
    }

    /// Ends both and waits until nothing is left.
    ///
    /// # Errors
    /// When something is left.
    pub async fn stop(self) -> Result<()> {
        drop(self.azure);
        Ok(self.plane.stop().await?)
    }
}

/// The attachments of a cluster.
pub fn attachments(client: Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("acr-attach.dev", "v1alpha1", "RegistryAttachment");
    let resource = ApiResource::from_gvk_with_plural(&kind, "registryattachments");
    Api::all_with(client, &resource)
}

/// The custom resource definition, as the operator prints it.
async fn definition(operator: &Path) -> Result<String> {
    let name = operator.display();
    let output = Command::new(operator).arg("crd").kill_on_drop(true).output().await;
    let output = output.with_context(|| format!("cannot run {name}; `make demo` builds it"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{name} crd` ended with {}: {}", output.status, said.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{name} crd` printed no text"))
}

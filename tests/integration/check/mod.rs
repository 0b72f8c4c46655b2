//! `acr-attach check` as a process, under the rights of `deploy/check`, through the proxy of a simulated Azure:
//! what it says in each state, and how it ends.

mod attached;
mod image;
mod job;
mod node_identity;
mod pull_secrets;
mod registry;
mod users;

use acr_attach_core::spec::repositories::Repositories;
use azure_sim::model::{
    ACR_PULL, DEFAULT_TENANT, FirewallAnswer, LegacyRoleCheck, NetworkDefaultAction, OutsideRights,
    Principal, REPOSITORY_READER, Registry, Repository, RoleAssignmentMode, Tag,
};
use azure_sim::{Call, Effect, Fault, Model};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use control_plane::Cluster;
use k8s_openapi::api::core::v1::{Pod, Secret, ServiceAccount};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::install::rendering::objects;
use crate::support::programs::{command, said};
use crate::support::replica::program;
use crate::support::secrets::{CLIENT_SECRET, SERVER, puller, with_puller};
use crate::support::{World, in_time};

const ACCOUNT: &str = "acr-attach-check";
const TOKEN_USER: &str = "00000000-0000-0000-0000-000000000000";
/// No log may hold it.
const WRONG: &str = "marker-of-a-wrong-secret";

/// What `kubectl kustomize` makes of `deploy/check`, for another namespace.
async fn rendered(namespace: &str) -> Vec<Value> {
    let text = said(command("kubectl").args(["kustomize", "deploy/check"]), "").await;
    assert!(text.contains("namespace: apps"), "{text}");
    objects(&text.replace("namespace: apps", &format!("namespace: {namespace}")))
}

/// An Azure with the service principal and image `app:v1`.
fn with_image(azure: &mut Model) {
    with_puller(azure);
    let tags = vec![Tag { name: "v1".into(), ..Tag::default() }];
    registry(azure).repositories.push(Repository { name: "app".into(), tags });
}

fn registry(azure: &mut Model) -> &mut Registry {
    azure.registry_mut("contoso").unwrap()
}

/// Lets instance metadata speak for an identity.
fn on_host(azure: &mut Model, object_id: &str) {
    azure.principals.iter_mut().find(|it| it.object_id == object_id).unwrap().on_host = true;
}

/// A managed identity of the node with that role.
fn node(azure: &mut Model, name: &str, role: Option<&str>) -> Principal {
    let node = azure.managed_identity(name).on_host().add();
    let id = azure.find_registry("contoso").unwrap().id();
    if let Some(role) = role {
        azure.assign(&node, role, &id);
    }
    node
}

/// Switches the registry to repository permissions, and lets the service principal pull `app`
/// alone.
fn abac(azure: &mut Model) {
    registry(azure).role_assignment_mode = RoleAssignmentMode::AbacRepositoryPermissions;
    let (puller, id) = (puller(azure), azure.find_registry("contoso").unwrap().id());
    azure.assign(&puller, REPOSITORY_READER, &id);
    let assignment = azure.role_assignments.last_mut().unwrap();
    assignment.condition = Repositories::new(["app".to_owned()]).unwrap().condition();
    assignment.condition_version = Some("2.0".into());
}

/// A world, and a namespace in it in which the check has exactly the rights of `deploy/check`.
struct Bench {
    world: World,
    namespace: String,
}

/// What a check has said.
struct Checked {
    code: i32,
    text: String,
}

impl Bench {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(model: impl FnOnce(&mut Model)) -> Self {
        let change = |azure: &mut Model| {
            with_image(azure);
            model(azure);
        };
        Self::of(World::with(change, |_| {}).await).await
    }

    async fn of(world: World) -> Self {
        let namespace = world.namespace_with("apps", json!({})).await;
        world.until_account(&namespace).await;
        for it in rendered(&namespace).await.iter().filter(|it| it["kind"] != "Job") {
            world.apply_object(it, &PatchParams::apply("user")).await.unwrap();
        }
        let as_check = world.acting_as(&user(&namespace)).await;
        let accounts: Api<ServiceAccount> = Api::namespaced(as_check.clone(), &namespace);
        let secrets: Api<Secret> = Api::namespaced(as_check, &namespace);
        world
            .until("the rights of the check", || async {
                let account = accounts.get_opt("default").await;
                (account.is_ok() && secrets.get_opt("acr-pull").await.is_ok()).then_some(())
            })
            .await;
        Self { world, namespace }
    }

    /// Puts a pull secret of that type and names it in the service account.
    async fn pull_secret(&self, secret_type: &str, config: &Value) {
        let key = secret_type.replace("kubernetes.io/", ".");
        let manifest = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "acr-pull"},
            "type": secret_type, "stringData": {key: config.to_string()},
        });
        let secrets = self.world.secrets(&self.namespace);
        let params = PatchParams::apply("user").force();
        secrets.patch("acr-pull", &params, &Patch::Apply(&manifest)).await.unwrap();
        self.world.set_pull_secrets_of(&self.namespace, "default", &["acr-pull"]).await;
    }

    async fn login(&self, user: &str, password: &str) {
        let auth = STANDARD.encode(format!("{user}:{password}"));
        let config = json!({"auths": {SERVER: {"auth": auth}}});
        self.pull_secret("kubernetes.io/dockerconfigjson", &config).await;
    }

    fn client(&self) -> String {
        self.world.azure.read(|azure| puller(azure).client_id.unwrap())
    }

    /// The program with those arguments, in this namespace.
    async fn program(&self, folder: &tempfile::TempDir, arguments: &[&str]) -> Command {
        let account = self.world.cluster.service_account(&self.namespace, ACCOUNT).await.unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, serde_json::to_string(&account).unwrap()).unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, self.world.azure.ca_pem()).unwrap();
        let mut command = program(&["check"]);
        command
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .env("POD_NAMESPACE", &self.namespace)
            .env("ACR_ATTACH_CHECK_REGISTRY", SERVER)
            .env("ACR_ATTACH_CA_FILE", ca)
            .env("HTTPS_PROXY", self.world.azure.proxy_url())
            .env("HTTP_PROXY", self.world.azure.proxy_url());
        command
    }

    async fn check(&self, arguments: &[&str]) -> Checked {
        let folder = tempfile::tempdir().unwrap();
        self.outcome(self.program(&folder, arguments).await).await
    }

    async fn outcome(&self, mut command: Command) -> Checked {
        let output = in_time("the check to end", command.output()).await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
        for secret in [CLIENT_SECRET, WRONG, "eyJ"] {
            assert!(!text.contains(secret), "a secret is told: {text}");
        }
        Checked { code: output.status.code().unwrap(), text }
    }

    /// No call of the check to the API server but reads by name, all of them allowed.
    fn asked_nothing_more(&self) {
        let calls = self.world.cluster.calls_by(&user(&self.namespace)).unwrap();
        assert!(!calls.is_empty());
        let more: Vec<_> =
            calls.iter().filter(|it| it.verb != "get" || it.code == Some(403)).collect();
        assert!(more.is_empty(), "{more:?}");
    }
}

fn user(namespace: &str) -> String {
    Cluster::service_account_user(namespace, ACCOUNT)
}

impl Checked {
    /// The line of a step, and what to do below it.
    fn step(&self, name: &str) -> String {
        let is_step = |it: &&str| it.split_whitespace().nth(1) == Some(name);
        let mut lines = self.text.lines().skip(1).skip_while(|it| !is_step(it));
        let first = lines.next().unwrap_or_else(|| panic!("no step {name}: {}", self.text));
        let below = lines.take_while(|it| it.starts_with(' '));
        std::iter::once(first).chain(below).collect::<Vec<_>>().join("\n")
    }

    /// That it ended at that step for that reason, and says what to do about it.
    fn ended(&self, code: i32, step: &str, words: &[&str]) {
        assert_eq!(self.code, code, "{}", self.text);
        let told = self.step(step);
        assert!(told.starts_with("FAILED ") && told.lines().count() > 1, "{told}");
        for word in words {
            assert!(told.contains(word), "{word}: {told}");
        }
        let failed = self.text.lines().filter(|it| it.starts_with("FAILED")).count();
        assert_eq!(failed, 1, "{}", self.text);
    }

    /// That all is well, by that credential.
    fn well(&self, credential: &str) {
        assert_eq!(self.code, 0, "{}", self.text);
        let told = self.step("credential");
        assert!(told.starts_with("ok ") && told.contains(credential), "{told}");
        assert!(!self.text.contains("FAILED"), "{}", self.text);
    }
}

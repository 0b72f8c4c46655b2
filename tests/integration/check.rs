//! `acr-attach check` as a process, under the rights of `deploy/check`, through the proxy of a simulated Azure:
//! what it says in each state, and how it ends.

use std::time::Duration;

use acr_attach::domain::repositories::Repositories;
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

use super::chart::{find, objects, read};
use super::chart_objects::{accept, pod_of};
use crate::world::World;
use crate::world::programs::{command, said};
use crate::world::replica::program;
use crate::world::secrets::{CLIENT_SECRET, SERVER, puller, with_puller};

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

/// Switches the registry to ABAC mode, and lets the service principal pull `app` alone.
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
        let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
        let output = output.unwrap().unwrap();
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

#[tokio::test]
async fn attached_by_pull_secret_it_names_the_pull_secret_in_both_forms() {
    let bench = Bench::of(World::with(with_image, |_| {}).await).await;
    let Bench { world, namespace } = &bench;
    world.put_client_secret(CLIENT_SECRET).await;
    let client = bench.client();
    let forms =
        [("RegistryToken", "a registry token"), ("ClientSecret", &*format!("user {client}"))];
    for (form, login) in forms {
        let mut spec = world.pull_spec(&json!({"names": [namespace]}));
        spec["pullSecret"]["credential"] = form.into();
        world.apply("a", spec).await;
        world.until_ready("a").await;
        world.until_pull_secrets_of(namespace, "default", &["acr-pull"]).await;
        let checked = bench.check(&["--image", "app:v1"]).await;
        checked.well(&format!("pull secret acr-pull of service account default, {login}"));
        assert!(checked.step("manifest").contains("app:v1 is there, sha256:"), "{}", checked.text);
    }
    assert_eq!(world.calls(Call::InstanceMetadata), 0, "a pull secret was enough");
    bench.asked_nothing_more();
}

#[tokio::test]
async fn attached_by_kubelet_identity_it_names_the_identity_in_both_modes() {
    let bench = Bench::of(World::with(with_image, |_| {}).await).await;
    let world = &bench.world;
    let kubelet = world.kubelet();
    world.azure.update(|azure| on_host(azure, &kubelet));
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let image = ["--image", "contoso.azurecr.io/app:v1"];
    let identity = format!("the node's identity {kubelet}");
    bench.check(&image).await.well(&identity);
    // Without an image there is less to say.
    let checked = bench.check(&[]).await;
    checked.well(&identity);
    assert!(checked.step("manifest").starts_with("skipped "), "{}", checked.text);

    world.azure.update(|azure| {
        registry(azure).role_assignment_mode = RoleAssignmentMode::AbacRepositoryPermissions;
    });
    world
        .until("the role for that mode", || async {
            let role = |it: &azure_sim::model::RoleAssignment| it.role == REPOSITORY_READER;
            world.pull_assignments().iter().any(role).then_some(())
        })
        .await;
    bench.check(&image).await.well(&identity);
    bench.asked_nothing_more();
}

#[tokio::test]
async fn an_expired_token_is_told_with_its_time() {
    let bench = Bench::new().await;
    let part = |it: &Value| URL_SAFE_NO_PAD.encode(it.to_string());
    let token = [part(&json!({"alg": "ES256"})), part(&json!({"exp": 1_700_000_000})), "x".into()];
    bench.login(TOKEN_USER, &token.join(".")).await;
    let checked = bench.check(&["--image", "app:v1"]).await;
    let words =
        ["a registry token", "refused (401)", "ended at 2023-11-14T22:13:20Z", "CredentialFresh"];
    checked.ended(6, "token", &words);
    bench.asked_nothing_more();
}

#[tokio::test]
async fn a_wrong_secret_and_a_lack_of_rights_are_told_apart() {
    let bench = Bench::new().await;
    let client = bench.client();
    bench.login(&client, WRONG).await;
    let words = ["the client id or its secret is wrong", "az ad app credential reset", &client];
    bench.check(&["--image", "app:v1"]).await.ended(6, "token", &words);

    bench.login(&client, CLIENT_SECRET).await;
    bench.world.azure.update(|azure| azure.role_assignments.retain(|it| it.role != ACR_PULL));
    let words = ["or has no role there", "az role assignment create", &client];
    bench.check(&["--image", "app:v1"]).await.ended(6, "token", &words);
}

#[tokio::test]
async fn in_abac_mode_a_repository_outside_is_told() {
    let bench = Bench::with(abac).await;
    bench.login(&bench.client(), CLIENT_SECRET).await;
    bench.check(&["--image", "app:v1"]).await.well("pull secret acr-pull");
    for answer in [OutsideRights::EmptyAccess, OutsideRights::Unauthorized] {
        bench.world.azure.update(|azure| azure.settings.outside_rights = answer);
        let words = ["accepted, and may not pull other", "Container Registry Repository Reader"];
        bench.check(&["--image", "other:v1"]).await.ended(6, "token", &words);
    }
}

#[tokio::test]
async fn without_any_credential_every_way_to_one_is_told() {
    let bench = Bench::new().await;
    let words = [
        "service account default names no pull secret",
        "the node has no managed identity",
        "lets nobody pull without a credential",
    ];
    bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);

    bench.login(&bench.client(), CLIENT_SECRET).await;
    bench.world.set_pull_secrets_of(&bench.namespace, "default", &[]).await;
    let words = [
        "Secret acr-pull is there, and service account default does not name it",
        "kubectl patch serviceaccount",
    ];
    bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);
    // A pod that names it itself needs no entry in the account.
    let checked = bench.check(&["--image", "app:v1", "--pull-secret", "acr-pull"]).await;
    checked.well("pull secret acr-pull (user");

    let secrets = bench.world.secrets(&bench.namespace);
    secrets.delete("acr-pull", &kube::api::DeleteParams::default()).await.unwrap();
    bench.world.set_pull_secrets_of(&bench.namespace, "default", &["acr-pull"]).await;
    let words = ["Secret acr-pull, which service account default names, does not exist"];
    bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);
    bench.asked_nothing_more();
}

#[tokio::test]
async fn instance_metadata_that_cannot_be_asked_is_no_failure_by_itself() {
    let bench = Bench::new().await;
    for effect in [Effect::Hang, Effect::Drop, Effect::Garbage] {
        bench.world.azure.clear_faults();
        bench.world.azure.fault(Fault::new(Call::InstanceMetadata, effect));
        let words = [
            "cannot be asked from this pod",
            "may still be what the kubelet uses",
            "az aks check-acr",
        ];
        bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);
    }
    bench.login(&bench.client(), CLIENT_SECRET).await;
    bench.check(&["--image", "app:v1"]).await.well("pull secret acr-pull");
}

#[tokio::test]
async fn of_several_identities_of_a_node_one_is_named() {
    let bench = Bench::with(|azure| {
        node(azure, "kubelet", Some(ACR_PULL));
        node(azure, "addon", None);
    })
    .await;
    let words = ["the node has several identities", "--kubelet-identity"];
    bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);
    let kubelet = Model::default_tenant().managed_identity("kubelet").add();
    let addon = Model::default_tenant().managed_identity("addon").add();
    for id in [&kubelet.client_id.unwrap(), &kubelet.object_id] {
        let checked = bench.check(&["--image", "app:v1", "--kubelet-identity", id]).await;
        checked.well(&format!("the node's identity {}", kubelet.object_id));
    }
    let words = ["gets no token (401)", &format!("--assignee-object-id {}", addon.object_id)];
    let checked = bench.check(&["--kubelet-identity", &addon.object_id]).await;
    checked.ended(6, "token", &words);
    let unknown = "40000000-0000-4000-8000-000000000001";
    let words = [unknown, "--kubelet-identity"];
    bench.check(&["--kubelet-identity", unknown]).await.ended(5, "credential", &words);
}

#[tokio::test]
async fn an_identity_that_nobody_named_may_be_another_than_the_kubelet_s() {
    let bench = Bench::with(|azure| _ = node(azure, "addon", None)).await;
    let addon = Model::default_tenant().managed_identity("addon").add();
    let image = ["--image", "app:v1"];
    let checked = bench.check(&image).await;
    checked.ended(6, "token", &["gets no token (401)", "else name that one by --kubelet-identity"]);
    let chosen = format!("{}; instance metadata chose that identity", addon.object_id);
    assert!(checked.step("credential").contains(&chosen), "{}", checked.text);

    let checked =
        bench.check(&[&image[..], &["--kubelet-identity", &addon.object_id]].concat()).await;
    checked.ended(6, "token", &["gets no token (401)"]);
    assert!(!checked.text.contains("--kubelet-identity"), "{}", checked.text);
}

#[tokio::test]
async fn an_entry_without_a_user_name_is_nobody_s() {
    let bench = Bench::new().await;
    bench.login("", WRONG).await;
    let words =
        ["an entry for contoso.azurecr.io without a user name", "lets nobody pull", "Put the user"];
    bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);
    bench.world.azure.update(|azure| registry(azure).anonymous_pull_enabled = true);
    let checked = bench.check(&["--image", "app:v1"]).await;
    checked.well("nobody's: contoso.azurecr.io lets anybody pull");
}

#[tokio::test]
async fn a_tenant_that_does_not_know_registries_gets_a_token_for_azure_resource_manager() {
    let bench = Bench::with(|azure| {
        node(azure, "kubelet", Some(ACR_PULL));
        let audience = "https://containerregistry.azure.net".to_owned();
        azure
            .tenants
            .iter_mut()
            .find(|it| it.tenant_id == DEFAULT_TENANT)
            .unwrap()
            .unknown_resources
            .push(audience);
    })
    .await;
    bench.check(&["--image", "app:v1"]).await.well("the node's identity");
}

#[tokio::test]
async fn where_anybody_may_pull_a_pull_secret_that_is_refused_still_is_in_the_way() {
    let bench = Bench::with(|azure| registry(azure).anonymous_pull_enabled = true).await;
    bench
        .check(&["--image", "app:v1"])
        .await
        .well("nobody's: contoso.azurecr.io lets anybody pull");
    let words = ["names no pull secret", "Name an image with --image"];
    bench.check(&[]).await.ended(5, "credential", &words);
    bench.login(&bench.client(), WRONG).await;
    bench.check(&["--image", "app:v1"]).await.ended(6, "token", &["refused (401)"]);
}

#[tokio::test]
async fn with_a_credential_of_the_node_an_anonymous_one_is_tried_too() {
    let bench = Bench::with(|azure| {
        registry(azure).anonymous_pull_enabled = true;
        // Exchanged, and refused afterwards.
        azure.settings.legacy_role_check = LegacyRoleCheck::Token;
        node(azure, "kubelet", None);
    })
    .await;
    bench.login(&bench.client(), WRONG).await;
    let checked = bench.check(&["--image", "app:v1"]).await;
    checked.well("then the node's identity");
    let token = checked.step("token");
    assert!(token.contains("anybody may pull app"), "{token}");
    assert_eq!(token.matches("refused (401)").count(), 2, "{token}");
}

#[tokio::test]
async fn a_pull_secret_is_read_as_the_kubelet_reads_it() {
    let bench = Bench::new().await;
    let client = bench.client();
    let entry = |password: &str| json!({"username": client, "password": password});
    // The old form, and a glob that is less specific.
    let config = json!({"*.azurecr.io": entry(WRONG), "https://contoso.azurecr.io/v2/app": entry(CLIENT_SECRET)});
    bench.pull_secret("kubernetes.io/dockercfg", &config).await;
    let checked = bench.check(&["--image", "app:v1"]).await;
    checked.well("pull secret acr-pull");
    assert!(!checked.step("token").contains("refused"), "{}", checked.text);
    bench.check(&[]).await.ended(6, "token", &["secret is wrong"]);

    replace(
        &bench,
        "kubernetes.io/dockerconfigjson",
        &json!({"auths": {"*.*.azurecr.io": entry(CLIENT_SECRET)}}),
    )
    .await;
    let words = ["has no entry for contoso.azurecr.io, only for *.*.azurecr.io"];
    bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);

    replace(
        &bench,
        "kubernetes.io/dockerconfigjson",
        &json!({"auths": {"[c]ontoso.azurecr.io": entry(CLIENT_SECRET)}}),
    )
    .await;
    let words = ["only for [c]ontoso.azurecr.io", "a * in it stays between two dots"];
    bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);

    let broken = json!({"auths": {"other.example": {"auth": WRONG}, SERVER: entry(CLIENT_SECRET)}});
    replace(&bench, "kubernetes.io/dockerconfigjson", &broken).await;
    let words = ["the entry for other.example", "the kubelet gives up"];
    bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);

    replace(&bench, "Opaque", &broken).await;
    let words = ["is of type Opaque, which the kubelet passes over"];
    bench.check(&["--image", "app:v1"]).await.ended(5, "credential", &words);
}

/// Another Secret of that name: a type is never changed.
async fn replace(bench: &Bench, secret_type: &str, config: &Value) {
    bench.world.delete_secret(&bench.namespace, "acr-pull").await;
    bench.pull_secret(secret_type, config).await;
}

#[tokio::test]
async fn a_host_that_is_not_there_is_told_by_who_resolves_it() {
    let bench = Bench::new().await;
    let checked = bench.check(&["--registry", "contosso.azurecr.io"]).await;
    checked.ended(3, "tls", &["the proxy does not connect", "az acr show --name contosso"]);
    let name = checked.step("name");
    let proxy = bench.world.azure.proxy_url();
    assert!(name.starts_with("skipped ") && name.contains(proxy), "{name}");

    let folder = tempfile::tempdir().unwrap();
    let mut command = bench.program(&folder, &["--registry", "contoso.invalid"]).await;
    command.env_remove("HTTPS_PROXY");
    let checked = bench.outcome(command).await;
    checked.ended(2, "name", &["contoso.invalid cannot be resolved", "privatelink.azurecr.io"]);
    assert!(checked.step("tls").contains("since name failed"), "{}", checked.text);
}

#[tokio::test]
async fn a_certificate_that_nobody_trusted_vouches_for_is_told() {
    let bench = Bench::new().await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = bench.program(&folder, &[]).await;
    command.env_remove("ACR_ATTACH_CA_FILE");
    let checked = bench.outcome(command).await;
    checked.ended(3, "tls", &["nobody that is trusted here vouches", "--ca-file"]);
}

#[tokio::test]
async fn a_firewall_and_what_is_no_registry_are_told_apart() {
    let bench = Bench::with(|azure| {
        registry(azure).network_rule_set.default_action = NetworkDefaultAction::Deny;
        azure.settings.client_address = Some("203.0.113.7".parse().unwrap());
        azure.settings.firewall_answer = FirewallAnswer::Everywhere;
    })
    .await;
    let words = [
        "does not admit address 203.0.113.7",
        "az acr network-rule add --name contoso --ip-address 203.0.113.7",
    ];
    bench.check(&["--image", "app:v1"]).await.ended(4, "challenge", &words);

    bench.world.azure.fault(Fault::new(Call::RegistryPing, Effect::Garbage).once());
    bench.check(&[]).await.ended(4, "challenge", &["answers 200, which no registry does"]);
    bench.world.azure.fault(Fault::new(Call::RegistryPing, Effect::Hang).once());
    bench.check(&[]).await.ended(4, "challenge", &["no answer within 10 s"]);
    bench.world.azure.fault(Fault::new(Call::RegistryPing, Effect::Drop).once());
    bench.check(&[]).await.ended(4, "challenge", &["breaks off"]);
}

#[tokio::test]
async fn a_registry_that_answers_oddly_is_told_without_what_it_says() {
    let bench = Bench::new().await;
    bench.login(&bench.client(), CLIENT_SECRET).await;
    let echo = Fault::error(Call::RegistryToken, 503, "UNAVAILABLE", CLIENT_SECRET);
    for (fault, words) in [
        (echo, "answers 503"),
        (Fault::new(Call::RegistryToken, Effect::Garbage), "there is no token in it"),
        (Fault::new(Call::RegistryToken, Effect::Huge { bytes: 1 << 20 }), "larger than 256 KiB"),
        (Fault::new(Call::RegistryToken, Effect::Drop), "breaks off"),
    ] {
        bench.world.azure.clear_faults();
        bench.world.azure.fault(fault);
        bench.check(&["--image", "app:v1"]).await.ended(6, "token", &[words]);
    }
}

#[tokio::test]
async fn an_image_that_is_not_there_is_told_in_json_too() {
    let bench = Bench::new().await;
    let client = bench.client();
    bench.login(&client, CLIENT_SECRET).await;
    bench.check(&["--image", "app:v2"]).await.ended(
        7,
        "manifest",
        &["has no image app:v2", "az acr repository show-tags"],
    );

    let checked = bench.check(&["--image", "app:v2", "--output", "json"]).await;
    assert_eq!(checked.code, 7);
    let json: Value = serde_json::from_str(&checked.text).unwrap();
    let head = json!({"kind": "pullSecret", "secret": "acr-pull", "user": client});
    assert_eq!(
        (&json["credential"], &json["exitCode"], &json["ok"]),
        (&head, &json!(7), &json!(false))
    );
    assert_eq!((&json["registry"], &json["image"]), (&json!(SERVER), &json!("app:v2")));
    let steps: Vec<_> =
        json["steps"].as_array().unwrap().iter().map(|it| it["result"].as_str().unwrap()).collect();
    assert_eq!(steps, ["skipped", "ok", "ok", "ok", "ok", "failed"]);
}

#[tokio::test]
async fn a_right_that_the_check_does_not_have_is_named() {
    let bench = Bench::new().await;
    for (flag, resource) in [("--service-account", "serviceaccounts"), ("--pull-secret", "secrets")]
    {
        let checked = bench.check(&[flag, "builder"]).await;
        let rule = format!("resources: [{resource}], resourceNames: [builder], verbs: [get]");
        checked.ended(1, "credential", &["the API server answers 403", &rule, &bench.namespace]);
    }
    let checked = bench.check(&["--namespace", "default"]).await;
    checked.ended(1, "credential", &["the API server answers 403", "in namespace default"]);
}

#[tokio::test]
async fn what_cannot_be_checked_is_told_in_one_sentence() {
    let bench = Bench::new().await;
    for (arguments, words) in [
        (["--registry", "contoso"], "not a login server"),
        (["--image", "fabrikam.azurecr.io/app"], "another registry"),
        (["--output", "yaml"], "possible values: text, json"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = bench.program(&folder, &arguments).await.output().await.unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{text}");
        assert!(text.starts_with("acr-attach: ") && text.trim().lines().count() == 1, "{text}");
        assert!(text.contains(words), "{text}");
    }
    let output = program(&["check"]).output().await.unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("--registry"));
}

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

//! Operator and attachments deleted together, at any moment: what the uninstall guard lets go
//! leaves no attachment that waits for an operator.

use std::process::Stdio;
use std::time::Duration;

use acr_attach_core::api::FINALIZERS;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::gitops::both::{manifest, run};
use crate::support::replica::program;
use crate::support::secrets::{CLIENT_SECRET, with_puller};
use crate::support::{SECRET, World, in_time};

#[tokio::test]
async fn twenty_uninstallations_leave_no_attachment_stuck() {
    uninstallations_leave_no_attachment_stuck(20).await;
}

#[tokio::test]
#[ignore = "takes minutes: make soak"]
async fn a_hundred_uninstallations_leave_no_attachment_stuck() {
    uninstallations_leave_no_attachment_stuck(100).await;
}

async fn uninstallations_leave_no_attachment_stuck(rounds: u64) {
    // The guard asks about all attachments of the cluster.
    let mut world = World::alone_with(with_puller, |_| {}).await;
    // The operator's rights go while it runs.
    world.expect_refusals().await;
    world.put_client_secret(CLIENT_SECRET).await;
    let namespace = world.namespace_with("apps", json!({})).await;
    let folder = tempfile::tempdir().unwrap();
    one_that_is_new_holds_the_guard_back(&world).await;
    let mut refused = 0;
    for seed in 0..rounds {
        let round = Round { world: &world, folder: &folder, random: Random::of(seed) };
        refused += usize::from(round.play(&namespace).await);
    }
    println!("the guard held {refused} of {rounds} uninstallations back");
    assert!(refused > 0, "the guard never had to hold anybody back");
}

/// Whatever it comes to hold, nobody has looked at it yet.
async fn one_that_is_new_holds_the_guard_back(world: &World) {
    world.apply("new", world.spec()).await;
    let told = guard(world).await.unwrap_err();
    assert!(told.contains(&format!("{} (being attached)", world.name("new"))), "{told}");
    // An operator that serves others is not held back by it.
    guard_of(world, "team=another").await.unwrap();
    world.delete("new").await;
    world.until_gone("new").await;
    guard(world).await.unwrap();
}

/// As Helm asks before it deletes anything.
async fn guard(world: &World) -> Result<(), String> {
    guard_of(world, &world.settings.attachment_selector).await
}

async fn guard_of(world: &World, selector: &str) -> Result<(), String> {
    let mut guard: Command = program(&["uninstall-guard", "--attachment-selector", selector]);
    let output = guard.env("KUBECONFIG", world.cluster.admin_kubeconfig()).output().await.unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    if output.status.success() { Ok(()) } else { Err(told) }
}

/// What one round leaves to chance: milliseconds, and how the operator ends.
#[derive(Clone, Copy, Debug)]
struct Random {
    until_anybody_acts: u64,
    until_deletion: u64,
    until_uninstallation: u64,
    kills: bool,
}

impl Random {
    fn of(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        Self {
            until_anybody_acts: random.u64(0..400),
            until_deletion: random.u64(0..400),
            until_uninstallation: random.u64(0..400),
            kills: random.bool(),
        }
    }
}

struct Round<'a> {
    world: &'a World,
    folder: &'a tempfile::TempDir,
    random: Random,
}

impl Round<'_> {
    /// Whether the guard held the uninstallation back at first.
    async fn play(&self, namespace: &str) -> bool {
        let operator = self.write("operator.yaml", &installation(self.world));
        let attachments = self.write("attachments.yaml", &attachments(self.world, namespace));
        self.flux("apply", &operator).await;
        let mut command = self.world.program(self.folder, &["--resync", "2s"]).await;
        command.env("AZURE_CLIENT_SECRET", SECRET).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        self.until_it_leads().await;
        self.flux("apply", &attachments).await;
        pause(self.random.until_anybody_acts).await;

        let delete = async {
            pause(self.random.until_deletion).await;
            self.flux("delete", &attachments).await;
        };
        let uninstall = async {
            pause(self.random.until_uninstallation).await;
            let refused = self.until_the_guard_allows().await;
            self.flux("delete", &operator).await;
            refused
        };
        let ((), refused, ()) = tokio::join!(delete, uninstall, self.run_while_deployed(process));
        self.until_nobody_is_left().await;
        refused
    }

    /// One that was killed in the round before holds the Lease for a while.
    async fn until_it_leads(&self) {
        let leases: Api<Lease> =
            Api::namespaced(self.world.client.clone(), &self.world.namespace());
        let former = leases.get_opt("acr-attach").await.unwrap().map(|it| holder(&it));
        if former.is_some() {
            leases.delete("acr-attach", &DeleteParams::default()).await.unwrap();
        }
        self.world
            .until("another operator to lead", || async {
                let lease = leases.get_opt("acr-attach").await.unwrap()?;
                (holder(&lease).is_some() && Some(holder(&lease)) != former).then_some(())
            })
            .await;
    }

    fn write(&self, name: &str, documents: &[Value]) -> String {
        let path = self.folder.path().join(name);
        let texts: Vec<_> = documents.iter().map(Value::to_string).collect();
        std::fs::write(&path, texts.join("\n---\n")).unwrap();
        path.to_str().unwrap().to_owned()
    }

    async fn flux(&self, command: &str, file: &str) {
        run(self.world, "gitops-flux", &[command, file, "0s"]).await.unwrap();
    }

    /// Whether it had to be asked again, as Helm does when somebody tries again.
    async fn until_the_guard_allows(&self) -> bool {
        let refusals = std::cell::Cell::new(0);
        self.world
            .until("the guard to allow it", || async {
                let allowed = guard(self.world).await;
                refusals.set(refusals.get() + usize::from(allowed.is_err()));
                allowed.ok()
            })
            .await;
        refusals.get() > 0
    }

    /// What a node does: the process ends when its Deployment is gone.
    async fn run_while_deployed(&self, mut process: Child) {
        let deployments: Api<Deployment> =
            Api::namespaced(self.world.client.clone(), &self.world.namespace());
        self.world
            .until("the Deployment to be gone", || async {
                deployments.get_opt("acr-attach").await.unwrap().is_none().then_some(())
            })
            .await;
        let id = rustix::process::Pid::from_raw(i32::try_from(process.id().unwrap()).unwrap());
        let signal = if self.random.kills { Signal::KILL } else { Signal::TERM };
        rustix::process::kill_process(id.unwrap(), signal).unwrap();
        in_time("the operator to end", process.wait()).await.unwrap();
    }

    /// Without an operator only attachments without our finalizers can go.
    async fn until_nobody_is_left(&self) {
        let list = self.world.stored().list(&ListParams::default()).await.unwrap();
        let ours = |it: &String| FINALIZERS.contains(&it.as_str());
        let stuck: Vec<_> = list
            .items
            .iter()
            .filter(|it| it.finalizers().iter().any(ours))
            .map(|it| format!("{} {:?}", it.name_any(), it.metadata))
            .collect();
        assert!(stuck.is_empty(), "{:?} leaves behind {stuck:#?}", self.random);
        for name in ["role", "pull", "plain"] {
            self.world.until_gone(name).await;
        }
        assert_eq!(self.world.pull_assignments().len(), 1, "only the service principal's is left");
    }
}

fn holder(lease: &Lease) -> Option<String> {
    lease.spec.as_ref()?.holder_identity.clone().filter(|it| !it.is_empty())
}

async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// The operator, as far as an uninstallation takes it away: its Deployment and its rights.
fn installation(world: &World) -> [Value; 2] {
    let namespace = world.namespace();
    let labels = json!({"app.kubernetes.io/name": "acr-attach"});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "acr-attach", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "acr-attach", "image": "acr-attach"}]},
            },
        },
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": format!("{namespace}.acr-attach")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "acr-attach"},
        "subjects": [{"kind": "ServiceAccount", "name": "acr-attach", "namespace": namespace}],
    });
    [deployment, binding]
}

/// One that holds a role, one that holds entries in service accounts, and one that holds nothing.
fn attachments(world: &World, namespace: &str) -> [Value; 3] {
    let pull = world.pull_spec(&json!({"names": [namespace]}));
    let mut plain = world.pull_spec(&json!({"names": ["nowhere"]}));
    plain["pullSecret"]["serviceAccounts"] = json!([]);
    [("role", world.spec()), ("pull", pull), ("plain", plain)]
        .map(|(name, spec)| manifest(world, name, &spec))
}

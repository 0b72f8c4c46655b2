//! Flux and Argo CD, by their own code: what they see of an attachment, and what they do to it.
//! `tests/gitops` holds the programs; `make gitops-tools` builds them.

use std::path::Path;
use std::time::Duration;

use azure_sim::{Call, Fault};
use kube::Resource;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::recording::Recording;
use crate::support::{LABEL, World};

/// Where the scripts for Argo CD are.
pub const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/argocd");

/// Far more than any of their commands takes, waiting for outages included.
const DEADLINE: Duration = Duration::from_secs(420);

/// Runs one of the programs against the cluster of that world. What it prints, whether it
/// succeeds or not.
pub async fn run(world: &World, program: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = judge(program);
    command.args(arguments).env("KUBECONFIG", world.cluster.admin_kubeconfig());
    let output = tokio::time::timeout(DEADLINE, command.output()).await.unwrap().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    if output.status.success() { Ok(text) } else { Err(text) }
}

fn judge(program: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin").join(program);
    assert!(path.exists(), "{} is missing: `make gitops-tools` builds it", path.display());
    let mut command = Command::new(path);
    command.kill_on_drop(true);
    command
}

async fn flux(world: &World, arguments: &[&str]) -> String {
    let result = run(world, "gitops-flux", arguments).await;
    result.unwrap_or_else(|text| panic!("gitops-flux {arguments:?}: {text}"))
}

pub async fn argocd(world: &World, arguments: &[&str]) -> String {
    let result = run(world, "gitops-argocd", arguments).await;
    result.unwrap_or_else(|text| panic!("gitops-argocd {arguments:?}: {text}"))
}

/// What stands in Git, and what is recorded of it.
pub struct Git {
    folder: tempfile::TempDir,
    recording: Recording,
}

impl Git {
    pub async fn of(world: &World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("recording.jsonl");
        let selector = format!("{LABEL}={}", world.id);
        let recording = Recording::start(world.stored(), &selector, &file).await;
        Self { folder, recording }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file with attachments.
    pub fn commit(&self, world: &World, file: &str, attachments: &[(&str, Value)]) -> String {
        let documents = attachments.iter().map(|(name, spec)| manifest(world, name, spec));
        let texts: Vec<_> = documents.map(|it| it.to_string()).collect();
        let path = self.path(file);
        std::fs::write(&path, texts.join("\n---\n")).unwrap();
        path
    }

    /// Both judge all that is recorded. What became of an attachment is given by its name in the
    /// world and its statuses in kstatus' words.
    pub async fn judged(&self, world: &World, expected: &[(&str, &str)]) {
        let wishes: Vec<_> =
            expected.iter().map(|(name, list)| format!("{}={list}", world.name(name))).collect();
        let recording = self.path("recording.jsonl");
        let mut arguments = vec!["judge", &recording];
        arguments.extend(wishes.iter().map(String::as_str));
        flux(world, &arguments).await;
        argocd(world, &["judge", SCRIPTS, &recording]).await;
    }

    /// Waits until the recording has seen so many attachments go.
    async fn until_deleted(&self, world: &World, count: usize) {
        let what = format!("{count} attachments to be gone in the recording");
        world.until(&what, || async { (self.recording.deleted() == count).then_some(()) }).await;
    }
}

pub fn manifest(world: &World, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": acr_attach_core::api::RegistryAttachment::api_version(&()),
        "kind": acr_attach_core::api::RegistryAttachment::kind(&()),
        "metadata": {"name": world.name(name), "labels": {LABEL: world.id}},
        "spec": spec,
    })
}

/// A spec that needs a registry with repository permissions, which `contoso` does not have.
fn impossible(world: &World) -> Value {
    let mut spec = world.spec();
    spec["repositories"] = json!(["team-a/*"]);
    spec
}

#[tokio::test]
async fn both_see_what_becomes_of_an_attachment() {
    let world = World::new().await;
    let git = Git::of(&world).await;
    let refusal = Fault::error(Call::GetRegistry, 503, "ServiceUnavailable", "Try later.");
    world.azure.fault(refusal);
    world.apply("disturbed", world.spec()).await;
    world.until_reason("disturbed", "Reconciling", "Unavailable").await;
    world.azure.clear_faults();
    world.until_ready("disturbed").await;

    world.apply("mended", impossible(&world)).await;
    world.until_reason("mended", "Stalled", "InvalidSpec").await;
    world.apply("mended", world.spec()).await;
    world.until_ready("mended").await;

    world.apply("gone", world.spec()).await;
    world.until_ready("gone").await;
    world.delete("gone").await;
    world.until_gone("gone").await;
    git.until_deleted(&world, 1).await;
    git.judged(
        &world,
        &[
            ("disturbed", "InProgress,Current"),
            ("mended", "InProgress,Failed,InProgress,Current"),
            ("gone", "InProgress,Current,Terminating"),
        ],
    )
    .await;
}

/// Judges that find nothing in anything prove nothing.
#[tokio::test]
async fn both_refuse_what_contradicts_itself() {
    let world = World::new().await;
    let git = Git::of(&world).await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    let object = world.stored().get(&world.name("a")).await.unwrap();
    let recording = git.path("wrong.jsonl");
    for (wrong, said) in [("Stalled", "is Failed"), ("Reconciling", "is InProgress")] {
        let mut object = serde_json::to_value(&object).unwrap();
        let conditions = object["status"]["conditions"].as_array_mut().unwrap();
        let mut more = conditions[0].clone();
        more["type"] = wrong.into();
        conditions.push(more);
        std::fs::write(&recording, object.to_string()).unwrap();
        let text = run(&world, "gitops-flux", &["judge", &recording]).await.unwrap_err();
        assert!(text.contains(said) && text.contains("expected Current"), "{text}");
        let text = run(&world, "gitops-argocd", &["judge", SCRIPTS, &recording]).await.unwrap_err();
        assert!(text.contains("expected [Healthy]"), "{text}");
    }
    let mut object = serde_json::to_value(&object).unwrap();
    object["status"]["conditions"][1]["observedGeneration"] = 0.into();
    std::fs::write(&recording, object.to_string()).unwrap();
    let text = run(&world, "gitops-flux", &["judge", &recording]).await.unwrap_err();
    assert!(text.contains("FAIL of Flux's") && text.contains("WARN of Flux's"), "{text}");
}

/// Suspended before it was attached, and suspended while it is.
#[tokio::test]
async fn a_suspended_attachment_is_what_it_was() {
    let world = World::new().await;
    let git = Git::of(&world).await;
    let mut suspended = world.spec();
    suspended["suspend"] = true.into();
    world.apply("early", suspended.clone()).await;
    world.until_reason("early", "Ready", "Suspended").await;
    world.apply("late", world.spec()).await;
    world.until_ready("late").await;
    world.apply("late", suspended).await;
    world
        .until("the suspension to be seen", || async {
            let object = world.attachments().get(&world.name("late")).await.unwrap();
            let observed = object.status.and_then(|it| it.observed_generation);
            (object.metadata.generation == Some(2) && observed == Some(2)).then_some(())
        })
        .await;
    world.apply("last", world.spec()).await;
    world.until_ready("last").await;
    let late = "InProgress,Current,InProgress,Current";
    git.judged(&world, &[("early", "InProgress"), ("late", late)]).await;
}

#[tokio::test]
async fn flux_applies_waits_deletes_and_waits_for_the_end() {
    let world = World::with_pull_secrets(|_| {}).await;
    let git = Git::of(&world).await;
    let namespace = world.namespace_with("apps", json!({})).await;
    let pull = world.pull_spec(&json!({"names": [namespace]}));
    let file = git.commit(&world, "apps.yaml", &[("role", world.spec()), ("pull", pull)]);
    flux(&world, &["apply", &file, "120s"]).await;
    flux(&world, &["reapply", &file, "50"]).await;

    // One that stands in the way of all: Flux does not wait for the end of its patience.
    let broken = git.commit(&world, "broken.yaml", &[("broken", impossible(&world))]);
    let text = run(&world, "gitops-flux", &["apply", &broken, "120s"]).await.unwrap_err();
    assert!(text.contains("failed early due to stalled resources"), "{text}");

    flux(&world, &["delete", &file, "120s"]).await;
    git.until_deleted(&world, 2).await;
    let whole = "InProgress,Current,Terminating";
    let expected = [("role", whole), ("pull", whole), ("broken", "InProgress,Failed")];
    git.judged(&world, &expected).await;
    assert_eq!(world.pull_assignments().len(), 1, "only the service principal's is left");
}

#[tokio::test]
async fn thirty_seconds_of_refusals_fail_no_rollout() {
    refusals_fail_no_rollout(Duration::from_secs(30)).await;
}

#[tokio::test]
#[ignore = "takes minutes: make soak"]
async fn two_minutes_of_refusals_fail_no_rollout() {
    refusals_fail_no_rollout(Duration::from_secs(120)).await;
}

/// Azure answers nothing but 429 and 503. Flux is waiting for a new attachment all that time, and
/// fails at the first status that says Failed.
async fn refusals_fail_no_rollout(lasting: Duration) {
    let world = World::new().await;
    let git = Git::of(&world).await;
    world.apply("before", world.spec()).await;
    world.until_ready("before").await;
    let refused = || {
        let journal = world.azure.journal();
        let with = |status| journal.iter().filter(|it| it.status == Some(status)).count();
        (with(429), with(503))
    };
    let unavailable = Fault::error(Call::Any, 503, "ServiceUnavailable", "Try later.");
    let alternating = async {
        let end = tokio::time::Instant::now() + lasting;
        while tokio::time::Instant::now() < end {
            for fault in [Fault::throttled(Call::Any, 1), unavailable.clone()] {
                world.azure.clear_faults();
                world.azure.fault(fault);
                tokio::time::sleep(Duration::from_millis(1500)).await;
            }
        }
        world.azure.clear_faults();
    };
    let file = git.commit(&world, "apps.yaml", &[("during", world.spec())]);
    let patience = format!("{}s", 3 * lasting.as_secs() + 120);
    let arguments = ["apply", &file, &patience];
    let rollout = async {
        world.until_calls(Call::GetRegistry, 1).await;
        flux(&world, &arguments).await
    };
    tokio::join!(alternating, rollout);
    let (throttled, unavailable) = refused();
    assert!(throttled > 0 && unavailable > 0, "{throttled} times 429, {unavailable} times 503");
    world.until_ready("before").await;
    git.judged(&world, &[("during", "InProgress,Current")]).await;
    flux(&world, &["judge", &git.path("recording.jsonl"), "--never=Failed"]).await;
}

#[tokio::test]
async fn the_examples_are_what_flux_reads() {
    for file in ["operator.yaml", "kustomizations.yaml"] {
        let path = format!("{}/deploy/flux/{file}", env!("CARGO_MANIFEST_DIR"));
        let output = judge("gitops-flux").args(["check", &path]).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

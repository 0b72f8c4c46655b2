//! Who may write: three candidates for one Lease on the real API server, whose answers are slow, and never
//! two leaders; and what is let through to whoever does not lead.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use acr_attach::cluster::fenced;
use acr_attach::leader::boot_time::BootTime;
use acr_attach::leader::fence::Fence;
use acr_attach::leader::{Candidate, Work};
use acr_attach::metrics::Metrics;
use acr_attach_azure::{Azure, Budget, Cloud, Configuration};
use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::lease::Election;
use fastrand::Rng;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::client::Body;
use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{DEADLINE, World};

/// So often must another one lead in a run, after losses by slow answers and after kills.
const LEADERS: usize = 6;
/// How often the one that leads is killed.
const LIFE: Duration = Duration::from_secs(4);

fn election() -> Election {
    Election {
        lease: "acr-attach".to_owned(),
        duration: Duration::from_secs(2),
        renew_deadline: Duration::from_millis(1_500),
        retry_period: Duration::from_millis(200),
    }
}

/// The fence of who thinks that it leads, for each candidate.
#[derive(Clone, Default)]
struct Leads(Arc<Mutex<Option<Fence>>>);

impl Leads {
    fn may_write(&self) -> bool {
        self.0.lock().unwrap().as_ref().is_some_and(|fence| fence.check().is_ok())
    }
}

impl Work for Leads {
    async fn work(&self, fence: Fence, stop: CancellationToken) {
        *self.0.lock().unwrap() = Some(fence);
        stop.cancelled().await;
    }

    fn leads(&self, _: bool) {}
}

/// A client whose requests arrive late, and whose answers do.
fn slow(client: &Client, seed: u64) -> Client {
    let (inner, random) = (client.clone(), Arc::new(Mutex::new(Rng::with_seed(seed))));
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (client, random) = (inner.clone(), Arc::clone(&random));
        async move {
            tokio::time::sleep(delay(&random)).await;
            let answer = client.send(request).await;
            tokio::time::sleep(delay(&random)).await;
            answer
        }
    });
    Client::new(service, client.default_namespace())
}

/// Mostly short, at times longer than a leader can wait.
fn delay(random: &Mutex<Rng>) -> Duration {
    let mut random = random.lock().unwrap();
    let most = if random.u8(..8) == 0 { 1_800 } else { 60 };
    Duration::from_millis(random.u64(..most))
}

struct Running {
    leads: Leads,
    task: JoinHandle<()>,
}

fn start(world: &World, client: &Client, name: String) -> Running {
    let leads = Leads::default();
    let candidate = Candidate::new(client.clone(), &world.namespace(), election(), name);
    let work = leads.clone();
    let stop = CancellationToken::new();
    let task = tokio::spawn(async move { candidate.run(&work, stop).await });
    Running { leads, task }
}

/// Whether two of them may write at one time: the first one still may after the second was asked.
fn two_lead(running: &[Running]) -> bool {
    running.iter().enumerate().any(|(at, first)| {
        let others = || running.iter().enumerate().filter(|(other, _)| *other != at);
        first.leads.may_write()
            && others().any(|(_, second)| second.leads.may_write() && first.leads.may_write())
    })
}

async fn never_two_leaders(seed: u64) {
    let mut world = World::new().await;
    world.stop().await;
    let account = world.cluster.service_account(&world.namespace(), "acr-attach").await.unwrap();
    let client = world.cluster.client(account).await.unwrap();
    let clients: Vec<_> = (0..3).map(|n| slow(&client, seed + n)).collect();
    let mut running: Vec<_> =
        (0..3).map(|n| start(&world, &clients[n], format!("candidate-{n}"))).collect();
    let (mut leaders, mut last, mut kills) = (0, None, 0);
    let (end, mut next_kill) = (Instant::now() + DEADLINE, Instant::now() + LIFE);
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    while leaders < LEADERS {
        tick.tick().await;
        assert!(Instant::now() < end, "only {leaders} leaders with seed {seed}");
        assert!(!two_lead(&running), "two leaders with seed {seed}");
        let Some(leader) = running.iter().position(|it| it.leads.may_write()) else { continue };
        if last != Some((leader, kills)) {
            (leaders, last) = (leaders + 1, Some((leader, kills)));
        }
        if Instant::now() > next_kill {
            running[leader].task.abort();
            kills += 1;
            running[leader] = start(&world, &clients[leader], format!("again-{kills}"));
            next_kill = Instant::now() + LIFE;
        }
    }
    for it in running {
        it.task.abort();
    }
}

#[tokio::test]
async fn there_are_never_two_leaders() {
    never_two_leaders(7).await;
}

#[tokio::test]
#[ignore = "takes minutes: make soak"]
async fn there_are_never_two_leaders_with_twenty_seeds() {
    for seed in 0..20 {
        never_two_leaders(1_000 * seed).await;
    }
}

#[tokio::test]
async fn behind_a_closed_fence_reads_pass_and_no_write_does() {
    let mut world = World::new().await;
    world.apply("a", world.spec()).await;
    world.until_ready("a").await;
    world.stop().await;
    let closed = || (Fence::until(BootTime::now()), Metrics::new(&mut Registry::default()));
    let (api_writes, azure_writes) = (world.api_writes(), world.azure_writes());

    let account = world.cluster.service_account(&world.namespace(), "acr-attach").await.unwrap();
    let client = world.cluster.client(account).await.unwrap();
    let (fence, metrics) = closed();
    let attachments: Api<RegistryAttachment> = Api::all(fenced(&client, fence, metrics));
    let name = world.name("a");
    attachments.get(&name).await.unwrap();
    let (params, forged) = (PatchParams::default(), json!({"status": {"method": "PullSecret"}}));
    let patch = Patch::Merge(forged);
    let error = attachments.patch_status(&name, &params, &patch).await.unwrap_err();
    assert!(format!("{error:?}").contains("NotLeading"), "{error:?}");

    let (fence, metrics) = closed();
    let identity = world.settings.identity.clone();
    let (cloud, acr_audience, budget) = (Cloud::Public, None, Budget::default());
    let configuration = Configuration { cloud, identity, acr_audience, budget };
    let azure = Azure::new(world.http(), configuration, Arc::new(fence), Arc::new(metrics.azure));
    let session = azure.session(None).unwrap();
    let id = world.spec()["registry"]["resourceId"].as_str().unwrap().parse().unwrap();
    let found = session.reader.role_assignments(&id).await.unwrap();
    let ours = found.iter().find(|it| it.description.is_some()).unwrap();
    let error = session.writer.unassign(ours).await.unwrap_err();
    assert!(error.to_string().contains("does not lead"), "{error}");

    assert_eq!((world.api_writes(), world.azure_writes()), (api_writes, azure_writes));
    assert_eq!(world.pull_assignments().len(), 1);
}

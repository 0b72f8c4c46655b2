//! How soon a new service account has its entry, while the operator has much else to do.

use std::time::{Duration, Instant};

use azure_sim::{Call, Effect, Fault};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use serde_json::json;

use super::spec;
use super::support::World;
use super::support::secrets::CLIENT_SECRET;

const COUNT: usize = 100;
/// How often a service account is read until it has its entry.
const POLL: Duration = Duration::from_millis(5);

/// At rest, while Entra and the registry hang, while every Secret is renewed, and while a change of the spec
/// reaches every namespace.
pub async fn latencies(world: &World, names: &[String]) {
    println!("  from a new service account to its entry, {COUNT} times");
    told("at rest", served(world, names, "rest", "acr-pull").await);
    let calls = [Call::Token, Call::RegistryExchange, Call::RegistryToken];
    for call in calls {
        world.azure.fault(Fault::new(call, Effect::Hang));
    }
    world.rotate_client_secret("second-client-secret").await;
    told("Entra and registry hang", served(world, names, "hang", "acr-pull").await);
    world.azure.clear_faults();
    told("all Secrets are renewed", served(world, names, "renew", "acr-pull").await);
    let mut changed = spec(world);
    changed["pullSecret"]["secretName"] = "acr-next".into();
    world.apply("teams", changed).await;
    told("a changed spec", served(world, names, "next", "acr-next").await);
    world.put_client_secret(CLIENT_SECRET).await;
}

fn told(when: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let (median, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("    {when:<24} median {median:>5.2} s, p99 {p99:>5.2} s target <= 1 s");
}

/// The seconds until each of the accounts names the pull secret.
async fn served(world: &World, names: &[String], what: &str, secret: &str) -> Vec<f64> {
    let mut times = Vec::new();
    for n in 0..COUNT {
        let api = world.accounts(&names[(n * 97) % names.len()]);
        let name = format!("{what}-{n}");
        let account = json!({"metadata": {"name": name}});
        let account: ServiceAccount = serde_json::from_value(account).unwrap();
        let begun = Instant::now();
        api.create(&PostParams::default(), &account).await.unwrap();
        loop {
            let found = api.get(&name).await.unwrap();
            let mut entries = found.image_pull_secrets.iter().flatten();
            if entries.any(|it| it.name == secret) {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        times.push(begun.elapsed().as_secs_f64());
    }
    times
}

//! Many large objects that are no business of the operator's, and what it keeps of them.

use std::time::Duration;

use acr_attach::settings::Settings;
use futures::StreamExt;
use kube::api::{Api, PostParams};
use rustix::process::Signal;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::memory::{Memory, megabytes};
use super::namespaces::AT_ONCE;
use super::support::World;
use super::support::secrets::{CLIENT_SECRET, with_puller};

/// So many Secrets, and so many service accounts.
const OBJECTS: usize = 5000;
const NAMESPACES: usize = 10;
const BYTES: usize = 10_000;
/// How long it is left alone before its memory is read.
const REST: Duration = Duration::from_secs(3);

/// Only these names, and any: then the operator reads of all that bears its label, and of all
/// service accounts.
const DEFAULTS: &[&str] = &[];
const ANY: &[&str] = &["--pull-secret-names=*", "--service-account-names=*"];

/// The memory of a fresh operator without them and with them.
pub async fn objects() {
    println!("{OBJECTS} unrelated Secrets and {OBJECTS} unrelated service accounts of 10 kB");
    let any = |it: &mut Settings| {
        it.policy.secret_names = "*".parse().unwrap();
        it.policy.account_names = "*".parse().unwrap();
    };
    let world = World::alone_with(with_puller, any).await;
    world.put_client_secret(CLIENT_SECRET).await;
    world.namespace_with("served", json!({})).await;
    let without = [measure(&world, DEFAULTS).await, measure(&world, ANY).await];
    make(&world).await;
    let with = [measure(&world, DEFAULTS).await, measure(&world, ANY).await];
    let names = ["the default names", "any name"];
    for ((name, without), with) in names.into_iter().zip(without).zip(with) {
        println!("  with {name} allowed");
        println!(
            "    memory grows by     {:>5.1} MB target <= 15 MB",
            megabytes(with.resident, without.resident)
        );
        println!(
            "    from {:.1} MB to {:.1} MB, at most {:.1} MB",
            megabytes(without.resident, 0),
            megabytes(with.resident, 0),
            megabytes(with.peak, 0)
        );
    }
}

/// Of an operator that has read the cluster and served one namespace.
async fn measure(world: &World, arguments: &[&str]) -> Memory {
    let program = world.replica("unrelated", arguments).await;
    world.apply("a", world.pull_spec(&json!({"names": [world.team("served")]}))).await;
    world.until_ready("a").await;
    tokio::time::sleep(REST).await;
    let memory = Memory::of(program.id());
    world.delete("a").await;
    world.until_gone("a").await;
    program.signal(Signal::TERM);
    program.ended().await;
    memory
}

async fn make(world: &World) {
    for n in 0..NAMESPACES {
        world.namespace_with(&format!("other{n}"), json!({})).await;
    }
    let filler = "x".repeat(BYTES);
    let secret = json!({"stringData": {"filler": filler}});
    let account = json!({"metadata": {"annotations": {"filler": filler}}});
    let (secret, account) = (&secret, &account);
    let all = futures::stream::iter(0..OBJECTS);
    all.for_each_concurrent(AT_ONCE, |n| async move {
        let namespace = world.team(&format!("other{}", n % NAMESPACES));
        create(&world.secrets(&namespace), n, secret).await;
        create(&world.accounts(&namespace), n, account).await;
    })
    .await;
}

async fn create<K>(api: &Api<K>, n: usize, content: &Value)
where
    K: Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let mut object = content.clone();
    object["metadata"]["name"] = format!("unrelated{n}").into();
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

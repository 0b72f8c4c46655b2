//! What pull secrets cost: time beside a bare client that makes the same writes, a restart, one
//! namespace more, a thousand attachments, and memory. Run by `make bench`; it prints and judges
//! nothing.
//!
//! Its control planes are its own, so that nothing of other worlds is counted or left behind.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark may panic, and prints"
)]

#[path = "pull_secrets/bare.rs"]
mod bare;
#[path = "pull_secrets/cold.rs"]
mod cold;
#[path = "memory.rs"]
mod memory;
#[path = "pull_secrets/namespaces.rs"]
mod namespaces;
#[path = "pull_secrets/serving.rs"]
mod serving;
#[path = "../tests/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "tests need more of it")]
mod support;
#[path = "pull_secrets/unrelated.rs"]
mod unrelated;

use jiff::SignedDuration;

use support::World;
use support::secrets::{CLIENT_SECRET, with_puller};

/// Namespaces, and attachments too.
const COUNT: usize = 1000;

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` runs benchmarks too, without this flag.
    if !std::env::args().any(|it| it == "--bench") {
        return;
    }
    let change = |it: &mut acr_attach::settings::Settings| {
        it.intervals.resync = SignedDuration::from_mins(30);
        it.concurrency = 64;
    };
    let mut world = World::alone_with(with_puller, change).await;
    world.put_client_secret(CLIENT_SECRET).await;
    let names = namespaces::make(&world, COUNT).await;
    serving::beside_a_bare_client(&mut world, &names).await;
    serving::restart(&mut world).await;
    serving::one_more(&world).await;
    serving::detach(&world, &names).await;
    world.stop().await;
    cold::start(&world, &names).await;
    drop(world);
    unrelated::objects().await;
}

//! What comes and goes while somebody plays.

use std::{
    collections::HashMap,
    pin::pin,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{Config, Event, watcher},
    },
};
use tokio::{join, time::interval};

use crate::{
    made::Made,
    terminal::{say, say_heading},
    world::World,
};

/// Selects all pull secrets: README's have another name than the demo's.
const PULL_SECRETS: &str = "app.kubernetes.io/managed-by=acr-attach";

/// Says which role assignments and pull secrets come and go, until it is dropped.
pub async fn follow(world: &World, started: Instant) {
    say_heading("Role assignments and pull secrets, as they come (+), change (~) and go (-):");
    let tell = |sign: char, what: String| {
        let time = started.elapsed().as_secs_f64();
        say(format_args!("  {time:>7.1} s  {sign} {what}"));
    };
    join!(follow_assignments(world, tell), follow_secrets(world, tell));
}

async fn follow_assignments(world: &World, tell: impl Fn(char, String)) {
    let mut seen: Vec<Made> = Vec::new();
    let mut ticks = interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        let made = world.azure.made();
        for gone in seen.iter().filter(|it| made.iter().all(|new| new.name != it.name)) {
            tell('-', gone.to_string());
        }
        for new in &made {
            match seen.iter().find(|it| it.name == new.name) {
                None => tell('+', new.to_string()),
                // Another attachment has come or gone that uses it too.
                Some(old) if old != new => tell('~', format!("{new}, {}", new.description)),
                Some(_) => {}
            }
        }
        seen = made;
    }
}

async fn follow_secrets(world: &World, tell: impl Fn(char, String)) {
    let secrets = Api::<Secret>::all(world.client.clone());
    let config = Config::default().labels(PULL_SECRETS);
    let mut events = pin!(watcher(secrets, config).default_backoff());
    let mut seen = HashMap::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::InitApply(secret) | Event::Apply(secret)) => {
                let (text, uid) = (text(&secret), secret.uid());
                // One that is renewed keeps its uid.
                if seen.insert(text.clone(), uid.clone()) != Some(uid) {
                    tell('+', text);
                }
            }
            Ok(Event::Delete(secret)) => {
                let text = text(&secret);
                seen.remove(&text);
                tell('-', text);
            }
            // The watch begins anew by itself.
            Ok(Event::Init | Event::InitDone) | Err(_) => {}
        }
    }
}

fn text(secret: &Secret) -> String {
    format!("Secret {} in namespace {}", secret.name_any(), secret.namespace().unwrap_or_default())
}

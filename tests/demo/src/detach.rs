//! Detaching, and a search for what is left after it.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::{Api, ResourceExt as _, api::ListParams};
use tokio::time::interval;

use crate::{
    pull_secret::{NAME, SECRET},
    stopwatch::names,
    terminal::{say_heading, say_lines, table},
    world::World,
};

/// What acr-attach has made and not taken away, kind by kind.
type Left = [(String, Vec<String>); 3];

/// How long garbage collection may take.
const DEADLINE: Duration = Duration::from_secs(120);
/// Marks an entry of a service account that acr-attach made.
const MARK: &str = "pull-secrets.acr-attach.dev/";

/// Detaches the last attachment.
///
/// # Errors
/// When something of them is left in Azure or in the cluster.
pub async fn detach(world: &World) -> Result<()> {
    say_heading("7. Detach");
    world.kubectl.show(&format!("delete regatt {NAME} --timeout=60s")).await?;
    world.kubectl.show("get regatt").await?;
    let left = left_in_the_end(world).await?;
    let mut rows = vec![["LEFT OF ACR-ATTACH", "COUNT"].map(str::to_owned)];
    rows.extend(left.each_ref().map(|(what, all)| [what.clone(), all.len().to_string()]));
    say_lines(&table(&rows));
    let left: Vec<_> = left.into_iter().flat_map(|(_, all)| all).collect();
    if !left.is_empty() {
        bail!("after detaching this is left:\n  {}", left.join("\n  "));
    }
    Ok(())
}

/// Garbage collection may still be at work.
async fn left_in_the_end(world: &World) -> Result<Left> {
    let start = Instant::now();
    let mut ticks = interval(Duration::from_millis(20));
    loop {
        ticks.tick().await;
        let left = left(world).await?;
        if start.elapsed() > DEADLINE || left.iter().all(|(_, all)| all.is_empty()) {
            return Ok(left);
        }
    }
}

async fn left(world: &World) -> Result<Left> {
    let named = ListParams::default().fields(&format!("metadata.name={SECRET}"));
    let secrets = Api::<Secret>::all(world.client.clone()).list(&named).await?;
    let accounts = Api::<ServiceAccount>::all(world.client.clone());
    let accounts = accounts.list(&ListParams::default()).await?;
    let is_changed = |it: &&ServiceAccount| {
        names(it, SECRET) || it.annotations().keys().any(|key| key.starts_with(MARK))
    };
    let place = |name: String, namespace: Option<String>| {
        format!("{name} in namespace {}", namespace.unwrap_or_default())
    };
    Ok([
        (
            "role assignments in Azure".to_owned(),
            world.azure.made().iter().map(ToString::to_string).collect(),
        ),
        (
            format!("Secrets {SECRET} in any namespace"),
            secrets.iter().map(|it| place(format!("Secret {SECRET}"), it.namespace())).collect(),
        ),
        (
            "service accounts that name or mark it".to_owned(),
            accounts
                .iter()
                .filter(is_changed)
                .map(|it| place(format!("service account {}", it.name_any()), it.namespace()))
                .collect(),
        ),
    ])
}

//! What a user does with it: attach, look, detach.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::time::interval;

use crate::{
    stopwatch::Stopwatch,
    terminal::{say, say_heading, say_lines, table},
    world::World,
};

/// What is applied, and the name that stands in it.
const SAMPLE: &str = "deploy/samples/kubelet-identity.yaml";
const NAME: &str = "contoso";
const MESSAGE: &str = r#"{.status.conditions[?(@.type=="Ready")].message}"#;
/// The messages of events hold resource ids, which are wider than a terminal.
const EVENT_COLUMNS: &str = "TYPE:.type,REASON:.reason,ACTION:.action";
const TITLES: [&str; 4] = ["ROLE", "PRINCIPAL", "SCOPE", "DESCRIPTION"];

/// Attaches and returns the time from the creation to Ready.
///
/// # Errors
/// When the attachment does not turn Ready.
pub async fn attach(world: &World) -> Result<Duration> {
    say_heading("Attach the cluster to the registry");
    let client = world.plane.cluster().admin().await?;
    let stopwatch = Stopwatch::start(client, NAME).await?;
    let (took, ()) = tokio::try_join!(stopwatch.created_to_ready(), apply(world))?;
    say(format_args!("  Ready {:.2} s after it was created.", took.as_secs_f64()));
    Ok(took)
}

/// Applies the sample and waits until it is Ready.
async fn apply(world: &World) -> Result<()> {
    let kubectl = &world.kubectl;
    kubectl.show(&format!("apply -f {SAMPLE}")).await?;
    let wait = format!("wait regatt/{NAME} --for=condition=Ready --timeout=60s");
    let outcome = kubectl.show(&wait).await;
    if outcome.is_err() {
        // It says why; when it cannot be had, the first error says enough.
        let _ = kubectl.show(&format!("get regatt {NAME} -o jsonpath='{MESSAGE}'")).await;
    }
    outcome.context("the attachment did not turn Ready")
}

/// Shows what is there now, in the cluster and in Azure.
///
/// # Errors
/// When there is nothing in Azure.
pub async fn look(world: &World) -> Result<()> {
    let made = world.azure.made();
    let (requests, writes) = world.azure.requests();
    world.kubectl.show("get regatt").await?;
    world.kubectl.show(&format!("get regatt {NAME} -o jsonpath='{MESSAGE}'")).await?;
    world.kubectl.show(&format!("get events -o custom-columns={EVENT_COLUMNS}")).await?;
    say_heading(&format!("In Azure, after {requests} requests, {writes} of them to write"));
    if made.is_empty() {
        bail!("the attachment is Ready, but there is no role assignment in Azure");
    }
    say_lines(&assignments(made));
    Ok(())
}

/// Detaches.
///
/// # Errors
/// When something of it is left in Azure.
pub async fn detach(world: &World) -> Result<()> {
    say_heading("Detach");
    world.kubectl.show(&format!("delete regatt {NAME} --timeout=60s")).await?;
    world.kubectl.show("get regatt").await?;
    let left = world.azure.made();
    say(format_args!("  Role assignments of acr-attach left in Azure: {}", left.len()));
    if !left.is_empty() {
        bail!("after detaching, Azure still holds:\n{}", assignments(left));
    }
    Ok(())
}

/// Attaches again, says what can be tried, then what becomes of the role assignments, until it
/// is dropped.
///
/// # Errors
/// When the attachment does not turn Ready.
pub async fn play(world: &World, started: Instant) -> Result<()> {
    say_heading("Attach again");
    apply(world).await?;
    let kubeconfig = world.plane.admin_kubeconfig().display();
    let tools = world.kubectl.folder().display();
    let control = world.azure.sim.control_url();
    say_heading("All this stays up until Ctrl-C. In another terminal:");
    say(format_args!("  export KUBECONFIG={kubeconfig}"));
    say(format_args!("  export PATH={tools}:$PATH"));
    say_heading("Look at it:");
    say(format_args!("  kubectl describe regatt {NAME}"));
    // The operator looks every 15 s ± 10 %, and then needs a moment.
    say_heading("Take the role assignment away in Azure. It comes back within 20 s:");
    for name in world.azure.names() {
        say(format_args!("  curl -X DELETE {control}/role-assignments/{name}"));
    }
    say_heading("Detach:");
    say(format_args!("  kubectl delete regatt {NAME}"));
    say_heading("Role assignments in Azure, as they come (+) and go (-):");
    follow(world, started).await
}

async fn follow(world: &World, started: Instant) -> Result<()> {
    let mut seen = Vec::new();
    let mut ticks = interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        let made = world.azure.made();
        let tell = |sign, [role, principal, scope, _]: &[String; 4]| {
            let time = started.elapsed().as_secs_f64();
            say(format_args!("  {time:>7.1} s  {sign} {role} on {scope} for {principal}"));
        };
        seen.iter().filter(|it| !made.contains(it)).for_each(|it| tell('-', it));
        made.iter().filter(|it| !seen.contains(it)).for_each(|it| tell('+', it));
        seen = made;
    }
}

fn assignments(made: Vec<[String; 4]>) -> String {
    let mut rows = vec![TITLES.map(str::to_owned)];
    rows.extend(made);
    table(&rows)
}

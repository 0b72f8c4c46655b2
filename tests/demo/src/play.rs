//! What stays up to play with.

use std::time::Instant;

use anyhow::Result;

use crate::{
    aks,
    follow::follow,
    operator::RESYNC,
    pull_secret::{self, LABEL, LABELLED, NAMED, SECRET},
    terminal::{say, say_heading},
    world::World,
};

/// What names no client secret.
const FEDERATED: &str = "deploy/samples/pull-secret-federated.yaml";

/// Attaches both again, says what can be tried, then what becomes of role assignments and pull
/// secrets, until it is dropped.
///
/// # Errors
/// When an attachment does not turn Ready.
pub async fn play(world: &World, started: Instant) -> Result<()> {
    say_heading("Attach by both methods again");
    world.apply(aks::BY_ID.0, aks::BY_ID.1).await?;
    world.apply(pull_secret::SAMPLE, pull_secret::NAME).await?;
    say_what_to_try(world);
    follow(world, started).await;
    Ok(())
}

fn say_what_to_try(world: &World) {
    let kubeconfig = world.plane.admin_kubeconfig().display();
    let tools = world.kubectl.folder().display();
    let control = world.azure.sim.control_url();
    let provided = pull_secret::NAME;
    let (key, _) = LABEL;
    say_heading("All this stays up until Ctrl-C. In another terminal:");
    say(format_args!("  export KUBECONFIG={kubeconfig}"));
    say(format_args!("  export PATH={tools}:$PATH"));
    say_heading("Look at them, and at what a pull secret says of itself:");
    say("  kubectl describe regatt");
    say(format_args!("  kubectl describe secret {SECRET} --namespace {NAMED}"));
    // The operator looks at intervals that differ by 10 %, and then needs a moment.
    let soon = 2 * RESYNC.as_secs();
    say_heading(&format!("Take the role assignment away in Azure. It comes back within {soon} s:"));
    for made in world.azure.made() {
        say(format_args!("  curl -X DELETE {control}/role-assignments/{}", made.name));
    }
    say_heading("Delete a pull secret. It comes back at once:");
    say(format_args!("  kubectl delete secret {SECRET} --namespace {NAMED}"));
    say_heading(&format!("Take the label from {LABELLED}, and give it again:"));
    say(format_args!("  kubectl label namespace {LABELLED} {key}-"));
    say(format_args!("  kubectl label namespace {LABELLED} {key}={}", LABEL.1));
    say_heading("Attach without a client secret, by the operator's own token of the cluster:");
    say(format_args!("  kubectl delete regatt {provided}"));
    say(format_args!("  kubectl apply -f {FEDERATED}"));
    say_heading("Detach:");
    say("  kubectl delete regatt --all");
}

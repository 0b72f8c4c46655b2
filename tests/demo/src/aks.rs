//! On AKS, step by step: what `az aks update --attach-acr` does once, and what it leaves to people.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::{
    azure::CLUSTER,
    made::{assignments, condition},
    nodes,
    operator::{REMOVAL_DELAY, RESYNC},
    somebody::IDENTITY,
    stopwatch::created_to_ready,
    terminal::{say, say_heading, say_lines, say_part},
    until::until,
    world::World,
};

/// What is applied, and the names that stand in it.
pub const BY_ID: (&str, &str) = ("deploy/samples/kubelet-identity.yaml", "contoso");
const BY_NAME: (&str, &str) = ("deploy/samples/kubelet-identity-by-name.yaml", "contoso-by-name");
const REPOSITORIES: (&str, &str) = ("deploy/samples/repositories.yaml", "contoso-team-a");
/// The kubelet identity that the cluster was made with.
const FORMER_IDENTITY: &str = "prod-agentpool";
const ACR_PULL: &str = "AcrPull";
const REPOSITORY_READER: &str = "Container Registry Repository Reader";
/// When status says that a role will be removed.
const REMOVE_AFTER: &str = "jsonpath='{.status.roleAssignments[*].removeAfter}'";

/// Tells it, and returns the time from the creation of the first attachment to Ready.
///
/// # Errors
/// When Azure does not hold what it should.
pub async fn tell(world: &World) -> Result<Duration> {
    introduce(world).await?;
    let granted = attach(world).await.context("attaching failed")?;
    attach_by_name(world).await.context("attaching by name failed")?;
    detach(world).await.context("detaching failed")?;
    attach_repositories(world).await.context("attaching repositories failed")?;
    replace_identity(world).await.context("following the kubelet identity failed")?;
    say_heading("6. Detach again");
    world.kubectl.show(&format!("delete regatt {} --timeout=60s", REPOSITORIES.1)).await?;
    show_roles(world, "In Azure:", &[])?;
    say_lines("And the registry is set back:");
    world.azure.leave_abac_mode();
    Ok(granted)
}

async fn introduce(world: &World) -> Result<()> {
    say_part("On AKS, beside az aks update --attach-acr");
    nodes::add(&world.azure.cluster()?, world.client.clone()).await?;
    let (looks, removes) = (RESYNC.as_secs(), REMOVAL_DELAY.as_secs());
    say_lines(&format!(
        "There are no machines here and no az: Node objects are made up as AKS makes them, and what somebody types into az is done in the simulated Azure. acr-attach looks at Azure every 30 minutes, and removes what was replaced an hour ago. Here it looks every {looks} s, and removes after {removes} s."
    ));
    Ok(())
}

async fn attach(world: &World) -> Result<Duration> {
    say_heading("1. Attach");
    say_lines(&format!(
        "az aks update --attach-acr assigns a role once; this keeps it assigned. The file names registry and cluster by their ids. The nodes of the cluster pull as its kubelet identity, {FORMER_IDENTITY}."
    ));
    let stopwatch = created_to_ready(world.client.clone(), BY_ID.1).await?;
    let (took, ()) = tokio::try_join!(stopwatch.stopped(), world.apply(BY_ID.0, BY_ID.1))?;
    say(format_args!("  Ready {:.2} s after it was created.", took.as_secs_f64()));
    world.show_message(BY_ID.1).await?;
    let (requests, writes) = world.azure.requests();
    let heading = format!("In Azure, after {requests} requests, {writes} of them to write:");
    show_roles(world, &heading, &[(ACR_PULL, FORMER_IDENTITY)])?;
    Ok(took)
}

async fn attach_by_name(world: &World) -> Result<()> {
    say_heading("2. Attach by name");
    say_lines(
        "This file holds no more than the registry's name, as az needs no more: the nodes tell which cluster it is. Both attachments hold one role assignment.",
    );
    world.apply(BY_NAME.0, BY_NAME.1).await?;
    show_roles(world, "In Azure:", &[(ACR_PULL, FORMER_IDENTITY)])
}

async fn detach(world: &World) -> Result<()> {
    say_heading("3. Detach");
    say_lines(
        "az aks update --detach-acr deletes every AcrPull that the identity has on the registry, whoever assigned it. acr-attach takes back its own.",
    );
    let (one, other) = (BY_ID.1, BY_NAME.1);
    world.kubectl.show(&format!("delete regatt {one} {other} --timeout=60s")).await?;
    show_roles(world, "In Azure:", &[])
}

async fn attach_repositories(world: &World) -> Result<()> {
    say_heading("4. Attach some repositories of a registry with repository permissions");
    say_lines(
        "A registry in mode \"RBAC Registry + ABAC Repository Permissions\" ignores AcrPull, and az aks update --attach-acr assigns it nevertheless. acr-attach assigns the role that the mode honours, and can narrow it to repositories.",
    );
    world.azure.enter_abac_mode();
    world.apply(REPOSITORIES.0, REPOSITORIES.1).await?;
    show_roles(world, "In Azure:", &[(REPOSITORY_READER, FORMER_IDENTITY)])?;
    let made = world.azure.made();
    let narrowed = made.iter().find_map(|it| it.condition.as_ref());
    let narrowed = narrowed.context("the role is not narrowed")?;
    say("  With this condition:");
    for line in condition(narrowed) {
        say_lines(&format!("  {line}"));
    }
    Ok(())
}

async fn replace_identity(world: &World) -> Result<()> {
    say_heading("5. The kubelet identity is replaced");
    say_lines(
        "After az aks update --attach-acr the new identity has no role until somebody types that again. acr-attach gives it the role, and leaves the former one its own until no node uses it.",
    );
    world.azure.replace_kubelet_identity();
    let both = [(REPOSITORY_READER, FORMER_IDENTITY), (REPOSITORY_READER, IDENTITY.0)];
    until_roles(world, &both).await?;
    world.azure.reimage_nodes();
    say_lines(&format!(
        "Now AKS has reimaged all nodes of {CLUSTER}. Status says when the former role goes:"
    ));
    show_removal(world).await?;
    until_roles(world, &both[1..]).await
}

/// Shows when the role of the former identity will be removed, once status says it.
async fn show_removal(world: &World) -> Result<()> {
    let attachments = world.attachments();
    until("status to say when the former role goes", async || {
        let status = &attachments.get(REPOSITORIES.1).await?.data["status"];
        let roles = status["roleAssignments"].as_array();
        let is_told = roles.into_iter().flatten().any(|it| it["removeAfter"].is_string());
        Ok((is_told || world.azure.made().len() == 1).then_some(()))
    })
    .await?;
    world.kubectl.show(&format!("get regatt {} -o {REMOVE_AFTER}", REPOSITORIES.1)).await
}

/// Waits until these roles are held in Azure, and no others of ours.
async fn until_roles(world: &World, roles: &[(&str, &str)]) -> Result<()> {
    let start = Instant::now();
    until("roles in Azure", async || Ok(are_held(world, roles).then_some(()))).await?;
    let later = format!("In Azure, {:.1} s later:", start.elapsed().as_secs_f64());
    show_roles(world, &later, roles)
}

/// Shows what there is in Azure.
///
/// # Errors
/// When it is not these roles of these identities.
fn show_roles(world: &World, heading: &str, roles: &[(&str, &str)]) -> Result<()> {
    let made = world.azure.made();
    let there = if made.is_empty() {
        "There is no role assignment of acr-attach.".to_owned()
    } else {
        assignments(&made)
    };
    say_lines(&format!("{heading}\n{there}"));
    if !are_held(world, roles) {
        bail!("these roles should be there, and no others: {roles:?}");
    }
    Ok(())
}

fn are_held(world: &World, roles: &[(&str, &str)]) -> bool {
    let made = world.azure.made();
    let held = |(role, principal): &(&str, &str)| {
        made.iter().any(|it| it.role == *role && it.principal == *principal)
    };
    made.len() == roles.len() && roles.iter().all(held)
}

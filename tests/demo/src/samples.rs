//! Every sample, applied in the demo: its attachments turn Ready, and its pull secrets pull.

use std::{env, path::Path};

use anyhow::{Context as _, Result};
use azure_sim::model::RoleAssignmentMode;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::Value;

use crate::{
    Flags,
    azure::{CLIENT_SECRET, IMAGE, REGISTRY},
    documents::{ROOT, objects, samples},
    nodes,
    operator::{NAMESPACE, Operator},
    pull_secret::{CREDENTIAL, NAMED},
    registry::{self, Login},
    world::World,
};

#[tokio::test]
async fn each_sample_works_in_the_demo() {
    // The demo is started there.
    env::set_current_dir(ROOT).unwrap();
    // Cargo puts the operator beside the folder of this test.
    let test = env::current_exe().unwrap();
    let operator = test.ancestors().nth(2).unwrap().join("acr-attach");
    let flags = Flags { operator, once: true, azure_latency: 0, log: None };
    let world = World::start(&flags).await.unwrap();
    let log = world.plane.cluster().dir().join("operator.log");
    let mut operator = Operator::start(&world, &flags.operator, log).await.unwrap();
    operator.until_ready().await.unwrap();
    let outcome = each_works(&world).await.map_err(|error| operator.explain(&error));
    outcome.unwrap();
    operator.stop().await.unwrap();
    world.stop().await.unwrap();
}

async fn each_works(world: &World) -> Result<()> {
    nodes::add(&world.azure.cluster()?, world.client.clone()).await?;
    world.kubectl.run(&format!("create namespace {NAMED}")).await?;
    let (name, key) = CREDENTIAL;
    let literal = format!("--from-literal={key}={CLIENT_SECRET}");
    let secret = format!("create secret generic {name} --namespace {NAMESPACE} {literal}");
    world.kubectl.run(&secret).await?;
    for sample in samples() {
        works(world, &sample).await.with_context(|| format!("{} fails", sample.display()))?;
    }
    Ok(())
}

async fn works(world: &World, sample: &Path) -> Result<()> {
    let attachments = objects(&std::fs::read_to_string(sample)?);
    // Its file tells that it is for such a registry.
    let is_abac = attachments.iter().any(|it| it["spec"].get("repositories").is_some());
    set_mode(world, is_abac);
    world.kubectl.run(&format!("apply -f {}", sample.display())).await?;
    for attachment in &attachments {
        let name = attachment["metadata"]["name"].as_str().context("it has no name")?;
        let wait = format!("wait regatt/{name} --for=condition=Ready --timeout=120s");
        if let Err(error) = world.kubectl.run(&wait).await {
            let status = world.attachments().get(name).await?.data["status"].take();
            return Err(error.context(status.to_string()));
        }
        if attachment["spec"]["method"] == "PullSecret" {
            pulls(world, name, &attachment["spec"]["pullSecret"]).await?;
        }
    }
    world.kubectl.run(&format!("delete -f {} --timeout=120s", sample.display())).await?;
    Ok(())
}

fn set_mode(world: &World, is_abac: bool) {
    let mode = if is_abac {
        RoleAssignmentMode::AbacRepositoryPermissions
    } else {
        RoleAssignmentMode::LegacyRegistryPermissions
    };
    world.azure.sim.update(|model| {
        if let Some(registry) = model.registry_mut(REGISTRY) {
            registry.role_assignment_mode = mode;
        }
    });
}

/// The pull secret in the namespace that all samples name is good for the registry.
async fn pulls(world: &World, name: &str, spec: &Value) -> Result<()> {
    let status = world.attachments().get(name).await?.data["status"].take();
    let server = status["registry"]["loginServer"].as_str().context("status has no server")?;
    let secret = spec["secretName"].as_str().unwrap_or("acr-pull");
    let secret = Api::<Secret>::namespaced(world.client.clone(), NAMED).get(secret).await?;
    let (_, repository, tag) = IMAGE;
    let login = Login::of(&secret, server)?;
    registry::pull(&world.azure.client()?, &login, (server, repository, tag)).await?;
    Ok(())
}

//! Compares what the operator asked of the API server in all behaviour tests with the rights that it
//! is installed with. A right that nothing uses is one too many; a call that was refused is a right
//! that is missing.
//!
//! Runs beside the control plane that the tests have used: `control-plane run -- …`.

mod installed;
mod used;

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use control_plane::Cluster;
use control_plane::audit::AuditEvent;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

/// The label that a test gives to the namespace of its operator when calls are to be refused.
const EXPECTED: &str = "acr-attach.dev/expects-refusals";

/// What the operators of all tests have in common.
const NAMESPACE: &str = "acr-attach-";
const ACCOUNT: &str = "acr-attach";

/// Compares the calls of all operators on this control plane with the rights in a manifest.
#[derive(Parser)]
struct Arguments {
    /// The manifest that the operator is installed with.
    manifest: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match compare(&Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rights: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what is too many and what is missing, and returns whether there is neither.
async fn compare(arguments: &Arguments) -> Result<bool> {
    let file = &arguments.manifest;
    let text =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let rights = installed::rights(&text, ACCOUNT).context("reading the rights")?;
    ensure!(!rights.is_empty(), "{} gives {ACCOUNT} no rights", file.display());
    let cluster = Cluster::from_env()?.ok_or_else(|| {
        anyhow!("no control plane: run this by `control-plane run -- …`, after the tests")
    })?;
    let calls = cluster.calls_by_service_accounts(NAMESPACE, ACCOUNT)?;
    ensure!(
        !calls.is_empty(),
        "no operator has asked this control plane anything: run the tests first"
    );
    let unused = used::unused(&rights, &calls);
    let refused = refused(&cluster, &calls).await?;
    for right in &unused {
        println!("unused: {right}");
    }
    for call in &refused {
        println!("refused: {} {} by {}", call.verb, call.uri, call.user);
    }
    println!(
        "{} rules and {} calls compared: {} unused rules, {} refused calls",
        rights.len(),
        calls.len(),
        unused.len(),
        refused.len()
    );
    Ok(unused.is_empty() && refused.is_empty())
}

/// The calls that were refused although no test wanted that.
async fn refused<'a>(cluster: &Cluster, calls: &'a [AuditEvent]) -> Result<Vec<&'a AuditEvent>> {
    let namespaces: Api<Namespace> = Api::all(cluster.admin().await?);
    let list = namespaces.list_metadata(&ListParams::default().labels(EXPECTED)).await?;
    let expected: HashSet<_> =
        list.iter().map(|it| Cluster::service_account_user(&it.name_any(), ACCOUNT)).collect();
    let refused = |it: &&AuditEvent| matches!(it.code, Some(401 | 403));
    Ok(calls.iter().filter(refused).filter(|it| !expected.contains(&it.user)).collect())
}

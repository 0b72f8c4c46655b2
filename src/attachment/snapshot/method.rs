//! Auto decides once: what an attachment owns tells how it was decided.

use acr_attach_core::api::{MethodInUse, RegistryAttachment};
use acr_attach_core::plan::Finalizer;
use acr_attach_core::platform::{Platform, undetermined};
use acr_attach_core::problem::Problem;
use acr_attach_core::spec::Intent;
use kube::ResourceExt;

use crate::attachment::context::Context;
use crate::attachment::snapshot::Scope;
use crate::attachment::state::{Findings, Revision};

/// What was decided of an attachment that leaves its method to the cluster.
pub struct Choice {
    /// What is to become of it. At a glance it may be undecided.
    pub intent: Intent,
    /// What speaks against it now, for people: it stays nevertheless.
    pub remark: Option<String>,
}

/// Decides by what the attachment owns, else by what the cluster is.
///
/// # Errors
/// `Undetermined` when nobody can tell; and when the API server or Azure does not answer.
pub async fn choose(
    object: &RegistryAttachment,
    scope: Scope,
    findings: &Findings,
    ctx: &Context,
) -> Result<Choice, Problem> {
    let told = object.status.as_ref().and_then(|it| it.method);
    if scope == Scope::Cluster {
        // It was decided by a check, perhaps before the operator was started.
        let remark = findings.remark.clone();
        let intent = findings.method.or(told).map_or(Intent::Undecided, Intent::Attach);
        return Ok(Choice { intent, remark });
    }
    let owned = owned(object, told, ctx)?;
    let platform = ctx.platform(object, findings.since).await;
    if let Some(method) = owned {
        // That nobody can tell is nothing against it, and what was told before still is.
        let remark = match platform {
            Ok(platform) => contrary(method, &platform),
            Err(_) => findings.remark.clone(),
        };
        return Ok(Choice { intent: Intent::Attach(method), remark });
    }
    let method = match platform? {
        Platform::Aks(_) => MethodInUse::KubeletIdentity,
        Platform::NotAks => MethodInUse::PullSecret,
        Platform::Unsure(why) => return Err(undetermined(&why)),
    };
    Ok(Choice { intent: Intent::Attach(method), remark: None })
}

/// A claim, or Secrets and entries. Both are there while one method replaces the other.
fn owned(
    object: &RegistryAttachment,
    told: Option<MethodInUse>,
    ctx: &Context,
) -> Result<Option<MethodInUse>, Problem> {
    let revision = Revision::of(object);
    let by_role = has_role(object);
    let mut by_secret = revision.finalizers().contains(&Finalizer::ServiceAccounts);
    if !by_secret && ctx.policy.pull_secrets {
        let uid = object.uid().unwrap_or_default();
        by_secret = !ctx.watches.secrets.select(|it| it.is_owned_by(&uid))?.is_empty();
    }
    Ok(match (by_role, by_secret) {
        (false, false) => None,
        (true, false) => Some(MethodInUse::KubeletIdentity),
        (false, true) => Some(MethodInUse::PullSecret),
        (true, true) => told.filter(|it| *it != MethodInUse::Unknown),
    })
}

/// Whether a role was decided for, and is held. One that somebody else assigned needs no finalizer, and
/// decides all the same.
pub fn has_role(object: &RegistryAttachment) -> bool {
    let uses_role = object.status.as_ref().is_some_and(|it| {
        it.method == Some(MethodInUse::KubeletIdentity) && it.role_assignments.is_some()
    });
    uses_role || Revision::of(object).finalizers().contains(&Finalizer::RoleAssignments)
}

fn contrary(method: MethodInUse, platform: &Platform) -> Option<String> {
    let (word, other) = match (method, platform) {
        (MethodInUse::PullSecret, Platform::Aks(cluster)) => {
            (format!("the cluster is {cluster} of AKS now"), "KubeletIdentity")
        }
        (MethodInUse::KubeletIdentity, Platform::NotAks) => {
            ("the cluster is not AKS any more".to_owned(), "PullSecret")
        }
        _ => return None,
    };
    Some(format!("{word}, and this was decided before; to switch, set method to {other}"))
}

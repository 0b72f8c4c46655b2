//! Method Auto is decided once. Later checks of Azure read the decision from what the attachment owns.

use acr_attach_core::api::{MethodInUse, RegistryAttachment};
use acr_attach_core::outcome::last_check::Scope;
use acr_attach_core::plan::Finalizer;
use acr_attach_core::platform::{Platform, undetermined};
use acr_attach_core::problem::Problem;
use acr_attach_core::spec::Intent;
use kube::ResourceExt;

use crate::attachment::context::Context;
use crate::attachment::state::{Findings, Revision};

/// The decision what to do with an attachment.
pub struct Choice {
    /// What to do. With [`Scope::Cluster`] it may be undecided.
    pub intent: Intent,
    /// Why the platform speaks against the decision now, for the message of Ready. The decision stays.
    pub remark: Option<String>,
}

/// Decides the method of an attachment with method Auto: by what the attachment owns, else by the platform
/// of the cluster. With [`Scope::Cluster`] the earlier decision counts.
///
/// # Errors
/// `Undetermined` when the platform is unknown; while the cache of Secrets has not been filled; as
/// [`Context::platform`].
pub async fn choose(
    object: &RegistryAttachment,
    scope: Scope,
    findings: &Findings,
    ctx: &Context,
) -> Result<Choice, Problem> {
    let told = object.status.as_ref().and_then(|it| it.method);
    if scope == Scope::Cluster {
        // A check of Azure decided it, perhaps before the operator started: then status shows it.
        let remark = findings.remark.clone();
        let intent = findings.method.or(told).map_or(Intent::Undecided, Intent::Attach);
        return Ok(Choice { intent, remark });
    }
    let owned = owned(object, told, ctx)?;
    let platform = ctx.platform(object, findings.since).await;
    if let Some(method) = owned {
        // An unknown platform gives no remark. Where the platform cannot be read, the earlier remark stays.
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

/// The method whose objects the attachment owns: role assignments, or Secrets and entries. It owns both while
/// one method replaces the other, and then the method in status counts.
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

/// Whether the attachment holds a role, by status or by its finalizer. A role that another tool assigned
/// needs no finalizer, and counts as well.
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

//! Observe, for an attachment that is to go: where what it holds in Azure is.

use acr_attach_azure::Reader;
use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::ids::{AssignmentId, RegistryId};
use acr_attach_core::plan::{Assignments, Finalizer};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::spec::{DetachedRegistry, RegistryName};
use jiff::Timestamp;
use kube::ResourceExt;

use crate::attachment::snapshot::identity::Origin;
use crate::attachment::snapshot::registry::{Wanted, shown_assignments};
use crate::attachment::snapshot::{Reconcile, Snapshot};

/// Asks by their ids for the assignments that status tells of, or that this process wrote, and that a list
/// does not show: without one, the finalizer goes, and nothing looks again. Lists lag behind.
pub async fn confirmed(
    mut listed: Assignments,
    registry: &RegistryId,
    azure: &Reader,
    this: Reconcile<'_>,
) -> Result<Assignments, Problem> {
    let (now, written) = (Timestamp::now(), &this.findings.written);
    let told = shown_assignments(this.object).into_iter();
    for id in told.chain(written.keys().cloned()) {
        if !id.is_at(registry) || listed.found.iter().any(|it| it.id == id) {
            continue;
        }
        let found = azure.role_assignment(&id).await?;
        let is_young = |at: &&Timestamp| now.duration_since(**at) < this.ctx.intervals.visibility;
        let at = written.get(&id).filter(is_young).filter(|_| found.is_none());
        listed.hidden = listed.hidden.take().or(at.map(|at| hidden(&id, *at, this)));
        listed.found.extend(found);
    }
    let is_guess = listed.registry_and_claims.as_ref().is_some_and(|(_, own)| own.are_guessed());
    let finds_none = !listed.found.iter().any(|it| listed.are_claimed(it));
    if is_guess && finds_none && listed.found.iter().any(|it| it.claims().is_some()) {
        return Err(unknown_claim(this.object));
    }
    Ok(listed)
}

/// Status shows no claim, and nothing tells what the claim is made of.
fn unknown_claim(object: &RegistryAttachment) -> Problem {
    let advice = format!(
        "let the operator's identity read the cluster (role Reader), so that it can tell the claim of attachment {}",
        object.name_any()
    );
    let account = "finding this attachment's claim among those on the registry: status shows none, and it is not known whether the cluster is AKS";
    Problem::advised(Cause::Undetermined, &advice, &[account.to_owned()])
}

fn hidden(id: &AssignmentId, at: Timestamp, this: Reconcile<'_>) -> Problem {
    let visibility = this.ctx.intervals.visibility;
    let text = format!(
        "removing role assignment {id}: it was asked for at {}, and Azure does not show it, which may take {visibility:#}; it is looked for until then",
        at.strftime("%FT%TZ")
    );
    Problem::new(Cause::Propagating, text)
}

impl Snapshot {
    /// Where the registry is gone, so are its assignments.
    pub async fn detaching(
        &mut self,
        leaving: &DetachedRegistry,
        this: Reconcile<'_>,
    ) -> Result<(), Problem> {
        if self.owned.finalizers.contains(&Finalizer::RoleAssignments) {
            self.own_claims(this).await?;
        }
        if let Some(registry) = self.registry_to_leave(leaving, this).await? {
            return self.assignments(&registry, false, this).await;
        }
        self.owned.assignments = Some(Assignments::none());
        Ok(())
    }

    /// The id of the registry to detach from; `None` if Azure says that there is none of that name
    /// any more, where it was looked for when it was attached.
    async fn registry_to_leave(
        &mut self,
        leaving: &DetachedRegistry,
        this: Reconcile<'_>,
    ) -> Result<Option<RegistryId>, Problem> {
        let DetachedRegistry { registry: name, source } = leaving;
        let needed = self.owned.finalizers.contains(&Finalizer::RoleAssignments);
        let searched = match (name, self.before(this)) {
            (RegistryName::Id(id), _) => return Ok(Some(id.clone())),
            (_, Some(id)) => return Ok(Some(id)),
            (RegistryName::Name { name, .. }, None) if needed => name,
            _ => return Ok(None),
        };
        let before = this.cluster_before();
        let subscription = match source {
            Some(source) => match Origin::from(source, before, this).await {
                Err(Problem { cause: Cause::Undetermined | Cause::Unsupported, .. }) => None,
                origin => origin?.subscription(),
            },
            None => None,
        };
        let subscription = Wanted { name, subscription, before: None }.searched(this.ctx)?;
        let azure = this.session()?;
        let reader = &self.session.insert(azure).reader;
        match reader.find_registry(subscription, searched).await {
            Err(error) if error.is_not_found() => Ok(None),
            found => Ok(found?),
        }
    }
}

//! Snapshot for detaching: the role assignments that the attachment holds in Azure.

use acr_attach_azure::Reader;
use acr_attach_core::ids::{AssignmentId, RegistryId};
use acr_attach_core::outcome::last_check::Scope;
use acr_attach_core::plan::{Assignments, Finalizer};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::spec::{DetachedRegistry, RegistryName};
use jiff::Timestamp;

use crate::attachment::reconcile::Reconcile;
use crate::attachment::snapshot::Snapshot;
use crate::attachment::snapshot::identity::Origin;
use crate::attachment::snapshot::registry::{Wanted, shown_assignments};

/// Reads by their ids the assignments that status shows, or that this process wrote, and that the list
/// lacks. Lists of Azure lag behind, and once the finalizer is removed nothing reads the assignments again.
///
/// # Errors
/// `Undetermined` when the attachment's claim is unknown; when Azure does not answer or refuses.
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
    // Another claim on the registry may be this attachment's own.
    let doubt = listed.registry_and_claims.as_ref().and_then(|(_, own)| own.doubt().cloned());
    let finds_none = !listed.found.iter().any(|it| listed.are_claimed(it));
    let has_claims = listed.found.iter().any(|it| it.claims().is_some());
    listed.hidden = listed.hidden.take().or(doubt.filter(|_| finds_none && has_claims));
    Ok(listed)
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
    /// Reads the role assignments to remove. A registry that is gone has none.
    pub async fn detaching(
        &mut self,
        leaving: &DetachedRegistry,
        this: Reconcile<'_>,
    ) -> Result<(), Problem> {
        if this.scope == Scope::Azure && self.owned.finalizers.contains(&Finalizer::RoleAssignments)
        {
            self.own_claims(this).await?;
        }
        if let Some(registry) = self.registry_to_leave(leaving, this).await? {
            return self.assignments(&registry, false, this).await;
        }
        self.owned.assignments = Some(Assignments::none());
        Ok(())
    }

    /// The id of the registry to detach from. `None` if no role assignment can be left: the attachment bears
    /// no finalizer for them, or Azure reports no registry of that name in the subscription that was searched
    /// when it was attached.
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

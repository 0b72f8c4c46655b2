//! Observe, for an attachment that is to go: where what it holds in Azure is.

use super::identity::Known;
use super::observe::{Observation, Pass};
use super::registry::{Wanted, told_assignments};
use crate::domain::attachment::{Leaving, RegistryName};
use crate::domain::names::RegistryId;
use crate::domain::plan::{Assignments, Finalizer};
use crate::domain::problem::{Cause, Problem};

impl Observation {
    /// Where the registry is gone, so are its assignments.
    pub(super) async fn detaching(
        &mut self,
        leaving: &Leaving,
        pass: Pass<'_>,
    ) -> Result<(), Problem> {
        self.desired.grants = Some(Vec::new());
        let Some(registry) = self.registry_to_leave(leaving, pass).await? else {
            self.owned.assignments = Some(Assignments::none());
            return Ok(());
        };
        let registry = &registry;
        self.assignments(registry, false, pass).await?;
        // Nobody looks again after this, so a list that lags behind must not have the last word.
        let (Some(session), Some(owns)) = (&self.session, &mut self.owned.assignments) else {
            return Ok(());
        };
        for id in told_assignments(pass.object) {
            if id.is_at(registry) && owns.found.iter().all(|it| it.id != id) {
                owns.found.extend(session.reader.role_assignment(&id).await?);
            }
        }
        Ok(())
    }

    /// The id of the registry to detach from; `None` if Azure says that there is none of that name
    /// any more, where it was looked for when it was attached.
    async fn registry_to_leave(
        &mut self,
        leaving: &Leaving,
        pass: Pass<'_>,
    ) -> Result<Option<RegistryId>, Problem> {
        let Leaving { registry: name, source } = leaving;
        let needed = self.owned.finalizers.contains(&Finalizer::RoleAssignments);
        let searched = match (name, self.before(pass)) {
            (RegistryName::Id(id), _) => return Ok(Some(id.clone())),
            (_, Some(id)) => return Ok(Some(id)),
            (RegistryName::Name { name, .. }, None) if needed => name,
            _ => return Ok(None),
        };
        let before = self.cluster_before(pass);
        let subscription = match source {
            Some(source) => match Known::from(source, before, pass.object, pass.ctx).await {
                Err(Problem { cause: Cause::Undetermined | Cause::Unsupported, .. }) => None,
                known => known?.subscription(),
            },
            None => None,
        };
        let subscription = Wanted { name, subscription, before: None }.searched(pass.ctx)?;
        let azure = pass.session()?;
        let reader = &self.session.insert(azure).reader;
        match reader.find_registry(subscription, searched).await {
            Err(error) if error.is_not_found() => Ok(None),
            found => Ok(found?),
        }
    }
}

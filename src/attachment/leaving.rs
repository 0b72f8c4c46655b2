//! Observe, for an attachment that is to go: where what it holds in Azure is.

use acr_attach_core::ids::{AssignmentId, RegistryId};
use acr_attach_core::plan::{Assignments, Finalizer};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::spec::{DetachedRegistry, RegistryName};
use jiff::{SignedDuration, Timestamp};

use super::identity::Known;
use super::observe::{Observation, Pass};
use super::registry::{Wanted, told_assignments};

/// How long Azure may not show a role assignment that it has made (terraform-provider-azurerm issues
/// 8584 and 9379: 201, and then 404).
const SHOWN_AFTER: SignedDuration = SignedDuration::from_mins(1);

fn may_be_there(id: &AssignmentId, asked: Timestamp) -> Problem {
    let text = format!(
        "detaching: role assignment {id} was asked for at {}, and no answer tells whether it was made; Azure may show it late, so that it is looked for until {SHOWN_AFTER:#} after that",
        asked.strftime("%FT%TZ")
    );
    Problem::new(Cause::Propagating, text)
}

impl Observation {
    /// Where the registry is gone, so are its assignments.
    pub(super) async fn detaching(
        &mut self,
        leaving: &DetachedRegistry,
        pass: Pass<'_>,
    ) -> Result<(), Problem> {
        let now = Timestamp::now();
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
        let unanswered = &pass.known.unanswered;
        let told = told_assignments(pass.object).into_iter();
        let mut unseen = None;
        for id in told.chain(unanswered.keys().cloned()) {
            if !id.is_at(registry) || owns.found.iter().any(|it| it.id == id) {
                continue;
            }
            let found = session.reader.role_assignment(&id).await?;
            let young = |at: &&Timestamp| now.duration_since(**at) < SHOWN_AFTER;
            let asked = unanswered.get(&id).filter(young).filter(|_| found.is_none());
            unseen = unseen.or(asked.map(|at| may_be_there(&id, *at)));
            owns.found.extend(found);
        }
        // Without them the finalizer stays.
        unseen.map_or(Ok(()), |problem| {
            self.owned.assignments = None;
            Err(problem)
        })
    }

    /// The id of the registry to detach from; `None` if Azure says that there is none of that name
    /// any more, where it was looked for when it was attached.
    async fn registry_to_leave(
        &mut self,
        leaving: &DetachedRegistry,
        pass: Pass<'_>,
    ) -> Result<Option<RegistryId>, Problem> {
        let DetachedRegistry { registry: name, source } = leaving;
        let needed = self.owned.finalizers.contains(&Finalizer::RoleAssignments);
        let searched = match (name, self.before(pass)) {
            (RegistryName::Id(id), _) => return Ok(Some(id.clone())),
            (_, Some(id)) => return Ok(Some(id)),
            (RegistryName::Name { name, .. }, None) if needed => name,
            _ => return Ok(None),
        };
        let before = pass.cluster_before();
        let subscription = match source {
            Some(source) => match Known::from(source, before, pass).await {
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

//! Passes facts to the delivery controller, and reads the reports of namespaces.

use acr_attach_core::delivery::Deliveries;
use acr_attach_core::outcome::last_check::Scope;
use acr_attach_core::plan::{self, Plan, RemovalTiming, Serving};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::pull_secrets::{DesiredPullSecrets, PullSecretState};
use acr_attach_core::spec::policy::UsedNames;
use acr_attach_core::spec::{Method, Task};
use jiff::Timestamp;

use crate::attachment::reconcile::Reconcile;
use crate::attachment::snapshot::Snapshot;
use crate::attachment::snapshot::unwatched::shown_names;

impl Snapshot {
    /// Passes the method and the hosts of the registry to the delivery controller.
    pub fn publish(&self, this: Reconcile<'_>) {
        let Task::Attach(attachment) = this.task else { return };
        let (method, source) = (attachment.method.in_use(), self.source.clone());
        this.ctx.delivery.learn(
            &this.uid(),
            |facts| {
                facts.method = Some(method);
                facts.endpoints = source.or(facts.endpoints.take());
            },
            this.ctx,
        );
    }

    /// Passes the time from which a role replaces pull secrets to the delivery controller.
    pub fn publish_replacement(&self, this: Reconcile<'_>, now: Timestamp) {
        if !self.desired.grants_are_for_nodes || self.owned.assignments.is_none() {
            return;
        }
        let replaced_at = self.replaced_at(this, now);
        this.ctx.delivery.learn(&this.uid(), |it| it.replaced_at = replaced_at, this.ctx);
    }

    /// Waits for the reports of namespaces. Notes why the state of the cluster is unknown: a cache has not been
    /// filled, or namespaces have yet to report.
    pub async fn reports(&mut self, this: Reconcile<'_>) {
        if !depends_on_cluster(this) {
            return;
        }
        self.unseen = self.caches(this);
        self.unread = self.unseen.is_some();
        if self.unread {
            return;
        }
        let uid = this.uid();
        this.ctx.delivery.reported_on(&uid).await;
        let pending = this.ctx.delivery.ask(&uid, |it| (!it.are_complete()).then(|| it.pending()));
        if let Some(pending) = pending.flatten() {
            let text = format!("delivering pull secrets: {pending} namespaces have yet to report");
            self.unseen = Some(Problem::new(Cause::Busy, text));
        }
    }

    /// Why a cache that the task depends on has not been filled; `None` if all have.
    fn caches(&self, this: Reconcile<'_>) -> Option<Problem> {
        let watches = &this.ctx.watches;
        let caches = [watches.namespaces.unread(), watches.secrets.unread()];
        let caches = caches.into_iter().chain([watches.accounts.unread()]);
        let credentials = watches.credentials.unread().filter(|_| self.desired.inputs.is_some());
        caches.chain([credentials]).flatten().next()
    }

    /// The plan for roles.
    pub fn plan(&self, this: Reconcile<'_>, now: Timestamp) -> Plan {
        let delay = this.ctx.intervals.removal_delay;
        let replaced_at = self.replaced_at(this, now);
        plan::roles(&self.desired, &self.owned, RemovalTiming { now, replaced_at, delay })
    }

    /// From when the desired roles and pull secrets count, as [`plan::replaced_at`].
    fn replaced_at(&self, this: Reconcile<'_>, now: Timestamp) -> Option<Timestamp> {
        let by_secret = match this.task {
            Task::Attach(it) => matches!(it.method, Method::PullSecret(_)),
            Task::Detach(_) => false,
        };
        let since = || this.ctx.delivery.ask(&this.uid(), Deliveries::all_serving_since).flatten();
        let serving = if by_secret { Serving::Since(since()) } else { Serving::NotDesired };
        let delay = this.ctx.intervals.removal_delay;
        plan::replaced_at(&self.desired, &self.owned, serving, now, delay)
    }

    /// The state of pull secrets; `None` until all namespaces have reported on their Secrets, and with another
    /// method.
    pub fn served(
        &self,
        this: Reconcile<'_>,
        credential_problem: Option<&Problem>,
    ) -> Option<PullSecretState> {
        let Task::Attach(attachment) = this.task else { return None };
        let Method::PullSecret(secret) = &attachment.method else { return None };
        self.desired.inputs.as_ref()?;
        let (uid, ctx) = (this.uid(), this.ctx);
        let find = |name: &str| ctx.watches.namespaces.get("", name).ok().flatten();
        let desired = DesiredPullSecrets::of(secret, find);
        let state = ctx.delivery.ask(&uid, |it| {
            it.secrets_are_complete().then(|| it.state(desired, credential_problem))
        });
        let mut state = state.flatten()?;
        state.renewal_problem = state.renewal_problem.take().or(self.missing.clone());
        Some(state)
    }
}

/// Whether the task depends on Secrets and service accounts in the cluster.
fn depends_on_cluster(this: Reconcile<'_>) -> bool {
    let bears_finalizer =
        this.ctx.policy.pull_secrets && this.ctx.delivery.bears_finalizer(this.object);
    match this.task {
        Task::Attach(it) => match &it.method {
            Method::PullSecret(_) => true,
            // Without the finalizer there are no entries that the role has to replace.
            Method::KubeletIdentity(_) => bears_finalizer,
        },
        Task::Detach(_) => bears_finalizer,
    }
}

/// The names of the Secrets and service accounts that the attachment uses, as far as watches show them;
/// `None` while a cache has not been filled.
///
/// Searches all objects for a check of Azure and to detach. Otherwise takes the names from the reports of
/// namespaces, unless status shows a name that no report has: its object may be gone, or be in a namespace
/// that has yet to report.
pub fn watched_names(this: Reconcile<'_>) -> Option<UsedNames> {
    let (uid, watches) = (this.uid(), &this.ctx.watches);
    if this.scope == Scope::Cluster && matches!(this.task, Task::Attach(_)) {
        let reported = this.ctx.delivery.ask(&uid, Deliveries::names)?;
        let shown = shown_names(this.object);
        if shown.secrets.is_subset(&reported.secrets)
            && shown.accounts.is_subset(&reported.accounts)
        {
            return Some(reported);
        }
    }
    let secrets = watches.secrets.select(|it| it.is_owned_by(&uid)).ok()?;
    let accounts = watches.accounts.select(|it| it.uids().contains(&uid)).ok()?;
    Some(UsedNames {
        secrets: secrets.into_iter().map(|it| it.name).collect(),
        accounts: accounts.into_iter().map(|it| it.name).collect(),
    })
}

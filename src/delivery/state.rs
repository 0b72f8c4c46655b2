//! The delivery controller's state of all attachments: what to do for each, and the reports on it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::delivery::contest::Contests;
use acr_attach_core::delivery::{Directive, Facts};
use acr_attach_core::snapshot::cluster::Namespace;
use kube::ResourceExt;

use super::Lane;
use super::attachment::{Attachment, Subject, asks_more};
use super::queue::Queues;
use crate::attachment::{Context, facts};

/// The state of attachments, by uid. Caches, reports and credentials belong to one term of the leader.
#[derive(Debug, Default)]
pub struct Delivery {
    attachments: Mutex<HashMap<String, Attachment>>,
    /// The namespaces to reconcile, and the attachments with new reports.
    pub queues: Queues,
}

impl Delivery {
    /// Takes an attachment as the watch shows it, and decides what to do for it.
    pub fn show(&self, object: &Arc<RegistryAttachment>, ctx: &Context) {
        let Some(uid) = object.uid() else { return };
        let mut all = self.lock();
        all.retain(|other, it| *other == uid || it.object.name_any() != object.name_any());
        let known = all.entry(uid).or_insert_with(|| Attachment::new(Arc::clone(object)));
        let asks_more = asks_more(&known.object, object);
        if asks_more {
            known.facts.replaced_at = None;
            known.contests.values_mut().for_each(Contests::forget_losses);
            known.failures.clear();
        }
        known.object = Arc::clone(object);
        known.is_readable = true;
        known.facts = facts::shown(object, &known.facts, ctx);
        if !self.decide(known, ctx) && asks_more {
            // A changed spec or a request retries what failed before at once.
            let directive = Arc::clone(&known.directive);
            self.fan_out(known, &directive, ctx);
        }
    }

    /// Begins to remove what an attachment has left in the cluster that vanished before it was detached. Its
    /// state is kept until [`forget`](Self::forget), or until another attachment of its name is shown.
    pub fn let_go(&self, object: &Arc<RegistryAttachment>, ctx: &Context) {
        self.remove(object, ctx);
        let uid = object.uid().unwrap_or_default();
        if let Some(known) = self.lock().get_mut(&uid) {
            known.is_let_go = true;
        }
    }

    /// Removes what an attachment has in the cluster, by an object that the watch does not show like
    /// this. Does nothing while another attachment has its name.
    pub fn remove(&self, object: &Arc<RegistryAttachment>, ctx: &Context) {
        let Some(uid) = object.uid() else { return };
        let mut all = self.lock();
        let is_other = |(other, it): (&String, &Attachment)| {
            *other != uid && it.object.name_any() == object.name_any()
        };
        if all.iter().any(is_other) {
            return;
        }
        let known = all.entry(uid).or_insert_with(|| Attachment::new(Arc::clone(object)));
        known.object = Arc::clone(object);
        known.is_readable = true;
        if *known.directive == Directive::Remove {
            return;
        }
        self.decide(known, ctx);
        drop(all);
        for namespace in ctx.watches.namespaces.select(|_| true).into_iter().flatten() {
            self.queues.enqueue(&namespace.name);
        }
    }

    /// Takes that this version cannot read an attachment: nothing is changed for it.
    pub fn leave(&self, uid: &str) {
        if let Some(known) = self.lock().get_mut(uid) {
            known.is_readable = false;
            known.directive = Arc::new(Directive::Leave);
        }
    }

    /// Forgets an attachment that is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Forgets the gone attachment of that name, unless [`let_go`](Self::let_go) still works on it.
    pub fn forget_named(&self, name: &str) {
        self.lock().retain(|_, it| it.is_let_go || it.object.name_any() != name);
    }

    /// Takes facts that a reconcile of the attachment has learned.
    pub fn learn(&self, uid: &str, change: impl FnOnce(&mut Facts), ctx: &Context) {
        if let Some(known) = self.lock().get_mut(uid) {
            change(&mut known.facts);
            self.decide(known, ctx);
        }
    }

    /// Takes a change of the client secrets in the operator's namespace.
    pub fn credentials_changed(&self, ctx: &Context) {
        for known in self.lock().values_mut() {
            known.facts = facts::shown(&known.object, &known.facts, ctx);
            self.decide(known, ctx);
        }
    }

    /// Decides again what to do for an attachment. If that changes, enqueues the namespaces that it
    /// concerns and returns true.
    fn decide(&self, known: &mut Attachment, ctx: &Context) -> bool {
        let now = known.directive_under(&ctx.policy);
        let is_new = now != *known.directive;
        if is_new {
            let before = std::mem::replace(&mut known.directive, Arc::new(now));
            self.fan_out(known, &before, ctx);
        }
        is_new
    }

    /// Decides again for all attachments, and enqueues all namespaces. The caller has learned more of the
    /// cluster, such as a cache that was read for the first time.
    pub fn everything(&self, ctx: &Context) {
        let mut all = self.lock();
        for known in all.values_mut() {
            known.facts = facts::shown(&known.object, &known.facts, ctx);
            known.directive = Arc::new(known.directive_under(&ctx.policy));
            let directive = Arc::clone(&known.directive);
            self.fan_out(known, &directive, ctx);
        }
        drop(all);
        for namespace in ctx.watches.namespaces.select(|_| true).into_iter().flatten() {
            self.queues.enqueue(&namespace.name);
        }
    }

    /// Enqueues the namespaces that an attachment chooses, has chosen, or has something in.
    fn fan_out(&self, known: &mut Attachment, before: &Directive, ctx: &Context) {
        let Ok(namespaces) = ctx.watches.namespaces.select(|_| true) else { return };
        let concerns = |it: &Namespace| {
            let was_chosen = before.chooses(it) || known.deliveries.has(&it.name);
            known.directive.chooses(it) || was_chosen
        };
        let concerned: Vec<_> = namespaces.into_iter().filter(concerns).map(|it| it.name).collect();
        if !matches!(*known.directive, Directive::Leave) {
            known.deliveries.await_reports(concerned.iter().map(String::as_str));
        }
        for namespace in &concerned {
            self.queues.enqueue(namespace);
        }
    }

    /// Takes the deletion of a namespace.
    pub fn namespace_gone(&self, namespace: &str) {
        for known in self.lock().values_mut() {
            for lane in Lane::ALL {
                let key = (lane, namespace.to_owned());
                known.contests.remove(&key);
                known.failures.remove(&key);
            }
            if known.deliveries.forget(namespace) {
                self.tell(known);
            }
        }
    }

    /// Returns the uids of the attachments that choose a namespace, own something in it or have reports
    /// on it, in the order of service: those that choose it first, and older ones before younger ones.
    #[must_use]
    pub fn concerned(&self, namespace: &Namespace, owners: &BTreeSet<String>) -> Vec<String> {
        let all = self.lock();
        let mut found: Vec<_> = all
            .iter()
            .filter_map(|(uid, it)| {
                let is_chosen = it.directive.chooses(namespace);
                let has_report = it.deliveries.has(&namespace.name);
                let created = it.object.creation_timestamp().map(|it| it.0).unwrap_or_default();
                (is_chosen || has_report || owners.contains(uid))
                    .then(|| (!is_chosen, created, uid.clone()))
            })
            .collect();
        found.sort();
        found.into_iter().map(|(.., uid)| uid).collect()
    }

    /// Returns what a reconcile needs of an attachment; `None` for one that is not known.
    #[must_use]
    pub fn subject(&self, uid: &str, lane: Lane, namespace: &str) -> Option<Subject> {
        let all = self.lock();
        let known = all.get(uid)?;
        let contests = known.contests.get(&(lane, namespace.to_owned()));
        let served = known.deliveries.secret(namespace).is_some_and(|it| it.serving.is_some());
        Some(Subject {
            object: Arc::clone(&known.object),
            directive: Arc::clone(&known.directive),
            contests: contests.cloned().unwrap_or_default(),
            accepted: known.accepted.clone(),
            refused: known.refused.clone(),
            was_served: served,
            has_finalizer: known.has_finalizer(),
        })
    }

    /// Returns the uids of attachments that stay, and of those that are being deleted.
    #[must_use]
    pub fn known(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let all = self.lock();
        let (leaving, alive): (Vec<_>, Vec<_>) =
            all.iter().partition(|(_, it)| *it.directive == Directive::Remove);
        let [leaving, alive] = [leaving, alive].map(|all| all.into_iter().map(|(uid, _)| uid));
        (alive.cloned().collect(), leaving.cloned().collect())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<String, Attachment>> {
        self.attachments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

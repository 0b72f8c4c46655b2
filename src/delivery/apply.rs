//! Carries out the plan for a namespace. Writes, and decides nothing.

use std::sync::Arc;

use acr_attach_core::api::RegistryAttachment;
use acr_attach_core::delivery::contest::ManagedObject;
use acr_attach_core::outcome::changes::NamespaceChange;
use acr_attach_core::plan::{
    self, CredentialOrigin, Finalizer, NamespaceProblem, Plan, SecretTarget, Step,
};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::snapshot::cluster::StoredSecret;
use kube::ResourceExt;

use crate::attachment::Context;
use crate::cluster::secrets::Written;

/// The result of carrying out a plan.
#[derive(Debug, Default)]
pub struct Applied {
    /// The changes that were made.
    pub changes: Vec<NamespaceChange>,
    /// Why the namespace is not served.
    pub failing: Vec<NamespaceProblem>,
    /// Why a Secret was not written.
    pub unwritten: Vec<NamespaceProblem>,
    /// Why something that is no longer desired was not removed.
    pub unremoved: Option<Problem>,
    /// Whether a Secret waits for a credential that the attachment controller has yet to get.
    pub waits: bool,
    /// The writes to single objects, each with its problem if others decide about the write.
    pub writes: Vec<(ManagedObject, Option<Problem>)>,
}

/// Carries out steps for one attachment.
#[derive(Clone, Copy)]
pub struct Applier<'a> {
    /// The attachment.
    pub object: &'a RegistryAttachment,
    /// Whether the namespace was served before.
    pub was_served: bool,
    /// The context that all reconciles share.
    pub ctx: &'a Context,
}

impl Applier<'_> {
    /// Carries out the steps of a plan. A failed prerequisite stops all, a failed step stops no other.
    pub async fn apply(self, plan: &Plan, accepted: Option<&Arc<Written>>) -> Applied {
        let mut applied = Applied::default();
        if let Some(Step::AddFinalizer(Finalizer::ServiceAccounts)) = plan.prerequisite {
            let uid = self.object.uid().unwrap_or_default();
            if let Err(problem) = self.ctx.delivery.add_finalizer(&uid, self.ctx).await {
                let namespaces = plan.parts.iter().flatten().filter_map(namespace);
                let failing = namespaces
                    .map(|it| NamespaceProblem { namespace: it, problem: problem.clone() });
                applied.failing.extend(failing);
                applied.unremoved = Some(problem);
                return applied;
            }
        }
        for step in plan.parts.iter().flatten() {
            self.take(step, accepted, &mut applied).await;
        }
        applied
    }

    async fn take(self, step: &Step, accepted: Option<&Arc<Written>>, applied: &mut Applied) {
        match step {
            Step::AddEntry(account, secret) => {
                let added = self.set_entry(account, secret, true).await;
                applied.wrote(plan::entry(account, secret), added.as_ref().err());
                match added {
                    Ok(()) => applied.changes.push(NamespaceChange::AddedEntry),
                    Err(problem) => {
                        let namespace = account.namespace.clone();
                        applied.failing.push(NamespaceProblem { namespace, problem });
                    }
                }
            }
            Step::RemoveEntries(entries) => {
                // One after the other: each patch moves the positions that the next one depends on.
                for (account, secret) in entries {
                    let removed = self.set_entry(account, secret, false).await;
                    let change = NamespaceChange::RemovedEntry(account.clone(), secret.clone());
                    applied.removed(plan::entry(account, secret), removed, change);
                }
            }
            Step::WriteSecrets(targets, CredentialOrigin::Current) => {
                for target in targets {
                    let Some(accepted) = accepted else { continue };
                    self.write_secret(target, accepted, applied).await;
                }
            }
            Step::WriteSecrets(_, CredentialOrigin::New) => applied.waits = true,
            Step::DeleteSecret(secret) => {
                let deleted = self.delete_secret(secret).await;
                let StoredSecret { namespace, name, .. } = secret.clone();
                let object = ManagedObject::Secret { namespace, name };
                applied.removed(
                    object,
                    deleted,
                    NamespaceChange::DeletedSecret(Box::new(secret.clone())),
                );
            }
            // The attachment controller takes the steps for roles and finalizers.
            _ => {}
        }
    }

    async fn write_secret(self, target: &SecretTarget, written: &Written, applied: &mut Applied) {
        let result = self.put_secret(target, written).await;
        applied.wrote(target.object(), result.as_ref().err());
        let failing = |problem| NamespaceProblem { namespace: target.namespace.clone(), problem };
        match result {
            Ok(()) => {
                let restored = target.edited || target.uid.is_none() && self.was_served;
                let target = target.clone();
                applied.changes.push(NamespaceChange::WroteSecret { target, restored });
            }
            Err(problem) if problem.cause == Cause::NotOurs => {
                applied.failing.push(failing(problem));
            }
            Err(problem) => applied.unwritten.push(failing(problem)),
        }
    }
}

impl Applied {
    /// Adds another result to this one.
    pub fn extend(&mut self, other: Self) {
        self.changes.extend(other.changes);
        self.failing.extend(other.failing);
        self.unwritten.extend(other.unwritten);
        self.unremoved = self.unremoved.take().or(other.unremoved);
        self.waits |= other.waits;
        self.writes.extend(other.writes);
    }

    /// Records the result of a write to an object, for its contest.
    fn wrote(&mut self, object: ManagedObject, failed: Option<&Problem>) {
        if failed.is_none_or(|it| it.cause.is_decided_by_others()) {
            self.writes.push((object, failed.cloned()));
        }
    }

    /// Records the result of a removal.
    fn removed(
        &mut self,
        object: ManagedObject,
        result: Result<(), Problem>,
        change: NamespaceChange,
    ) {
        self.wrote(ManagedObject::Removal(Box::new(object)), result.as_ref().err());
        match result {
            Ok(()) => self.changes.push(change),
            Err(problem) => self.unremoved = self.unremoved.take().or(Some(problem)),
        }
    }
}

/// The namespace of a step that adds an entry; `None` for any other step.
fn namespace(step: &Step) -> Option<String> {
    match step {
        Step::AddEntry(account, _) => Some(account.namespace.clone()),
        _ => None,
    }
}

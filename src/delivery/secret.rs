//! Writes and deletes pull secrets.

use acr_attach_core::plan::{SecretTarget, foreign_secret};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::snapshot::cluster::StoredSecret;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::Value;

use super::Applier;
use crate::cluster::cache::version;
use crate::cluster::kubernetes::within;
use crate::cluster::secrets;
use crate::cluster::secrets::Written;

/// The problem that admission has changed what was written.
fn mutated(manifest: &Value, stored: &Secret, doing: &str) -> Problem {
    let changes = secrets::differences(manifest, stored).join(", ");
    let text = format!(
        "exempt Secret {} in namespace {} (label app.kubernetes.io/managed-by=acr-attach) from mutating admission: {doing}, it came back with another {changes}",
        stored.name_any(),
        stored.namespace().unwrap_or_default()
    );
    Problem::new(Cause::ExternallyManaged, text)
}

impl Applier<'_> {
    /// Writes a pull secret.
    ///
    /// # Errors
    /// When the API server does not answer or refuses, or stores something else.
    pub(super) async fn put_secret(
        self,
        target: &SecretTarget,
        written: &Written,
    ) -> Result<(), Problem> {
        let SecretTarget { namespace, name, .. } = target;
        let doing = format!("writing Secret {name} in namespace {namespace}");
        let target = &SecretTarget { uid: self.uid_there(target, &doing).await?, ..target.clone() };
        let uid = &target.uid;
        // Each attachment has its own field manager. Where two create the same Secret at once, they
        // conflict, and the second does not take it over.
        let manager = format!("acr-attach-{}", self.object.uid().unwrap_or_default());
        let mut params = PatchParams::apply(&manager);
        params.force = uid.is_some();
        let manifest = written.manifest(target, self.object);
        let body = Patch::Apply(&manifest);
        let api = self.secrets(namespace);
        let answer = async {
            match api.patch(name, &params, &body).await {
                Err(error) if uid.is_none() && is_field_conflict(&error) => Ok(None),
                answer => answer.map(Some),
            }
        };
        let stored = within(&doing, answer).await?.ok_or_else(|| {
            let advice = "delete that Secret, or set pullSecret.secretName to another name";
            let account = format!("{doing}: somebody else made one a moment ago");
            Problem::advised(Cause::NotOurs, advice, &[account])
        })?;
        let reduced = secrets::reduce(&stored);
        let (key, reduced) = reduced.ok_or_else(|| {
            Problem::new(Cause::Unavailable, format!("{doing}: the answer has no name"))
        })?;
        let version = version(stored.resource_version().as_deref());
        let is_intact = reduced.intact;
        self.ctx.watches.secrets.note(key, version, reduced);
        if is_intact { Ok(()) } else { Err(mutated(&manifest, &stored, &doing)) }
    }

    /// Returns the uid of the Secret to update; `None` to create one, after deleting an immutable one.
    ///
    /// Where Secrets of any name are allowed, the watch shows only those with acr-attach's label, so
    /// the Secret is read. The apply patch is no safeguard: it takes over fields without a recorded
    /// owner, such as those of a Secret that was applied with `stringData` (kubernetes issue 118519).
    async fn uid_there(
        self,
        target: &SecretTarget,
        doing: &str,
    ) -> Result<Option<String>, Problem> {
        let SecretTarget { namespace, name, uid, .. } = target;
        if let (Some(uid), true) = (uid, target.immutable) {
            self.delete(namespace, name, uid).await?;
            return Ok(None);
        }
        if uid.is_some() || self.ctx.watches.show_all_secrets {
            return Ok(uid.clone());
        }
        let found = within(doing, self.secrets(namespace).get_opt(name)).await?;
        let Some((_, found)) = found.as_ref().and_then(secrets::reduce) else { return Ok(None) };
        if self.object.uid().is_some_and(|it| found.is_owned_by(&it)) {
            return Ok(Some(found.uid));
        }
        Err(foreign_secret(&found).problem)
    }

    /// Deletes a Secret of the attachment, but no later one of the same name.
    pub(super) async fn delete_secret(self, secret: &StoredSecret) -> Result<(), Problem> {
        let StoredSecret { namespace, name, uid, .. } = secret;
        self.delete(namespace, name, uid).await
    }

    async fn delete(self, namespace: &str, name: &str, uid: &str) -> Result<(), Problem> {
        let doing = format!("deleting Secret {name} in namespace {namespace}");
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams::default().preconditions(preconditions);
        match within(&doing, self.secrets(namespace).delete(name, &params)).await {
            Err(problem) if problem.cause != Cause::NotFound => return Err(problem),
            _ => {
                let key = (namespace.to_owned(), name.to_owned());
                self.ctx.watches.secrets.note_deleted(&key, |it| it.uid == uid);
            }
        }
        Ok(())
    }

    fn secrets(self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.ctx.kubernetes.client(), namespace)
    }
}

/// Whether a field has another owner. Other conflicts, such as two writers of one quota, are temporary.
fn is_field_conflict(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|it| &it.causes);
    status.code == 409 && causes.into_iter().any(|it| it.reason == "FieldManagerConflict")
}

//! Acting on pull secrets: makes a credential or copies one, and writes it to its namespaces.

use std::sync::Arc;

use acr_attach_azure::{ClientCredential, Error, ProbedCredential};
use acr_attach_core::plan::{CredentialOrigin, NamespaceProblem, SecretTarget, foreign_secret};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::pull_secrets::proof::Probe;
use acr_attach_core::pull_secrets::{CredentialForm, Endpoints, Inputs, PullSecret, renewal};
use acr_attach_core::snapshot::cluster::StoredSecret;
use futures::{FutureExt, StreamExt};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};

use super::act::{Acted, Actor, Deed};
use super::principals::Resolved;
use crate::cluster::kubernetes::within;
use crate::cluster::mirror::version;
use crate::cluster::secrets;
use crate::cluster::secrets::{Content, Written};

/// How many Secrets are written at once.
pub(super) const WRITES: usize = 16;

/// What pull secrets are made from.
pub struct Making<'a> {
    /// What is asked for.
    pub spec: &'a PullSecret,
    /// The registry.
    pub source: &'a Endpoints,
    /// Why Azure is not to be asked before the next look.
    pub refusal: Option<&'a Problem>,
    /// Since when the service principal has the pull role, if that is known.
    pub role_since: Option<Timestamp>,
}

/// Azure takes up to 10 minutes to honour a role (learn.microsoft.com, "Troubleshoot Azure RBAC").
const HONOURED: SignedDuration = SignedDuration::from_mins(10);

/// What a refusal means where the role may be too young.
fn honoured_later(error: Error, role_since: Option<Timestamp>, now: Timestamp) -> Problem {
    let young = role_since.filter(|it| now.duration_since(*it) < HONOURED);
    match young.filter(|_| error.is_refused()) {
        None => error.into(),
        Some(since) => Problem::new(
            Cause::Propagating,
            format!(
                "{error}; its pull role is assigned since {}, and Azure takes up to 10 minutes to honour one",
                since.strftime("%FT%TZ")
            ),
        ),
    }
}

impl Actor<'_> {
    /// Writes one credential to all targets. What keeps one from being written keeps no other.
    pub(super) async fn provide(
        &self,
        targets: &[SecretTarget],
        origin: &CredentialOrigin,
        acted: &mut Acted,
    ) {
        let written = match self.written(origin, acted).await {
            Ok(written) => written,
            Err(problem) => {
                acted.mint = Some(problem);
                return;
            }
        };
        let written = &written;
        let writes: Vec<_> = targets
            .iter()
            .map(|target| async move { (target, self.write(target, written).await) }.boxed())
            .collect();
        let mut writes = futures::stream::iter(writes).buffer_unordered(WRITES);
        while let Some((target, result)) = writes.next().await {
            acted.wrote(target.object(), result.as_ref().err());
            let failing =
                |problem| NamespaceProblem { namespace: target.namespace.clone(), problem };
            match result {
                Ok(secret) => acted.deeds.push(Deed::Provided(target.clone(), Box::new(secret))),
                Err(problem) if problem.cause == Cause::NotOurs => {
                    acted.failing.push(failing(problem));
                }
                Err(problem) => acted.unwritten.push(failing(problem)),
            }
        }
    }

    async fn written(
        &self,
        origin: &CredentialOrigin,
        acted: &mut Acted,
    ) -> Result<Arc<Written>, Problem> {
        match (origin, self.accepted) {
            (CredentialOrigin::Current, Some(accepted)) => Ok(Arc::clone(accepted)),
            _ => self.minted(acted).await,
        }
    }

    async fn minted(&self, acted: &mut Acted) -> Result<Arc<Written>, Problem> {
        let Some(Making { spec, source, refusal, role_since }) = &self.making else {
            let text = "making a credential: acr-attach has a fault; please report it";
            return Err(Problem::new(Cause::Internal, text));
        };
        if let Some(problem) = refusal {
            return Err((*problem).clone());
        }
        // First: who finds no place there comes back, and would read the client secret in vain.
        let registry = self.azure.registry(&source.login_server)?;
        let Resolved { principal, digest } = self.principals.resolve(&spec.principal).await?;
        let probe = Probe::of(source.mode, &spec.repositories);
        let minted = match (spec.form, &principal.credential) {
            (CredentialForm::ClientSecret, ClientCredential::Secret { value, .. }) => {
                registry.client_secret(&principal, value, &probe).await
            }
            // Who has no client secret asks for nothing else: `Attachment::of` sees to it.
            _ => registry.registry_token(&principal, &probe).await,
        };
        let minted = minted.map_err(|error| honoured_later(error, *role_since, Timestamp::now()));
        let ProbedCredential { credential, proof, by_arm_audience } = minted?;
        let now = Timestamp::now();
        let content = Content {
            server: &source.login_server,
            regional: &source.regional,
            inputs: &Inputs::of(spec, source, digest.as_deref()),
            proof,
            by_arm_audience,
            written: now,
            renew: credential.life.map(|it| renewal(now, it, fastrand::f64())),
            credential: &credential,
        };
        let written = Arc::new(content.write());
        acted.deeds.push(Deed::Minted(Arc::clone(&written)));
        Ok(written)
    }

    async fn write(
        &self,
        target: &SecretTarget,
        written: &Written,
    ) -> Result<StoredSecret, Problem> {
        let SecretTarget { namespace, name, .. } = target;
        let doing = format!("writing Secret {name} in namespace {namespace}");
        let target = &SecretTarget { uid: self.uid_there(target, &doing).await?, ..target.clone() };
        let uid = &target.uid;
        // Each attachment writes under a name of its own, so that two that create the same
        // Secret at once conflict, and the second does not take it over.
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
        self.watches.secrets.note(key, version, reduced.clone());
        if !reduced.intact {
            let changes = secrets::differences(&manifest, &stored).join(", ");
            let text = format!(
                "exempt Secret {name} in namespace {namespace} (label app.kubernetes.io/managed-by=acr-attach) from mutating admission: {doing}, it came back with another {changes}"
            );
            return Err(Problem::new(Cause::ExternallyManaged, text));
        }
        Ok(reduced)
    }

    /// The uid of the Secret to change in place; `None` where there is none.
    ///
    /// Where Secrets of any name are allowed, the watch shows only those that bear our label.
    /// Applying is no safeguard then: it takes over what nobody is recorded to own, such as a
    /// Secret that was applied with `stringData` (kubernetes issue 118519).
    async fn uid_there(
        &self,
        target: &SecretTarget,
        doing: &str,
    ) -> Result<Option<String>, Problem> {
        let SecretTarget { namespace, name, uid, .. } = target;
        if let (Some(uid), true) = (uid, target.immutable) {
            self.delete(namespace, name, uid).await?;
            return Ok(None);
        }
        if uid.is_some() || self.watches.show_all_secrets {
            return Ok(uid.clone());
        }
        let found = within(doing, self.secrets(namespace).get_opt(name)).await?;
        let Some((_, found)) = found.as_ref().and_then(secrets::reduce) else { return Ok(None) };
        if self.object.uid().is_some_and(|it| found.is_owned_by(&it)) {
            return Ok(Some(found.uid));
        }
        Err(foreign_secret(&found).problem)
    }

    /// Deletes a Secret of ours, and not one of the same name that came later.
    pub(super) async fn withdraw(&self, secret: &StoredSecret) -> Result<(), Problem> {
        let StoredSecret { namespace, name, uid, .. } = secret;
        self.delete(namespace, name, uid).await
    }

    async fn delete(&self, namespace: &str, name: &str, uid: &str) -> Result<(), Problem> {
        let doing = format!("deleting Secret {name} in namespace {namespace}");
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams::default().preconditions(preconditions);
        match within(&doing, self.secrets(namespace).delete(name, &params)).await {
            Err(problem) if problem.cause != Cause::NotFound => return Err(problem),
            _ => self.watches.secrets.note_deleted(&(namespace.to_owned(), name.to_owned())),
        }
        Ok(())
    }

    fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.kubernetes.client(), namespace)
    }
}

/// Whether somebody else owns a field. Other conflicts, such as two writers of one quota, pass.
fn is_field_conflict(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|it| &it.causes);
    status.code == 409 && causes.into_iter().any(|it| it.reason == "FieldManagerConflict")
}

//! Acting on pull secrets: makes a credential or copies one, and writes it to its namespaces.

use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount as StoredAccount};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};

use super::act::{Acted, Actor, Deed};
use super::kubernetes::within;
use super::memory::version;
use super::secrets::{Content, Written};
use super::{accounts, secrets};
use crate::azure::{Minted, ServicePrincipal};
use crate::domain::cluster::{ServiceAccount, StoredSecret};
use crate::domain::plan::{Failing, Origin, Target};
use crate::domain::problem::{Cause, Problem};
use crate::domain::proof::Probe;
use crate::domain::pull_secret::{CredentialForm, Inputs, PullSecret, Source, renewal};

/// How many Secrets are written at once.
const WRITES: usize = 16;

/// What pull secrets are made from.
pub struct Making<'a> {
    /// What is asked for.
    pub spec: &'a PullSecret,
    /// The registry.
    pub source: &'a Source,
    /// Why Azure is not to be asked before the next look.
    pub refusal: Option<&'a Problem>,
}

impl Actor<'_> {
    /// Writes one credential to all targets. What keeps one from being written keeps no other.
    pub(super) async fn provide(&self, targets: &[Target], origin: &Origin, acted: &mut Acted) {
        let written = match self.written(targets, origin, acted).await {
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
            match result {
                Ok(secret) => acted.deeds.push(Deed::Provided(target.clone(), Box::new(secret))),
                Err(problem) => {
                    let namespace = target.namespace.clone();
                    acted.failing.push(Failing { namespace, problem });
                }
            }
        }
    }

    async fn written(
        &self,
        targets: &[Target],
        origin: &Origin,
        acted: &mut Acted,
    ) -> Result<Written, Problem> {
        if let (Origin::Copy { namespace, digest }, Some(target)) = (origin, targets.first()) {
            return self.copied(namespace, &target.name, digest).await;
        }
        self.minted(acted).await
    }

    /// The content of a Secret, if it still is what this process had accepted.
    async fn copied(&self, namespace: &str, name: &str, digest: &str) -> Result<Written, Problem> {
        let doing = format!("reading Secret {name} in namespace {namespace}");
        let secret = within(&doing, self.secrets(namespace).get(name)).await?;
        let written = Written::of(&secret).filter(|it| it.digest() == *digest);
        let changed = || Problem::new(Cause::Unavailable, format!("{doing}: it has just changed"));
        written.ok_or_else(changed)
    }

    async fn minted(&self, acted: &mut Acted) -> Result<Written, Problem> {
        let Some(Making { spec, source, refusal }) = &self.making else {
            let text = "making a credential: acr-attach has a fault; please report it";
            return Err(Problem::new(Cause::Internal, text));
        };
        if let Some(problem) = refusal {
            return Err((*problem).clone());
        }
        let (principal, version) = self.principal(spec).await?;
        let registry = self.azure.registry(&source.login_server)?;
        let probe = Probe::of(source.mode);
        let minted = match spec.form {
            CredentialForm::ClientSecret => registry.client_secret(&principal, &probe).await,
            _ => registry.registry_token(&principal, &probe).await,
        };
        let Minted { credential, proof, by_arm_audience } = minted?;
        let now = Timestamp::now();
        let content = Content {
            server: &source.login_server,
            inputs: &Inputs::of(spec, source, Some(&version)),
            proof,
            written: now,
            renew: credential.expires.map(|it| renewal(now, it, fastrand::f64())),
            credential: &credential,
        };
        let written = content.write();
        acted.deeds.push(Deed::Minted { digest: written.digest(), by_arm_audience });
        Ok(written)
    }

    /// The service principal, and the version of the Secret that its secret was read from.
    async fn principal(&self, spec: &PullSecret) -> Result<(ServicePrincipal, String), Problem> {
        let reference = &spec.principal.secret;
        let namespace = self.namespace;
        let origin =
            format!("Secret {} in namespace {namespace}, key {}", reference.name, reference.key);
        let doing = format!("reading the client secret from {origin}");
        let found = within(&doing, self.secrets(namespace).get_opt(&reference.name)).await?;
        let missing = |what: &str| {
            let text = format!(
                "{doing}: {what}; create it (kubectl create secret generic {} --namespace {namespace} --from-literal={}=<client secret>)",
                reference.name, reference.key
            );
            Problem::new(Cause::NotFound, text)
        };
        let secret = found.ok_or_else(|| missing("there is no such Secret"))?;
        let value = secret.data.as_ref().and_then(|it| it.get(&reference.key));
        let value = value.ok_or_else(|| missing("it has no such key"))?;
        let text = std::str::from_utf8(&value.0).map(str::trim).unwrap_or_default();
        if text.is_empty() {
            return Err(missing("it is empty, or no text"));
        }
        let version = format!(
            "{}/{}",
            secret.uid().unwrap_or_default(),
            secret.resource_version().unwrap_or_default()
        );
        let principal = ServicePrincipal {
            tenant: spec.principal.tenant.clone(),
            client: spec.principal.client.clone(),
            secret: text.to_owned().into(),
            origin,
        };
        Ok((principal, version))
    }

    async fn write(&self, target: &Target, written: &Written) -> Result<StoredSecret, Problem> {
        let Target { namespace, name, uid, .. } = target;
        let doing = format!("writing Secret {name} in namespace {namespace}");
        // Each attachment writes under a name of its own, so that two that create the same
        // Secret at once conflict, and the second does not take it over.
        let manager = format!("acr-attach-{}", self.object.uid().unwrap_or_default());
        let mut params = PatchParams::apply(&manager);
        params.force = uid.is_some();
        let manifest = written.manifest(target, self.object);
        let body = Patch::Apply(&manifest);
        let api = self.secrets(namespace);
        let conflicts =
            |error: &kube::Error| matches!(error, kube::Error::Api(it) if it.code == 409);
        let answer = async {
            match api.patch(name, &params, &body).await {
                Err(error) if uid.is_none() && conflicts(&error) => Ok(None),
                answer => answer.map(Some),
            }
        };
        let stored = within(&doing, answer).await?.ok_or_else(|| {
            let text = format!(
                "{doing}: somebody else has just made one; delete that, or set pullSecret.secretName to another name"
            );
            Problem::new(Cause::NotOurs, text)
        })?;
        let reduced = secrets::reduce(&stored);
        let (key, reduced) = reduced.ok_or_else(|| {
            Problem::new(Cause::Unavailable, format!("{doing}: the answer has no name"))
        })?;
        let version = version(stored.resource_version().as_deref());
        self.watches.secrets.note(key, version, reduced.clone());
        Ok(reduced)
    }

    /// Deletes a Secret of ours, and not one of the same name that came later.
    pub(super) async fn withdraw(&self, secret: &StoredSecret) -> Result<(), Problem> {
        let StoredSecret { namespace, name, uid, .. } = secret;
        let doing = format!("deleting Secret {name} in namespace {namespace}");
        let preconditions = Preconditions { uid: Some(uid.clone()), resource_version: None };
        let params = DeleteParams::default().preconditions(preconditions);
        match within(&doing, self.secrets(namespace).delete(name, &params)).await {
            Err(problem) if problem.cause == Cause::NotFound => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Adds or removes an entry of a service account.
    pub(super) async fn set_entry(
        &self,
        account: &ServiceAccount,
        secret: &str,
        present: bool,
    ) -> Result<(), Problem> {
        let ServiceAccount { namespace, name, .. } = account;
        let uid = self.object.uid().unwrap_or_default();
        let (verb, patch) = if present {
            ("adding", accounts::add(account, secret, &uid))
        } else {
            ("removing", accounts::remove(account, secret, &uid))
        };
        let doing = format!(
            "{verb} {secret} in imagePullSecrets of service account {name} in namespace {namespace}"
        );
        let patch: json_patch::Patch = serde_json::from_value(patch)
            .map_err(|error| Problem::new(Cause::Internal, format!("{doing}: {error}")))?;
        let api = Api::<StoredAccount>::namespaced(self.kubernetes.client(), namespace);
        let (params, body) = (PatchParams::default(), Patch::Json::<()>(patch));
        let stored = match within(&doing, api.patch(name, &params, &body)).await {
            // It is gone, and the entry with it.
            Err(problem) if problem.cause == Cause::NotFound && !present => return Ok(()),
            // It is not as it was read: the watch will show how it is now.
            Err(problem) if problem.cause == Cause::Internal => {
                return Err(Problem { cause: Cause::Unavailable, ..problem });
            }
            stored => stored?,
        };
        if let Some((key, reduced)) = accounts::reduce(&stored) {
            let version = version(stored.resource_version().as_deref());
            self.watches.accounts.note(key, version, reduced);
        }
        Ok(())
    }

    fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.kubernetes.client(), namespace)
    }
}

//! Snapshot for pull secrets in use: whether the registry still accepts their credentials.

use acr_attach_core::problem::Problem;
use acr_attach_core::pull_secrets::Endpoints;
use acr_attach_core::pull_secrets::proof::{Probe, Proof};
use acr_attach_core::snapshot::cluster::StoredSecret;
use acr_attach_core::spec::repositories::Repositories;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;

use crate::attachment::context::Context;
use crate::attachment::reconcile::Reconcile;
use crate::attachment::snapshot::Snapshot;
use crate::cluster::kubernetes::within;
use crate::cluster::secrets::Written;

impl Snapshot {
    /// Asks the registry whether it still accepts the credentials in use. There is one credential, unless a
    /// reconcile was cut short or a user has made another.
    pub async fn prove(&mut self, repositories: &Repositories, this: Reconcile<'_>) {
        let Some(source) = self.source.clone() else { return };
        self.forget_refused(this);
        let probe = &Probe::of(source.mode, repositories);
        for secret in self.in_use(this) {
            match ask_about(&secret, &source, probe, this.ctx).await {
                Ok(Some(Answer::Taken(proof))) => {
                    self.check.proof.get_or_insert(proof);
                }
                Ok(Some(Answer::Refused)) => {
                    self.check.refused.insert(secret.digest.clone());
                    self.owned.refused_digests.insert(secret.digest);
                }
                Ok(None) => {}
                Err(problem) => self.check.doubt = Some(problem),
            }
        }
    }

    /// A Secret for each credential in use: 3 at most, the accepted credential first.
    fn in_use(&self, this: Reconcile<'_>) -> Vec<StoredSecret> {
        const MOST: usize = 3;
        let (uid, ctx) = (this.uid(), this.ctx);
        let holding = ctx.delivery.ask(&uid, |it| {
            let all = it.credentials().iter();
            let first =
                all.filter_map(|(digest, held)| Some((digest.clone(), held.first()?.clone())));
            first.collect::<Vec<_>>()
        });
        let mut holding = holding.unwrap_or_default();
        let accepted = self.owned.accepted.as_ref().map(|it| &it.digest);
        holding.sort_by_key(|(digest, _)| accepted != Some(digest));
        let found = holding.into_iter().take(MOST).filter_map(|(digest, namespace)| {
            let here = ctx.watches.secrets.within(&namespace).ok()?;
            here.into_iter().find(|it| it.digest == digest && it.is_owned_by(&uid))
        });
        found.collect()
    }

    /// Forgets refusals of credentials that no Secret holds any more.
    fn forget_refused(&mut self, this: Reconcile<'_>) {
        if self.check.refused.is_empty() {
            return;
        }
        let uid = this.uid();
        let Ok(all) = this.ctx.watches.secrets.select(|it| it.is_owned_by(&uid)) else { return };
        self.check.refused.retain(|digest| all.iter().any(|it| it.digest == *digest));
    }
}

/// The registry's answer to a credential.
enum Answer {
    Taken(Proof),
    Refused,
}

/// Asks the registry whether it accepts the credential of a Secret. `None` if the Secret has changed since the
/// watch showed it: then the delivery controller is about to write it again.
async fn ask_about(
    secret: &StoredSecret,
    source: &Endpoints,
    probe: &Probe,
    ctx: &Context,
) -> Result<Option<Answer>, Problem> {
    let StoredSecret { namespace, name, digest, .. } = secret;
    // The permit comes first: without one the reconcile ends here, and need not read the Secret.
    let registry = ctx.azure.registry(&source.login_server)?;
    let doing = format!("reading Secret {name} in namespace {namespace}");
    let api = Api::<Secret>::namespaced(ctx.kubernetes.client(), namespace);
    let stored = within(&doing, api.get_opt(name)).await?;
    let written = stored.as_ref().and_then(Written::of).filter(|it| it.digest() == *digest);
    let credential = written.and_then(|it| it.credential(&source.login_server));
    let Some(credential) = credential else { return Ok(None) };
    match registry.prove(&credential, probe).await {
        Err(error) if error.is_refused() => Ok(Some(Answer::Refused)),
        answer => Ok(Some(Answer::Taken(answer?))),
    }
}

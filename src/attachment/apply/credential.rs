//! Gets the credential of pull secrets.

use std::sync::Arc;

use acr_attach_azure::{ClientCredential, Error, ProbedCredential};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::pull_secrets::proof::Probe;
use acr_attach_core::pull_secrets::{CredentialForm, Endpoints, Inputs, PullSecret, renewal};
use acr_attach_core::roles::role::HONOURED_WITHIN;
use jiff::Timestamp;

use crate::attachment::apply::Applier;
use crate::attachment::apply::principals::Resolved;
use crate::cluster::secrets::{Content, Written};

/// The inputs of a request for a credential.
pub struct CredentialRequest<'a> {
    /// What the spec asks for.
    pub spec: &'a PullSecret,
    /// The hosts of the registry.
    pub source: &'a Endpoints,
    /// Why an earlier request failed. No further request is sent before the next check of Azure.
    pub refusal: Option<&'a Problem>,
    /// Since when the service principal has the pull role, if that is known.
    pub role_since: Option<Timestamp>,
}

/// Classifies the failure of a request. A refusal by the registry is `Propagating` while Azure may not honour
/// the pull role yet.
fn honoured_later(error: Error, role_since: Option<Timestamp>, now: Timestamp) -> Problem {
    let young = role_since.filter(|it| now.duration_since(*it) < HONOURED_WITHIN);
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

impl Applier<'_> {
    /// Gets a credential that the registry accepts.
    ///
    /// # Errors
    /// When Entra or the registry does not answer or refuses; when the client secret or the token for Entra is
    /// missing; when no permit for the registry is free; and, until the next check of Azure, why an earlier
    /// request failed.
    pub async fn credential(&self) -> Result<Arc<Written>, Problem> {
        let Some(CredentialRequest { spec, source, refusal, role_since }) = &self.request else {
            let text = "making a credential: acr-attach has a fault; please report it";
            return Err(Problem::new(Cause::Internal, text));
        };
        if let Some(problem) = refusal {
            return Err((*problem).clone());
        }
        // Takes the permit first: without a permit, the client secret need not be read.
        let registry = self.azure.registry(&source.login_server)?;
        let Resolved { principal, digest } = self.principals.resolve(&spec.principal).await?;
        let probe = Probe::of(source.mode, &spec.repositories);
        let minted = match (spec.form, &principal.credential) {
            (CredentialForm::ClientSecret, ClientCredential::Secret { value, .. }) => {
                registry.client_secret(&principal, value, &probe).await
            }
            // `Attachment::of` refuses any other form for a service principal without a client secret.
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
        Ok(Arc::new(content.write()))
    }
}

//! Service principals: what they sign in with, and which objects of the directory they are.

use std::path::PathBuf;

use acr_attach_azure::{ClientCredential, Reader};
use acr_attach_core::api::SecretKeyRef;
use acr_attach_core::ids::PrincipalId;
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::pull_secrets::ServicePrincipal;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;

use crate::cluster::client_secret::{CredentialSeen, text};
use crate::cluster::kubernetes::{Kubernetes, within};

/// Where what they sign in with is kept.
pub struct Principals {
    secrets: Api<Secret>,
    namespace: String,
    /// The operator's own token of the cluster, for Entra.
    token_file: Option<PathBuf>,
}

/// A service principal that can sign in.
pub struct Resolved {
    /// The principal.
    pub principal: acr_attach_azure::ServicePrincipal,
    /// The keyed digest of its client secret; absent where it has none.
    pub digest: Option<String>,
}

impl Principals {
    /// With client secrets in that namespace, and that token for those without.
    #[must_use]
    pub fn new(kubernetes: &Kubernetes, namespace: &str, token_file: Option<PathBuf>) -> Self {
        let secrets = Api::namespaced(kubernetes.client(), namespace);
        Self { secrets, namespace: namespace.to_owned(), token_file }
    }

    /// Reads what it signs in with.
    ///
    /// # Errors
    /// `NotFound` without its client secret, `AuthenticationFailed` without a token of the
    /// cluster; when the API server does not answer or refuses.
    pub async fn resolve(&self, principal: &ServicePrincipal) -> Result<Resolved, Problem> {
        let (credential, digest) = match &principal.secret {
            Some(reference) => {
                let (credential, digest) = self.secret(reference).await?;
                (credential, Some(digest))
            }
            None => (self.token(principal)?, None),
        };
        let ServicePrincipal { tenant, client, .. } = principal.clone();
        Ok(Resolved {
            principal: acr_attach_azure::ServicePrincipal { tenant, client, credential },
            digest,
        })
    }

    /// The client secret, and its keyed digest.
    async fn secret(
        &self,
        reference: &SecretKeyRef,
    ) -> Result<(ClientCredential, String), Problem> {
        let origin = self.origin(reference);
        let doing = format!("reading the client secret from {origin}");
        let found = within(&doing, self.secrets.get_opt(&reference.name)).await?;
        let seen = found.as_ref().and_then(CredentialSeen::of);
        let digest = self.digest(reference, seen.as_ref())?.to_owned();
        let value = found.as_ref().and_then(|it| it.data.as_ref()?.get(&reference.key));
        let value = value.and_then(text).unwrap_or_default().to_owned().into();
        Ok((ClientCredential::Secret { value, origin }, digest))
    }

    /// The digest of a client secret in the Secret that was seen.
    ///
    /// # Errors
    /// `NotFound` when there is no such Secret, or its key holds no client secret.
    pub fn digest<'a>(
        &self,
        reference: &SecretKeyRef,
        seen: Option<&'a CredentialSeen>,
    ) -> Result<&'a str, Problem> {
        let seen = seen.ok_or_else(|| self.missing(reference))?;
        seen.digest(&reference.key).map_err(|what| self.unusable(reference, &what))
    }

    /// Says that the Secret with the client secret is not there.
    fn missing(&self, reference: &SecretKeyRef) -> Problem {
        let SecretKeyRef { name, key } = reference;
        let advice = format!(
            "create Secret {name} (kubectl create secret generic {name} --namespace {} --from-literal={key}=<client secret>), or correct pullSecret.servicePrincipal.clientSecretRef",
            self.namespace
        );
        self.absent(&advice, reference, "there is no such Secret")
    }

    /// Says that the Secret is there, and what is the matter with its key.
    fn unusable(&self, reference: &SecretKeyRef, what: &str) -> Problem {
        let SecretKeyRef { name, key } = reference;
        let patch = format!(r#"{{"stringData":{{"{key}":"<client secret>"}}}}"#);
        let advice = format!(
            "correct pullSecret.servicePrincipal.clientSecretRef.key, or put the client secret there (kubectl patch secret {name} --namespace {} --patch '{patch}')",
            self.namespace
        );
        self.absent(&advice, reference, what)
    }

    fn absent(&self, advice: &str, reference: &SecretKeyRef, what: &str) -> Problem {
        let account = format!("reading the client secret from {}: {what}", self.origin(reference));
        Problem::advised(Cause::NotFound, advice, &[account])
    }

    fn origin(&self, reference: &SecretKeyRef) -> String {
        let SecretKeyRef { name, key } = reference;
        format!("Secret {name} in namespace {}, key {key}", self.namespace)
    }

    fn token(&self, principal: &ServicePrincipal) -> Result<ClientCredential, Problem> {
        self.token_file.clone().map(ClientCredential::Token).ok_or_else(|| {
            let advice = "name a Secret in pullSecret.servicePrincipal.clientSecretRef, or give the operator a token of the cluster: chart value azure.federatedToken (or project one into its pod with audience api://AzureADTokenExchange and set AZURE_FEDERATED_TOKEN_FILE to its path)";
            let account = format!(
                "signing in as client {}: it has no clientSecretRef, and the operator has no token of the cluster to sign in with instead",
                principal.client
            );
            Problem::advised(Cause::AuthenticationFailed, advice, &[account])
        })
    }

    /// Its object id: the one that is given, else the one that its own token tells, else the one
    /// that Microsoft Graph knows.
    ///
    /// # Errors
    /// When nobody tells it: why its own token does not, and the field that says it.
    pub async fn object_id(
        &self,
        principal: &ServicePrincipal,
        azure: &Reader,
    ) -> Result<PrincipalId, Problem> {
        if let Some(id) = principal.object {
            return Ok(id);
        }
        let told = match self.resolve(principal).await {
            Ok(it) => azure.own_object_id(&it.principal).await.map_err(Problem::from),
            Err(problem) => Err(problem),
        };
        let untold = match told {
            Err(problem) if problem.cause.is_transient() => return Err(problem),
            Err(problem) => problem,
            told => return told,
        };
        let client = &principal.client;
        azure.service_principal(client).await.map_err(|error| {
            let graph = Problem::from(error);
            let advice = format!(
                "set pullSecret.servicePrincipal.objectId (az ad sp show --id {client} --query id prints it)"
            );
            let account = format!(
                "or cure this: {}; nor does Microsoft Graph tell its object id: {}",
                untold.message, graph.message
            );
            Problem::advised(untold.cause, &advice, &[account]).with_correlation_id_of(&untold)
        })
    }
}

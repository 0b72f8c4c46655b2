//! The credentials of service principals, and their object ids in the directory.

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

/// The sources of the credentials of service principals.
pub struct Principals {
    secrets: Api<Secret>,
    namespace: String,
    /// The file with the operator's own service account token, for Entra.
    token_file: Option<PathBuf>,
}

/// A service principal with the credential that it signs in with.
pub struct Resolved {
    /// The principal.
    pub principal: acr_attach_azure::ServicePrincipal,
    /// The keyed digest of the client secret; `None` for a service principal without one.
    pub digest: Option<String>,
}

impl Principals {
    /// Creates the sources: the Secrets in that namespace, and that token file for service principals without a
    /// client secret.
    #[must_use]
    pub fn new(kubernetes: &Kubernetes, namespace: &str, token_file: Option<PathBuf>) -> Self {
        let secrets = Api::namespaced(kubernetes.client(), namespace);
        Self { secrets, namespace: namespace.to_owned(), token_file }
    }

    /// Reads the credential of a service principal.
    ///
    /// # Errors
    /// `NotFound` without its client secret; `AuthenticationFailed` where it has none and the operator has no
    /// token for Entra; when the API server does not answer or refuses.
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

    /// Reads the client secret, and returns it with its keyed digest.
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

    /// Returns the keyed digest of a client secret, from the Secret as it was read.
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

    /// Returns the problem that the Secret with the client secret does not exist.
    fn missing(&self, reference: &SecretKeyRef) -> Problem {
        let SecretKeyRef { name, key } = reference;
        let advice = format!(
            "create Secret {name} (kubectl create secret generic {name} --namespace {} --from-literal={key}=<client secret>), or correct pullSecret.servicePrincipal.clientSecretRef",
            self.namespace
        );
        self.absent(&advice, reference, "there is no such Secret")
    }

    /// Returns the problem that the key of the Secret holds no client secret. `what` says what is wrong with
    /// the key.
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

    /// Returns the object id of a service principal: from the spec, else from a token of the service principal,
    /// else from Microsoft Graph.
    ///
    /// # Errors
    /// When none of them gives the id: why the service principal's token does not, and the field to set. A
    /// transient problem with the token comes at once, without a request to Microsoft Graph.
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

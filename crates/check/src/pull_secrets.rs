//! Reads the pull secrets of a pod as the kubelet does.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Client;
use kube::api::Api;

use super::http::root_cause;
use crate::docker_config::DockerConfig;
use crate::findings::credential::Missing;
use crate::findings::{PullSecretSource, Step, StepName, Target, one_line};

/// How long one call to the API server may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The default name of the pull secrets that attachments make.
const DEFAULT_NAME: &str = "acr-pull";

/// Reads the pull secrets of the pods that the target names.
pub(super) struct PullSecrets<'a> {
    pub client: &'a Client,
    pub target: &'a Target,
}

impl PullSecrets<'_> {
    /// Reads the pull secrets in their order: those with an entry for the registry, and what is missing in the
    /// others.
    ///
    /// # Errors
    /// The failed step, if the API server does not answer or refuses.
    pub async fn read(&self) -> Result<(Vec<(String, DockerConfig)>, Vec<Missing>), Step> {
        let (mut secrets, mut missing) = (Vec::new(), Vec::new());
        let names = self.names().await?;
        if names.is_empty() {
            missing.push(Missing::NoneNamed);
        }
        for name in names {
            match self.config(&name).await? {
                Ok(config) => secrets.push((name, config)),
                Err(error) => missing.push(error),
            }
        }
        Ok((secrets, missing))
    }

    /// The Secret with the default name, if it exists and the pods do not name it. `None` too if the check has
    /// no right to read that.
    pub async fn not_named(&self) -> Option<Missing> {
        let names = self.names().await.ok()?;
        if names.iter().any(|it| it == DEFAULT_NAME) {
            return None;
        }
        let secrets = self.api::<Secret>();
        let found = with_deadline(secrets.get_metadata_opt(DEFAULT_NAME)).await.ok()??;
        found.metadata.name.map(Missing::NotNamed)
    }

    async fn names(&self) -> Result<Vec<String>, Step> {
        let account = match &self.target.pull_secrets {
            PullSecretSource::Pods(names) => return Ok(names.clone()),
            PullSecretSource::ServiceAccount(account) => account,
        };
        let what = format!("service account {account}");
        let found = with_deadline(self.api::<ServiceAccount>().get_opt(account)).await;
        let found =
            found.map_err(|error| self.unreadable(&what, "serviceaccounts", account, &error))?;
        let found = found.ok_or_else(|| {
            Step::unchecked(
                StepName::Credential,
                format!("there is no {what} in namespace {}", self.target.namespace),
                vec![
                    "Name another by --service-account, or another namespace by --namespace"
                        .to_owned(),
                ],
            )
        })?;
        let names = found.image_pull_secrets.unwrap_or_default().into_iter().map(|it| it.name);
        // The API server accepts empty names, and the kubelet ignores them.
        Ok(names.filter(|it| !it.is_empty()).collect())
    }

    async fn config(&self, name: &str) -> Result<Result<DockerConfig, Missing>, Step> {
        let found = with_deadline(self.api::<Secret>().get_opt(name)).await;
        let what = format!("Secret {name}");
        let found = found.map_err(|error| self.unreadable(&what, "secrets", name, &error))?;
        let secret = name.to_owned();
        let Some(found) = found else { return Ok(Err(Missing::NoSecret(secret))) };
        let name = self.target.name();
        Ok(match DockerConfig::of_secret(&found) {
            None => Err(Missing::OtherType { secret, found: found.type_.unwrap_or_default() }),
            Some(Err(reason)) => Err(Missing::Unreadable { secret, reason }),
            Some(Ok(it)) if it.is_for(&name) => Ok(it),
            Some(Ok(it)) => Err(Missing::NoEntry {
                secret,
                patterns: it.patterns().map(str::to_owned).collect(),
                other_case: it.pattern_in_other_case(&name).map(str::to_owned),
                helper: it.helper(),
            }),
        })
    }

    fn api<T>(&self) -> Api<T>
    where
        T: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.target.namespace)
    }

    /// The failed step for an object that the check needs and cannot read.
    fn unreadable(&self, what: &str, resource: &str, name: &str, error: &ReadError) -> Step {
        let namespace = &self.target.namespace;
        let detail = format!("reading {what} in namespace {namespace}: {}", error.reason);
        let advice = if error.forbidden {
            format!(
                "Give the check's service account the rule apiGroups: [\"\"], resources: [{resource}], resourceNames: [{name}], verbs: [get] in namespace {namespace}: Role acr-attach-check of deploy/check"
            )
        } else {
            "Run the check again; where it stays so, look at the API server".to_owned()
        };
        Step::unchecked(StepName::Credential, detail, vec![advice])
    }
}

/// Why an object could not be read.
struct ReadError {
    reason: String,
    forbidden: bool,
}

async fn with_deadline<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, ReadError> {
    let Ok(answer) = tokio::time::timeout(DEADLINE, call).await else {
        let reason = format!("no answer from the API server within {} s", DEADLINE.as_secs());
        return Err(ReadError { reason, forbidden: false });
    };
    answer.map_err(|error| match error {
        kube::Error::Api(status) => ReadError {
            reason: format!("the API server answers {} {}", status.code, one_line(&status.message)),
            forbidden: status.code == 403,
        },
        error => {
            let reason =
                format!("no answer from the API server: {}", one_line(&root_cause(&error)));
            ReadError { reason, forbidden: false }
        }
    })
}

//! The pull secrets of a pod, read as the kubelet reads them.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Client;
use kube::api::Api;

use super::http::innermost;
use crate::docker_config::DockerConfig;
use crate::findings::credential::Missing;
use crate::findings::{PullSecretsOf, Step, StepName, Target, told};

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The name that attachments give to a pull secret where they are not told another.
const USUAL: &str = "acr-pull";

/// The pull secrets of the pods in question.
pub(super) struct PullSecrets<'a> {
    pub client: &'a Client,
    pub target: &'a Target,
}

impl PullSecrets<'_> {
    /// Those that can be read and have something for the registry, in their order, and what the others lack.
    pub async fn read(&self) -> Result<(Vec<(String, DockerConfig)>, Vec<Missing>), Step> {
        let (mut secrets, mut missing) = (Vec::new(), Vec::new());
        let names = self.names().await?;
        if names.is_empty() {
            missing.push(Missing::NoneNamed);
        }
        for name in names {
            match self.config(&name).await? {
                Ok(config) => secrets.push((name, config)),
                Err(why) => missing.push(why),
            }
        }
        Ok((secrets, missing))
    }

    /// The Secret that attachments make, where it is there and is not named. Whoever may not look is told
    /// nothing.
    pub async fn not_named(&self) -> Option<Missing> {
        let names = self.names().await.ok()?;
        if names.iter().any(|it| it == USUAL) {
            return None;
        }
        let secrets = self.api::<Secret>();
        let found = within(secrets.get_metadata_opt(USUAL)).await.ok()??;
        found.metadata.name.map(Missing::NotNamed)
    }

    async fn names(&self) -> Result<Vec<String>, Step> {
        let account = match &self.target.pull_secrets {
            PullSecretsOf::Pods(names) => return Ok(names.clone()),
            PullSecretsOf::ServiceAccount(account) => account,
        };
        let what = format!("service account {account}");
        let found = within(self.api::<ServiceAccount>().get_opt(account)).await;
        let found = found.map_err(|why| self.unread(&what, "serviceaccounts", account, &why))?;
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
        // The API server takes empty names, and the kubelet passes over them.
        Ok(names.filter(|it| !it.is_empty()).collect())
    }

    async fn config(&self, name: &str) -> Result<Result<DockerConfig, Missing>, Step> {
        let found = within(self.api::<Secret>().get_opt(name)).await;
        let what = format!("Secret {name}");
        let found = found.map_err(|why| self.unread(&what, "secrets", name, &why))?;
        let secret = name.to_owned();
        let Some(found) = found else { return Ok(Err(Missing::NoSecret(secret))) };
        let name = self.target.name();
        Ok(match DockerConfig::of_secret(&found) {
            None => Err(Missing::OtherType { secret, found: found.type_.unwrap_or_default() }),
            Some(Err(reason)) => Err(Missing::Unreadable { secret, reason }),
            Some(Ok(it)) if it.is_for(&name) => Ok(it),
            Some(Ok(it)) => Err(Missing::NoEntry {
                secret,
                places: it.places().map(str::to_owned).collect(),
                other_case: it.place_in_other_case(&name).map(str::to_owned),
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

    /// What the check cannot go on without.
    fn unread(&self, what: &str, resource: &str, name: &str, why: &Unread) -> Step {
        let namespace = &self.target.namespace;
        let detail = format!("reading {what} in namespace {namespace}: {}", why.reason);
        let advice = if why.forbidden {
            format!(
                "Give the check's service account the rule apiGroups: [\"\"], resources: [{resource}], resourceNames: [{name}], verbs: [get] in namespace {namespace}: Role acr-attach-check of deploy/check"
            )
        } else {
            "Run the check again; where it stays so, look at the API server".to_owned()
        };
        Step::unchecked(StepName::Credential, detail, vec![advice])
    }
}

/// Why something could not be read.
struct Unread {
    reason: String,
    forbidden: bool,
}

async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Unread> {
    let Ok(answer) = tokio::time::timeout(DEADLINE, call).await else {
        let reason = format!("no answer from the API server within {} s", DEADLINE.as_secs());
        return Err(Unread { reason, forbidden: false });
    };
    answer.map_err(|error| match error {
        kube::Error::Api(status) => Unread {
            reason: format!("the API server answers {} {}", status.code, told(&status.message)),
            forbidden: status.code == 403,
        },
        error => {
            let reason = format!("no answer from the API server: {}", told(&innermost(&error)));
            Unread { reason, forbidden: false }
        }
    })
}

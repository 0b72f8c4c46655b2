//! A control plane as its users see it, whoever owns it.

use std::{
    env,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, Client, api::PostParams, config::Kubeconfig};

use crate::{Error, NodeFiles, audit, audit::AuditEvent, flags, kubeconfig, layout::Layout};

/// Names the folder of the control plane in the environment of a command that
/// `control-plane run` runs.
pub const DIRECTORY_VARIABLE: &str = "CONTROL_PLANE_DIR";

/// How long the token in a service account's kubeconfig is good. Nobody renews
/// it there.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// A control plane as its users see it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cluster {
    layout: Arc<Layout>,
}

impl Cluster {
    pub(crate) fn at(layout: Layout) -> Self {
        Self { layout: Arc::new(layout) }
    }

    /// Uses the control plane that lives in a folder.
    ///
    /// # Errors
    ///
    /// When no control plane lives there.
    pub fn from_dir(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let cluster = Self::at(Layout::at(path.into()));
        kubeconfig::read(&cluster.admin_kubeconfig())?;
        Ok(cluster)
    }

    /// Uses the control plane that `CONTROL_PLANE_DIR` names, if it names one.
    ///
    /// # Errors
    ///
    /// When it is set and no control plane lives there.
    pub fn from_env() -> Result<Option<Self>, Error> {
        env::var_os(DIRECTORY_VARIABLE).map(Self::from_dir).transpose()
    }

    /// The folder that holds all files of the control plane.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.layout.root()
    }

    /// The administrator's kubeconfig (group `system:masters`), a file that
    /// holds its certificates itself.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.layout.admin_kubeconfig()
    }

    /// The log of every answered request, one JSON object a line.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.layout.audit_log()
    }

    /// The files with which a node joins. They exist where the control plane was started for one.
    #[must_use]
    pub fn node_files(&self) -> NodeFiles {
        NodeFiles::of(&self.layout)
    }

    /// The key that verifies service account tokens (RSA, they are RS256), as PEM.
    #[must_use]
    pub fn service_account_public_key(&self) -> PathBuf {
        self.layout.pki("service-account.pub")
    }

    /// The issuer in service account tokens.
    #[must_use]
    pub fn service_account_issuer(&self) -> &str {
        flags::ISSUER
    }

    /// A client with the administrator's rights.
    ///
    /// # Errors
    ///
    /// When the kubeconfig is gone, hence the control plane too.
    pub async fn admin(&self) -> Result<Client, Error> {
        kubeconfig::client(kubeconfig::read(&self.admin_kubeconfig())?).await
    }

    /// The API server's version, such as `v1.36.3`.
    ///
    /// # Errors
    ///
    /// When the API server does not answer.
    pub async fn version(&self) -> Result<String, Error> {
        let version = self.admin().await?.apiserver_version().await;
        Ok(version.map_err(Error::kubernetes("ask for the version"))?.git_version)
    }

    /// A client for a kubeconfig, without retries and without a proxy.
    ///
    /// # Errors
    ///
    /// When the kubeconfig is not usable.
    pub async fn client(&self, kubeconfig: Kubeconfig) -> Result<Client, Error> {
        kubeconfig::client(kubeconfig).await
    }

    /// A kubeconfig for a service account, with a token that is good for a day.
    /// Neither namespace nor account is created.
    ///
    /// # Errors
    ///
    /// When the service account does not exist.
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<Kubeconfig, Error> {
        let token = self.token((namespace, name), Vec::new(), TOKEN_LIFETIME).await?;
        kubeconfig::with_token(&self.admin_kubeconfig(), &token)
    }

    /// A token of a service account for somebody other than the API server,
    /// such as Microsoft Entra with `api://AzureADTokenExchange`. The API server
    /// makes no token that lives less than ten minutes.
    ///
    /// # Errors
    ///
    /// When the service account does not exist or the lifetime is refused.
    pub async fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
        audience: &str,
        lifetime: Duration,
    ) -> Result<String, Error> {
        self.token((namespace, name), vec![audience.into()], lifetime).await
    }

    /// The name under which a service account appears as a user.
    #[must_use]
    pub fn service_account_user(namespace: &str, name: &str) -> String {
        format!("system:serviceaccount:{namespace}:{name}")
    }

    /// The writes that a user has tried so far, in the order of their answers,
    /// refused ones included.
    ///
    /// # Errors
    ///
    /// When the audit log cannot be read.
    pub fn writes_by(&self, user: &str) -> Result<Vec<AuditEvent>, Error> {
        let mut calls = self.calls_by(user)?;
        calls.retain(AuditEvent::is_write);
        Ok(calls)
    }

    /// All calls that a user has made so far, in the order of their answers. A
    /// watch that is still open is among them.
    ///
    /// The API server notes a call when it has been answered, so the last one
    /// may appear a moment after its answer.
    ///
    /// # Errors
    ///
    /// When the audit log cannot be read.
    pub fn calls_by(&self, user: &str) -> Result<Vec<AuditEvent>, Error> {
        audit::calls_by(&self.audit_log(), user)
    }

    /// All calls so far of the service accounts of that name in the namespaces whose names begin
    /// so, as [`calls_by`](Self::calls_by) tells them.
    ///
    /// # Errors
    ///
    /// When the audit log cannot be read.
    pub fn calls_by_service_accounts(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Vec<AuditEvent>, Error> {
        let (begin, end) = (Self::service_account_user(namespace, ""), format!(":{name}"));
        let begin = begin.trim_end_matches(':');
        audit::calls_of(&self.audit_log(), begin, |it| it.starts_with(begin) && it.ends_with(&end))
    }

    async fn token(
        &self,
        (namespace, name): (&str, &str),
        audiences: Vec<String>,
        lifetime: Duration,
    ) -> Result<String, Error> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin().await?, namespace);
        let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        let spec =
            TokenRequestSpec { audiences, expiration_seconds: Some(seconds), ..Default::default() };
        let request = TokenRequest { spec, ..Default::default() };
        let answer =
            accounts.create_token_request(name, &PostParams::default(), &request).await.map_err(
                Error::kubernetes(format!("get a token of the service account {namespace}/{name}")),
            )?;
        Ok(answer.status.map(|status| status.token).unwrap_or_default())
    }
}

//! `acr-attach check`: checks from inside a cluster whether a pod can pull an image from a registry.
//!
//! This module makes the calls, step by step, and `findings` turns the results into a report. The check only
//! reads, in the registry, in Azure and in the cluster. Every call has a deadline and a limit on the size of
//! its answer.

pub mod docker_config;
pub mod findings;
mod http;
pub mod image;
mod instance_metadata;
mod pull_secrets;
mod registry;

use std::ops::ControlFlow;
use std::time::Duration;

use acr_attach_azure::{AUDIENCE, Cloud, claims};
use acr_attach_core::pull_secrets::TOKEN_USER;
use jiff::Timestamp;
use kube::Client;
use uuid::Uuid;

use crate::docker_config::{Login, logins};
use crate::findings::challenge::challenge;
use crate::findings::credential::{CredentialSource, Findings, Missing, NodeFault, Outcome, Trial};
use crate::findings::manifest::{manifest, no_image};
use crate::findings::network::{self, Resolved};
use crate::findings::{Report, Step, Target};
use instance_metadata::{InstanceMetadata, NodeToken};
use pull_secrets::PullSecrets;
use registry::Registry;

/// How long DNS may take.
const DNS_DEADLINE: Duration = Duration::from_secs(10);

/// A check, ready to run.
pub struct Check {
    /// The registry and image to check, and the pods to check them for.
    pub target: Target,
    /// The client id or object id of the kubelet's identity. `None` lets instance metadata choose one.
    pub kubelet_identity: Option<Uuid>,
    /// The HTTP client for the registry and for instance metadata.
    pub http: reqwest::Client,
    /// The address of the proxy to the registry, if there is one.
    pub proxy: Option<String>,
    /// The client for the API server.
    pub kubernetes: Client,
}

impl Check {
    /// Takes the steps until one fails. The report lists the others as skipped.
    pub async fn run(&self) -> Report {
        let mut report = Report::new(self.target.clone());
        // The report contains the step that failed.
        let _ = self.steps(&mut report).await;
        report.finish()
    }

    async fn steps(&self, report: &mut Report) -> ControlFlow<()> {
        let (target, proxy) = (&self.target, self.proxy.as_deref());
        report.add(network::name(target, self.resolved().await))?;
        let answer = registry::challenge(&self.http, &target.registry).await;
        let connected = answer.as_ref().map(drop).or_else(|it| it.connection().map_or(Ok(()), Err));
        report.add(network::tls(target, proxy, connected))?;
        let answer = answer.as_ref().map_err(ToString::to_string);
        let tokens = match challenge(target, answer.as_ref().copied().map_err(|it| &**it)) {
            Ok((step, tokens)) => {
                report.add(step)?;
                tokens
            }
            Err(step) => return report.add(step),
        };
        let registry = Registry { http: &self.http, server: &target.registry, tokens };
        let (findings, token) = match self.credentials(&registry).await {
            Ok(it) => it,
            Err(step) => return report.add(step),
        };
        report.set_credential(findings.working_source().cloned());
        report.add(findings.credential(target))?;
        report.add(findings.token(target))?;
        report.add(match &target.image {
            Some(image) => manifest(target, image, &registry.manifest(image, &token).await),
            None => no_image(),
        })
    }

    async fn resolved(&self) -> Result<Resolved, String> {
        if let Some(proxy) = &self.proxy {
            return Ok(Resolved::ByProxy(proxy.clone()));
        }
        let lookup = tokio::net::lookup_host((self.target.registry.as_str(), 443));
        let found = tokio::time::timeout(DNS_DEADLINE, lookup).await;
        let found = found.map_err(|_| format!("no answer within {} s", DNS_DEADLINE.as_secs()))?;
        let mut addresses: Vec<_> = found.map_err(|it| it.to_string())?.map(|it| it.ip()).collect();
        addresses.sort();
        addresses.dedup();
        Ok(Resolved::Here(addresses))
    }

    /// Tries the credentials of a pod in the kubelet's order, until one works. Returns the findings, and the
    /// access token for that credential, which is empty if none works.
    async fn credentials(&self, registry: &Registry<'_>) -> Result<(Findings, String), Step> {
        let target = &self.target;
        let (findings, token) = (Findings::default(), String::new());
        let mut trials = CredentialTrials { registry, target, findings, token };
        let pull_secrets = PullSecrets { client: &self.kubernetes, target };
        let (secrets, missing) = pull_secrets.read().await?;
        trials.findings.missing = missing;
        if trials.findings.missing.iter().any(|it| matches!(it, Missing::Unreadable { .. })) {
            return Ok(trials.finish());
        }
        let logins = logins(&secrets, &target.name());
        let (anonymous_logins, logins): (Vec<_>, Vec<_>) =
            logins.into_iter().partition(|(_, it)| it.is_anonymous());
        for (secret, login) in &anonymous_logins {
            let config = secrets.iter().find(|(name, _)| name == secret);
            let helper = config.and_then(|(_, it)| it.helper());
            let (secret, ignored_key) = ((*secret).to_owned(), login.ignored_key().or(helper));
            trials.findings.missing.push(Missing::NoUser { secret, ignored_key });
        }
        for (secret, login) in &logins {
            if trials.login(secret, login).await.is_break() {
                return Ok(trials.finish());
            }
        }
        let mut anonymous = logins.is_empty() || !anonymous_logins.is_empty();
        match self.node_token().await {
            Ok(token) => {
                // The report mentions this first, right after the identity.
                if self.kubelet_identity.is_none() {
                    trials.findings.missing.insert(0, Missing::IdentityNotNamed);
                }
                match trials.node(&token).await {
                    ControlFlow::Break(()) => return Ok(trials.finish()),
                    // Where the node's provider has a credential, it offers an anonymous one besides.
                    ControlFlow::Continue(exchanged) => anonymous |= exchanged,
                }
            }
            Err(fault) => trials.findings.missing.push(Missing::Node(fault)),
        }
        // Anonymous access can only be checked for a repository.
        if anonymous && target.image.is_some() && trials.anonymous().await.is_break() {
            return Ok(trials.finish());
        }
        trials.findings.missing.extend(pull_secrets.not_named().await);
        Ok(trials.finish())
    }

    async fn node_token(&self) -> Result<NodeToken, NodeFault> {
        // The credential provider on the node sends the identity to no other host either.
        let cloud = Cloud::of(&self.target.registry).ok_or(NodeFault::OtherDomain)?;
        let host = self.target.host();
        if !host.ends_with(cloud.login_server_suffix()) {
            return Err(NodeFault::OtherCase(host.to_owned()));
        }
        let metadata = InstanceMetadata { http: &self.http, identity: self.kubelet_identity };
        metadata.token(&[AUDIENCE, cloud.arm()]).await
    }
}

/// The credentials that were tried so far.
struct CredentialTrials<'a> {
    registry: &'a Registry<'a>,
    target: &'a Target,
    findings: Findings,
    token: String,
}

impl CredentialTrials<'_> {
    fn finish(self) -> (Findings, String) {
        (self.findings, self.token)
    }

    /// Tries a pull secret. Breaks if no other credential needs a trial.
    async fn login(&mut self, secret: &str, login: &Login) -> ControlFlow<()> {
        let source =
            CredentialSource::PullSecret { secret: secret.to_owned(), user: login.user().into() };
        let (mut outcome, token) = self.access(Some(login)).await;
        if let Outcome::Refused { expired, .. } = &mut outcome {
            *expired = expiry(login.password.reveal());
        }
        self.record(source, outcome, token)
    }

    /// Tries the node's identity. Continues with whether the registry has exchanged its token.
    async fn node(&mut self, node: &NodeToken) -> ControlFlow<(), bool> {
        let source = CredentialSource::NodeIdentity { object_id: node.object_id.clone() };
        match self.registry.exchange(node).await {
            Ok(refresh) => {
                let (outcome, token) = self.access(Some(&Login::new(TOKEN_USER, &refresh))).await;
                self.record(source, outcome, token)?;
                ControlFlow::Continue(true)
            }
            Err(outcome) => {
                self.record(source, outcome, None)?;
                ControlFlow::Continue(false)
            }
        }
    }

    async fn anonymous(&mut self) -> ControlFlow<()> {
        let (outcome, token) = self.access(None).await;
        self.record(CredentialSource::Anonymous, outcome, token)
    }

    async fn access(&self, login: Option<&Login>) -> (Outcome, Option<String>) {
        self.registry.access(login, self.target.repository()).await
    }

    fn record(
        &mut self,
        source: CredentialSource,
        outcome: Outcome,
        token: Option<String>,
    ) -> ControlFlow<()> {
        // The firewall would refuse every other credential too.
        let is_last = outcome.works() || matches!(outcome, Outcome::Denied(_));
        self.findings.trials.push(Trial { source, outcome });
        self.token = token.unwrap_or_default();
        if is_last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// When the password expired, if it is a token and has expired.
fn expiry(password: &[u8]) -> Option<Timestamp> {
    let token = std::str::from_utf8(password).ok()?;
    let end = Timestamp::from_second(claims(token)?["exp"].as_i64()?).ok()?;
    (end <= Timestamp::now()).then_some(end)
}

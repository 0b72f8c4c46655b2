//! `acr-attach check`: finds out from inside the cluster whether a pod can pull, as far as a pod can find out.
//!
//! It observes, one step after the other, and `findings` judges and tells. It writes nothing: not to the
//! registry, not to Azure, not to the cluster. Every call has a deadline and a bound on what it brings.

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
use crate::findings::credential::{Answer, Found, Holder, Missing, NodeFault, Trial};
use crate::findings::manifest::{manifest, not_named};
use crate::findings::network::{self, Resolved};
use crate::findings::{Report, Step, Target};
use instance_metadata::{InstanceMetadata, NodeToken};
use pull_secrets::PullSecrets;
use registry::Registry;

/// How long a name may take to be resolved.
const RESOLVING: Duration = Duration::from_secs(10);

/// A check that can be made.
pub struct Check {
    /// What is checked, and for which pods.
    pub target: Target,
    /// The client id or object id of the kubelet's identity; without one, instance metadata chooses.
    pub kubelet_identity: Option<Uuid>,
    /// For the registry and for instance metadata.
    pub http: reqwest::Client,
    /// Where the proxy is that stands before the registry, if one does.
    pub proxy: Option<String>,
    /// For the cluster.
    pub kubernetes: Client,
}

impl Check {
    /// Takes the steps until one fails.
    pub async fn run(&self) -> Report {
        let mut report = Report::new(self.target.clone());
        // What broke off is in the report.
        let _ = self.steps(&mut report).await;
        report.finished()
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
        let (found, token) = match self.credentials(&registry).await {
            Ok(found) => found,
            Err(step) => return report.add(step),
        };
        report.works(found.works().cloned());
        report.add(found.credential(target))?;
        report.add(found.token(target))?;
        report.add(match &target.image {
            Some(image) => manifest(target, image, &registry.manifest(image, &token).await),
            None => not_named(),
        })
    }

    async fn resolved(&self) -> Result<Resolved, String> {
        if let Some(proxy) = &self.proxy {
            return Ok(Resolved::ByProxy(proxy.clone()));
        }
        let lookup = tokio::net::lookup_host((self.target.registry.as_str(), 443));
        let found = tokio::time::timeout(RESOLVING, lookup).await;
        let found = found.map_err(|_| format!("no answer within {} s", RESOLVING.as_secs()))?;
        let mut addresses: Vec<_> = found.map_err(|it| it.to_string())?.map(|it| it.ip()).collect();
        addresses.sort();
        addresses.dedup();
        Ok(Resolved::Here(addresses))
    }

    /// Tries what a pod has, in the kubelet's order, until something works. With the access token that it
    /// gives, if it gives one.
    async fn credentials(&self, registry: &Registry<'_>) -> Result<(Found, String), Step> {
        let target = &self.target;
        let mut tried = Tried { registry, target, found: Found::default(), token: String::new() };
        let pull_secrets = PullSecrets { client: &self.kubernetes, target };
        let (secrets, missing) = pull_secrets.read().await?;
        tried.found.missing = missing;
        if tried.found.missing.iter().any(|it| matches!(it, Missing::Unreadable { .. })) {
            return Ok(tried.end());
        }
        let logins = logins(&secrets, &target.name());
        let (nameless, logins): (Vec<_>, Vec<_>) =
            logins.into_iter().partition(|(_, it)| it.is_anonymous());
        for (secret, login) in &nameless {
            let config = secrets.iter().find(|(name, _)| name == secret);
            let helper = config.and_then(|(_, it)| it.helper());
            let (secret, unread) = ((*secret).to_owned(), login.unread().or(helper));
            tried.found.missing.push(Missing::NoUser { secret, unread });
        }
        for (secret, login) in &logins {
            if tried.login(secret, login).await.is_break() {
                return Ok(tried.end());
            }
        }
        let mut anonymous = logins.is_empty() || !nameless.is_empty();
        match self.node_token().await {
            Ok(token) => {
                // Told first, right after the identity that it is about.
                if self.kubelet_identity.is_none() {
                    tried.found.missing.insert(0, Missing::IdentityNotNamed);
                }
                match tried.node(&token).await {
                    ControlFlow::Break(()) => return Ok(tried.end()),
                    // With a credential for the node, its provider gives an anonymous one.
                    ControlFlow::Continue(exchanged) => anonymous |= exchanged,
                }
            }
            Err(fault) => tried.found.missing.push(Missing::Node(fault)),
        }
        // Without a repository nothing says what anybody may pull.
        if anonymous && target.image.is_some() && tried.anonymous().await.is_break() {
            return Ok(tried.end());
        }
        tried.found.missing.extend(pull_secrets.not_named().await);
        Ok(tried.end())
    }

    async fn node_token(&self) -> Result<NodeToken, NodeFault> {
        // As its provider on the node does: an identity is shown to no other host.
        let cloud = Cloud::of(&self.target.registry).ok_or(NodeFault::OtherDomain)?;
        let host = self.target.host();
        if !host.ends_with(cloud.login_server_suffix()) {
            return Err(NodeFault::OtherCase(host.to_owned()));
        }
        let metadata = InstanceMetadata { http: &self.http, identity: self.kubelet_identity };
        metadata.token(&[AUDIENCE, cloud.arm()]).await
    }
}

/// What was tried so far.
struct Tried<'a> {
    registry: &'a Registry<'a>,
    target: &'a Target,
    found: Found,
    token: String,
}

impl Tried<'_> {
    fn end(self) -> (Found, String) {
        (self.found, self.token)
    }

    /// Breaks off where there is nothing more to try.
    async fn login(&mut self, secret: &str, login: &Login) -> ControlFlow<()> {
        let holder = Holder::PullSecret { secret: secret.to_owned(), user: login.user().into() };
        let (mut answer, token) = self.access(Some(login)).await;
        if let Answer::Refused { ended, .. } = &mut answer {
            *ended = end(login.password.reveal());
        }
        self.note(holder, answer, token)
    }

    /// Goes on with whether the registry has exchanged the token.
    async fn node(&mut self, node: &NodeToken) -> ControlFlow<(), bool> {
        let holder = Holder::NodeIdentity { object_id: node.object_id.clone() };
        match self.registry.exchange(node).await {
            Ok(refresh) => {
                let (answer, token) = self.access(Some(&Login::new(TOKEN_USER, &refresh))).await;
                self.note(holder, answer, token)?;
                ControlFlow::Continue(true)
            }
            Err(answer) => {
                self.note(holder, answer, None)?;
                ControlFlow::Continue(false)
            }
        }
    }

    async fn anonymous(&mut self) -> ControlFlow<()> {
        let (answer, token) = self.access(None).await;
        self.note(Holder::Nobody, answer, token)
    }

    async fn access(&self, login: Option<&Login>) -> (Answer, Option<String>) {
        self.registry.access(login, self.target.repository()).await
    }

    fn note(&mut self, holder: Holder, answer: Answer, token: Option<String>) -> ControlFlow<()> {
        // A firewall refuses every other credential too.
        let is_last = answer.works() || matches!(answer, Answer::Denied(_));
        self.found.trials.push(Trial { holder, answer });
        self.token = token.unwrap_or_default();
        if is_last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// When a token has ended, if that is one and it has.
fn end(password: &[u8]) -> Option<Timestamp> {
    let token = std::str::from_utf8(password).ok()?;
    let end = Timestamp::from_second(claims(token)?["exp"].as_i64()?).ok()?;
    (end <= Timestamp::now()).then_some(end)
}

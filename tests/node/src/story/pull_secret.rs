//! Pull secrets: the namespaces that have one pull, and no other does.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use super::{LIMIT, MISSING_SECRETS, Story, UNAUTHORIZED, operator::NAMESPACE};
use crate::{
    azure::{CLIENT_SECRET, Image},
    figures::Wait,
    pods::Pods,
    terminal::{say_done, say_part, say_refused, say_seen, say_took},
    until::until,
};

/// What pods pull that the attachments serve, and each of the others: one that none serves, one that
/// names its pull secret, and one that comes after renewals.
const IMAGE: Image = Image::nginx("v2");
const OTHER: Image = Image::nginx("v9");
const NAMED: Image = Image::nginx("v10");
const RENEWED: Image = Image::nginx("v3");
/// How long registries' tokens live meanwhile. They are renewed at half of it.
const TOKEN_LIFE: Duration = Duration::from_secs(30);

impl Story {
    pub(super) async fn pull_secret(&mut self) -> Result<()> {
        say_part("4. PullSecret: namespaces that have one pull, and no other does");
        self.bed.azure.set_registry_token_life(TOKEN_LIFE);
        say_seen("Azure gives out tokens of registries that live 30 s");
        let commands = &self.bed.commands;
        for namespace in ["awesomeapps", "moreapps", "otherapps"] {
            commands.show(&format!("kubectl create namespace {namespace}")).await?;
        }
        let secret = format!("--from-literal=clientSecret={CLIENT_SECRET}");
        let line = format!("kubectl create secret generic acr-sp --namespace {NAMESPACE} {secret}");
        commands.show(&line).await?;
        let named = self.pod_that_names("acr-pull").await?;
        let other = self.start_pod("otherapps", "web", OTHER).await?;
        named.refused(1, UNAUTHORIZED).await?;
        self.told("awesomeapps", &format!("{MISSING_SECRETS} (acr-pull)")).await?;
        say_refused(&other.refused(1, UNAUTHORIZED).await?);
        self.registry_token(&named).await?;
        self.client_secret().await?;
        let served = Timestamp::now();
        for (namespace, result) in [
            ("awesomeapps", (0, "pull secret acr-pull")),
            ("moreapps", (0, "pull secret acr-pull")),
            ("otherapps", (6, "default names no pull secret")),
        ] {
            self.check(namespace, IMAGE, result).await?;
        }
        self.renewals().await?;
        self.tried_since(OTHER, served).await?;
        say_refused(&other.refused(1, UNAUTHORIZED).await?);
        say_seen("namespace otherapps, which no attachment names, is still refused");
        // Longer than the kubelet keeps what its credential provider gives it, as in Azure.
        self.bed.azure.set_registry_token_life(Duration::from_secs(3 * 60 * 60));
        Ok(())
    }

    async fn registry_token(&mut self, named: &Pods) -> Result<()> {
        let (ready, start) = (self.attach("awesomeapps").await?, Instant::now());
        let made = Timestamp::now();
        let plain = self.start_pod("awesomeapps", "plain", IMAGE).await?;
        plain.running(1).await?;
        say_done("a pod under service account default runs", start);
        self.waits
            .push(Wait::of_new("pull secret with a registry token, a pod made afterwards", made));
        named.running(1).await?;
        say_done("the pod that names acr-pull, and waited for it, runs", start);
        let pull = self.bed.azure.last_pull(NAMED, ready);
        self.waits.push(Wait::of_waiting(
            "pull secret with a registry token, a pod that waited",
            ready,
            pull,
        ));
        Ok(())
    }

    async fn client_secret(&mut self) -> Result<()> {
        self.attach("moreapps").await?;
        let commands = &self.bed.commands;
        commands.show("kubectl label namespace moreapps acr-pull=myregistry").await?;
        self.served("moreapps", "acr-pull").await?;
        let (start, made) = (Instant::now(), Timestamp::now());
        self.start_pod("moreapps", "web", IMAGE).await?.running(1).await?;
        say_done("a pod of a namespace with the label runs, by client id and secret", start);
        self.waits.push(Wait::of_new(
            "pull secret with client id and secret, a pod made afterwards",
            made,
        ));
        Ok(())
    }

    /// Two renewals, and what the first token opened is still open.
    async fn renewals(&self) -> Result<()> {
        let start = Instant::now();
        let mut content = self.content("awesomeapps", "acr-pull").await?;
        for _ in 0..2 {
            content = until("the pull secret is renewed", TOKEN_LIFE, async || {
                let now = self.content("awesomeapps", "acr-pull").await?;
                ensure!(now != content, "it is what it was");
                Ok(now)
            })
            .await?;
        }
        say_took("the pull secret was renewed twice", start.elapsed());
        let begin = Timestamp::now();
        self.start_pod("awesomeapps", "renewed", RENEWED).await?.running(1).await?;
        ensure!(
            !self.bed.azure.content_asked(RENEWED, begin).is_empty(),
            "nobody has fetched content"
        );
        say_seen("a pod with a new image runs");
        Ok(())
    }

    /// A pod that names a pull secret itself, whether or not it is there.
    async fn pod_that_names(&self, secret: &str) -> Result<Pods> {
        let overrides = format!(r#"{{"spec":{{"imagePullSecrets":[{{"name":"{secret}"}}]}}}}"#);
        let flags = format!("--image={NAMED} --image-pull-policy=Always --overrides={overrides}");
        let line = format!("kubectl run named --namespace awesomeapps {flags}");
        self.bed.commands.show(&line).await?;
        Ok(self.pods("awesomeapps", "run=named"))
    }

    /// Waits until a namespace has its pull secret, and its service account names it.
    pub(super) async fn served(&self, namespace: &str, secret: &str) -> Result<()> {
        let account = "-o=jsonpath={.imagePullSecrets[*].name}";
        let line = format!("kubectl get serviceaccount default --namespace {namespace} {account}");
        until(&format!("namespace {namespace} is served"), LIMIT, async || {
            self.content(namespace, secret).await?;
            let names = self.bed.commands.quietly(&line).await?;
            ensure!(names.split(' ').any(|it| it == secret), "the service account has: {names}");
            Ok(())
        })
        .await
    }

    async fn content(&self, namespace: &str, name: &str) -> Result<Vec<u8>> {
        let secrets: Api<Secret> = Api::namespaced(self.bed.client.clone(), namespace);
        let data = secrets.get(name).await?.data.unwrap_or_default();
        Ok(data.get(".dockerconfigjson").context("it holds nothing")?.0.clone())
    }
}

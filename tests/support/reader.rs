//! Somebody who pulls with every pull secret of an attachment, again and again.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::Value;

use super::World;
use super::secrets::{SERVER, login};

/// The image that is pulled.
pub const REPOSITORY: &str = "samples/nginx";
/// Its tag.
pub const TAG: &str = "v1";

/// So often are all of them read.
const EACH: Duration = Duration::from_millis(20);

/// See above.
pub struct Reader {
    secrets: Api<Secret>,
    /// The uid of the attachment.
    uid: String,
    /// The namespaces that must have one.
    namespaces: Vec<String>,
    registry: reqwest::Client,
    pulls: AtomicUsize,
}

impl World {
    /// For the pull secrets of that attachment in these namespaces.
    pub async fn reader(&self, name: &str, namespaces: &[String]) -> Reader {
        let object = self.attachments().get(&self.name(name)).await.unwrap();
        let certificate = reqwest::Certificate::from_pem(self.azure.ca_pem().as_bytes()).unwrap();
        let registry = reqwest::Client::builder()
            .proxy(reqwest::Proxy::all(self.azure.proxy_url()).unwrap())
            .tls_certs_only([certificate])
            .build()
            .unwrap();
        let (uid, pulls) = (object.uid().unwrap(), AtomicUsize::new(0));
        let (secrets, namespaces) = (Api::all(self.client.clone()), namespaces.to_vec());
        Reader { secrets, uid, namespaces, registry, pulls }
    }
}

impl Reader {
    /// Reads on while that story goes on, and once more after it.
    pub async fn during(&self, story: impl Future<Output = ()>) {
        tokio::select! {
            () = story => {}
            () = self.for_ever() => {}
        }
        self.once().await;
    }

    /// How often was pulled so far.
    pub fn pulls(&self) -> usize {
        self.pulls.load(Ordering::Relaxed)
    }

    async fn for_ever(&self) {
        let mut tick = tokio::time::interval(EACH);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.once().await;
        }
    }

    async fn secrets(&self) -> Vec<Secret> {
        let of_attachment = format!("acr-attach.dev/attachment={}", self.uid);
        self.secrets.list(&ListParams::default().labels(&of_attachment)).await.unwrap().items
    }

    /// Reads all of them at once, and pulls with each credential that is in one.
    async fn once(&self) {
        let found = self.secrets().await;
        for namespace in &self.namespaces {
            let is_there = found.iter().any(|it| it.namespace().as_ref() == Some(namespace));
            assert!(is_there, "there is no pull secret in {namespace}");
        }
        let credentials: BTreeSet<_> = found.iter().map(login).collect();
        for credential in credentials {
            let Err(refusal) = self.pull(&credential).await else { continue };
            // What was replaced since it was read says that this reader was slow.
            let in_use = self.secrets().await.iter().any(|it| login(it) == credential);
            assert!(!in_use, "the registry refuses a credential in use: {refusal}");
        }
    }

    /// As container runtimes do: an access token for the repository, and the manifest with that.
    async fn pull(&self, (user, password): &(String, String)) -> Result<(), String> {
        let url = format!(
            "https://{SERVER}/oauth2/token?service={SERVER}&scope=repository:{REPOSITORY}:pull"
        );
        let request = self.registry.get(url).basic_auth(user, Some(password));
        let answer = request.send().await.unwrap();
        let (status, body) = (answer.status(), answer.text().await.unwrap());
        if !status.is_success() {
            return Err(format!("{status} {body}"));
        }
        let answer: Value = serde_json::from_str(&body).unwrap();
        let token = answer["access_token"].as_str().unwrap();
        let url = format!("https://{SERVER}/v2/{REPOSITORY}/manifests/{TAG}");
        let answer = self.registry.get(url).bearer_auth(token).send().await.unwrap();
        assert!(answer.status().is_success(), "no manifest: {}", answer.status());
        self.pulls.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

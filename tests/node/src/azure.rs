//! The Azure that the node sees: what it holds before anything is attached, and how it changes.

use std::{
    fmt, fs,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result};
use azure_sim::{
    AzureSim, Call, Entry, Model, Options,
    model::{
        ACR_PULL, DEFAULT_SUBSCRIPTION, DEFAULT_TENANT, NetworkDefaultAction, READER,
        ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR,
    },
};
use control_plane::Cluster;
use jiff::Timestamp;
use serde_json::{Value, json};

/// The registry of the guides, in the mode that all registries had.
pub const REGISTRY: &str = "myregistry.azurecr.io";
/// One with repository permissions.
pub const ABAC_REGISTRY: &str = "myabacregistry.azurecr.io";
/// One whose login server has a domain name label, and so a dash.
pub const LABELLED_REGISTRY: &str = "mylabelledregistry-e7ggejfuhzhgedc8.azurecr.io";
/// A regional endpoint of the registry of the guides.
pub const REGIONAL_ENDPOINT: &str = "myregistry.westeurope.geo.azurecr.io";
/// A login server that no registry has.
pub const NO_REGISTRY: &str = "nosuchregistry.azurecr.io";
/// The client secret of the service principal for pull secrets. It opens nothing but this.
pub const CLIENT_SECRET: &str = "a-client-secret";

/// The client id of that service principal, as it stands in the manifests.
const PULLER: &str = "c1000000-0000-4000-8000-000000000001";
/// The service principal of the first Secret that somebody makes by hand, and its client secret.
pub const FIRST_LOGIN: (&str, &str) =
    ("c1000000-0000-4000-8000-000000000002", "the-first-client-secret");
const CLUSTER: &str = "prod";
/// The operator's namespace and service account, as README installs it.
const OPERATOR: (&str, &str) = ("acr-attach-system", "acr-attach");
/// The path of instance metadata is the same on every node.
const INSTANCE_METADATA: &str = "169.254.169.254:80";
/// How Microsoft's credential provider calls itself.
const PROVIDER: &str = "kubernetes-credentialprovider-acr";

/// An image of one of the registries.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// The login server.
    pub registry: &'static str,
    /// The repository.
    pub repository: &'static str,
    /// The tag.
    pub tag: &'static str,
}

impl Image {
    /// That version of `samples/nginx` in the registry of the guides.
    pub const fn nginx(tag: &'static str) -> Self {
        Self { registry: REGISTRY, repository: "samples/nginx", tag }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.registry, self.repository, self.tag)
    }
}

/// A running Azure.
pub struct Azure {
    /// The simulator.
    pub sim: AzureSim,
    /// The operator's client id.
    pub operator: String,
    kubelet_client: String,
    kubelet_object: String,
}

impl Azure {
    /// Starts it at that address. Its registries' images are where that URL says.
    ///
    /// # Errors
    /// When the cluster's key or a port cannot be had.
    pub async fn start(cluster: &Cluster, address: IpAddr, images: &str) -> Result<Self> {
        let key = cluster.service_account_public_key();
        let key = fs::read_to_string(&key)
            .with_context(|| format!("cannot read the key {}", key.display()))?;
        let (model, operator) = world(cluster.service_account_issuer(), &key, images);
        let kubelet = model.find_cluster(CLUSTER).and_then(|it| it.kubelet_identity.clone());
        let kubelet = kubelet.context("the cluster has no kubelet identity")?;
        let options = Options {
            direct: Some(SocketAddr::new(address, 443)),
            instance_metadata: Some(INSTANCE_METADATA.parse()?),
            ..Options::default()
        };
        Ok(Self {
            sim: AzureSim::start_with(model, options).await?,
            operator,
            kubelet_client: kubelet.client_id,
            kubelet_object: kubelet.object_id,
        })
    }

    /// What `azure.json` of an AKS node says of its identity.
    pub fn node_configuration(&self) -> Value {
        json!({
            "cloud": "AzurePublicCloud",
            "tenantId": DEFAULT_TENANT,
            "subscriptionId": DEFAULT_SUBSCRIPTION,
            "useManagedIdentityExtension": true,
            "userAssignedIdentityID": self.kubelet_client,
        })
    }

    /// All hosts that nodes and pods of this Azure ask for.
    pub fn hosts() -> [&'static str; 7] {
        [
            REGISTRY,
            ABAC_REGISTRY,
            LABELLED_REGISTRY,
            REGIONAL_ENDPOINT,
            "management.azure.com",
            "login.microsoftonline.com",
            "graph.microsoft.com",
        ]
    }

    /// How many role assignments the kubelet identity has.
    pub fn kubelet_roles(&self) -> usize {
        self.sim.read(|model| {
            let all = model.role_assignments.iter();
            all.filter(|it| it.principal_id == self.kubelet_object).count()
        })
    }

    /// The exchanges of Microsoft's credential provider for the kubelet identity at a host since
    /// then, that were answered so.
    pub fn provider_exchanges(&self, host: &str, since: Timestamp, status: u16) -> usize {
        let is = |it: &&Entry| {
            it.call == Some(Call::RegistryExchange)
                && it.host == host
                && it.user_agent.as_deref().is_some_and(|it| it.starts_with(PROVIDER))
                && it.principal.as_deref() == Some(&self.kubelet_object)
                && it.status == Some(status)
        };
        self.since(since).iter().filter(is).count()
    }

    /// When containerd began the last of its pulls of an image since then.
    pub fn last_pull(&self, image: Image, since: Timestamp) -> Option<Timestamp> {
        let path = format!("/v2/{}/manifests/{}", image.repository, image.tag);
        let begins = |it: &&Entry| {
            it.method == "HEAD"
                && (it.host.as_str(), &it.path) == (image.registry, &path)
                && it.user_agent.as_deref().is_some_and(|it| it.starts_with("containerd/"))
                // The first request of a pull has no token yet.
                && it.status == Some(401)
        };
        self.since(since).iter().filter(begins).map(|it| it.time).max()
    }

    /// Who has asked for content of an image's repository since then.
    pub fn content_asked(&self, image: Image, since: Timestamp) -> Vec<Entry> {
        let path = format!("/v2/{}/blobs/", image.repository);
        let mut all = self.since(since);
        all.retain(|it| it.host == image.registry && it.path.starts_with(&path));
        all
    }

    /// How long registries' tokens live that are given out from now on.
    pub fn set_registry_token_life(&self, life: Duration) {
        let seconds = u32::try_from(life.as_secs()).unwrap_or(u32::MAX);
        self.sim.update(|model| model.settings.token_lifetimes.registry_refresh = seconds);
    }

    /// Lets the client secret of the service principal for pull secrets expire.
    pub fn expire_client_secret(&self) {
        let expired = Some(Timestamp::now());
        self.sim.update(|model| {
            let mut all = model.principals.iter_mut();
            let puller = all.find(|it| it.client_id.as_deref() == Some(PULLER));
            let secrets = puller.into_iter().flat_map(|it| &mut it.secrets);
            secrets.for_each(|it| it.expires_on = expired);
        });
    }

    /// Closes the registry's firewall to everybody, or opens it.
    pub fn set_firewall_closed(&self, closed: bool) {
        self.sim.update(|model| {
            let mut all = model.registries.iter_mut();
            if let Some(registry) = all.find(|it| it.login_server == REGISTRY) {
                let (deny, allow) = (NetworkDefaultAction::Deny, NetworkDefaultAction::Allow);
                registry.network_rule_set.default_action = if closed { deny } else { allow };
            }
        });
    }

    fn since(&self, since: Timestamp) -> Vec<Entry> {
        self.sim.journal().into_iter().filter(|it| it.time >= since).collect()
    }
}

/// Three registries, a cluster whose nodes have its kubelet identity, an operator that may assign
/// the pull roles, and two service principals that may pull from the first registry.
fn world(issuer: &str, key: &str, images: &str) -> (Model, String) {
    let mut model = Model::default_tenant();
    let content = |it: &mut azure_sim::model::Registry| it.content = Some(images.into());
    let regional = |it: &mut azure_sim::model::Registry| {
        it.regional_endpoints = vec![REGIONAL_ENDPOINT.into()];
    };
    let registry = model.registry("myregistry").with(content).with(regional).add();
    let (name, hash) = LABELLED_REGISTRY.split_once('-').unwrap_or_default();
    let hash = hash.split('.').next().unwrap_or_default();
    let labelled = model.registry(name).domain_name_label(hash).with(content).add();
    let abac = model.registry("myabacregistry").abac().with(content).add();
    model.cluster(CLUSTER).add();
    let kubelet = model.find_cluster(CLUSTER).and_then(|it| it.kubelet_identity.clone());
    let kubelet = kubelet.map(|it| it.object_id).unwrap_or_default();
    for it in &mut model.principals {
        it.on_host |= it.object_id == kubelet;
    }
    model.add_token_issuer(issuer, key);
    let subject = Cluster::service_account_user(OPERATOR.0, OPERATOR.1);
    let operator = model.application("acr-attach").federated(issuer, &subject).add();
    model.assign(&operator, READER, &format!("/subscriptions/{DEFAULT_SUBSCRIPTION}"));
    for it in [&registry, &abac, &labelled] {
        model.assign(&operator, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, &it.id());
    }
    let logins = [("puller", (PULLER, CLIENT_SECRET)), ("first", FIRST_LOGIN)];
    for (name, (client, secret)) in logins {
        let puller = model.application(name).secret(secret);
        let puller = puller.with(|it| it.client_id = Some(client.into())).add();
        model.assign(&puller, ACR_PULL, &registry.id());
    }
    (model, operator.client_id.unwrap_or_default())
}

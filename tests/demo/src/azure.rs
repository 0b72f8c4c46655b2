//! The simulated Azure of the demo: what it holds at the start, and what acr-attach made in it.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use azure_sim::{
    AzureSim, Model,
    model::{
        ACR_PULL, ClientSecret, Cluster as AksCluster, DEFAULT_SUBSCRIPTION, Principal, READER,
        ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, RoleAssignment, TokenLifetimes,
    },
};
use control_plane::Cluster;
use reqwest::{Certificate, Client, Proxy, redirect::Policy};

use crate::{
    made::Made,
    operator::{ACCOUNT, NAMESPACE},
};

/// The registry that is attached.
pub const REGISTRY: &str = "contoso";
/// The cluster that it is attached to.
pub const CLUSTER: &str = "prod";

/// The client id of the service principal for pull secrets, as it stands in the samples.
pub const PULLER: &str = "c1000000-0000-4000-8000-000000000001";
/// Its client secret, as it is typed: it opens nothing but the simulated Azure.
pub const CLIENT_SECRET: &str = "demo-client-secret";
/// Its next one.
pub const NEXT_CLIENT_SECRET: &str = "demo-client-secret-2";
/// Short, so that a renewal is seen while one looks.
pub const REGISTRY_TOKEN_LIFE: Duration = Duration::from_secs(30);
/// What can be pulled from registry `contoso`: its login server, a repository and a tag.
pub const IMAGE: (&str, &str, &str) = ("contoso.azurecr.io", "hello", "v1");

/// Generous: nobody waits for the simulated Azure.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running Azure, and who the operator is in it.
pub struct Azure {
    /// The simulator.
    pub sim: AzureSim,
    /// The client id of the operator's application.
    pub client_id: String,
    object_id: String,
}

impl Azure {
    /// Starts an Azure whose Entra trusts the cluster's service account tokens.
    ///
    /// Each of its answers takes `latency_ms` milliseconds.
    ///
    /// # Errors
    /// When the cluster's key or a port cannot be had.
    pub async fn start(cluster: &Cluster, latency_ms: u64) -> Result<Self> {
        let key = cluster.service_account_public_key();
        let key = fs::read_to_string(&key)
            .with_context(|| format!("cannot read the key {}", key.display()))?;
        let (mut model, operator) = world(cluster.service_account_issuer(), &key);
        model.settings.latency_ms = latency_ms;
        Ok(Self {
            sim: AzureSim::start(model).await?,
            client_id: operator.client_id.unwrap_or_default(),
            object_id: operator.object_id,
        })
    }

    /// The role assignments that the operator has made and not deleted.
    pub fn made(&self) -> Vec<Made> {
        self.sim.read(|model| {
            let is_ours = |it: &&RoleAssignment| it.created_by.as_ref() == Some(&self.object_id);
            let assignments = model.role_assignments.iter();
            assignments.filter(is_ours).map(|it| Made::of(it, model)).collect()
        })
    }

    /// The managed cluster, as Azure knows it.
    ///
    /// # Errors
    /// When it was taken out of the model.
    pub fn cluster(&self) -> Result<AksCluster> {
        let cluster = self.sim.read(|model| model.find_cluster(CLUSTER).cloned());
        cluster.with_context(|| format!("there is no cluster {CLUSTER} in Azure any more"))
    }

    /// How long the registries' tokens live that are given out from now on.
    pub fn set_registry_token_life(&self, life: Duration) {
        let seconds = u32::try_from(life.as_secs()).unwrap_or(u32::MAX);
        self.sim.update(|model| model.settings.token_lifetimes.registry_refresh = seconds);
    }

    /// Registries' tokens live as long as Azure's, and service principal `puller` has the client
    /// secret that it had at the start.
    pub fn set_back(&self) {
        self.sim.update(|model| model.settings.token_lifetimes = TokenLifetimes::default());
        self.set_client_secret(CLIENT_SECRET);
    }

    /// Gives service principal `puller` this client secret and no other.
    pub fn set_client_secret(&self, value: &str) {
        let secret = ClientSecret { value: value.into(), ..ClientSecret::default() };
        self.sim.update(|model| {
            let mut all = model.principals.iter_mut();
            if let Some(puller) = all.find(|it| it.client_id.as_deref() == Some(PULLER)) {
                puller.secrets = vec![secret];
            }
        });
    }

    /// A client that takes the simulated Azure for the real one.
    ///
    /// # Errors
    /// When the simulator's address or certificate is none.
    pub fn client(&self) -> Result<Client> {
        let client = Client::builder()
            .proxy(Proxy::all(self.sim.proxy_url())?)
            .tls_certs_only([Certificate::from_pem(self.sim.ca_pem().as_bytes())?])
            .redirect(Policy::none())
            .timeout(DEADLINE);
        Ok(client.build()?)
    }

    /// How many requests came so far, and how many of them could change something.
    pub fn requests(&self) -> (usize, usize) {
        let journal = self.sim.journal();
        let writes = journal.iter().filter(|it| it.call.is_some_and(azure_sim::Call::is_write));
        (journal.len(), writes.count())
    }
}

/// What there is before anything is attached: registry `contoso` with two repositories, cluster
/// `prod` with two node pools, and an application for the operator that may read all of the
/// subscription and assign roles at the registry; registry `fabrikam`, and an application for pull
/// secrets that may pull from both registries and takes the operator's token for a client secret.
pub fn world(issuer: &str, key: &str) -> (Model, Principal) {
    let mut model = Model::default_tenant();
    let registry = model.registry(REGISTRY).repository(IMAGE.1, &[IMAGE.2]);
    let registry = registry.repository("team-a/app", &["v1"]).add();
    let other = model.registry("fabrikam").repository(IMAGE.1, &[IMAGE.2]).add();
    model.cluster(CLUSTER).agent_pools(&["system", "user"]).add();
    model.add_token_issuer(issuer, key);
    let subject = Cluster::service_account_user(NAMESPACE, ACCOUNT);
    let operator = model.application("acr-attach").federated(issuer, &subject).add();
    model.assign(&operator, READER, &format!("/subscriptions/{DEFAULT_SUBSCRIPTION}"));
    model.assign(&operator, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, &registry.id());
    let puller = model.application("puller").secret(CLIENT_SECRET).federated(issuer, &subject);
    let puller = puller.with(|it| it.client_id = Some(PULLER.into())).add();
    model.assign(&puller, ACR_PULL, &registry.id());
    model.assign(&puller, ACR_PULL, &other.id());
    (model, operator)
}

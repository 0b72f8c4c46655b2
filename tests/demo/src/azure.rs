//! The simulated Azure of the demo: what it holds at the start, and what acr-attach made in it.

use std::fs;

use anyhow::{Context as _, Result};
use azure_sim::{
    AzureSim, Model,
    model::{
        ACR_PULL, Cluster as AksCluster, DEFAULT_SUBSCRIPTION, Principal, READER,
        ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, RoleAssignment,
    },
};
use control_plane::Cluster;

use crate::{
    made::Made,
    operator::{ACCOUNT, NAMESPACE},
};

/// The registry that is attached.
pub const REGISTRY: &str = "contoso";
/// The cluster that it is attached to.
pub const CLUSTER: &str = "prod";

/// The client id of the service principal for pull secrets, as it stands in the samples.
const PULLER: &str = "c1000000-0000-4000-8000-000000000001";
/// Its client secret, as it is typed: it opens nothing but the simulated Azure.
pub const CLIENT_SECRET: &str = "demo-client-secret";
/// What can be pulled from registry `contoso`: its login server, a repository and a tag.
pub const IMAGE: (&str, &str, &str) = ("contoso.azurecr.io", "hello", "v1");

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
/// secrets that may pull from both registries.
fn world(issuer: &str, key: &str) -> (Model, Principal) {
    let mut model = Model::default_tenant();
    let registry = model.registry(REGISTRY).repository(IMAGE.1, &[IMAGE.2]);
    let registry = registry.repository("team-a/app", &["v1"]).add();
    let other = model.registry("fabrikam").add();
    model.cluster(CLUSTER).agent_pools(&["system", "user"]).add();
    model.add_token_issuer(issuer, key);
    let subject = Cluster::service_account_user(NAMESPACE, ACCOUNT);
    let operator = model.application("acr-attach").federated(issuer, &subject).add();
    model.assign(&operator, READER, &format!("/subscriptions/{DEFAULT_SUBSCRIPTION}"));
    model.assign(&operator, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, &registry.id());
    let puller = model.application("puller").secret(CLIENT_SECRET);
    let puller = puller.with(|it| it.client_id = Some(PULLER.into())).add();
    model.assign(&puller, ACR_PULL, &registry.id());
    model.assign(&puller, ACR_PULL, &other.id());
    (model, operator)
}

#[cfg(test)]
mod tests {
    use azure_sim::model::Registry;
    use serde_json::Value;

    use super::*;

    /// The repository's root.
    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

    #[test]
    fn the_samples_name_what_azure_holds() {
        let (model, _) = world("https://issuer.example", "");
        for entry in fs::read_dir(format!("{ROOT}/deploy/samples")).unwrap() {
            let path = entry.unwrap().path();
            let sample = fs::read_to_string(&path).unwrap();
            for attachment in serde_saphyr::from_multiple::<Value>(&sample).unwrap() {
                let named = named(&attachment["spec"]);
                assert!(!named.is_empty(), "{} names nothing", path.display());
                for (field, value) in named {
                    // ARM writes resourcegroups in ids of clusters, and compares without regard
                    // to case.
                    let held = held(&model, field);
                    let is_held = held.iter().any(|it| it.eq_ignore_ascii_case(value));
                    assert!(is_held, "{}: {field}: {value} is none of {held:?}", path.display());
                }
            }
        }
    }

    /// The fields that name something in Azure.
    const NAMING: [&str; 7] = [
        "/registry/resourceId",
        "/registry/name",
        "/registry/loginServer",
        "/kubeletIdentity/clusterResourceId",
        "/pullSecret/servicePrincipal/tenantId",
        "/pullSecret/servicePrincipal/clientId",
        "/repositories/0",
    ];

    fn named(spec: &Value) -> Vec<(&'static str, &str)> {
        NAMING.iter().filter_map(|it| Some((*it, spec.pointer(it)?.as_str()?))).collect()
    }

    /// What may stand there.
    fn held(model: &Model, field: &str) -> Vec<String> {
        match field {
            "/registry/resourceId" => model.registries.iter().map(Registry::id).collect(),
            "/registry/name" => model.registries.iter().map(|it| it.name.clone()).collect(),
            "/registry/loginServer" => {
                model.registries.iter().map(|it| it.login_server.clone()).collect()
            }
            "/kubeletIdentity/clusterResourceId" => {
                model.clusters.iter().map(AksCluster::id).collect()
            }
            "/pullSecret/servicePrincipal/tenantId" => {
                model.tenants.iter().map(|it| it.tenant_id.clone()).collect()
            }
            "/pullSecret/servicePrincipal/clientId" => vec![PULLER.to_owned()],
            // A name, or all below the same folder.
            _ => {
                let all = model.registries.iter().flat_map(|it| &it.repositories);
                let name = |name: &str| name.split_once('/').map(|it| format!("{}/*", it.0));
                all.flat_map(|it| name(&it.name).into_iter().chain([it.name.clone()])).collect()
            }
        }
    }

    #[test]
    fn who_types_the_readme_types_a_good_client_secret() {
        let readme = fs::read_to_string(format!("{ROOT}/README.md")).unwrap();
        let typed = format!("--from-literal=clientSecret={CLIENT_SECRET}\n");
        assert!(readme.contains(&typed), "README does not have {typed}");
    }
}

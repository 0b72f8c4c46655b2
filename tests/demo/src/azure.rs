//! The simulated Azure of the demo: what it holds at the start, and what acr-attach made in it.

use std::fs;

use anyhow::{Context as _, Result};
use azure_sim::{
    AzureSim, Model,
    model::{
        ACR_PULL, Principal, READER, REPOSITORY_READER, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR,
        RoleAssignment,
    },
};
use control_plane::Cluster;

use crate::operator::{ACCOUNT, NAMESPACE};

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

    /// The role assignments that the operator has made and not deleted: role, principal, scope
    /// and description of each.
    pub fn made(&self) -> Vec<[String; 4]> {
        self.sim.read(|model| {
            let is_ours = |it: &&RoleAssignment| it.created_by.as_ref() == Some(&self.object_id);
            let assignments = model.role_assignments.iter();
            assignments.filter(is_ours).map(|it| in_names(model, it)).collect()
        })
    }

    /// The names of the role assignments that the operator has made and not deleted.
    pub fn names(&self) -> Vec<String> {
        self.sim.read(|model| {
            let is_ours = |it: &&RoleAssignment| it.created_by.as_ref() == Some(&self.object_id);
            model.role_assignments.iter().filter(is_ours).map(|it| it.name.clone()).collect()
        })
    }

    /// How many requests came so far, and how many of them could change something.
    pub fn requests(&self) -> (usize, usize) {
        let journal = self.sim.journal();
        let writes = journal.iter().filter(|it| it.call.is_some_and(azure_sim::Call::is_write));
        (journal.len(), writes.count())
    }
}

/// What there is before anything is attached: registry `contoso` with an image, cluster `prod`, and
/// an application for the operator that may read both and assign roles at the registry; registry
/// `fabrikam`, and an application for pull secrets that may pull from both registries.
fn world(issuer: &str, key: &str) -> (Model, Principal) {
    let mut model = Model::default_tenant();
    let registry = model.registry("contoso").repository(IMAGE.1, &[IMAGE.2]).add();
    let other = model.registry("fabrikam").add();
    let cluster = model.cluster("prod").add();
    model.add_token_issuer(issuer, key);
    let subject = Cluster::service_account_user(NAMESPACE, ACCOUNT);
    let operator = model.application("acr-attach").federated(issuer, &subject).add();
    model.assign(&operator, READER, &registry.id());
    model.assign(&operator, READER, &cluster.id());
    model.assign(&operator, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, &registry.id());
    let puller = model.application("puller").secret(CLIENT_SECRET);
    let puller = puller.with(|it| it.client_id = Some(PULLER.into())).add();
    model.assign(&puller, ACR_PULL, &registry.id());
    model.assign(&puller, ACR_PULL, &other.id());
    (model, operator)
}

fn in_names(model: &Model, it: &RoleAssignment) -> [String; 4] {
    let role = match it.role.as_str() {
        ACR_PULL => "AcrPull",
        REPOSITORY_READER => "Container Registry Repository Reader",
        other => other,
    };
    let principal = model.principal(&it.principal_id).map(|it| it.display_name.clone());
    let description = it.description.clone().unwrap_or_default();
    [
        role.to_owned(),
        principal.unwrap_or_else(|| it.principal_id.clone()),
        last_two_segments(&it.scope),
        description,
    ]
}

/// Kind and name of a resource: the whole id is wider than a terminal.
fn last_two_segments(id: &str) -> String {
    let mut last: Vec<_> = id.rsplit('/').take(2).collect();
    last.reverse();
    last.join("/")
}

#[cfg(test)]
mod tests {
    use azure_sim::model::{Cluster as AksCluster, Registry};

    use super::*;

    /// The repository's root.
    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

    #[test]
    fn the_samples_name_what_azure_holds() {
        let (model, _) = world("https://issuer.example", "");
        for entry in fs::read_dir(format!("{ROOT}/deploy/samples")).unwrap() {
            let path = entry.unwrap().path();
            let sample = fs::read_to_string(&path).unwrap();
            let pairs = sample.lines().filter_map(|line| line.trim().split_once(": "));
            let named: Vec<_> = pairs.filter_map(|it| Some((it, held(&model, it.0)?))).collect();
            assert!(!named.is_empty(), "{} names nothing", path.display());
            for ((key, value), held) in named {
                // ARM writes resourcegroups in ids of clusters, and compares without regard to case.
                let is_held = held.iter().any(|it| it.eq_ignore_ascii_case(value));
                assert!(is_held, "{}: {key}: {value} is none of {held:?}", path.display());
            }
        }
    }

    /// What may stand in a sample's field, if that names something in Azure.
    fn held(model: &Model, key: &str) -> Option<Vec<String>> {
        Some(match key {
            "resourceId" => model.registries.iter().map(Registry::id).collect(),
            "clusterResourceId" => model.clusters.iter().map(AksCluster::id).collect(),
            "loginServer" => model.registries.iter().map(|it| it.login_server.clone()).collect(),
            "tenantId" => model.tenants.iter().map(|it| it.tenant_id.clone()).collect(),
            "clientId" => vec![PULLER.to_owned()],
            _ => return None,
        })
    }

    #[test]
    fn who_types_the_readme_types_a_good_client_secret() {
        let readme = fs::read_to_string(format!("{ROOT}/README.md")).unwrap();
        let typed = format!("--from-literal=clientSecret={CLIENT_SECRET}\n");
        assert!(readme.contains(&typed), "README does not have {typed}");
    }

    #[test]
    fn a_scope_is_shown_by_kind_and_name() {
        let (model, _) = world("https://issuer.example", "");
        assert_eq!(last_two_segments(&model.registries[0].id()), "registries/contoso");
    }
}

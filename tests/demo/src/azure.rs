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

/// What there is before anything is attached: registry `contoso`, cluster `prod`, and an
/// application for the operator that may read both and assign roles at the registry.
fn world(issuer: &str, key: &str) -> (Model, Principal) {
    let mut model = Model::default_tenant();
    let registry = model.registry("contoso").add();
    let cluster = model.cluster("prod").add();
    model.add_token_issuer(issuer, key);
    let subject = Cluster::service_account_user(NAMESPACE, ACCOUNT);
    let operator = model.application("acr-attach").federated(issuer, &subject).add();
    model.assign(&operator, READER, &registry.id());
    model.assign(&operator, READER, &cluster.id());
    model.assign(&operator, ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, &registry.id());
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
    use super::*;

    #[test]
    fn the_sample_names_what_azure_holds() {
        let sample = include_str!("../../../deploy/samples/kubelet-identity.yaml");
        let (model, _) = world("https://issuer.example", "");
        let (registry, cluster) = (&model.registries[0], &model.clusters[0]);
        for id in [registry.id(), cluster.id()] {
            // ARM writes resourcegroups in ids of clusters, and compares without regard to case.
            let id = id.to_ascii_lowercase();
            assert!(sample.to_ascii_lowercase().lines().any(|line| line.ends_with(&id)), "{id}");
        }
    }

    #[test]
    fn a_scope_is_shown_by_kind_and_name() {
        let (model, _) = world("https://issuer.example", "");
        assert_eq!(last_two_segments(&model.registries[0].id()), "registries/contoso");
    }
}

//! What somebody does in Azure. It is told as the command that they type, and done in the
//! simulated Azure: there is no az here.

use azure_sim::model::RoleAssignmentMode;

use crate::{
    azure::{Azure, CLUSTER, NEXT_CLIENT_SECRET, PULLER, REGISTRY},
    terminal::{say, say_typed},
};

/// The kubelet identity that somebody makes for the cluster, by name and by object id.
pub const IDENTITY: (&str, &str) = ("prod-kubelet", "1de00000-0000-4000-8000-000000000001");

impl Azure {
    /// The registry gets permissions for repositories.
    pub fn enter_abac_mode(&self) {
        self.set_mode(RoleAssignmentMode::AbacRepositoryPermissions, "rbac-abac");
    }

    /// The registry gets permissions for all of it.
    pub fn leave_abac_mode(&self) {
        self.set_mode(RoleAssignmentMode::LegacyRegistryPermissions, "rbac");
    }

    fn set_mode(&self, mode: RoleAssignmentMode, word: &str) {
        types(&format!("az acr update --name {REGISTRY} --role-assignment-mode {word}"));
        self.sim.update(|model| {
            if let Some(registry) = model.registry_mut(REGISTRY) {
                registry.role_assignment_mode = mode;
            }
        });
    }

    /// The cluster gets another kubelet identity. Its nodes use the former one until they are
    /// reimaged.
    pub fn replace_kubelet_identity(&self) {
        let (name, object_id) = IDENTITY;
        types(&format!(
            "az aks update --name {CLUSTER} --resource-group rg --enable-managed-identity\n\
             --assign-identity <id of the present one> --assign-kubelet-identity <id of {name}>"
        ));
        self.sim.update(|model| {
            model.replace_kubelet_identity(CLUSTER, object_id);
            if let Some(principal) = model.principal_mut(object_id) {
                name.clone_into(&mut principal.display_name);
            }
        });
    }

    /// Service principal `puller` gets another client secret in place of the one that it had.
    pub fn reset_client_secret(&self) {
        types(&format!("az ad sp credential reset --id {PULLER}"));
        self.set_client_secret(NEXT_CLIENT_SECRET);
    }

    /// That update ends: the nodes of all pools are reimaged.
    pub fn reimage_nodes(&self) {
        self.sim.update(|model| {
            let pools = model.find_cluster(CLUSTER).map(|it| it.agent_pools.clone());
            for pool in pools.unwrap_or_default() {
                model.reimage_agent_pool(CLUSTER, &pool.name);
            }
        });
    }
}

fn types(command: &str) {
    say("  Somebody types:");
    say_typed(command);
}

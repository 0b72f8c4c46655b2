//! Finds resources whose id is not known: a registry by its name, the cluster of a group of nodes,
//! a service principal by its client id.

use std::sync::Arc;

use acr_attach_core::ids::{ClusterId, PrincipalId, RegistryId, eq_ignore_case};
use acr_attach_core::platform::NodeResourceGroup;
use serde::Deserialize;
use uuid::Uuid;

use super::Reader;
use super::arm::Call;
use super::entra::ServicePrincipal;
use super::error::{Attempt, Error, Subject};
use super::permission::READER;

const REGISTRIES: &str = "2025-11-01";
const MANAGED_CLUSTERS: &str = "2025-02-01";
const RESOURCE_GROUPS: &str = "2021-04-01";

impl Reader {
    /// Finds a registry in a subscription by its name, ignoring case.
    ///
    /// # Errors
    /// When Azure does not answer, refuses, or has no such subscription.
    pub async fn find_registry(
        &self,
        subscription: Uuid,
        name: &str,
    ) -> Result<Option<RegistryId>, Error> {
        let all = self.registries(subscription, name).await?;
        Ok(all.iter().find(|it| it.is_named(name)).cloned())
    }

    /// Lists the registries of a subscription. The name is for messages: the caller looks for it in
    /// the list.
    ///
    /// # Errors
    /// When Azure does not answer, refuses, or has no such subscription.
    pub async fn registries(
        &self,
        subscription: Uuid,
        name: &str,
    ) -> Result<Arc<[RegistryId]>, Error> {
        let list = self.list_registries(subscription, name);
        self.reads.registries.get(&subscription, self.not_before, list).await
    }

    async fn list_registries(
        &self,
        subscription: Uuid,
        name: &str,
    ) -> Result<Arc<[RegistryId]>, Error> {
        #[derive(Deserialize)]
        struct Wire {
            id: String,
        }
        let attempt = Attempt {
            operation: "looking for registry",
            target: format!("{name} in subscription {subscription}"),
            action: "Microsoft.ContainerRegistry/registries/read",
            role: READER,
            scope: Some(format!("/subscriptions/{subscription}")),
            ..Attempt::default()
        };
        let path = format!(
            "/subscriptions/{subscription}/providers/Microsoft.ContainerRegistry/registries?api-version={REGISTRIES}"
        );
        let all: Vec<Wire> = self.arm.list(Call::get(&attempt, path)).await?;
        Ok(all.iter().filter_map(|it| it.id.parse().ok()).collect())
    }

    /// The managed cluster that manages a resource group of nodes; `None` if none does.
    ///
    /// # Errors
    /// When Azure does not answer, refuses, or has no such group.
    pub async fn manager_of(&self, group: &NodeResourceGroup) -> Result<Option<ClusterId>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            managed_by: Option<String>,
        }
        let NodeResourceGroup { subscription, name } = group;
        let target = format!("/subscriptions/{subscription}/resourceGroups/{name}");
        let path = format!("{target}?api-version={RESOURCE_GROUPS}");
        let attempt = Attempt {
            subject: Subject::Cluster,
            operation: "reading resource group",
            target,
            action: "Microsoft.Resources/subscriptions/resourceGroups/read",
            role: READER,
            ..Attempt::default()
        };
        let wire: Wire = self.arm.read(&Call::get(&attempt, path)).await?;
        Ok(wire.managed_by.and_then(|it| it.parse().ok()))
    }

    /// Finds the managed cluster of the subscription whose nodes are in that resource group.
    ///
    /// # Errors
    /// When Azure does not answer, refuses, or has no such subscription.
    pub async fn cluster_of(&self, group: &NodeResourceGroup) -> Result<Option<ClusterId>, Error> {
        #[derive(Deserialize)]
        struct Wire {
            id: String,
            properties: Properties,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Properties {
            node_resource_group: Option<String>,
        }
        let NodeResourceGroup { subscription, name } = group;
        let attempt = Attempt {
            subject: Subject::Cluster,
            operation: "listing the managed clusters of subscription",
            target: subscription.to_string(),
            action: "Microsoft.ContainerService/managedClusters/read",
            role: READER,
            scope: Some(format!("/subscriptions/{subscription}")),
            ..Attempt::default()
        };
        let path = format!(
            "/subscriptions/{subscription}/providers/Microsoft.ContainerService/managedClusters?api-version={MANAGED_CLUSTERS}"
        );
        let all: Vec<Wire> = self.arm.list(Call::get(&attempt, path)).await?;
        let has_nodes_in_group = |it: &&Wire| {
            let group = it.properties.node_resource_group.as_ref();
            group.is_some_and(|it| eq_ignore_case(it, name))
        };
        Ok(all.iter().find(has_nodes_in_group).and_then(|it| it.id.parse().ok()))
    }

    /// The object id of a service principal, from a token of its own.
    ///
    /// # Errors
    /// When Entra does not answer, or refuses the sign-in.
    pub async fn own_object_id(&self, principal: &ServicePrincipal) -> Result<PrincipalId, Error> {
        let key = (principal.tenant.clone(), principal.client.clone());
        let read = self.arm.object_id_of(principal);
        self.reads.object_ids.get(&key, self.not_before, read).await
    }

    /// The object id of the service principal with that client id, from Microsoft Graph.
    ///
    /// # Errors
    /// When Graph does not answer, refuses, or has no such service principal.
    pub async fn service_principal(&self, client: &str) -> Result<PrincipalId, Error> {
        let read = self.object_id(client);
        self.reads.service_principals.get(&client.to_owned(), self.not_before, read).await
    }

    async fn object_id(&self, client: &str) -> Result<PrincipalId, Error> {
        #[derive(Deserialize)]
        struct Wire {
            id: String,
        }
        let attempt = Attempt {
            subject: Subject::ServicePrincipal,
            operation: "looking for the service principal of client",
            target: client.to_owned(),
            action: "application permission Application.Read.All of Microsoft Graph",
            role: "Directory Readers",
            ..Attempt::default()
        };
        let path = format!("/v1.0/servicePrincipals(appId='{client}')?$select=id");
        let wire: Wire = self.arm.graph().read(&Call::get(&attempt, path)).await?;
        wire.id.parse().map_err(|error| Error::unreadable(&attempt, error))
    }
}

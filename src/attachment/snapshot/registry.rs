//! Finds the registry that the spec names, by its id or by its name.

use acr_attach_azure::Reader;
use acr_attach_core::api::{Ownership, RegistryAttachment};
use acr_attach_core::ids::spelling;
use acr_attach_core::ids::{AssignmentId, RegistryId};
use acr_attach_core::problem::{Cause, Problem};
use acr_attach_core::snapshot::azure::{Provisioning, Registry};
use acr_attach_core::spec::RegistryName;
use uuid::Uuid;

use crate::attachment::context::Context;

/// The registry that a reconcile needs.
pub struct Wanted<'a> {
    /// How the spec names the registry.
    pub name: &'a RegistryName,
    /// The subscription of the cluster whose kubelet identity pulls, if one does.
    pub subscription: Option<Uuid>,
    /// The registry that an earlier reconcile found.
    pub before: Option<RegistryId>,
}

impl Wanted<'_> {
    /// Reads the registry. A registry that the spec names by its name is looked up once. From then on it is
    /// read by its id, until Azure does not have it any more.
    ///
    /// # Errors
    /// `NotFound` when there is no such registry; `NotAllowed` when the settings do not permit it; as
    /// [`searched`](Self::searched); when Azure does not answer or refuses.
    pub async fn read(&self, azure: &Reader, ctx: &Context) -> Result<Registry, Problem> {
        let found = match (self.name, self.before.clone()) {
            (RegistryName::Id(id), _) => id.clone(),
            (RegistryName::Name { name, .. }, Some(id)) if id.is_named(name) => {
                match self.permitted(&id, azure, ctx).await? {
                    Some(registry) => return Ok(registry),
                    None => self.look_up(azure, ctx).await?,
                }
            }
            _ => self.look_up(azure, ctx).await?,
        };
        ctx.policy.permit_registry(&found)?;
        Ok(azure.registry(&found).await?)
    }

    /// Reads the registry of that id, if the settings permit it; `None` if it does not exist any more.
    async fn permitted(
        &self,
        id: &RegistryId,
        azure: &Reader,
        ctx: &Context,
    ) -> Result<Option<Registry>, Problem> {
        ctx.policy.permit_registry(id)?;
        match azure.registry(id).await {
            Err(error) if error.is_not_found() => Ok(None),
            answer => Ok(Some(answer?)),
        }
    }

    /// Finds the id of the registry by its name.
    ///
    /// # Errors
    /// `NotFound`, with the subscription that was searched; as [`searched`](Self::searched); when Azure does
    /// not answer or refuses.
    async fn look_up(&self, azure: &Reader, ctx: &Context) -> Result<RegistryId, Problem> {
        let name = match self.name {
            RegistryName::Id(id) => return Ok(id.clone()),
            RegistryName::Name { name, .. } => name,
            RegistryName::LoginServer(server) => server.as_str(),
        };
        let subscription = self.searched(ctx)?;
        let all = azure.registries(subscription, name).await?;
        let found = all.iter().find(|it| it.is_named(name)).cloned();
        found.ok_or_else(|| {
            let permitted = all.iter().filter(|it| ctx.policy.permit_registry(it).is_ok());
            let near = spelling::similar(name, permitted.map(|it| it.name()));
            not_found(name, subscription, &near)
        })
    }

    /// The first known of the attachment's, the cluster's and the operator's subscription.
    ///
    /// # Errors
    /// `InvalidSpec` where none is known.
    pub fn searched(&self, ctx: &Context) -> Result<Uuid, Problem> {
        if let RegistryName::Name { subscription: Some(it), .. } = self.name {
            return Ok(*it);
        }
        self.subscription.or(ctx.subscription).ok_or_else(|| {
            let advice = "delete this attachment and create one with registry.subscriptionId, or set chart value azure.subscriptionId (flag --subscription-id)";
            let account = "looking for the registry by its name: no subscription is known to search";
            Problem::advised(Cause::InvalidSpec, advice, &[account.to_owned()])
        })
    }
}

fn not_found(name: &str, subscription: Uuid, near: &[&str]) -> Problem {
    let meant = match near {
        [] => String::new(),
        near => format!(" (there is {})", near.join(", ")),
    };
    let advice = format!(
        "check the spelling of registry.name{meant}; registry is immutable: delete this attachment and create one with the right name, or with registry.resourceId where the registry is in another subscription (az acr show --name {name} --query id prints it)"
    );
    let account = format!(
        "looking for registry {name}: there is none of that name in subscription {subscription}, and no other was searched"
    );
    Problem::advised(Cause::NotFound, &advice, &[account])
}

/// Verifies that the registry can be used now.
///
/// # Errors
/// `Propagating` while the registry is being created or deleted.
pub fn usable(registry: &Registry) -> Result<(), Problem> {
    let advice = match registry.provisioning() {
        Provisioning::Usable | Provisioning::ChangeFailed => return Ok(()),
        Provisioning::NotReady => "wait until the registry is Succeeded",
        Provisioning::Deleting => {
            "delete this attachment, or create the registry again: it goes, and its role assignments with it"
        }
    };
    let Registry { id, provisioning_state, .. } = registry;
    let account = format!("reading registry {id}: its provisioningState is {provisioning_state}");
    Err(Problem::advised(Cause::Propagating, advice, &[account]))
}

/// The registry in status.
pub fn told(object: &RegistryAttachment) -> Option<RegistryId> {
    let status = object.status.as_ref()?;
    let told = status.registry.as_ref().and_then(|it| it.resource_id.as_ref());
    told.and_then(|it| it.parse().ok())
}

/// The role assignments that bear the attachment's claim, by status.
pub fn shown_assignments(object: &RegistryAttachment) -> Vec<AssignmentId> {
    let list = object.status.iter().flat_map(|it| it.role_assignments.iter().flatten());
    list.filter(|it| it.ownership == Ownership::Managed)
        .filter_map(|it| it.id.parse().ok())
        .collect()
}

//! Role assignments in Azure Resource Manager.

use acr_attach_core::ids::{AssignmentId, PrincipalId, RegistryId};
use acr_attach_core::plan::AssignmentUpdate;
use acr_attach_core::roles::role::Role;
use acr_attach_core::snapshot::azure::RoleAssignment;
use azure_core::http::Method;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::arm::{Arm, Call};
use super::error::{Attempt, Error};
use super::permission::ADMINISTRATOR;
use super::{Reader, Writer};

const ROLE_ASSIGNMENTS: &str = "2022-04-01";
const READ: &str = "Microsoft.Authorization/roleAssignments/read";
const WRITE: &str = "Microsoft.Authorization/roleAssignments/write";
const DELETE: &str = "Microsoft.Authorization/roleAssignments/delete";

/// A role assignment to create.
#[derive(Clone, Debug)]
pub struct NewAssignment<'a> {
    /// Its resource id.
    pub id: &'a AssignmentId,
    /// The registry. The id of the role definition contains its subscription.
    pub registry: &'a RegistryId,
    /// The role.
    pub role: Role,
    /// The principal that gets the role.
    pub principal: PrincipalId,
    /// The condition that limits the assignment, as on repositories.
    pub condition: Option<&'a str>,
    /// The description, which holds the claims of attachments.
    pub description: String,
}

impl Reader {
    /// Lists the role assignments at a registry's scope and above.
    ///
    /// # Errors
    /// When Azure does not answer, refuses, or has no such registry.
    pub async fn role_assignments(
        &self,
        registry: &RegistryId,
    ) -> Result<Vec<RoleAssignment>, Error> {
        let attempt = Attempt {
            operation: "listing role assignments on",
            target: registry.to_string(),
            action: READ,
            role: ADMINISTRATOR,
            ..Attempt::default()
        };
        let path = format!(
            "{registry}/providers/Microsoft.Authorization/roleAssignments?$filter=atScope()&api-version={ROLE_ASSIGNMENTS}"
        );
        let list: Vec<serde_json::Value> = self.arm.list(Call::get(&attempt, path)).await?;
        // An unreadable assignment was not made by acr-attach, and must not hide the others.
        let readable = list.into_iter().filter_map(|it| serde_json::from_value::<Wire>(it).ok());
        Ok(readable.filter_map(|it| it.try_into().ok()).collect())
    }

    /// Reads one role assignment; `None` if there is none with that id.
    ///
    /// # Errors
    /// When Azure does not answer or refuses.
    pub async fn role_assignment(
        &self,
        id: &AssignmentId,
    ) -> Result<Option<RoleAssignment>, Error> {
        read_assignment(&self.arm, id).await
    }
}

impl Writer {
    /// Reads one role assignment; `None` if there is none with that id.
    ///
    /// # Errors
    /// When Azure does not answer or refuses.
    pub async fn role_assignment(
        &self,
        id: &AssignmentId,
    ) -> Result<Option<RoleAssignment>, Error> {
        read_assignment(&self.0, id).await
    }

    /// Creates a role assignment.
    ///
    /// # Errors
    /// When Azure does not answer or refuses.
    pub async fn assign(&self, new: &NewAssignment<'_>) -> Result<(), Error> {
        let properties = Properties {
            role_definition_id: format!(
                "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{}",
                new.registry.subscription(),
                new.role.definition()
            ),
            principal_id: new.principal.to_string(),
            // Without a type, Azure looks the principal up, and does not find a new one.
            principal_type: Some("ServicePrincipal".to_owned()),
            condition: new.condition.map(str::to_owned),
            condition_version: new.condition.map(|_| CONDITION_VERSION.to_owned()),
            delegated_managed_identity_resource_id: None,
            description: Some(new.description.clone()),
            ..Properties::default()
        };
        let attempt = attempt("making role assignment", new.id, WRITE);
        let attempt = Attempt { principal: Some(new.principal), ..attempt };
        self.put(&attempt, new.id, &properties).await
    }

    /// Changes the claims and the condition of a role assignment. All other properties are sent as
    /// they were read. A PUT without the condition would remove the condition, and so allow pulls
    /// from all repositories.
    ///
    /// # Errors
    /// When Azure does not answer or refuses.
    pub async fn amend(&self, found: &RoleAssignment, to: &AssignmentUpdate) -> Result<(), Error> {
        let version = found.condition_version.clone().unwrap_or(CONDITION_VERSION.to_owned());
        let properties = Properties {
            role_definition_id: found.role_definition_id.clone(),
            principal_id: found.principal.to_string(),
            principal_type: found.principal_type.clone(),
            condition: to.condition.clone(),
            condition_version: to.condition.as_ref().map(|_| version),
            delegated_managed_identity_resource_id: found
                .delegated_managed_identity_resource_id
                .clone(),
            description: Some(to.claims.to_string()),
            ..Properties::default()
        };
        let id = &found.id;
        let attempt = attempt("changing role assignment", id, WRITE);
        let attempt = Attempt { principal: Some(found.principal), ..attempt };
        self.put(&attempt, id, &properties).await
    }

    /// Deletes a role assignment. If it is already gone, that is a success.
    ///
    /// # Errors
    /// When Azure does not answer or refuses.
    pub async fn unassign(&self, found: &RoleAssignment) -> Result<(), Error> {
        let id = &found.id;
        let attempt = attempt("deleting role assignment", id, DELETE);
        let attempt = Attempt { principal: Some(found.principal), ..attempt };
        let call = Call { attempt: &attempt, method: Method::Delete, path: path(id), body: None };
        match self.0.send::<serde::de::IgnoredAny>(&call).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn put(
        &self,
        attempt: &Attempt,
        id: &AssignmentId,
        properties: &Properties,
    ) -> Result<(), Error> {
        let body = Some(serde_json::json!({ "properties": properties }));
        let call = Call { attempt, method: Method::Put, path: path(id), body };
        self.0.send::<serde::de::IgnoredAny>(&call).await.map(drop)
    }
}

async fn read_assignment(arm: &Arm, id: &AssignmentId) -> Result<Option<RoleAssignment>, Error> {
    let attempt = attempt("reading role assignment", id, READ);
    match arm.read::<Wire>(&Call::get(&attempt, path(id))).await {
        Ok(wire) => wire.try_into().map(Some).map_err(|error| Error::unreadable(&attempt, error)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The version of the condition language. Azure accepts no other.
const CONDITION_VERSION: &str = "2.0";

fn attempt(operation: &'static str, id: &AssignmentId, action: &'static str) -> Attempt {
    let (target, scope) = (id.to_string(), Some(id.scope().to_owned()));
    // The reconcile has just read the scope, or listed its assignments.
    Attempt {
        operation,
        target,
        action,
        role: ADMINISTRATOR,
        scope,
        scope_exists: true,
        ..Attempt::default()
    }
}

fn path(id: &AssignmentId) -> String {
    format!("{id}?api-version={ROLE_ASSIGNMENTS}")
}

#[derive(Deserialize)]
struct Wire {
    id: String,
    properties: Properties,
}

/// The properties of a role assignment. Absent ones are `null` in both directions.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    role_definition_id: String,
    principal_id: String,
    principal_type: Option<String>,
    condition: Option<String>,
    condition_version: Option<String>,
    delegated_managed_identity_resource_id: Option<String>,
    description: Option<String>,
    #[serde(skip_serializing)]
    created_on: Option<Timestamp>,
    #[serde(skip_serializing)]
    updated_on: Option<Timestamp>,
}

impl TryFrom<Wire> for RoleAssignment {
    type Error = Box<dyn std::error::Error>;

    fn try_from(wire: Wire) -> Result<Self, Self::Error> {
        let Properties { role_definition_id, principal_id, .. } = &wire.properties;
        // The id of a role definition has another prefix at the root scope, but the same last segment.
        let role = role_definition_id.rsplit('/').next().unwrap_or_default();
        Ok(Self {
            id: wire.id.parse()?,
            role: role.parse()?,
            principal: principal_id.parse()?,
            role_definition_id: role_definition_id.clone(),
            principal_type: wire.properties.principal_type,
            condition: wire.properties.condition.filter(|it| !it.is_empty()),
            condition_version: wire.properties.condition_version,
            delegated_managed_identity_resource_id: wire
                .properties
                .delegated_managed_identity_resource_id,
            description: wire.properties.description,
            created_on: wire.properties.created_on,
            updated_on: wire.properties.updated_on,
        })
    }
}

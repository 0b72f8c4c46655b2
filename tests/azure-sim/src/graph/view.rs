//! A service principal as Graph shows it, or the properties that `$select` names.

use serde_json::{Map, Value, json};

use super::error::GraphError;
use crate::{http::Request, model::Principal};

/// Which properties are shown.
#[derive(Debug)]
pub(super) struct View(Option<Vec<String>>);

impl View {
    /// Reads `$select`.
    ///
    /// # Errors
    /// 400 for a property that service principals do not have.
    pub(super) fn of(request: &Request) -> Result<Self, GraphError> {
        let Some(text) = request.parameter("$select") else { return Ok(Self(None)) };
        let names: Vec<String> = text.split(',').map(|it| it.trim().to_owned()).collect();
        let all = whole(&Principal::default());
        match names.iter().find(|it| !all.contains_key(*it)) {
            Some(unknown) => Err(GraphError::unknown_property(unknown)),
            None => Ok(Self(Some(names))),
        }
    }

    pub(super) fn show(&self, principal: &Principal) -> Value {
        let mut shown = whole(principal);
        if let Some(names) = &self.0 {
            shown.retain(|name, _| names.contains(name));
        }
        Value::Object(shown)
    }

    /// The context URL, with the selected properties in it (`OData` 4.0 protocol, "Context URL").
    pub(super) fn context(&self, request: &Request) -> String {
        let selected = self.0.as_ref().map(|it| format!("({})", it.join(",")));
        let selected = selected.unwrap_or_default();
        format!("https://{}/v1.0/$metadata#servicePrincipals{selected}", request.host)
    }
}

/// The properties of the recording, less those of single sign-on. Credentials are left out:
/// nothing that is simulated reads them here.
fn whole(principal: &Principal) -> Map<String, Value> {
    let is_managed_identity = principal.resource_id.is_some();
    let kind = if is_managed_identity { "ManagedIdentity" } else { "Application" };
    let app_display_name = (!is_managed_identity).then_some(&principal.display_name);
    let shown = json!({
        "id": principal.object_id,
        "deletedDateTime": null,
        "accountEnabled": true,
        "alternativeNames": [],
        "appDisplayName": app_display_name,
        "appDescription": null,
        "appId": principal.client_id,
        "applicationTemplateId": null,
        "appOwnerOrganizationId": principal.tenant_id,
        "appRoleAssignmentRequired": false,
        "createdDateTime": "2024-05-01T08:00:00Z",
        "description": null,
        "disabledByMicrosoftStatus": null,
        "displayName": principal.display_name,
        "homepage": null,
        "loginUrl": null,
        "logoutUrl": null,
        "notes": null,
        "replyUrls": [],
        "servicePrincipalNames": principal.client_id.iter().collect::<Vec<_>>(),
        "servicePrincipalType": kind,
        "signInAudience": "AzureADMyOrg",
        "tags": [],
        "addIns": [],
        "appRoles": [],
        "keyCredentials": [],
        "oauth2PermissionScopes": [],
        "passwordCredentials": [],
    });
    match shown {
        Value::Object(shown) => shown,
        _ => Map::new(),
    }
}

//! Entra: tenants, principals and the credentials that prove who they are.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The app role of Microsoft Graph that lets an application read service principals.
pub const APPLICATION_READ_ALL: &str = "Application.Read.All";

/// An Entra directory.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tenant {
    /// The directory (tenant) id.
    pub tenant_id: String,
    /// Domain names that can stand for the id in a token request.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Resources that this tenant does not know, so that a token for them is AADSTS500011;
    /// such as `https://containerregistry.azure.net` (azure-cli issue 33674).
    #[serde(default)]
    pub unknown_resources: Vec<String>,
}

impl Tenant {
    pub(crate) fn new(tenant_id: &str) -> Self {
        Self { tenant_id: tenant_id.into(), ..Self::default() }
    }
}

/// The kinds of principals in a role assignment
/// (`authorization-RoleAssignmentsCalls.json`, 2022-04-01).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum PrincipalType {
    /// A person.
    User,
    /// A security group.
    Group,
    /// A service principal or managed identity.
    #[default]
    ServicePrincipal,
    /// A group of another directory.
    ForeignGroup,
    /// A device.
    Device,
}

/// A client secret (password credential).
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientSecret {
    /// The secret's text.
    pub value: String,
    /// When it expires; never if absent.
    #[serde(default)]
    pub expires_on: Option<Timestamp>,
    /// Until when it is answered with AADSTS7000215 although it is right: a new secret takes
    /// seconds to reach every replica of Entra.
    #[serde(default)]
    pub accepted_from: Option<Timestamp>,
}

/// A federated identity credential. Matching is case-sensitive.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FederatedCredential {
    /// The `iss` of accepted assertions.
    pub issuer: String,
    /// The `sub` of accepted assertions.
    pub subject: String,
    /// The `aud` of accepted assertions.
    #[serde(default = "token_exchange_audience")]
    pub audience: String,
}

fn token_exchange_audience() -> String {
    FederatedCredential::AUDIENCE.into()
}

impl FederatedCredential {
    /// The audience that Azure recommends and its webhook asks for.
    pub const AUDIENCE: &'static str = "api://AzureADTokenExchange";
}

/// An identity provider outside Azure, with the keys that Entra would read from its
/// discovery document.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenIssuer {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// Its public keys (RSA or EC P-256) as PEM.
    pub public_keys: Vec<String>,
}

/// Something that a role can be assigned to.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Principal {
    /// The object id: what role assignments name.
    pub object_id: String,
    /// The directory it lives in.
    pub tenant_id: String,
    /// A name for people.
    #[serde(default)]
    pub display_name: String,
    /// Its kind.
    #[serde(default)]
    pub principal_type: PrincipalType,
    /// The application (client) id; service principals and managed identities have one.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The resource id, if it is a managed identity.
    #[serde(default)]
    pub resource_id: Option<String>,
    /// Whether instance metadata gives out its tokens: it is assigned to the host.
    #[serde(default)]
    pub on_host: bool,
    /// Client secrets.
    #[serde(default)]
    pub secrets: Vec<ClientSecret>,
    /// Federated identity credentials.
    #[serde(default)]
    pub federated_credentials: Vec<FederatedCredential>,
    /// App roles of Microsoft Graph that an administrator has granted it, such as
    /// [`APPLICATION_READ_ALL`]. A token keeps those that were granted when it was issued
    /// (Entra docs, `access-token-claims-reference`, `roles`).
    #[serde(default)]
    pub app_roles: Vec<String>,
    /// Object ids of the groups it is a member of.
    #[serde(default)]
    pub member_of: Vec<String>,
    /// Until when a role assignment without `principalType` answers `PrincipalNotFound`.
    #[serde(default)]
    pub replicated_from: Option<Timestamp>,
    /// How many more role assignments without `principalType` answer `PrincipalNotFound`.
    #[serde(default)]
    pub unreplicated_tries: u32,
}

impl Principal {
    /// Lets tokens of that issuer about that subject stand in for a secret.
    pub fn federate(&mut self, issuer: &str, subject: &str) {
        self.federated_credentials.push(FederatedCredential {
            issuer: issuer.into(),
            subject: subject.into(),
            audience: FederatedCredential::AUDIENCE.into(),
        });
    }

    /// The object ids whose role assignments count for this principal.
    pub(crate) fn identities(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.object_id.as_str()).chain(self.member_of.iter().map(String::as_str))
    }
}

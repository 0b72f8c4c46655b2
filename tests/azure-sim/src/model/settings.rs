//! How the simulated service behaves where Azure itself varies: lags, limits, wording, versions.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::versions::api_versions;

/// The cloud whose host names the simulator answers to.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cloud {
    /// Azure public.
    #[default]
    Public,
    /// Azure US Government.
    UsGovernment,
    /// Azure operated by 21Vianet.
    China,
}

/// Seconds that tokens live. Entra gives 60 to 90 minutes, instance metadata about 24 hours; a
/// registry's refresh token lives about 3 hours (Azure docs, `container-registry-authentication`),
/// its access token 75 minutes (the sample in Azure/acr `docs/AAD-OAuth.md`).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TokenLifetimes {
    /// Tokens from Entra's token endpoint, in seconds.
    pub entra: u32,
    /// Tokens from instance metadata, in seconds.
    pub instance_metadata: u32,
    /// Refresh tokens of registries, in seconds.
    pub registry_refresh: u32,
    /// Access tokens of registries, in seconds.
    pub registry_access: u32,
}

impl Default for TokenLifetimes {
    fn default() -> Self {
        Self {
            entra: 3_600,
            instance_metadata: 86_400,
            registry_refresh: 10_800,
            registry_access: 4_500,
        }
    }
}

/// The wording of 409 `RoleAssignmentExists`, which depends on the ARM region since 2025
/// (azure-cli issue 31995).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ExistsMessage {
    /// `The role assignment already exists.`
    Plain,
    /// The same, followed by the existing name without dashes.
    #[default]
    WithId,
}

/// What ARM answers to an api-version that it does not know.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum UnknownVersion {
    /// As it was recorded for the resource type: role assignments answer `InvalidResourceType`,
    /// resource groups `InvalidApiVersionParameter`, all others `NoRegisteredProviderFound`.
    #[default]
    ByType,
    /// 400 `NoRegisteredProviderFound` (`AzGovViz` issue 266).
    NoRegisteredProviderFound,
    /// 404 `InvalidResourceType` (acs-engine issue 4037, azure-sdk-for-go issue 15624).
    InvalidResourceType,
    /// 400 `InvalidApiVersionParameter` (azure-cli issue 28038).
    InvalidApiVersionParameter,
}

/// What a PUT of an unchanged assignment under its own name answers; sources disagree
/// (azure-cli issue 23770, azure-sdk-for-go issue 19060).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RepeatedPut {
    /// 200 with the object.
    Ok,
    /// 201 with the object.
    #[default]
    Created,
    /// 409 `RoleAssignmentExists` when nothing would change, else 201.
    Conflict,
}

/// The case of ids in ARM's answers. Recorded are `resourcegroups` and `ManagedClusters` of managed
/// clusters, which are always so here; a client that compares ids with regard to case is wrong
/// about the others too.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum IdCase {
    /// As the model has it: as whoever made the resource or role assignment wrote it.
    #[default]
    AsWritten,
    /// All letters small.
    Lower,
    /// All letters capital.
    Upper,
}

impl IdCase {
    pub(crate) fn of(self, id: &str) -> String {
        match self {
            Self::AsWritten => id.to_owned(),
            Self::Lower => id.to_lowercase(),
            Self::Upper => id.to_uppercase(),
        }
    }
}

/// When a registry in legacy mode looks at the roles of who holds a refresh token.
///
/// Recorded is only the refusal at exchange (`Azure/aks-canipull` against a registry without the
/// role). That the refresh token carries the permissions found then is in its claims
/// (Azure/acr `docs/AAD-OAuth.md`), and fits that a node can still pull for hours after a detach.
/// A service principal's secret is looked at in every request whatever is set here.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LegacyRoleCheck {
    /// At exchange: without a role 401; the refresh token keeps what was found until it expires.
    #[default]
    Exchange,
    /// When an access token is asked for: exchange always succeeds.
    Token,
    /// Both times.
    Both,
}

/// Where a registry's firewall answers 403 `DENIED`. Both were seen (SupportArticles-docs, "Can't pull images
/// from Azure Container Registry", cause 3; AKS issue 4459).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FirewallAnswer {
    /// On every path but those of the registry's API that are asked without a credential: they send for a token
    /// first, and that is refused.
    #[default]
    AfterChallenge,
    /// On every path.
    Everywhere,
}

/// What `/oauth2/token` answers a good credential that has no right to anything it asks for. What
/// a registry with repository permissions does was not seen; clients have to live with either.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OutsideRights {
    /// 200 with a token whose `access` is empty; the registry then answers 401
    /// `insufficient_scope` (docker-registry-proxy issue 174).
    #[default]
    EmptyAccess,
    /// 401 `UNAUTHORIZED`.
    Unauthorized,
}

/// One token bucket.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bucket {
    /// Requests that fit at once.
    pub capacity: u32,
    /// Requests that come back per second.
    pub refill_per_second: f64,
}

/// ARM's token buckets per subscription, principal and kind of request
/// (Azure docs, `request-limits-and-throttling`). The ceiling for all principals of a
/// subscription together, 15 times as high, is left out.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Throttling {
    /// GET requests.
    pub reads: Bucket,
    /// PUT, POST and PATCH requests.
    pub writes: Bucket,
    /// DELETE requests.
    pub deletes: Bucket,
}

impl Default for Throttling {
    /// The documented limits.
    fn default() -> Self {
        Self {
            reads: Bucket { capacity: 250, refill_per_second: 25.0 },
            writes: Bucket { capacity: 200, refill_per_second: 10.0 },
            deletes: Bucket { capacity: 200, refill_per_second: 10.0 },
        }
    }
}

/// The behaviour of the simulated service.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// Whose host names are answered; others are refused.
    pub cloud: Cloud,
    /// How long issued tokens live.
    pub token_lifetimes: TokenLifetimes,
    /// Delay of every answer, in milliseconds.
    pub latency_ms: u64,
    /// Milliseconds until a written or deleted role assignment counts for access (Azure: up to
    /// 10 minutes). Assignments put into the model directly count at once.
    pub grant_delay_ms: u64,
    /// Milliseconds until lists of role assignments show a write.
    pub list_lag_ms: u64,
    /// Entries per page of registries and clusters.
    pub page_size: usize,
    /// Role assignments per subscription (4000 in public Azure).
    pub role_assignment_limit: usize,
    /// Longest description of a role assignment, in characters. Azure recommends at most 512.
    pub description_limit: usize,
    /// Wording of `RoleAssignmentExists`.
    pub exists_message: ExistsMessage,
    /// Answer to a repeated PUT.
    pub repeated_put: RepeatedPut,
    /// Assignment names that answer `HashConflictOnDifferentRoleAssignmentIds`.
    pub hash_conflicts: Vec<String>,
    /// How many more names without an assignment turn out to be taken so. Each is then one of
    /// [`Settings::hash_conflicts`].
    pub new_hash_conflicts: u32,
    /// The case of ids in ARM's answers.
    pub id_case: IdCase,
    /// The address that registries see requests come from; that of the connection if absent.
    pub client_address: Option<IpAddr>,
    /// When a registry in legacy mode looks at roles.
    pub legacy_role_check: LegacyRoleCheck,
    /// What a registry answers who asks for more than they may.
    pub outside_rights: OutsideRights,
    /// Where a registry's firewall answers.
    pub firewall_answer: FirewallAnswer,
    /// Token buckets; none by default.
    pub throttling: Option<Throttling>,
    /// The api-versions that ARM knows, by resource type.
    pub api_versions: BTreeMap<String, Vec<String>>,
    /// The answer to others.
    pub unknown_version: UnknownVersion,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cloud: Cloud::default(),
            token_lifetimes: TokenLifetimes::default(),
            latency_ms: 0,
            grant_delay_ms: 0,
            list_lag_ms: 0,
            page_size: 100,
            role_assignment_limit: 4_000,
            description_limit: 512,
            exists_message: ExistsMessage::default(),
            repeated_put: RepeatedPut::default(),
            hash_conflicts: Vec::new(),
            new_hash_conflicts: 0,
            id_case: IdCase::default(),
            client_address: None,
            legacy_role_check: LegacyRoleCheck::default(),
            outside_rights: OutsideRights::default(),
            firewall_answer: FirewallAnswer::default(),
            throttling: None,
            api_versions: api_versions(),
            unknown_version: UnknownVersion::default(),
        }
    }
}

//! Container registries: how they are set up, whom they admit, what they hold.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::DEFAULT_LOCATION;

/// Which role assignments a registry honours
/// (Azure docs, `container-registry-rbac-abac-repository-permissions`).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum RoleAssignmentMode {
    /// The Acr* roles on the whole registry.
    #[default]
    LegacyRegistryPermissions,
    /// The repository roles, with conditions.
    AbacRepositoryPermissions,
}

/// What happens to clients that no rule names.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum NetworkDefaultAction {
    /// They are admitted.
    #[default]
    Allow,
    /// They are answered 403 `DENIED`, as [`super::FirewallAnswer`] says.
    Deny,
}

/// A registry's firewall (`networkRuleSet`; Premium only, as in Azure).
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NetworkRuleSet {
    /// What happens to clients that no rule names.
    pub default_action: NetworkDefaultAction,
    /// Addresses and CIDR blocks that are admitted.
    pub ip_rules: Vec<String>,
}

/// A repository of a registry.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Repository {
    /// Its name, such as `team/app`.
    pub name: String,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

/// A tag of a repository.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tag {
    /// Its name.
    pub name: String,
    /// The digest that the registry says its manifest has. If absent, it is that of the manifest
    /// which the simulator makes up; a client that checks digests accepts no other.
    #[serde(default)]
    pub digest: Option<String>,
    /// Platforms such as `linux/amd64`. If there are some, it is an image index with one image for each.
    #[serde(default)]
    pub platforms: Vec<String>,
}

/// A container registry.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Registry {
    /// The subscription id.
    pub subscription_id: String,
    /// The resource group.
    pub resource_group: String,
    /// Its name.
    pub name: String,
    /// Its region.
    pub location: String,
    /// Basic, Standard or Premium.
    pub sku: String,
    /// The host it is pulled from.
    pub login_server: String,
    /// Other hosts that it is pulled from, `NAME.REGION.geo.SUFFIX`, each with a login of its own and tokens that
    /// are good at all of them (Azure docs, `container-registry-endpoint-reference`). They send for tokens to
    /// themselves, for the service that is the login server.
    pub regional_endpoints: Vec<String>,
    /// Which role assignments it honours.
    pub role_assignment_mode: RoleAssignmentMode,
    /// `Succeeded`, or what it is busy with.
    pub provisioning_state: String,
    /// Whether anybody may pull.
    pub anonymous_pull_enabled: bool,
    /// Whether it can be reached from the internet.
    pub public_network_access: bool,
    /// Whether tokens with ARM's audience can be exchanged
    /// (`policies.azureADAuthenticationAsArmPolicy`).
    pub arm_audience_allowed: bool,
    /// Whom it admits while it can be reached from the internet.
    pub network_rule_set: NetworkRuleSet,
    /// What it holds.
    pub repositories: Vec<Repository>,
    /// Base URL of a `distribution` registry without authentication, such as
    /// `http://127.0.0.1:5000`. If there is one, it says what [`Registry::repositories`] says
    /// otherwise and has the images: whatever a client may read is answered from there.
    pub content: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            subscription_id: String::new(),
            resource_group: String::new(),
            name: String::new(),
            location: DEFAULT_LOCATION.into(),
            sku: "Premium".into(),
            login_server: String::new(),
            regional_endpoints: Vec::new(),
            role_assignment_mode: RoleAssignmentMode::default(),
            provisioning_state: "Succeeded".into(),
            anonymous_pull_enabled: false,
            public_network_access: true,
            arm_audience_allowed: true,
            network_rule_set: NetworkRuleSet::default(),
            repositories: Vec::new(),
            content: None,
            tags: BTreeMap::new(),
        }
    }
}

impl Registry {
    /// Its resource id.
    #[must_use]
    pub fn id(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ContainerRegistry/registries/{}",
            self.subscription_id, self.resource_group, self.name
        )
    }

    /// The repository with this name.
    pub(crate) fn repository(&self, name: &str) -> Option<&Repository> {
        self.repositories.iter().find(|it| it.name == name)
    }

    /// Whether there is such a repository, as far as the model knows.
    pub(crate) fn may_have(&self, repository: &str) -> bool {
        self.content.is_some() || self.repository(repository).is_some()
    }

    /// What it calls itself in challenges and tokens: the login server in small letters.
    pub(crate) fn service(&self) -> String {
        self.login_server.to_ascii_lowercase()
    }

    /// Whether it is pulled from that host.
    pub(crate) fn is_at(&self, host: &str) -> bool {
        let mut hosts = self.regional_endpoints.iter().chain([&self.login_server]);
        hosts.any(|it| it.eq_ignore_ascii_case(host))
    }

    /// Whether a client with this address gets past the firewall.
    pub(crate) fn admits(&self, client: IpAddr) -> bool {
        let NetworkRuleSet { default_action, ip_rules } = &self.network_rule_set;
        self.public_network_access
            && (*default_action == NetworkDefaultAction::Allow
                || ip_rules.iter().any(|it| is_in(client, it)))
    }
}

/// Whether an address is the one of the rule, or in its CIDR block.
fn is_in(address: IpAddr, rule: &str) -> bool {
    let Some((network, length)) = rule.split_once('/') else {
        return rule.parse() == Ok(address);
    };
    let Ok(length) = length.parse::<u32>() else { return false };
    match (network.parse(), address) {
        (Ok(IpAddr::V4(network)), IpAddr::V4(address)) => {
            (u32::from(network) ^ u32::from(address)).leading_zeros() >= length
        }
        (Ok(IpAddr::V6(network)), IpAddr::V6(address)) => {
            (u128::from(network) ^ u128::from(address)).leading_zeros() >= length
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_addresses_and_blocks() {
        let address: IpAddr = "203.0.113.7".parse().unwrap();
        for (rule, expected) in [
            ("203.0.113.7", true),
            ("203.0.113.8", false),
            ("203.0.113.0/24", true),
            ("203.0.113.8/29", false),
            ("0.0.0.0/0", true),
            ("::/0", false),
            ("nonsense/x", false),
        ] {
            assert_eq!(is_in(address, rule), expected, "{rule}");
        }
        assert!(is_in("2001:db8::1".parse().unwrap(), "2001:db8::/32"));
    }

    #[test]
    fn a_registry_that_is_not_public_admits_nobody() {
        let client = "203.0.113.7".parse().unwrap();
        let mut registry = Registry::default();
        assert!(registry.admits(client));
        registry.network_rule_set.default_action = NetworkDefaultAction::Deny;
        assert!(!registry.admits(client));
        registry.network_rule_set.ip_rules = vec!["203.0.113.7".into()];
        assert!(registry.admits(client));
        registry.public_network_access = false;
        assert!(!registry.admits(client));
    }
}

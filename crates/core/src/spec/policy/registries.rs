//! The registries that the operator's settings allow.

use std::fmt;
use std::str::FromStr;

use crate::ids::{InvalidName, LoginServer, RegistryIdPrefix};
use crate::problem::{Cause, Problem};
use crate::spec::RegistryName;

/// The registries that attachments may name: all, or those of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedRegistries(Option<Vec<Allowed>>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Allowed {
    Prefix(RegistryIdPrefix),
    LoginServer(LoginServer),
}

impl AllowedRegistries {
    /// Checks a registry as the spec names it.
    ///
    /// # Errors
    /// `NotAllowed`, with the setting that allows it.
    pub(super) fn permit(&self, registry: &RegistryName) -> Result<(), Problem> {
        let Some(list) = &self.0 else { return Ok(()) };
        let (name, what) = match registry {
            RegistryName::Id(id) => (id.as_str(), "its resource id, or the start of it,"),
            RegistryName::LoginServer(server) => (server.as_str(), "its login server"),
            // Allowed here: the resource id is checked once the registry is found.
            RegistryName::Name { .. } => return Ok(()),
        };
        if list.iter().any(|it| it.means(registry)) {
            return Ok(());
        }
        let advice = format!(
            "add {what} to chart value policy.allowedRegistries (flag --allowed-registries)"
        );
        let account = format!(
            "attaching registry {name}: the operator's settings do not allow it; they allow {self}"
        );
        Err(Problem::advised(Cause::NotAllowed, &advice, &[account]))
    }
}

/// Parses a comma-separated list; an empty one allows every registry.
impl FromStr for AllowedRegistries {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let entries = text.split(',').map(str::trim).filter(|it| !it.is_empty());
        let list: Vec<Allowed> = entries.map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self((!list.is_empty()).then_some(list)))
    }
}

impl FromStr for Allowed {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if text.starts_with('/') {
            return text.parse().map(Self::Prefix);
        }
        text.parse().map(Self::LoginServer)
    }
}

impl fmt::Display for AllowedRegistries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list: Vec<&str> = self.0.iter().flatten().map(Allowed::as_str).collect();
        f.write_str(&list.join(","))
    }
}

impl Allowed {
    fn means(&self, registry: &RegistryName) -> bool {
        match (self, registry) {
            (Self::Prefix(prefix), RegistryName::Id(id)) => prefix.is_prefix_of(id),
            (Self::LoginServer(allowed), RegistryName::LoginServer(server)) => allowed == server,
            _ => false,
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Prefix(prefix) => prefix.as_str(),
            Self::LoginServer(server) => server.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: &str = "/subscriptions/11111111-1111-1111-1111-111111111111";

    #[rstest::rstest]
    #[case("", true)]
    #[case("/subscriptions/11111111-1111-1111-1111-111111111111", true)]
    #[case("/SUBSCRIPTIONS/11111111-1111-1111-1111-111111111111/", true)]
    #[case("/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg", false)]
    #[case("/subscriptions/22222222-2222-2222-2222-222222222222", false)]
    #[case("other.azurecr.io", false)]
    #[case(
        "other.azurecr.io, /subscriptions/11111111-1111-1111-1111-111111111111/resourcegroups/RG1",
        true
    )]
    fn a_registry_is_allowed_by_whole_segments(#[case] setting: &str, #[case] allowed: bool) {
        let registry = format!(
            "{S}/resourceGroups/rg1/providers/Microsoft.ContainerRegistry/registries/contoso"
        );
        let policy: AllowedRegistries = setting.parse().unwrap();
        let registry = RegistryName::Id(registry.parse().unwrap());
        assert_eq!(policy.permit(&registry).is_ok(), allowed, "{setting}");
    }

    #[rstest::rstest]
    #[case("Instruktører", true)]
    #[case("INSTRUKTØRER", true)]
    #[case("Instruktorer", false)]
    fn letters_beyond_ascii_are_compared_as_azure_does(#[case] group: &str, #[case] allowed: bool) {
        let policy: AllowedRegistries = format!("{S}/resourcegroups/{group}").parse().unwrap();
        let id =
            "resourceGroups/instruktører/providers/Microsoft.ContainerRegistry/registries/contoso";
        let registry = RegistryName::Id(format!("{S}/{id}").parse().unwrap());
        assert_eq!(policy.permit(&registry).is_ok(), allowed);
    }

    #[test]
    fn a_login_server_allows_what_names_the_registry_by_it() {
        let server = |text: &str| RegistryName::LoginServer(text.parse().unwrap());
        let policy: AllowedRegistries = "contoso.azurecr.io".parse().unwrap();
        policy.permit(&server("Contoso.azurecr.io")).unwrap();
        let problem = policy.permit(&server("fabrikam.azurecr.io")).unwrap_err();
        assert!(
            problem
                .message
                .contains("add its login server to chart value policy.allowedRegistries")
        );
    }

    #[rstest::rstest]
    #[case("contoso")]
    #[case("/subscription/11111111-1111-1111-1111-111111111111")]
    #[case("/subscriptions/prod")]
    #[case("/subscriptions/11111111-1111-1111-1111-111111111111/rg")]
    #[case(
        "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.Storage"
    )]
    fn what_allows_nothing_is_refused(#[case] setting: &str) {
        setting.parse::<AllowedRegistries>().unwrap_err();
    }
}

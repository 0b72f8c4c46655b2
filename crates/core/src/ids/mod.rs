//! Ids and names of Azure, validated when they are parsed.

mod case;
mod resource;
pub mod spelling;

use std::cmp::Ordering;
use std::fmt;
use std::hash::Hash;
use std::str::FromStr;

use thiserror::Error;
use uuid::Uuid;

pub use case::eq_ignore_case;
pub(crate) use case::lower;
pub use resource::ResourceId;

/// The error of a text that is not the expected id or name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is not {expected}")]
pub struct InvalidName {
    text: String,
    expected: &'static str,
}

impl InvalidName {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(300).collect(), expected }
    }
}

macro_rules! resource_id {
    ($(#[$doc:meta])* $name:ident, $provider_type:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct $name(ResourceId);

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                ResourceId::parse(text, $provider_type, $expected).map(Self)
            }
        }

        impl std::ops::Deref for $name {
            type Target = ResourceId;

            fn deref(&self) -> &ResourceId {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

/// The start of a registry's resource id, in whole segments: a subscription, a resource group, or the
/// whole id.
#[derive(Clone, Debug)]
pub struct RegistryIdPrefix(String);

impl RegistryIdPrefix {
    /// Whether a registry's id begins with this prefix.
    #[must_use]
    pub fn is_prefix_of(&self, id: &RegistryId) -> bool {
        let (start, id) = (case::folded(&self.0), case::folded(id.as_str()));
        id.strip_prefix(&start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The prefix as it was written, without slashes at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for RegistryIdPrefix {
    fn eq(&self, other: &Self) -> bool {
        eq_ignore_case(&self.0, &other.0)
    }
}

impl Eq for RegistryIdPrefix {}

/// # Errors
/// When the text cannot be the start of a registry's id.
impl FromStr for RegistryIdPrefix {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        const EXAMPLE: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/x/providers/Microsoft.ContainerRegistry/registries/xxxxx";
        let text = text.trim_end_matches('/');
        let given = text.split('/').count();
        let rest: Vec<&str> = EXAMPLE.split('/').skip(given).collect();
        let whole = [vec![text], rest].concat().join("/");
        match (given, whole.parse::<RegistryId>()) {
            (3 | 5 | 9, Ok(_)) => Ok(Self(text.to_owned())),
            _ => Err(InvalidName::new(text, "the start of the resource id of a registry")),
        }
    }
}

resource_id!(
    /// The resource id of a registry.
    RegistryId,
    "Microsoft.ContainerRegistry/registries",
    "the resource id of a registry"
);
resource_id!(
    /// The resource id of a managed (AKS) cluster.
    ClusterId,
    "Microsoft.ContainerService/managedClusters",
    "the resource id of a managed cluster"
);

/// The id of a role assignment: `SCOPE/providers/Microsoft.Authorization/roleAssignments/GUID`. Ids
/// are compared without regard to case.
#[derive(Clone, Debug)]
pub struct AssignmentId {
    /// The scope, as Azure wrote it.
    scope: String,
    name: Uuid,
}

impl AssignmentId {
    /// The id of an assignment on a registry.
    #[must_use]
    pub fn on(registry: &RegistryId, name: Uuid) -> Self {
        Self { scope: registry.as_str().to_owned(), name }
    }

    /// Whether the scope of the assignment is the registry itself, not its resource group or
    /// subscription.
    #[must_use]
    pub fn is_at(&self, registry: &RegistryId) -> bool {
        eq_ignore_case(&self.scope, registry.as_str())
    }

    /// The scope of the assignment.
    #[must_use]
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// The name of the assignment, a GUID.
    #[must_use]
    pub fn name(&self) -> Uuid {
        self.name
    }
}

impl PartialEq for AssignmentId {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for AssignmentId {}

impl PartialOrd for AssignmentId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for AssignmentId {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |it: &Self| (case::folded(&it.scope), it.name);
        key(self).cmp(&key(other))
    }
}

impl FromStr for AssignmentId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        const PROVIDER: &str = "/providers/microsoft.authorization/roleassignments/";
        let invalid = || InvalidName::new(text, "the id of a role assignment");
        let at = text.to_ascii_lowercase().rfind(PROVIDER).ok_or_else(invalid)?;
        let name = &text[at + PROVIDER.len()..];
        Ok(Self { scope: text[..at].to_owned(), name: name.parse().map_err(|_| invalid())? })
    }
}

impl fmt::Display for AssignmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/providers/Microsoft.Authorization/roleAssignments/{}", self.scope, self.name)
    }
}

/// The object id of an identity in its tenant, a GUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrincipalId(Uuid);

impl FromStr for PrincipalId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let id = Uuid::parse_str(text);
        id.map(Self).map_err(|_| InvalidName::new(text, "the object id of an identity (a GUID)"))
    }
}

impl PrincipalId {
    /// Whether the object id is that GUID.
    #[must_use]
    pub fn is(self, id: Uuid) -> bool {
        self.0 == id
    }
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The host that images of a registry are pulled from, lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoginServer(String);

impl LoginServer {
    /// The host name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LoginServer {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let host = text.to_ascii_lowercase();
        let label = |it: &str| {
            let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
            (1..=63).contains(&it.len())
                && it.chars().all(inner)
                && !it.starts_with('-')
                && !it.ends_with('-')
        };
        let last_is_word =
            host.rsplit('.').next().is_some_and(|it| it.chars().all(|c| c.is_ascii_alphabetic()));
        if host.len() > 253 || !host.contains('.') || !host.split('.').all(label) || !last_is_word {
            return Err(InvalidName::new(text, "a login server such as myregistry.azurecr.io"));
        }
        Ok(Self(host))
    }
}

impl fmt::Display for LoginServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REGISTRY: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg1/providers/Microsoft.ContainerRegistry/registries/myReg";

    #[test]
    fn a_registry_id_is_parsed_whatever_its_case() {
        let id: RegistryId = REGISTRY.parse().unwrap();
        assert_eq!(id.name(), "myReg");
        assert_eq!(id, REGISTRY.to_uppercase().parse().unwrap());
        assert_eq!(id.as_str(), REGISTRY);
    }

    #[rstest::rstest]
    #[case("")]
    #[case("myreg")]
    #[case(
        "/subscriptions/1/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/myreg"
    )]
    #[case(
        "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/../providers/Microsoft.ContainerRegistry/registries/myreg"
    )]
    #[case(
        "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/a?b=c"
    )]
    #[case(
        "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/a"
    )]
    fn what_is_no_registry_id_is_refused(#[case] text: &str) {
        text.parse::<RegistryId>().unwrap_err();
    }

    #[test]
    fn an_assignment_id_knows_its_scope() {
        let registry: RegistryId = REGISTRY.parse().unwrap();
        let text = format!(
            "{}/PROVIDERS/Microsoft.Authorization/roleAssignments/2f826ae117284c63bbb7a8a150a5a52d",
            REGISTRY.to_lowercase()
        );
        let id: AssignmentId = text.parse().unwrap();
        assert!(id.is_at(&registry));
        assert_eq!(id, AssignmentId::on(&registry, id.name()));
        assert_eq!(id.name().to_string(), "2f826ae1-1728-4c63-bbb7-a8a150a5a52d");
        let above: AssignmentId =
            "/providers/Microsoft.Authorization/roleAssignments/2f826ae117284c63bbb7a8a150a5a52d"
                .parse()
                .unwrap();
        assert!(!above.is_at(&registry));
    }

    #[rstest::rstest]
    #[case("MyReg.azurecr.io", true)]
    #[case("myreg-e7ggejfuhzhgedc8.azurecr.io", true)]
    #[case("https://myreg.azurecr.io", false)]
    #[case("myreg.azurecr.io/x", false)]
    #[case("myreg.azurecr.io:443", false)]
    #[case("a@myreg.azurecr.io", false)]
    #[case("10.0.0.1", false)]
    #[case("[::1]", false)]
    #[case("localhost", false)]
    #[case("-a.azurecr.io", false)]
    fn a_login_server_is_a_host_name(#[case] text: &str, #[case] valid: bool) {
        assert_eq!(text.parse::<LoginServer>().is_ok(), valid, "{text}");
    }

    proptest! {
        #[test]
        fn an_accepted_id_stays_in_its_place_in_a_url(text in ".*") {
            if let Ok(id) = text.parse::<RegistryId>() {
                prop_assert_eq!(id.as_str().split('/').count(), 9);
                prop_assert!(!id.as_str().contains(['?', '#', '%', '\\']));
            }
        }
    }
}

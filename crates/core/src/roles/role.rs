//! The two pull roles, and the names of their assignments.

use jiff::SignedDuration;
use uuid::{Uuid, uuid};

use crate::api::RoleAssignmentMode;
use crate::ids::{PrincipalId, RegistryId, lower};

/// A role that lets an identity pull from a registry.
///
/// Role definition ids are the same in every tenant: learn.microsoft.com, "Azure built-in roles
/// for Containers".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Honoured by registries in legacy mode.
    AcrPull,
    /// Honoured by registries with repository permissions.
    RepositoryReader,
}

impl Role {
    /// The role that a registry in this mode honours. A registry with repository permissions
    /// ignores `AcrPull`, and one in legacy mode ignores the Repository roles.
    #[must_use]
    pub fn for_mode(mode: RoleAssignmentMode) -> Option<Self> {
        match mode {
            RoleAssignmentMode::LegacyRegistryPermissions => Some(Self::AcrPull),
            RoleAssignmentMode::AbacRepositoryPermissions => Some(Self::RepositoryReader),
            RoleAssignmentMode::Unknown => None,
        }
    }

    /// The last segment of the role definition's id.
    #[must_use]
    pub fn definition(self) -> Uuid {
        match self {
            Self::AcrPull => uuid!("7f951dda-4ed3-4680-a7ca-43fe172d538d"),
            Self::RepositoryReader => uuid!("b93aa761-3e63-49ed-ac28-beffa264f7ac"),
        }
    }

    /// The role of that definition, if it is one of the two pull roles.
    #[must_use]
    pub fn from_definition(definition: Uuid) -> Option<Self> {
        [Self::AcrPull, Self::RepositoryReader].into_iter().find(|it| it.definition() == definition)
    }

    /// The name as the portal and `az role assignment list` show it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AcrPull => "AcrPull",
            Self::RepositoryReader => "Container Registry Repository Reader",
        }
    }
}

/// How long Azure may take to honour a new role (learn.microsoft.com, "Troubleshoot Azure RBAC").
pub const HONOURED_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// The namespace of the template function `guid()`.
const GUID_NAMESPACE: Uuid = uuid!("11fb06fb-712d-4ddd-98c7-e71bbd588830");

/// The name of a new assignment, by the convention of Bicep's `getRoleAssignmentName()` (Azure/bicep
/// pull request 20293). Other tools that follow it use the same name. So only claims prove that
/// acr-attach made an assignment.
#[must_use]
pub fn assignment_name(registry: &RegistryId, principal: PrincipalId, role: Role) -> Uuid {
    let parts = format!("{}-{}-{}", lower(registry.as_str()), principal, role.definition());
    Uuid::new_v5(&GUID_NAMESPACE, parts.as_bytes())
}

/// The nth alternative name, where Azure refuses the first. It is derived from the first name, so that
/// later reconciles find it; number 0 is the first name itself.
#[must_use]
pub fn alternative_name(name: Uuid, n: u32) -> Uuid {
    match n {
        0 => name,
        n => Uuid::new_v5(&name, n.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_follows_the_shared_convention() {
        let registry = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg1/providers/Microsoft.ContainerRegistry/registries/myReg";
        let name = assignment_name(
            &registry.parse().unwrap(),
            "22222222-2222-2222-2222-222222222222".parse().unwrap(),
            Role::AcrPull,
        );
        assert_eq!(name, uuid!("b8aca42d-f5a1-511f-8f55-2bf8850d7ddb"));
        assert_eq!(
            Uuid::new_v5(&GUID_NAMESPACE, b"a-b-c"),
            uuid!("a98fa280-e03f-5afa-8d8e-92d0a9c201e8")
        );
    }

    #[test]
    fn another_name_follows_from_the_first_one() {
        let first = uuid!("b8aca42d-f5a1-511f-8f55-2bf8850d7ddb");
        let names: Vec<_> = (0..3).map(|n| alternative_name(first, n).to_string()).collect();
        expect_test::expect![[r#"
            [
                "b8aca42d-f5a1-511f-8f55-2bf8850d7ddb",
                "4005bd66-489c-55d3-a58e-3edf8f3d7acb",
                "60be06aa-802f-50a9-b0d1-4eb985ffe994",
            ]
        "#]]
        .assert_debug_eq(&names);
    }

    #[test]
    fn the_mode_picks_the_role() {
        use RoleAssignmentMode::{AbacRepositoryPermissions, LegacyRegistryPermissions, Unknown};
        assert_eq!(Role::for_mode(LegacyRegistryPermissions), Some(Role::AcrPull));
        assert_eq!(Role::for_mode(AbacRepositoryPermissions), Some(Role::RepositoryReader));
        assert_eq!(Role::for_mode(Unknown), None);
    }
}

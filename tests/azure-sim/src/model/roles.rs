//! Role definitions: what an assignment allows.

use serde::{Deserialize, Serialize};

/// Built-in role: everything.
pub const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
/// Built-in role: everything but access.
pub const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
/// Built-in role: read everything.
pub const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
/// Built-in role: access of every kind.
pub const USER_ACCESS_ADMINISTRATOR: &str = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9";
/// Built-in role: role assignments, usually with a condition.
pub const ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR: &str = "f58310d9-a9f6-439a-9e8d-f62e7b41a168";
/// Built-in role: pull from a registry in legacy mode.
pub const ACR_PULL: &str = "7f951dda-4ed3-4680-a7ca-43fe172d538d";
/// Built-in role: push to a registry in legacy mode.
pub const ACR_PUSH: &str = "8311e382-0749-4cb8-b61a-304f252e45ec";
/// Built-in role: delete from a registry in legacy mode.
pub const ACR_DELETE: &str = "c2f4ef07-c644-48eb-af81-4b1b4947fb11";
/// Built-in role: pull from a registry with repository permissions.
pub const REPOSITORY_READER: &str = "b93aa761-3e63-49ed-ac28-beffa264f7ac";
/// Built-in role: pull and push with repository permissions.
pub const REPOSITORY_WRITER: &str = "2a1e307c-b015-4ebd-883e-5b7698a07328";
/// Built-in role: pull, push and delete with repository permissions.
pub const REPOSITORY_CONTRIBUTOR: &str = "2efddaa5-3f1f-4df3-97df-af3f13818f4c";
/// Built-in role: list the repositories with repository permissions.
pub const REPOSITORY_CATALOG_LISTER: &str = "bfdb9389-c9a5-478a-bb2f-ba9ca092c3c7";

/// A role definition.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RoleDefinition {
    /// Its GUID.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub role_name: String,
    /// Allowed control-plane actions; `*` stands for anything.
    #[serde(default)]
    pub actions: Vec<String>,
    /// Actions taken away from `actions`.
    #[serde(default)]
    pub not_actions: Vec<String>,
    /// Allowed data-plane actions.
    #[serde(default)]
    pub data_actions: Vec<String>,
}

impl RoleDefinition {
    /// Whether the role allows a control-plane action.
    pub(crate) fn allows(&self, action: &str) -> bool {
        self.actions.iter().any(|it| matches_pattern(it, action))
            && !self.not_actions.iter().any(|it| matches_pattern(it, action))
    }

    /// Whether the role allows a data-plane action.
    pub(crate) fn allows_data(&self, action: &str) -> bool {
        self.data_actions.iter().any(|it| matches_pattern(it, action))
    }
}

/// GUID, name, actions and data actions of the built-in roles that have to do with registries and
/// access (Azure docs, `built-in-roles`), the same in every tenant.
const BUILT_IN: [(&str, &str, &[&str], &[&str]); 12] = [
    (OWNER, "Owner", &["*"], &[]),
    (CONTRIBUTOR, "Contributor", &["*"], &[]),
    (READER, "Reader", &["*/read"], &[]),
    (
        USER_ACCESS_ADMINISTRATOR,
        "User Access Administrator",
        &["*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"],
        &[],
    ),
    (
        ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR,
        "Role Based Access Control Administrator",
        &[
            "Microsoft.Authorization/roleAssignments/write",
            "Microsoft.Authorization/roleAssignments/delete",
            "*/read",
            "Microsoft.Support/*",
        ],
        &[],
    ),
    (ACR_PULL, "AcrPull", &["Microsoft.ContainerRegistry/registries/pull/read"], &[]),
    (
        ACR_PUSH,
        "AcrPush",
        &[
            "Microsoft.ContainerRegistry/registries/pull/read",
            "Microsoft.ContainerRegistry/registries/push/write",
        ],
        &[],
    ),
    (ACR_DELETE, "AcrDelete", &["Microsoft.ContainerRegistry/registries/artifacts/delete"], &[]),
    (
        REPOSITORY_READER,
        "Container Registry Repository Reader",
        &[],
        &[
            "Microsoft.ContainerRegistry/registries/repositories/content/read",
            "Microsoft.ContainerRegistry/registries/repositories/metadata/read",
        ],
    ),
    (
        REPOSITORY_WRITER,
        "Container Registry Repository Writer",
        &[],
        &[
            "Microsoft.ContainerRegistry/registries/repositories/content/read",
            "Microsoft.ContainerRegistry/registries/repositories/content/write",
            "Microsoft.ContainerRegistry/registries/repositories/metadata/read",
            "Microsoft.ContainerRegistry/registries/repositories/metadata/write",
        ],
    ),
    (
        REPOSITORY_CONTRIBUTOR,
        "Container Registry Repository Contributor",
        &[],
        &[
            "Microsoft.ContainerRegistry/registries/repositories/content/*",
            "Microsoft.ContainerRegistry/registries/repositories/metadata/*",
        ],
    ),
    (
        REPOSITORY_CATALOG_LISTER,
        "Container Registry Repository Catalog Lister",
        &[],
        &["Microsoft.ContainerRegistry/registries/catalog/read"],
    ),
];

/// What Contributor may not do although it may do everything.
const NOT_FOR_CONTRIBUTORS: [&str; 3] = [
    "Microsoft.Authorization/*/Delete",
    "Microsoft.Authorization/*/Write",
    "Microsoft.Authorization/elevateAccess/Action",
];

/// The built-in role with this GUID.
pub(crate) fn built_in_role(guid: &str) -> Option<RoleDefinition> {
    let names = |list: &[&str]| list.iter().map(|&it| it.to_owned()).collect();
    let (id, role_name, actions, data_actions) =
        BUILT_IN.into_iter().find(|it| it.0.eq_ignore_ascii_case(guid))?;
    Some(RoleDefinition {
        id: id.into(),
        role_name: role_name.into(),
        actions: names(actions),
        not_actions: names(if id == CONTRIBUTOR { &NOT_FOR_CONTRIBUTORS } else { &[] }),
        data_actions: names(data_actions),
    })
}

/// Whether `text` has the form of `pattern`, where `*` stands for anything, case aside.
pub(crate) fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_anything() {
        for (pattern, text, expected) in [
            ("*", "anything/at/all", true),
            ("*/read", "Microsoft.ContainerRegistry/registries/read", true),
            ("*/read", "Microsoft.ContainerRegistry/registries/write", false),
            ("Microsoft.Authorization/*/Write", "microsoft.authorization/x/write", true),
            ("Microsoft.Authorization/*/Write", "Microsoft.Authorization/Write", false),
            ("a/b", "a/b/c", false),
            ("a/b", "A/B", true),
        ] {
            assert_eq!(matches_pattern(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn only_access_roles_may_write_role_assignments() {
        let action = "Microsoft.Authorization/roleAssignments/write";
        for (id, expected) in [
            (OWNER, true),
            (USER_ACCESS_ADMINISTRATOR, true),
            (ROLE_BASED_ACCESS_CONTROL_ADMINISTRATOR, true),
            (CONTRIBUTOR, false),
            (READER, false),
            (ACR_PULL, false),
        ] {
            assert_eq!(built_in_role(id).unwrap().allows(action), expected, "{id}");
        }
    }

    #[test]
    fn acr_pull_does_not_read_the_registry_resource() {
        let action = "Microsoft.ContainerRegistry/registries/read";
        assert!(!built_in_role(ACR_PULL).unwrap().allows(action));
        assert!(built_in_role(READER).unwrap().allows(action));
    }
}

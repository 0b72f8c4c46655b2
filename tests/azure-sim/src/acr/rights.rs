//! What a credential may do at a registry, by its role assignment mode
//! (Azure docs, `container-registry-rbac-abac-repository-permissions`).

use serde::Serialize;

use super::{
    Context,
    scope::{Access, CATALOG, REPOSITORY},
};
use crate::{access::Plane, condition::Attempt};

/// The attribute of conditions that holds the repository's name. The registry's reference knows
/// it as an attribute of the request alone.
const NAME: &str = "Microsoft.ContainerRegistry/registries/repositories:name";
/// What `*` on a repository stands for.
const EVERY_ACTION: [&str; 3] = ["pull", "push", "delete"];

/// What a registry in legacy mode knows of a principal: the same for every repository.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Permission {
    Read,
    Write,
    Delete,
}

impl Permission {
    const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Delete];

    /// The control-plane action behind it. `*/read` of Reader includes the first.
    fn action(self) -> &'static str {
        match self {
            Self::Read => "Microsoft.ContainerRegistry/registries/pull/read",
            Self::Write => "Microsoft.ContainerRegistry/registries/push/write",
            Self::Delete => "Microsoft.ContainerRegistry/registries/artifacts/delete",
        }
    }

    /// What an action of a scope needs. Who may pull may list the repositories too.
    fn needed(kind: &str, name: &str, action: &str) -> Option<Self> {
        match (kind, action) {
            (REPOSITORY, "pull" | "metadata_read") => Some(Self::Read),
            (REPOSITORY, "push" | "metadata_write") => Some(Self::Write),
            (REPOSITORY, "delete") => Some(Self::Delete),
            (_, "*") if (kind, name) == CATALOG => Some(Self::Read),
            _ => None,
        }
    }
}

/// The data action that an action of a scope needs with repository permissions.
fn data_action(kind: &str, name: &str, action: &str) -> Option<&'static str> {
    Some(match (kind, action) {
        (REPOSITORY, "pull") => "Microsoft.ContainerRegistry/registries/repositories/content/read",
        (REPOSITORY, "push") => "Microsoft.ContainerRegistry/registries/repositories/content/write",
        (REPOSITORY, "delete") => {
            "Microsoft.ContainerRegistry/registries/repositories/content/delete"
        }
        (REPOSITORY, "metadata_read") => {
            "Microsoft.ContainerRegistry/registries/repositories/metadata/read"
        }
        (REPOSITORY, "metadata_write") => {
            "Microsoft.ContainerRegistry/registries/repositories/metadata/write"
        }
        (_, "*") if (kind, name) == CATALOG => {
            "Microsoft.ContainerRegistry/registries/catalog/read"
        }
        _ => return None,
    })
}

/// Where the rights of a credential come from.
#[derive(Debug)]
pub(super) enum Rights {
    /// Legacy mode.
    Registry(Vec<Permission>),
    /// With repository permissions: the role assignments of this principal, for each repository.
    Repositories(String),
    /// The `access` claim of an access token.
    Issued(Vec<Access>),
    /// There is no credential.
    Anonymous,
}

impl Context<'_> {
    /// What a principal may do at this registry in legacy mode, at this moment.
    pub(super) fn permissions(&self, principal: &str) -> Vec<Permission> {
        let scope = self.registry.id();
        let has = |it: &Permission| {
            let attempt = Attempt { action: it.action(), ..Attempt::default() };
            self.model.permits(principal, Plane::Control, &attempt, &scope)
        };
        Permission::ALL.into_iter().filter(has).collect()
    }

    /// So much of what is asked for as is allowed; nothing if that is nothing.
    pub(super) fn granted(&self, rights: &Rights, asked: &Access) -> Option<Access> {
        let Access { kind, name, actions } = asked;
        let allowed = actions.iter().map(String::as_str);
        let allowed = allowed.filter(|action| self.allows(rights, kind, name, action));
        let granted = Access::new(kind, name, allowed);
        (!granted.actions.is_empty()).then_some(granted)
    }

    /// Whether an action is allowed.
    pub(super) fn allows(&self, rights: &Rights, kind: &str, name: &str, action: &str) -> bool {
        if let Rights::Issued(access) = rights {
            return access.iter().any(|it| it.covers(kind, name, action));
        }
        if kind == REPOSITORY && action == "*" {
            return EVERY_ACTION.iter().all(|it| self.allows(rights, kind, name, it));
        }
        let by_right = match rights {
            Rights::Registry(permissions) => Permission::needed(kind, name, action)
                .is_some_and(|needed| permissions.contains(&needed)),
            Rights::Repositories(principal) => data_action(kind, name, action)
                .is_some_and(|action| self.permits_data(principal, name, action)),
            Rights::Issued(_) | Rights::Anonymous => false,
        };
        by_right || self.is_public(kind, name, action)
    }

    fn permits_data(&self, principal: &str, repository: &str, action: &str) -> bool {
        let request = vec![(NAME, repository.to_owned())];
        let attempt = Attempt { action, request, resource: Vec::new() };
        self.model.permits(principal, Plane::Data, &attempt, &self.registry.id())
    }

    /// Anonymous pull opens what there is to everybody, whatever else they may do.
    fn is_public(&self, kind: &str, name: &str, action: &str) -> bool {
        self.registry.anonymous_pull_enabled
            && kind == REPOSITORY
            && matches!(action, "pull" | "metadata_read")
            && self.registry.may_have(name)
    }
}

//! The pull role of an identity on a registry.

use crate::ids::PrincipalId;
use crate::plan::Grant;
use crate::problem::{Cause, Problem};
use crate::roles::role::Role;
use crate::snapshot::azure::{Registry, RoleAssignmentMode};
use crate::spec::repositories::Repositories;

/// What a spec asks for of pull roles.
#[derive(Clone, Copy, Debug)]
pub struct PullAccess<'a> {
    /// The repositories that may be pulled.
    pub repositories: &'a Repositories,
    /// Whether the role for a registry with repository permissions is kept assigned before the switch
    /// to them.
    pub prepare_for_abac: bool,
    /// Whether the operator keeps the role assigned. Otherwise a user assigns it.
    pub is_kept: bool,
}

/// The roles to keep assigned to one identity.
#[derive(Clone, Debug, PartialEq)]
pub struct PullRoles {
    /// The role that lets the identity pull now; why there is none.
    pub pull: Result<Grant, Problem>,
    /// The role that lets the identity pull after a switch of the registry's mode, if it is to be kept
    /// assigned before.
    pub prepared: Option<Grant>,
}

impl PullRoles {
    /// The roles of an identity on a registry, for the registry's mode. For an unknown mode the role is
    /// `AcrPull`: registries with repository permissions are the newer kind.
    ///
    /// `pull` is `Unsupported` when this version does not know the registry's mode; else it has the
    /// errors of [`check`](PullAccess::check).
    #[must_use]
    pub fn of(registry: &Registry, principal: PrincipalId, access: PullAccess<'_>) -> Self {
        let grant =
            |role, condition| Grant { registry: registry.id.clone(), principal, role, condition };
        let condition = access.repositories.condition();
        let role = registry.mode.map_or(Some(Role::AcrPull), Role::for_mode).ok_or_else(|| {
            let account = format!(
                "choosing a role on registry {}: this version knows no such roleAssignmentMode",
                registry.id
            );
            Problem::advised(Cause::Unsupported, "update acr-attach", &[account])
        });
        let is_legacy = registry.mode == Some(RoleAssignmentMode::LegacyRegistryPermissions);
        let prepares = access.prepare_for_abac && access.is_kept && is_legacy;
        Self {
            pull: role
                .and_then(|role| access.check(registry).map(|()| grant(role, condition.clone()))),
            prepared: prepares.then(|| grant(Role::RepositoryReader, condition)),
        }
    }
}

/// Whether the registry certainly honours the role, so that the role may replace another.
#[must_use]
pub fn may_replace(registry: &Registry) -> bool {
    registry.mode.is_some()
}

impl PullAccess<'_> {
    /// Checks that the registry can narrow access to single repositories.
    ///
    /// # Errors
    /// `InvalidSpec` where the registry has no repository permissions; `Unsupported` where Azure does not
    /// tell the mode.
    pub fn check(self, registry: &Registry) -> Result<(), Problem> {
        let Registry { id, mode, .. } = registry;
        let can_narrow = *mode == Some(RoleAssignmentMode::AbacRepositoryPermissions);
        if self.repositories.are_all() || can_narrow {
            return Ok(());
        }
        if mode.is_none() {
            let advice = "remove spec.repositories to attach the whole registry";
            let account = format!(
                "narrowing access to registry {id} to repositories: this cloud's api-versions do not tell whether its role assignment permissions mode can"
            );
            return Err(Problem::advised(Cause::Unsupported, advice, &[account]));
        }
        let (prepare, others) = match (self.is_kept, self.prepare_for_abac) {
            (true, false) => ("set spec.prepareForAbac to true, ", "all others"),
            (true, true) => ("", "all others"),
            (false, _) => ("", "the service principal and all others"),
        };
        let name = id.name();
        let advice = format!(
            "remove spec.repositories; or {prepare}give {others} that pull and push there Container Registry Repository Reader or Writer (az role assignment list --include-inherited --scope REGISTRY_ID shows them), wait 10 minutes, and only then switch the registry (az acr update --name {name} --role-assignment-mode rbac-abac): from that moment AcrPull and AcrPush mean nothing there"
        );
        let accounts = [id.as_str(), name].map(|it| {
            format!(
                "narrowing access to registry {it} to repositories: only mode \"RBAC Registry + ABAC Repository Permissions\" can"
            )
        });
        Err(Problem::advised(Cause::InvalidSpec, &advice, &accounts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(mode: Option<RoleAssignmentMode>) -> Registry {
        let id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso";
        Registry {
            id: id.parse().unwrap(),
            login_server: "contoso.azurecr.io".parse().unwrap(),
            regional: None,
            mode,
            provisioning_state: "Succeeded".into(),
            accepts_arm_tokens: true,
        }
    }

    fn access(repositories: &Repositories, prepare_for_abac: bool) -> PullAccess<'_> {
        PullAccess { repositories, prepare_for_abac, is_kept: true }
    }

    fn roles(registry: &Registry, repositories: &Repositories, prepare: bool) -> PullRoles {
        let someone = "22222222-2222-2222-2222-222222222222".parse().unwrap();
        PullRoles::of(registry, someone, access(repositories, prepare))
    }

    #[rstest::rstest]
    #[case(Some(RoleAssignmentMode::LegacyRegistryPermissions), Some(Role::AcrPull), true)]
    #[case(Some(RoleAssignmentMode::AbacRepositoryPermissions), Some(Role::RepositoryReader), true)]
    #[case(Some(RoleAssignmentMode::Unknown), None, true)]
    #[case(None, Some(Role::AcrPull), false)]
    fn a_hidden_mode_gets_the_older_role_and_replaces_nothing(
        #[case] mode: Option<RoleAssignmentMode>,
        #[case] role: Option<Role>,
        #[case] replaces: bool,
    ) {
        let registry = registry(mode);
        let roles = roles(&registry, &Repositories::default(), false);
        assert_eq!(roles.pull.ok().map(|it| it.role), role);
        assert_eq!(roles.prepared, None);
        assert_eq!(may_replace(&registry), replaces);
    }

    #[rstest::rstest]
    #[case(Some(RoleAssignmentMode::LegacyRegistryPermissions), true)]
    #[case(Some(RoleAssignmentMode::AbacRepositoryPermissions), false)]
    #[case(Some(RoleAssignmentMode::Unknown), false)]
    #[case(None, false)]
    fn only_a_registry_in_legacy_mode_is_prepared_for_a_switch(
        #[case] mode: Option<RoleAssignmentMode>,
        #[case] prepares: bool,
    ) {
        let role = |it: Option<Grant>| it.map(|it| (it.role, it.condition));
        let reader = Some((Role::RepositoryReader, None));
        let all = roles(&registry(mode), &Repositories::default(), true);
        assert_eq!(role(all.prepared), reader.filter(|_| prepares));
        let some = Repositories::new(["team/*".to_owned()]).unwrap();
        let narrowed = roles(&registry(mode), &some, true);
        let reader = Some((Role::RepositoryReader, some.condition()));
        assert_eq!(role(narrowed.prepared), reader.filter(|_| prepares));
        assert!(!prepares || narrowed.pull.is_err(), "AcrPull would open all repositories");
    }

    #[test]
    fn what_may_not_be_narrowed_is_not_opened() {
        let some = Repositories::new(["team/*".to_owned()]).unwrap();
        let cause = |mode| roles(&registry(mode), &some, false).pull.unwrap_err().cause;
        assert_eq!(cause(None), Cause::Unsupported);
        assert_eq!(cause(Some(RoleAssignmentMode::LegacyRegistryPermissions)), Cause::InvalidSpec);
    }

    /// Switching the mode takes the right to pull and push from all other identities.
    #[test]
    fn the_way_to_repositories_begins_with_all_others() {
        let some = Repositories::new(["team/*".to_owned()]).unwrap();
        let legacy = registry(Some(RoleAssignmentMode::LegacyRegistryPermissions));
        for (prepare, is_kept) in [(false, true), (true, true), (false, false), (true, false)] {
            let access = PullAccess { is_kept, ..access(&some, prepare) };
            let text = access.check(&legacy).unwrap_err().message;
            let advised = text.contains("set spec.prepareForAbac to true");
            assert_eq!(advised, is_kept && !prepare, "{text}");
            assert_eq!(text.contains("the service principal and all others"), !is_kept, "{text}");
            let words = ["remove spec.repositories", "all others", "wait", "az acr update"];
            let places: Vec<_> = words.map(|it| text.find(it).unwrap()).into();
            assert!(places.is_sorted(), "{text}");
            assert!(crate::message::is_bounded(&text) && !text.contains('…'), "{text}");
        }
    }
}

//! The pull role of an identity on a registry.

use crate::ids::PrincipalId;
use crate::plan::Grant;
use crate::problem::{Cause, Problem};
use crate::roles::role::Role;
use crate::snapshot::azure::{Registry, RoleAssignmentMode};
use crate::spec::repositories::Repositories;

/// The grant that lets an identity pull, for the registry's mode. For an unknown mode the role is
/// `AcrPull`: registries with repository permissions are the newer kind.
///
/// # Errors
/// `Unsupported` when this version does not know the registry's mode; the errors of
/// [`check_repositories`].
pub fn grant(
    registry: &Registry,
    principal: PrincipalId,
    repositories: &Repositories,
) -> Result<Grant, Problem> {
    let role = registry.mode.map_or(Some(Role::AcrPull), Role::for_mode).ok_or_else(|| {
        let account = format!(
            "choosing a role on registry {}: this version knows no such roleAssignmentMode",
            registry.id
        );
        Problem::advised(Cause::Unsupported, "update acr-attach", &[account])
    })?;
    check_repositories(registry, repositories)?;
    let condition = repositories.condition();
    Ok(Grant { registry: registry.id.clone(), principal, role, condition })
}

/// Whether the registry certainly honours the role, so that the role may replace another.
#[must_use]
pub fn may_replace(registry: &Registry) -> bool {
    registry.mode.is_some()
}

/// Checks that the registry can narrow access to single repositories.
///
/// # Errors
/// `InvalidSpec` where the registry has no repository permissions; `Unsupported` where Azure does not
/// tell the mode.
pub fn check_repositories(registry: &Registry, repositories: &Repositories) -> Result<(), Problem> {
    let Registry { id, mode, .. } = registry;
    if repositories.are_all() || *mode == Some(RoleAssignmentMode::AbacRepositoryPermissions) {
        return Ok(());
    }
    if mode.is_none() {
        let advice = "remove spec.repositories to attach the whole registry";
        let account = format!(
            "narrowing access to registry {id} to repositories: this cloud's api-versions do not tell whether its role assignment permissions mode can"
        );
        return Err(Problem::advised(Cause::Unsupported, advice, &[account]));
    }
    let name = id.name();
    let advice = format!(
        "remove spec.repositories; or give all who pull and push there Container Registry Repository Reader or Writer (az role assignment list --include-inherited --scope REGISTRY_ID shows who), wait 10 minutes, and only then switch the registry (az acr update --name {name} --role-assignment-mode rbac-abac): from that moment AcrPull and AcrPush mean nothing there"
    );
    let accounts = [id.as_str(), name].map(|it| {
        format!(
            "narrowing access to registry {it} to repositories: only mode \"RBAC Registry + ABAC Repository Permissions\" can"
        )
    });
    Err(Problem::advised(Cause::InvalidSpec, &advice, &accounts))
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

    fn someone() -> PrincipalId {
        "22222222-2222-2222-2222-222222222222".parse().unwrap()
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
        let grant = grant(&registry, someone(), &Repositories::default());
        assert_eq!(grant.ok().map(|it| it.role), role);
        assert_eq!(may_replace(&registry), replaces);
    }

    #[test]
    fn what_may_not_be_narrowed_is_not_opened() {
        let some = Repositories::new(["team/*".to_owned()]).unwrap();
        let cause = |mode| check_repositories(&registry(mode), &some).unwrap_err().cause;
        assert_eq!(cause(None), Cause::Unsupported);
        assert_eq!(cause(Some(RoleAssignmentMode::LegacyRegistryPermissions)), Cause::InvalidSpec);
        assert!(grant(&registry(None), someone(), &some).is_err());
    }

    /// Switching the mode takes the right to pull and push from all other identities.
    #[test]
    fn the_way_to_repositories_begins_with_all_others() {
        let some = Repositories::new(["team/*".to_owned()]).unwrap();
        let legacy = registry(Some(RoleAssignmentMode::LegacyRegistryPermissions));
        let text = check_repositories(&legacy, &some).unwrap_err().message;
        let words = ["remove spec.repositories", "all who pull", "wait", "az acr update"];
        let places: Vec<_> = words.map(|it| text.find(it).unwrap()).into();
        assert!(places.is_sorted(), "{text}");
        assert!(crate::message::is_bounded(&text) && !text.contains('…'), "{text}");
    }
}

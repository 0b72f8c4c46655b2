//! Advice for a missing right of the operator's identity: the command that assigns the role.

use std::fmt;

use acr_attach_core::ids::PrincipalId;
use acr_attach_core::roles::role::Role;

use super::error::Attempt;

/// The built-in role that may read everything and change nothing.
pub(super) const READER: &str = "Reader";
/// The built-in role that assigns roles. A condition can limit which roles it may assign.
pub(super) const ADMINISTRATOR: &str = "Role Based Access Control Administrator";

/// The placeholder for an unknown object id. A shell would read `<…>` as a redirection.
const PLACEHOLDER: &str = "OPERATOR_OBJECT_ID";

/// The command that assigns a role to the operator's identity.
struct AssignRoleCommand<'a> {
    role: &'static str,
    object_id: &'a str,
    scope: &'a str,
    /// The only principal that [`ADMINISTRATOR`] may assign roles to, if one is known.
    principal: Option<&'a str>,
}

/// Values are in double quotes, since names of resource groups may have parentheses.
impl fmt::Display for AssignRoleCommand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, object_id, scope, principal } = self;
        write!(
            f,
            "az role assignment create --assignee-object-id \"{object_id}\" --assignee-principal-type ServicePrincipal --role \"{role}\" --scope \"{scope}\""
        )?;
        if *role == ADMINISTRATOR {
            let condition = condition(*principal);
            write!(f, " --condition-version 2.0 --condition \"{condition}\"")?;
        }
        Ok(())
    }
}

/// The condition of [`ADMINISTRATOR`]: the identity may assign the two pull roles alone, and only to
/// that principal, or to any service principal if none is given. One clause is for creating and
/// changing assignments, one for deleting (learn.microsoft.com, "Examples to delegate Azure role
/// assignment management with conditions").
///
/// The condition says NOT where those examples say `!`, because bash expands `!` within double
/// quotes from its history.
fn condition(principal: Option<&str>) -> String {
    const ATTRIBUTES: &str = "Microsoft.Authorization/roleAssignments";
    let (pull, reader) = (Role::AcrPull.definition(), Role::RepositoryReader.definition());
    let principals = principal.map_or_else(
        || {
            "PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {'ServicePrincipal'}"
                .to_owned()
        },
        |id| format!("PrincipalId] ForAnyOfAnyValues:GuidEquals {{{id}}}"),
    );
    let clause = |action: &str, source: &str| {
        format!(
            "((NOT ActionMatches{{'{ATTRIBUTES}/{action}'}}) OR (@{source}[{ATTRIBUTES}:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {{{pull}, {reader}}} AND @{source}[{ATTRIBUTES}:{principals}))"
        )
    };
    format!("{} AND {}", clause("write", "Request"), clause("delete", "Resource"))
}

/// The advice for a missing right: the command that assigns the role, with all ids filled in. A
/// command with a condition is longer than a message may be. For that the advice names the ids, and
/// the page with the command.
pub(super) fn advice(attempt: &Attempt, object_id: Option<&str>) -> String {
    let Attempt { action, role, principal, scope_exists, .. } = attempt;
    let Some(scope) = attempt.scope() else {
        return format!(
            "give the operator's identity {action} there, for example by role {role}, and wait up to 10 minutes"
        );
    };
    if *role == ADMINISTRATOR {
        let page = page_advice(scope, object_id, *principal);
        return if *scope_exists { page } else { format!("if the registry still exists, {page}") };
    }
    let (whose, object_id) = match object_id {
        Some(it) => (String::new(), it),
        None => (format!(", {PLACEHOLDER},"), PLACEHOLDER),
    };
    let command = AssignRoleCommand { role, object_id, scope, principal: None };
    // Azure gives the same answer for a scope that does not exist.
    format!(
        "check that the id exists (az resource show), which Azure does not tell; if it does, give the operator's identity{whose} role {role}: {command}"
    )
}

/// The advice to assign [`ADMINISTRATOR`]: the page, and the shell variables for its command.
fn page_advice(registry: &str, object_id: Option<&str>, principal: Option<PrincipalId>) -> String {
    let operator = object_id.map_or_else(String::new, |it| format!("{PLACEHOLDER}={it} "));
    let ids = format!("{operator}REGISTRY_ID=\"{registry}\"");
    let (anchor, ids) = match principal {
        Some(it) => (TO_ONE_IDENTITY, format!("{ids} KUBELET_OBJECT_ID={it}")),
        None => (TO_ANY_IDENTITY, ids),
    };
    format!(
        "let the operator's identity assign pull roles: docs/azure-permissions.md#{anchor} has the command; {ids}"
    )
}

/// The heading of the command that allows assigning roles to one identity.
const TO_ONE_IDENTITY: &str = "to-one-identity";
/// The heading of the command for any service principal or managed identity.
const TO_ANY_IDENTITY: &str = "assigning-the-pull-roles";

#[cfg(test)]
mod tests {
    use super::super::error::{Error, Refusal};
    use super::*;
    use acr_attach_core::message;
    use acr_attach_core::problem::Problem;

    const SCOPE: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso";
    const OPERATOR: &str = "33333333-3333-3333-3333-333333333333";

    fn reading() -> Attempt {
        Attempt {
            operation: "reading registry",
            target: SCOPE.into(),
            action: "Microsoft.ContainerRegistry/registries/read",
            role: READER,
            ..Attempt::default()
        }
    }

    fn assigning(registry: &str) -> Attempt {
        Attempt {
            operation: "making role assignment",
            target: format!(
                "{registry}/providers/Microsoft.Authorization/roleAssignments/b8aca42d-f5a1-511f-8f55-2bf8850d7ddb"
            ),
            action: "Microsoft.Authorization/roleAssignments/write",
            role: ADMINISTRATOR,
            scope: Some(registry.into()),
            principal: Some("22222222-2222-2222-2222-222222222222".parse().unwrap()),
            scope_exists: true,
            ..Attempt::default()
        }
    }

    fn refused(attempt: &Attempt, message: &str) -> Problem {
        let refusal = Refusal {
            status: 403,
            code: "AuthorizationFailed".into(),
            message: message.into(),
            correlation_id: Some("c0ffee".into()),
            ..Refusal::default()
        };
        Error::refused(attempt, refusal).into()
    }

    fn azure_message() -> String {
        format!("The client 'x' with object id '{OPERATOR}' does not have authorization")
    }

    #[test]
    fn the_message_begins_with_the_advice() {
        expect_test::expect![[r#"check that the id exists (az resource show), which Azure does not tell; if it does, give the operator's identity role Reader: az role assignment create --assignee-object-id "33333333-3333-3333-3333-333333333333" --assignee-principal-type ServicePrincipal --role "Reader" --scope "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso"; reading registry contoso: 403 AuthorizationFailed for object id 33333333-3333-3333-3333-333333333333, which needs Microsoft.ContainerRegistry/registries/read (correlation id c0ffee)"#]].assert_eq(&refused(&reading(), &azure_message()).to_string());
        expect_test::expect![[r#"let the operator's identity assign pull roles: docs/azure-permissions.md#to-one-identity has the command; OPERATOR_OBJECT_ID=33333333-3333-3333-3333-333333333333 REGISTRY_ID="/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso" KUBELET_OBJECT_ID=22222222-2222-2222-2222-222222222222; making role assignment b8aca42d-f5a1-511f-8f55-2bf8850d7ddb: 403 AuthorizationFailed for object id 33333333-3333-3333-3333-333333333333, which needs Microsoft.Authorization/roleAssignments/write"#]].assert_eq(&refused(&assigning(SCOPE), &azure_message()).message);
        let any_principal = Attempt { principal: None, ..assigning(SCOPE) };
        expect_test::expect![[r#"let the operator's identity assign pull roles: docs/azure-permissions.md#assigning-the-pull-roles has the command; OPERATOR_OBJECT_ID=33333333-3333-3333-3333-333333333333 REGISTRY_ID="/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso"; making role assignment b8aca42d-f5a1-511f-8f55-2bf8850d7ddb: 403 AuthorizationFailed for object id 33333333-3333-3333-3333-333333333333, which needs Microsoft.Authorization/roleAssignments/write"#]].assert_eq(&refused(&any_principal, &azure_message()).message);
    }

    /// The names are as long as Azure allows, with letters of several bytes.
    #[test]
    fn the_longest_advice_fits_with_the_ids_and_the_error_code() {
        let group = "ø".repeat(90);
        let start = format!(
            "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/{group}/providers/Microsoft."
        );
        let registry = format!("{start}ContainerRegistry/registries/{}", "r".repeat(50));
        let cluster = format!("{start}ContainerService/managedClusters/{}", "c".repeat(63));
        let of_cluster = Attempt { operation: "reading cluster", target: cluster, ..reading() };
        let attempts = [
            Attempt { target: registry.clone(), ..reading() },
            of_cluster,
            Attempt { principal: None, ..assigning(&registry) },
            assigning(&registry),
        ];
        for attempt in attempts {
            for message in ["", &azure_message()] {
                let text = refused(&attempt, message).message;
                assert!(message::is_bounded(&text), "{text}");
                let scope = attempt.scope().unwrap();
                assert!(text.contains(&format!("\"{scope}\"")), "{text}");
                assert!(text.contains("403 Authorization"), "{text}");
            }
        }
    }

    #[test]
    fn the_placeholder_for_an_object_id_is_no_redirection() {
        let text = refused(&reading(), "no").message;
        assert!(text.contains("--assignee-object-id \"OPERATOR_OBJECT_ID\""), "{text}");
        assert!(!text.contains(['<', '>']), "{text}");
    }

    #[test]
    fn the_documents_have_the_same_commands() {
        let document = include_str!("../../../docs/azure-permissions.md");
        let command = |role, scope, principal| {
            let object_id = "$OPERATOR_OBJECT_ID";
            format!("\n{}\n", AssignRoleCommand { role, object_id, scope, principal })
        };
        let mut commands: Vec<_> =
            ["$REGISTRY_ID", "$CLUSTER_ID", "$NODE_GROUP_ID", "$SUBSCRIPTION_ID"]
                .map(|scope| command(READER, scope, None))
                .into();
        for principal in [None, Some("$KUBELET_OBJECT_ID")] {
            commands.push(command(ADMINISTRATOR, "$REGISTRY_ID", principal));
        }
        for command in &commands {
            assert!(document.contains(command), "docs/azure-permissions.md lacks{command}");
        }
        for anchor in [TO_ONE_IDENTITY, TO_ANY_IDENTITY] {
            let heading = format!("\n### {}{}\n", anchor[..1].to_uppercase(), &anchor[1..]);
            let heading = heading.replace('-', " ");
            assert!(document.contains(&heading), "docs/azure-permissions.md lacks {heading}");
        }
        let assigning = document.matches("\naz role assignment create").count();
        assert_eq!(assigning, commands.len(), "docs/azure-permissions.md has others");
        for page in [include_str!("../../../docs/identity.md"), include_str!("../../../README.md")]
        {
            let lines = page.lines().filter(|it| it.starts_with("az role assignment create"));
            let others = lines.filter(|it| !commands.contains(&format!("\n{it}\n")));
            assert_eq!(others.collect::<Vec<_>>(), Vec::<&str>::new());
            assert!(page.contains(&commands[4]) && page.contains(&commands[1]));
        }
        for role in [Role::AcrPull, Role::RepositoryReader] {
            let named = format!("*{}*\n(`{}`)", role.name(), role.definition());
            assert!(document.contains(&named), "docs/azure-permissions.md lacks {named}");
        }
    }

    #[test]
    fn without_a_scope_there_is_no_command() {
        let text =
            refused(&Attempt { target: "client x".into(), ..reading() }, &azure_message()).message;
        assert!(text.contains("by role Reader") && !text.contains("az "), "{text}");
    }
}

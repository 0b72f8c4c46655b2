//! The right that the operator's identity lacks, and the one command that gives it.

use std::fmt;

use super::error::Attempt;
use crate::domain::names::PrincipalId;
use crate::domain::role::Role;

/// A role that reads and changes nothing.
pub(super) const READER: &str = "Reader";
/// The role that assigns roles. It can be narrowed to single roles by a condition.
pub(super) const ADMINISTRATOR: &str = "Role Based Access Control Administrator";

/// Stands for an object id that is not known. A shell takes `<…>` for redirections.
const PLACEHOLDER: &str = "OPERATOR_OBJECT_ID";

/// A role for the operator's identity. Shown as the command that assigns it.
struct Permission<'a> {
    role: &'static str,
    object_id: &'a str,
    scope: &'a str,
    /// To whom it may assign roles, if it is a role that assigns any and one is known.
    principal: Option<&'a str>,
}

/// In double quotes, since names of resource groups may have parentheses.
impl fmt::Display for Permission<'_> {
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

/// Lets a role that assigns roles assign the two pull roles alone, and these only to that
/// principal, or else to no users and groups. One clause is for making and changing, one for
/// deleting, as Azure has it (learn.microsoft.com, "Examples to delegate Azure role assignment
/// management with conditions").
///
/// It says NOT where the examples there say `!`: within double quotes bash takes that for an
/// event of its history.
fn condition(principal: Option<&str>) -> String {
    const ATTRIBUTES: &str = "Microsoft.Authorization/roleAssignments";
    let (pull, reader) = (Role::AcrPull.definition(), Role::RepositoryReader.definition());
    let who = principal.map_or_else(
        || {
            "PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {'ServicePrincipal'}"
                .to_owned()
        },
        |id| format!("PrincipalId] ForAnyOfAnyValues:GuidEquals {{{id}}}"),
    );
    let clause = |action: &str, source: &str| {
        format!(
            "((NOT ActionMatches{{'{ATTRIBUTES}/{action}'}}) OR (@{source}[{ATTRIBUTES}:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {{{pull}, {reader}}} AND @{source}[{ATTRIBUTES}:{who}))"
        )
    };
    format!("{} AND {}", clause("write", "Request"), clause("delete", "Resource"))
}

/// What to do about a refusal for lack of a right. The command comes last: an event that ends
/// before it does still tells the rest.
pub(super) fn remedy(attempt: &Attempt, object_id: Option<&str>) -> String {
    let Attempt { action, role, principal, .. } = attempt;
    let Some(scope) = attempt.scope() else {
        return format!(
            "; the operator's identity needs {action} there, for example by role {role}; a new role takes up to 10 minutes"
        );
    };
    let principal = principal.map(|it: PrincipalId| it.to_string());
    let object = object_id.unwrap_or(PLACEHOLDER);
    let command = Permission { role, object_id: object, scope, principal: principal.as_deref() };
    let there = if scope == attempt.target { "there".to_owned() } else { format!("on {scope}") };
    let whose = match object_id {
        Some(_) => String::new(),
        None => format!(", with its object id in place of {PLACEHOLDER}"),
    };
    // A condition says nothing of reading. Azure takes no second assignment of the same role.
    let held = if *role == ADMINISTRATOR && !action.ends_with("/read") {
        " (where it has that role already, widen the condition of that one instead)"
    } else {
        ""
    };
    format!(
        "; the operator's identity needs {action} {there}; this gives it within 10 minutes{whose}{held}: {command}"
    )
}

#[cfg(test)]
mod tests {
    use super::super::error::{Error, Refusal};
    use super::*;
    use crate::domain::problem::Problem;

    const SCOPE: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso";
    const OPERATOR: &str = "33333333-3333-3333-3333-333333333333";

    fn reading() -> Attempt {
        Attempt {
            doing: "reading registry",
            target: SCOPE.into(),
            action: "Microsoft.ContainerRegistry/registries/read",
            role: READER,
            ..Attempt::default()
        }
    }

    fn assigning(registry: &str) -> Attempt {
        Attempt {
            doing: "making role assignment",
            target: format!(
                "{registry}/providers/Microsoft.Authorization/roleAssignments/b8aca42d-f5a1-511f-8f55-2bf8850d7ddb"
            ),
            action: "Microsoft.Authorization/roleAssignments/write",
            role: ADMINISTRATOR,
            scope: Some(registry.into()),
            principal: Some("22222222-2222-2222-2222-222222222222".parse().unwrap()),
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

    fn told() -> String {
        format!("The client 'x' with object id '{OPERATOR}' does not have authorization")
    }

    #[test]
    fn a_refusal_names_who_what_where_and_the_command() {
        expect_test::expect![[r#"reading registry /subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso: 403 AuthorizationFailed for object id 33333333-3333-3333-3333-333333333333; the operator's identity needs Microsoft.ContainerRegistry/registries/read there; this gives it within 10 minutes: az role assignment create --assignee-object-id "33333333-3333-3333-3333-333333333333" --assignee-principal-type ServicePrincipal --role "Reader" --scope "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso" (correlation id c0ffee)"#]]
            .assert_eq(&refused(&reading(), &told()).to_string());
        expect_test::expect![[r#"making role assignment /subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso/providers/Microsoft.Authorization/roleAssignments/b8aca42d-f5a1-511f-8f55-2bf8850d7ddb: 403 AuthorizationFailed for object id 33333333-3333-3333-3333-333333333333; the operator's identity needs Microsoft.Authorization/roleAssignments/write on /subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso; this gives it within 10 minutes (where it has that role already, widen the condition of that one instead): az role assignment create --assignee-object-id "33333333-3333-3333-3333-333333333333" --assignee-principal-type ServicePrincipal --role "Role Based Access Control Administrator" --scope "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/contoso" --condition-version 2.0 --condition "((NOT ActionMatches{'Microsoft.Authorization/roleAssignments/write'}) OR (@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {7f951dda-4ed3-4680-a7ca-43fe172d538d, b93aa761-3e63-49ed-ac28-beffa264f7ac} AND @Request[Microsoft.Authorization/roleAssignments:PrincipalId] ForAnyOfAnyValues:GuidEquals {22222222-2222-2222-2222-222222222222})) AND ((NOT ActionMatches{'Microsoft.Authorization/roleAssignments/delete'}) OR (@Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {7f951dda-4ed3-4680-a7ca-43fe172d538d, b93aa761-3e63-49ed-ac28-beffa264f7ac} AND @Resource[Microsoft.Authorization/roleAssignments:PrincipalId] ForAnyOfAnyValues:GuidEquals {22222222-2222-2222-2222-222222222222}))""#]]
            .assert_eq(&refused(&assigning(SCOPE), &told()).message);
    }

    #[test]
    fn the_longest_command_is_told_to_its_end() {
        let registry = format!(
            "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/{}/providers/Microsoft.ContainerRegistry/registries/{}",
            "g".repeat(90),
            "r".repeat(50)
        );
        let attempt = Attempt { principal: None, ..assigning(&registry) };
        let text = refused(&attempt, "").message;
        assert!(text.ends_with("{'ServicePrincipal'}))\""), "{text}");
    }

    #[test]
    fn an_object_id_that_is_not_told_is_no_redirection() {
        let text = refused(&reading(), "no").message;
        assert!(text.contains("--assignee-object-id \"OPERATOR_OBJECT_ID\""), "{text}");
        assert!(!text.contains(['<', '>']), "{text}");
    }

    #[test]
    fn the_document_has_the_same_commands() {
        let document = include_str!("../../docs/azure-permissions.md");
        let command = |role, scope, principal| {
            let object_id = "$OPERATOR_OBJECT_ID";
            format!("\n{}\n", Permission { role, object_id, scope, principal })
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
        let assigning = document.matches("\naz role assignment create").count();
        assert_eq!(assigning, commands.len(), "docs/azure-permissions.md has others");
        for role in [Role::AcrPull, Role::RepositoryReader] {
            let named = format!("*{}*\n(`{}`)", role.name(), role.definition());
            assert!(document.contains(&named), "docs/azure-permissions.md lacks {named}");
        }
    }

    #[test]
    fn without_a_scope_there_is_no_command() {
        let text = refused(&Attempt { target: "client x".into(), ..reading() }, &told()).message;
        assert!(text.contains("by role Reader") && !text.contains("az "), "{text}");
    }
}

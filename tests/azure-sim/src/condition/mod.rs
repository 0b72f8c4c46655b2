//! Conditions of role assignments (Azure docs, `conditions-format`): parsed, then evaluated for
//! one action and its attributes.

mod parse;

pub(crate) use parse::parse;

use crate::model::scope::last_segment;

/// Where an attribute is taken from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Source {
    /// What the request wants to write.
    Request,
    /// What is there already.
    Resource,
}

/// A parsed condition.
#[derive(Debug, PartialEq)]
pub(crate) enum Condition {
    Or(Box<Self>, Box<Self>),
    And(Box<Self>, Box<Self>),
    Not(Box<Self>),
    ActionMatches(String),
    Compare {
        source: Source,
        attribute: String,
        quantifier: Quantifier,
        test: Test,
        values: Vec<String>,
    },
}

/// Whether one of the values on the right must match, or all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Quantifier {
    Any,
    All,
}

/// A comparison, already freed from its `Not`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Test {
    pub(crate) kind: TestKind,
    pub(crate) ignore_case: bool,
    pub(crate) negated: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TestKind {
    Equals,
    StartsWith,
    Like,
    Guid,
}

/// What a condition is evaluated for.
#[derive(Debug, Default)]
pub(crate) struct Attempt<'a> {
    /// The action, such as `Microsoft.Authorization/roleAssignments/write`.
    pub(crate) action: &'a str,
    /// Attributes of the request, by name.
    pub(crate) request: Vec<(&'static str, String)>,
    /// Attributes of the resource, by name.
    pub(crate) resource: Vec<(&'static str, String)>,
}

impl Attempt<'_> {
    fn attribute(&self, source: Source, name: &str) -> Option<&str> {
        let attributes = match source {
            Source::Request => &self.request,
            Source::Resource => &self.resource,
        };
        attributes.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }
}

impl Condition {
    /// Whether the condition lets the attempt pass. An attribute that is missing matches nothing.
    pub(crate) fn allows(&self, attempt: &Attempt<'_>) -> bool {
        match self {
            Self::Or(left, right) => left.allows(attempt) || right.allows(attempt),
            Self::And(left, right) => left.allows(attempt) && right.allows(attempt),
            Self::Not(inner) => !inner.allows(attempt),
            Self::ActionMatches(pattern) => crate::model::matches_pattern(pattern, attempt.action),
            Self::Compare { source, attribute, quantifier, test, values } => {
                let Some(actual) = attempt.attribute(*source, attribute) else { return false };
                let mut results = values.iter().map(|it| test.holds(actual, it));
                match quantifier {
                    Quantifier::Any => results.any(|it| it),
                    Quantifier::All => results.all(|it| it),
                }
            }
        }
    }
}

impl Test {
    fn holds(self, actual: &str, expected: &str) -> bool {
        let fold = |text: &str| {
            if self.ignore_case { text.to_lowercase() } else { text.to_owned() }
        };
        let (left, right) = (fold(actual), fold(expected));
        let holds = match self.kind {
            TestKind::Equals => left == right,
            TestKind::StartsWith => left.starts_with(&right),
            TestKind::Like => crate::model::matches_pattern(&right, &left),
            TestKind::Guid => last_segment(actual).eq_ignore_ascii_case(last_segment(expected)),
        };
        holds != self.negated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: &str = "Microsoft.Authorization/roleAssignments/write";
    const DELETE: &str = "Microsoft.Authorization/roleAssignments/delete";
    const ROLE: &str = "Microsoft.Authorization/roleAssignments:RoleDefinitionId";
    const TYPE: &str = "Microsoft.Authorization/roleAssignments:PrincipalType";

    /// The form that Azure's portal writes for "constrain roles and principal types".
    const DELEGATED: &str = "((!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})) OR
 (@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {7f951dda-4ed3-4680-a7ca-43fe172d538d, b93aa761-3e63-49ed-ac28-beffa264f7ac}
  AND @Request[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {'ServicePrincipal'}))
AND
((!(ActionMatches{'Microsoft.Authorization/roleAssignments/delete'})) OR
 (@Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {7f951dda-4ed3-4680-a7ca-43fe172d538d}))";

    fn write(role: &str, kind: &str) -> Attempt<'static> {
        Attempt {
            action: WRITE,
            request: vec![(ROLE, role.into()), (TYPE, kind.into())],
            resource: Vec::new(),
        }
    }

    fn allows(condition: &str, attempt: &Attempt<'_>) -> bool {
        parse(condition).unwrap().allows(attempt)
    }

    #[test]
    fn a_delegated_condition_limits_roles_and_principal_types() {
        let pull = "7F951DDA-4ed3-4680-a7ca-43fe172d538d";
        assert!(allows(DELEGATED, &write(pull, "serviceprincipal")));
        assert!(!allows(DELEGATED, &write(pull, "User")));
        assert!(!allows(
            DELEGATED,
            &write("8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "ServicePrincipal")
        ));

        let delete = |role: &str| Attempt {
            action: DELETE,
            request: Vec::new(),
            resource: vec![(ROLE, role.into())],
        };
        assert!(allows(DELEGATED, &delete(pull)));
        assert!(!allows(DELEGATED, &delete("b93aa761-3e63-49ed-ac28-beffa264f7ac")));
        assert!(allows(DELEGATED, &Attempt { action: "other/read", ..Attempt::default() }));
    }

    #[test]
    fn repository_conditions_compare_names() {
        const NAME: &str = "Microsoft.ContainerRegistry/registries/repositories:name";
        let pull = |name: &str| Attempt {
            action: "Microsoft.ContainerRegistry/registries/repositories/content/read",
            request: vec![(NAME, name.into())],
            resource: Vec::new(),
        };
        let condition = "((!(ActionMatches{'Microsoft.ContainerRegistry/registries/repositories/content/read'}))
 OR (@Request[Microsoft.ContainerRegistry/registries/repositories:name] StringEqualsIgnoreCase 'team/app'
 || @Request[Microsoft.ContainerRegistry/registries/repositories:name] StringStartsWithIgnoreCase 'open/'))";
        assert!(allows(condition, &pull("Team/App")));
        assert!(allows(condition, &pull("open/anything")));
        assert!(!allows(condition, &pull("team/app2")));
    }

    #[test]
    fn not_equals_of_all_values_excludes_roles() {
        let condition = "@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] \
                         ForAnyOfAllValues:GuidNotEquals {8e3af657-a8ff-443c-a75c-2fe8c4bcb635, \
                         18d7d88d-d35e-4fb5-a5c3-7773c20a72d9}";
        assert!(allows(condition, &write("7f951dda-4ed3-4680-a7ca-43fe172d538d", "User")));
        assert!(!allows(condition, &write("18d7d88d-d35e-4fb5-a5c3-7773c20a72d9", "User")));
    }
}

//! The role assignments that acr-attach has made in Azure, for people.

use std::fmt;

use azure_sim::{
    Model,
    model::{ACR_PULL, REPOSITORY_READER, RoleAssignment},
};

use crate::terminal::table;

/// One role assignment, in names instead of ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its own name, a GUID.
    pub name: String,
    /// The role.
    pub role: String,
    /// Who holds it.
    pub principal: String,
    /// The registry that it is on.
    pub registry: String,
    /// What acr-attach wrote into it.
    pub description: String,
    /// What narrows it.
    pub condition: Option<String>,
}

impl Made {
    /// What an assignment of the model is to people.
    pub fn of(it: &RoleAssignment, model: &Model) -> Self {
        let role = match it.role.as_str() {
            ACR_PULL => "AcrPull",
            REPOSITORY_READER => "Container Registry Repository Reader",
            other => other,
        };
        let principal = model.principal(&it.principal_id).map(|it| it.display_name.clone());
        Self {
            name: it.name.clone(),
            role: role.to_owned(),
            principal: principal.unwrap_or_else(|| it.principal_id.clone()),
            registry: registry(&it.scope),
            description: it.description.clone().unwrap_or_default(),
            condition: it.condition.clone(),
        }
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {} for {}", self.role, self.registry, self.principal)
    }
}

/// The name of a registry. Of another scope the kind too, since nothing should be made there.
fn registry(scope: &str) -> String {
    let mut last: Vec<_> = scope.rsplit('/').take(2).collect();
    last.reverse();
    let last = last.join("/");
    last.strip_prefix("registries/").unwrap_or(&last).to_owned()
}

/// Role assignments as a table.
pub fn assignments(made: &[Made]) -> String {
    let mut rows = vec![["ROLE", "PRINCIPAL", "REGISTRY", "DESCRIPTION"].map(str::to_owned)];
    rows.extend(made.iter().cloned().map(|it| {
        let Made { role, principal, registry, description, .. } = it;
        [role, principal, registry, description]
    }));
    table(&rows)
}

/// A condition as lines: one for each thing that is compared, further in with each parenthesis.
pub fn condition(text: &str) -> Vec<String> {
    const BREAKS: [&str; 3] = [" AND ", " OR ", " String"];
    let (mut lines, mut rest, mut depth) = (Vec::new(), text, 0_usize);
    while !rest.is_empty() {
        let end = BREAKS.iter().filter_map(|it| rest.find(it)).min().unwrap_or(rest.len());
        let (line, next) = rest.split_at(end);
        lines.push(format!("{}{line}", "  ".repeat(depth)));
        depth += line.matches('(').count();
        depth = depth.saturating_sub(line.matches(')').count());
        rest = next.trim_start();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_shown_by_the_registry() {
        let mut model = Model::default_tenant();
        assert_eq!(registry(&model.registry("contoso").add().id()), "contoso");
        assert_eq!(registry("/subscriptions/s/resourceGroups/rg"), "resourceGroups/rg");
    }

    #[test]
    fn the_longest_role_fits_a_terminal() {
        let made = Made {
            name: String::new(),
            role: "Container Registry Repository Reader".into(),
            principal: "prod-agentpool".into(),
            registry: "contoso".into(),
            description: "acr-attach claims: 0123456789ab".into(),
            condition: None,
        };
        assert!(assignments(&[made]).lines().all(|it| it.chars().count() <= 98));
    }

    #[test]
    fn a_condition_is_shown_a_comparison_a_line() {
        let text = "((!(ActionMatches{'a'}) AND !(ActionMatches{'b'})) OR (@Request[n] StringEquals 'c' OR @Request[n] StringEquals 'd'))";
        let lines = [
            "((!(ActionMatches{'a'})",
            "    AND !(ActionMatches{'b'}))",
            "  OR (@Request[n]",
            "    StringEquals 'c'",
            "    OR @Request[n]",
            "    StringEquals 'd'))",
        ];
        assert_eq!(condition(text), lines);
    }
}

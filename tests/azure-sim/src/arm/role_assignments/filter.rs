//! `$filter` of role assignment lists (Azure docs, `role-assignments-list-rest`).

use super::super::error::ArmError;
use crate::model::{Model, PrincipalType, RoleAssignment, scope::is_within};

/// What a list leaves in.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Filter {
    /// Only at and above the scope, not below.
    at_scope: bool,
    /// Only of this principal itself.
    principal_id: Option<String>,
    /// Only of this principal and the groups that it is in.
    assigned_to: Option<String>,
}

impl Filter {
    /// Parses terms joined by `and`.
    ///
    /// # Errors
    /// 400 for anything else.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, ArmError> {
        let mut filter = Self::default();
        let text = text.unwrap_or_default().trim();
        if text.is_empty() {
            return Ok(filter);
        }
        for term in split_at_and(text) {
            let folded = term.to_ascii_lowercase();
            if folded == "atscope()" {
                filter.at_scope = true;
            } else if let Some(id) = between(term, &folded, "assignedto('", "')") {
                filter.assigned_to = Some(id);
            } else if let Some(id) = between(term, &folded, "principalid eq '", "'") {
                filter.principal_id = Some(id);
            } else {
                let message = format!("The filter '{text}' is not supported.");
                return Err(ArmError::bad_request("InvalidFilter", message));
            }
        }
        Ok(filter)
    }

    /// Whether an assignment belongs to the list at `scope`: at it, above it, or below it.
    pub(super) fn selects(&self, model: &Model, scope: &str, it: &RoleAssignment) -> bool {
        let above = is_within(scope, &it.scope);
        let below = !self.at_scope && is_within(&it.scope, scope);
        let of = |id: &str| it.principal_id.eq_ignore_ascii_case(id);
        (above || below)
            && self.principal_id.as_deref().is_none_or(of)
            && self.assigned_to.as_deref().is_none_or(|id| assigned_to(model, id, it))
    }
}

/// Whether the assignment reaches a principal, itself or through a group. Groups themselves
/// are not accepted here.
fn assigned_to(model: &Model, id: &str, assignment: &RoleAssignment) -> bool {
    let is = |id: &str| assignment.principal_id.eq_ignore_ascii_case(id);
    match model.principal(id) {
        Some(it) if it.principal_type == PrincipalType::Group => false,
        Some(it) => it.identities().any(is),
        None => is(id),
    }
}

fn split_at_and(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.to_ascii_lowercase().find(" and ") {
        terms.push(rest[..at].trim());
        rest = &rest[at + " and ".len()..];
    }
    terms.push(rest.trim());
    terms
}

fn between(term: &str, folded: &str, start: &str, end: &str) -> Option<String> {
    folded.strip_prefix(start)?.strip_suffix(end)?;
    Some(term[start.len()..term.len() - end.len()].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTRY: &str = "/subscriptions/s/resourceGroups/g/providers/P/registries/r";

    fn at(scope: &str, principal: &str) -> RoleAssignment {
        RoleAssignment {
            scope: scope.into(),
            principal_id: principal.into(),
            ..RoleAssignment::default()
        }
    }

    fn selected(filter: &str, scope: &str) -> Vec<String> {
        let mut model = Model::default_tenant();
        let group = model.other_principal("group", PrincipalType::Group).add();
        let member = group.object_id.clone();
        model
            .application("member")
            .with(|it| (it.object_id, it.member_of) = ("m".into(), vec![member.clone()]))
            .add();
        let filter = Filter::parse(Some(filter)).unwrap();
        [("root", "/", "m"), ("own", REGISTRY, "m"), ("group", REGISTRY, &*group.object_id)]
            .into_iter()
            .chain([("other", REGISTRY, "x"), ("below", &*format!("{REGISTRY}/sub/1"), "m")])
            .filter(|(_, assigned, who)| filter.selects(&model, scope, &at(assigned, who)))
            .map(|(label, ..)| label.to_owned())
            .collect()
    }

    #[test]
    fn filters_select_by_scope_and_principal() {
        for (filter, expected) in [
            ("", &["root", "own", "group", "other", "below"][..]),
            ("atScope()", &["root", "own", "group", "other"]),
            ("principalId eq 'M'", &["root", "own", "below"]),
            ("assignedTo('m')", &["root", "own", "group", "below"]),
            ("atScope() and assignedTo('m')", &["root", "own", "group"]),
            ("ATSCOPE() AND principalId eq 'x'", &["other"]),
        ] {
            assert_eq!(selected(filter, REGISTRY), expected, "{filter}");
        }
    }

    #[test]
    fn other_filters_are_refused() {
        for filter in ["roleDefinitionId eq 'x'", "atScope() or assignedTo('m')", "assignedTo(m)"] {
            assert!(Filter::parse(Some(filter)).is_err(), "{filter}");
        }
    }
}

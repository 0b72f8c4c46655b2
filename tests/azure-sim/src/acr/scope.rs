//! What a token is asked for and what it allows: `repository:team/app:pull,push`
//! (distribution, `docs/content/spec/auth/scope.md`).

use std::fmt;

use hyper::Method;
use serde::Serialize;

use crate::http::Request;

/// The type of scopes for repositories.
pub(super) const REPOSITORY: &str = "repository";
/// Type and name of the scope for the list of repositories.
pub(super) const CATALOG: (&str, &str) = ("registry", "catalog");

/// Actions on one thing, asked for or granted.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Access {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) actions: Vec<String>,
}

impl Access {
    pub(super) fn new<'a>(
        kind: &str,
        name: &str,
        actions: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let actions = actions.into_iter().map(str::to_owned).collect();
        Self { kind: kind.into(), name: name.into(), actions }
    }

    /// Reads a scope; the name can have colons.
    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        Some(Self::new(kind, name, actions.split(',').filter(|it| !it.is_empty())))
    }

    /// Whether it allows an action.
    pub(super) fn covers(&self, kind: &str, name: &str, action: &str) -> bool {
        let is = |it: &String| it == action || it == "*";
        self.kind == kind && self.name == name && self.actions.iter().any(is)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.kind, self.name, self.actions.join(","))
    }
}

/// The scopes of a token request: in several parameters, or several in one as containerd's POST
/// has them. What is no scope is left out, as the reference implementation does.
pub(super) fn asked(request: &Request) -> Vec<Access> {
    let scopes: Vec<_> = if request.method == Method::POST {
        request.fields("scope").collect()
    } else {
        request.parameters("scope").collect()
    };
    scopes.iter().flat_map(|it| it.split_whitespace()).filter_map(Access::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_has_type_name_and_actions() {
        let scope = Access::parse("repository:host:5000/team/app:pull,push").unwrap();
        assert_eq!((&*scope.kind, &*scope.name), (REPOSITORY, "host:5000/team/app"));
        assert_eq!(scope.actions, ["pull", "push"]);
        assert_eq!(scope.to_string(), "repository:host:5000/team/app:pull,push");
        assert_eq!(Access::parse("repository:app"), None);
    }

    #[test]
    fn a_star_covers_everything_of_its_name_alone() {
        let access = Access::parse("repository:app:*").unwrap();
        assert!(access.covers(REPOSITORY, "app", "pull"));
        assert!(!access.covers(REPOSITORY, "app2", "pull"));
        assert!(!Access::parse("repository:app:push").unwrap().covers(REPOSITORY, "app", "pull"));
    }
}
